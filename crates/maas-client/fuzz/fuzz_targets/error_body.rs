//! Bodies of refusals: no panic, a bounded text in one line, and nothing of a 401 is kept.
#![no_main]

use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use maas_client::{Error, operation};

fuzz_target!(|data: &[u8]| {
    let [status, kind, wait, body @ ..] = data else { return };
    let statuses = [400_u16, 401, 403, 404, 405, 409, 410, 413, 429, 500, 502, 503, 504, 302, 418, 999];
    let status = StatusCode::from_u16(statuses[usize::from(*status) % statuses.len()]).expect("valid");
    let mut headers = HeaderMap::new();
    let kinds = ["text/html", "application/json", "text/plain", ""];
    headers.insert("content-type", HeaderValue::from_static(kinds[usize::from(*kind) % kinds.len()]));
    if *wait > 0 {
        headers.insert("retry-after", HeaderValue::from(u16::from(*wait)));
    }
    if let Ok(value) = HeaderValue::from_bytes(&body[..body.len().min(40)]) {
        headers.insert("location", value.clone());
        headers.insert("maas-trace-id", value);
    }
    let operations = [&operation::MACHINES_ALLOCATE, &operation::ZONES_LIST, &operation::MACHINE_RELEASE];
    let operation = operations[usize::from(*kind) % operations.len()];
    let error = Error::from_reply(operation, status, &headers, body);
    let shown = format!("{error} {error:?}");
    assert!(!error.message().contains('\n'));
    assert!(error.message().chars().count() <= 2100, "{} characters", error.message().chars().count());
    if status == StatusCode::UNAUTHORIZED {
        let text = String::from_utf8_lossy(body);
        // any long word of the body that is not ours
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() > 20) {
            assert!(error.request_id().is_some_and(|id| id.contains(word)) || word.bytes().all(|b| b.is_ascii_digit()) || !shown.contains(word), "{word} in {shown}");
        }
    }
    let _ = (error.kind(), error.disposition(), error.conflict(), error.is_retryable(), error.is_ambiguous());
    let _ = (error.fields().len(), error.clock_skew(), error.retry_after(), error.redirect_target());
});
