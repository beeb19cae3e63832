//! The API key.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret as _, SecretString};

/// What is wrong with an API key. Never quotes the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiKeyError {
    /// Nothing given.
    #[error("the MAAS API key is empty")]
    Empty,
    /// The text of a template that nobody filled in.
    #[error("the MAAS API key is an unfilled placeholder (`${{…}}`)")]
    Placeholder,
    /// Not three parts.
    #[error("a MAAS API key has three parts, CONSUMER:TOKEN:SECRET; this has {0}")]
    Parts(usize),
    /// A part is empty.
    #[error("the {0} part of the MAAS API key is empty")]
    EmptyPart(&'static str),
    /// A part has signs that don't occur in keys.
    #[error("the {0} part of the MAAS API key contains a character other than letters and digits")]
    Character(&'static str),
}

/// A MAAS API key, `consumer:token:secret`. The secret is never printed, neither by Debug nor Display.
///
/// ```
/// use maas_client::ApiKey;
/// let key: ApiKey = "Consumer:Token:Secret".parse()?;
/// assert!(!format!("{key:?} {key}").contains("Secret"));
/// assert_eq!("a:b".parse::<ApiKey>().unwrap_err().to_string(),
///     "a MAAS API key has three parts, CONSUMER:TOKEN:SECRET; this has 2");
/// # Ok::<(), maas_client::ApiKeyError>(())
/// ```
#[derive(Clone)]
pub struct ApiKey {
    pub(crate) consumer: String,
    pub(crate) token: SecretString,
    pub(crate) secret: SecretString,
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ApiKeyError::Empty);
        }
        if text.contains("${") {
            return Err(ApiKeyError::Placeholder);
        }
        let parts: Vec<&str> = text.split(':').collect();
        let [consumer, token, secret] = parts[..] else {
            return Err(ApiKeyError::Parts(parts.len()));
        };
        for (name, part) in [("consumer", consumer), ("token", token), ("secret", secret)] {
            if part.is_empty() {
                return Err(ApiKeyError::EmptyPart(name));
            }
            // MAAS makes letters and digits only; `-` and `_` are let through for other issuers
            if !part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
                return Err(ApiKeyError::Character(name));
            }
        }
        Ok(Self { consumer: consumer.to_owned(), token: token.into(), secret: secret.into() })
    }
}

/// Two keys are equal when all three parts are.
impl PartialEq for ApiKey {
    fn eq(&self, other: &Self) -> bool {
        self.consumer == other.consumer
            && self.token.expose_secret() == other.token.expose_secret()
            && self.secret.expose_secret() == other.secret.expose_secret()
    }
}

impl Eq for ApiKey {}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKey({self})")
    }
}

impl fmt::Display for ApiKey {
    /// Only the consumer part, which opens nothing by itself.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:…:…", self.consumer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_key_is_refused_by_its_fault_without_quoting_it() {
        for (text, expected) in [
            ("", ApiKeyError::Empty),
            ("  \n", ApiKeyError::Empty),
            ("${MAAS_API_KEY}", ApiKeyError::Placeholder),
            ("abc", ApiKeyError::Parts(1)),
            ("a:b:c:d", ApiKeyError::Parts(4)),
            (":b:c", ApiKeyError::EmptyPart("consumer")),
            ("a::c", ApiKeyError::EmptyPart("token")),
            ("a:b:", ApiKeyError::EmptyPart("secret")),
            ("a:b:c d", ApiKeyError::Character("secret")),
            ("a:b\n:c", ApiKeyError::Character("token")),
        ] {
            assert_eq!(text.parse::<ApiKey>().unwrap_err(), expected, "{text:?}");
        }
        assert!("a:b:c\n".parse::<ApiKey>().is_ok(), "a trailing newline of a Secret is no fault");
    }
}
