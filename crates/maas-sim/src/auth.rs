//! Sign-in: OAuth 1.0 PLAINTEXT as django-piston checks it (reference §1.3, §1.4).

use std::collections::BTreeMap;

use http::request::Parts;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::percent_decode_str;

use crate::form::Params;
use crate::region::Region;
use crate::reply::Reply;

/// What a 401 for a wrong signature shows in place of the true secret. A real region shows the secret itself;
/// tests look for this text to prove that clients keep such bodies to themselves.
pub const FAKE_SECRET: &str = "FakeSecretThatMustNotBeShown0000";

/// Who sent a request.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: String,
    pub(crate) admin: bool,
}

/// Outcome of the sign-in checks.
pub(crate) enum SignIn {
    Known(Caller),
    /// No credentials, or not all parts of them.
    Anonymous,
    Refused(Reply),
}

const THRESHOLD: i64 = 300;

impl Region {
    /// Checks in the order of the original: version, consumer, token, timestamp, nonce, method, signature.
    pub(crate) fn sign_in(&mut self, parts: &Parts, query: &Params) -> SignIn {
        let oauth = credentials(parts, query);
        let get = |key: &str| oauth.get(key).map(String::as_str);
        let (Some(consumer), Some(token_key), Some(signature), Some(method), Some(stamp), Some(nonce)) = (
            get("oauth_consumer_key"),
            get("oauth_token"),
            get("oauth_signature"),
            get("oauth_signature_method"),
            get("oauth_timestamp"),
            get("oauth_nonce"),
        ) else {
            return SignIn::Anonymous;
        };
        if let Some(version) = get("oauth_version").filter(|v| *v != "1.0") {
            return refused(format!("'OAuth version {version} not supported.'"));
        }
        if !self.consumers.contains(consumer) {
            return refused("Invalid API key.");
        }
        if !self.tokens.contains_key(token_key) {
            return refused(format!("'Invalid access token: {token_key}'"));
        }
        let Ok(given) = stamp.parse::<i64>() else {
            if self.is_at_least(3, 8) {
                return SignIn::Refused(Reply::text(400, "Invalid timestamp."));
            }
            return SignIn::Refused(Reply::text(500, format!("invalid literal for int() with base 10: '{stamp}'")));
        };
        let now = self.signed_now.unwrap_or(self.now);
        let now = now.checked_add(self.skew).unwrap_or(now).as_second();
        if now - given > THRESHOLD {
            return refused(format!(
                "'Expired timestamp: given {given} and now {now} has a greater difference than threshold {THRESHOLD}'"
            ));
        }
        let row = (consumer.to_owned(), token_key.to_owned(), nonce.to_owned());
        if self.nonces.contains_key(&row) {
            return refused(format!("'Nonce already used: {nonce}'"));
        }
        self.nonces.insert(row, self.now);
        self.purge_nonces();
        match method {
            "PLAINTEXT" => {}
            "HMAC-SHA1" => {
                return SignIn::Refused(Reply::text(501, "Not simulated: signature method HMAC-SHA1"));
            }
            other => {
                return refused(format!(
                    "'Signature method {other} not supported try one of the following: PLAINTEXT, HMAC-SHA1'"
                ));
            }
        }
        // The consumer secret is empty, so the whole signature is `&` and the token's secret.
        let user = self
            .tokens
            .get(token_key)
            .filter(|t| signature.strip_prefix('&') == Some(t.secret.as_str()))
            .map(|t| t.user.clone());
        match user {
            Some(user) => {
                let admin = self.users.get(&user).is_some_and(|u| u.admin);
                SignIn::Known(Caller { user, admin })
            }
            None => refused(format!("'Invalid signature. Expected signature base string: &{FAKE_SECRET}'")),
        }
    }

    /// Rows older than a day go, looked for once in a while.
    fn purge_nonces(&mut self) {
        if self.nonces.len().is_multiple_of(4096) {
            let oldest = self.now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
            self.nonces.retain(|_, at| *at >= oldest);
        }
    }
}

fn refused(text: impl std::fmt::Display) -> SignIn {
    SignIn::Refused(
        Reply::html(401, format!("Authorization Error: {text}")).with("www-authenticate", "OAuth realm=\"OAuth\""),
    )
}

/// Parameters of the header, or of the query when there is no OAuth header.
fn credentials(parts: &Parts, query: &Params) -> BTreeMap<String, String> {
    let header = parts.headers.get(http::header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    match header.and_then(|h| h.strip_prefix("OAuth ")) {
        Some(list) => list
            .split(',')
            .filter_map(|part| part.trim().split_once('='))
            .map(|(key, value)| {
                (
                    key.trim().to_owned(),
                    percent_decode_str(value.trim().trim_matches('"')).decode_utf8_lossy().into_owned(),
                )
            })
            .collect(),
        None => query
            .pairs()
            .filter(|(key, _)| key.starts_with("oauth_"))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect(),
    }
}
