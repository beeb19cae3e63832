//! Signs requests: OAuth 1.0, PLAINTEXT (fact sheet §1.3).
//!
//! The signature covers neither verb, URL nor body, but every attempt needs a nonce MAAS has not
//! seen and a fresh time, so a header is made per attempt.

use std::fmt::Display;
use std::num::NonZeroU64;

use http::HeaderValue;
use oauth1_request::signature_method::{Sign, SignatureMethod};
use oauth1_request::{Builder, Credentials};
use percent_encoding::utf8_percent_encode;
use secrecy::ExposeSecret as _;

use crate::form::UNRESERVED;
use crate::key::ApiKey;

/// Nonce and time of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Unique per key and attempt, at most 255 characters; MAAS stores it for about a day.
    pub nonce: String,
    /// Unix seconds. MAAS refuses a time more than 300 s behind its own.
    pub unix_seconds: u64,
}

/// Where nonces and times come from: the built-in one is [`SystemStamps`]; tests and programs that
/// must run the same way twice give their own. Any `Fn() -> Stamp` is a source.
pub trait StampSource: Send + Sync + 'static {
    /// A stamp for the next attempt.
    fn stamp(&self) -> Stamp;
}

impl<F: Fn() -> Stamp + Send + Sync + 'static> StampSource for F {
    fn stamp(&self) -> Stamp {
        self()
    }
}

/// 128 random bits and the clock of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemStamps;

impl StampSource for SystemStamps {
    #[allow(clippy::disallowed_types, clippy::disallowed_methods)] // the one real clock: MAAS compares it with its own
    fn stamp(&self) -> Stamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Stamp {
            nonce: format!("{:032x}", fastrand::u128(..)),
            unix_seconds: since_epoch.map_or(0, |time| time.as_secs()),
        }
    }
}

/// PLAINTEXT with the signature percent-encoded once more, as RFC 5849 §3.5.1 asks for; the method
/// that oauth1-request brings leaves that out.
#[derive(Clone, Copy)]
struct Plaintext;

struct PlaintextSign(String);

fn encode(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

impl SignatureMethod for Plaintext {
    type Sign = PlaintextSign;

    fn sign_with(self, consumer_secret: &str, token_secret: Option<&str>) -> PlaintextSign {
        let key = format!("{}&{}", encode(consumer_secret), encode(token_secret.unwrap_or_default()));
        PlaintextSign(encode(&key))
    }
}

impl Sign for PlaintextSign {
    type Signature = String;

    fn get_signature_method_name(&self) -> &'static str {
        "PLAINTEXT"
    }

    fn request_method(&mut self, _: &str) {}

    fn uri<T: Display>(&mut self, _: T) {}

    fn parameter<V: Display>(&mut self, _: &str, _: V) {}

    fn delimiter(&mut self) {}

    fn end(self) -> String {
        self.0
    }
}

/// The Authorization header of one attempt, marked sensitive.
pub(crate) fn authorization(key: &ApiKey, stamp: &Stamp) -> Option<HeaderValue> {
    let mut builder = Builder::<_, _, &str>::new(Credentials::new(key.consumer.as_str(), ""), Plaintext);
    builder
        .token(Credentials::new(key.token.expose_secret(), key.secret.expose_secret()))
        .nonce(stamp.nonce.as_str())
        .timestamp(NonZeroU64::new(stamp.unix_seconds.max(1)))
        .version(true);
    // PLAINTEXT signs no URL; any one will do
    let header = builder.authorize("GET", "http://maas/", &());
    let mut value = HeaderValue::from_str(&header).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_what_maas_asks_for_and_hides_in_debug() {
        let key: ApiKey = "Consumer:Token:Secret".parse().unwrap();
        let stamp = Stamp { nonce: "n0nce".into(), unix_seconds: 1_795_374_164 };
        let value = authorization(&key, &stamp).unwrap();
        let text = value.to_str().unwrap();
        assert!(text.starts_with("OAuth "), "{text}");
        for part in [
            "oauth_version=\"1.0\"",
            "oauth_signature_method=\"PLAINTEXT\"",
            "oauth_consumer_key=\"Consumer\"",
            "oauth_token=\"Token\"",
            "oauth_signature=\"%26Secret\"",
            "oauth_timestamp=\"1795374164\"",
            "oauth_nonce=\"n0nce\"",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(format!("{value:?}"), "Sensitive");
    }

    #[test]
    fn system_stamps_are_unique() {
        let (a, b) = (SystemStamps.stamp(), SystemStamps.stamp());
        assert_ne!(a.nonce, b.nonce);
        assert!(a.unix_seconds > 1_700_000_000);
    }
}
