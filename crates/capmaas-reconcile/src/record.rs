//! The claim record: an annotation on the MaasMachine that says which token it claims under.

use capi_types::MaasMachine;
use capi_types::names::CLAIM_ANNOTATION;

use crate::names::{ObjectName, Token};

/// What the claim annotation says. It reads `<token> <namespace>/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Nothing.
    Absent,
    /// A token recorded for this very object.
    Mine(Token),
    /// Recorded for another object (a copied manifest), or not readable: ignored (design rule 5.1).
    Foreign(String),
}

impl Record {
    /// Reads the record of an object.
    pub fn of(object: &MaasMachine) -> Self {
        let meta = &object.metadata;
        let Some(text) = meta.annotations.as_ref().and_then(|a| a.get(CLAIM_ANNOTATION)) else { return Self::Absent };
        let here = ObjectName::new(meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default());
        match text.split_once(' ') {
            Some((token, name)) if name == here.to_string() => match token.parse() {
                Ok(token) => Self::Mine(token),
                Err(_) => Self::Foreign(text.clone()),
            },
            _ => Self::Foreign(text.clone()),
        }
    }

    /// The annotation's text for a token and an object.
    pub fn text(token: &Token, object: &ObjectName) -> String {
        format!("{token} {object}")
    }

    /// The token, if it is this object's.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Self::Mine(token) => Some(token),
            Self::Absent | Self::Foreign(_) => None,
        }
    }
}
