//! Keys and URLs people paste: no panic; what is accepted is accepted again, what is refused is not quoted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use maas_client::{ApiKey, BaseUrl, SystemId};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<ApiKey>() {
        Ok(key) => {
            let secret = text.trim().rsplit(':').next().unwrap_or_default();
            let shown = format!("{key:?} {key}");
            // a short secret may be part of any word
            assert!(secret.len() < 12 || !shown.replace(text.trim().split(':').next().unwrap_or_default(), "").contains(secret));
        }
        // the error has no room for the key: it is Copy, with fixed words
        Err(error) => assert!(format!("{error} {error:?}").len() < 200),
    }
    if let Ok(url) = text.parse::<BaseUrl>() {
        assert_eq!(url.as_str().parse::<BaseUrl>().as_ref(), Ok(&url), "a URL we made is a URL");
        assert!(url.as_str().ends_with("/api/2.0/"));
    }
    if let Ok(id) = text.parse::<SystemId>() {
        assert_eq!(id.as_str(), text);
    }
});
