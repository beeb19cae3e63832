//! How a group of calls, its parameters and its replies are written down: once, as a table.
//!
//! A group has a trait (for programs and mocks) and a client that implements it over HTTP; both would
//! say the same things twice. These macros take one line per method, parameter and field instead.
//! Calls that need more than "put these ids and parameters into that operation" are written by hand.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::form::Form;
use crate::ids::{SubnetKey, SystemId};

/// A value of a request: how it gets into a [`Form`]. What is absent or empty is not sent.
pub(crate) trait Parameter {
    fn add(&self, key: &str, form: &mut Form);
}

impl Parameter for String {
    fn add(&self, key: &str, form: &mut Form) {
        form.push(key, self.as_str());
    }
}

/// Sent only when true: every switch of the API is off unless named.
impl Parameter for bool {
    fn add(&self, key: &str, form: &mut Form) {
        form.flag(key, *self);
    }
}

impl<T: std::fmt::Display> Parameter for Option<T> {
    fn add(&self, key: &str, form: &mut Form) {
        form.opt(key, self.as_ref());
    }
}

impl<T: std::fmt::Display> Parameter for Vec<T> {
    fn add(&self, key: &str, form: &mut Form) {
        form.all(key, self.iter().map(T::to_string));
    }
}

impl<T: std::fmt::Display> Parameter for BTreeSet<T> {
    fn add(&self, key: &str, form: &mut Form) {
        form.all(key, self.iter().map(T::to_string));
    }
}

macro_rules! displayed {
    ($($type:ty),+) => {$(
        impl Parameter for $type {
            fn add(&self, key: &str, form: &mut Form) {
                form.push(key, self.to_string());
            }
        }
    )+};
}

displayed!(IpAddr, SystemId, SubnetKey, u16, u64);

/// A trait of calls and the client that makes them.
///
/// `fn name(&reference: Type, value: Type) -> Reply = OPERATION [ids of the path], parameters;`
macro_rules! service {
    (
        $(#[$meta:meta])*
        $service:ident by $client:ident;
        $(
            $(#[$doc:meta])*
            fn $name:ident($($(& $r:ident)? $($v:ident)? : $ty:ident),* $(,)?) -> $out:ty
                = $op:ident $([$($id:expr),+])? $(, $parameters:expr)?;
        )+
    ) => {
        $(#[$meta])*
        #[cfg_attr(any(test, feature = "mock"), mockall::automock)]
        #[async_trait::async_trait]
        pub trait $service: Send + Sync {
            $(
                $(#[$doc])*
                async fn $name(&self, $($($r: &)? $($v:)? $ty),*) -> $crate::error::Result<$out>;
            )+
        }

        #[doc = concat!("[`", stringify!($service), "`] over HTTP; cheap to clone.")]
        #[derive(Clone, Debug)]
        pub struct $client(pub(crate) $crate::Client);

        #[async_trait::async_trait]
        impl $service for $client {
            $(
                async fn $name(&self, $($($r: &)? $($v:)? $ty),*) -> $crate::error::Result<$out> {
                    let call = $crate::call::Call::new(&$crate::operation::$op)
                        $(.ids(&[$($id.to_string()),+]))?
                        $(.parameters($parameters))?;
                    self.0.typed(call).await
                }
            )+
        }
    };
}

/// A reply: every field may be missing or `null` and then has its default; unknown ones are ignored.
macro_rules! reply {
    ($(
        $(#[$meta:meta])*
        $name:ident { $($(#[$doc:meta])* $field:ident: $ty:ty,)+ }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$doc])*
                #[serde(deserialize_with = "crate::machine::null_default")]
                pub $field: $ty,
            )+
        }
    )+};
}

/// The parameters of a call; fields are named as on the wire unless `as "other"` follows.
macro_rules! request {
    ($(
        $(#[$meta:meta])*
        $name:ident { $($(#[$doc:meta])* $field:ident: $ty:ty $(as $key:literal)?,)+ }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $ty,)+
        }

        impl $name {
            pub(crate) fn form(&self) -> $crate::form::Form {
                let mut form = $crate::form::Form::default();
                $($crate::define::Parameter::add(&self.$field, request!(@key $field $($key)?), &mut form);)+
                form
            }
        }
    )+};
    (@key $field:ident $key:literal) => { $key };
    (@key $field:ident) => { stringify!($field) };
}

/// A closed list of words that MAAS may extend: what this crate does not know is kept.
macro_rules! words {
    ($(
        $(#[$meta:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }
    )+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A word newer than this crate.
            Unknown(String),
        }

        impl $name {
            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Unknown(raw) => raw,
                }
            }
        }

        impl From<&str> for $name {
            fn from(raw: &str) -> Self {
                match raw {
                    $($word => Self::$variant,)+
                    other => Self::Unknown(other.to_owned()),
                }
            }
        }

        impl Default for $name {
            /// No word at all.
            fn default() -> Self {
                Self::Unknown(String::new())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl $crate::define::Parameter for $name {
            fn add(&self, key: &str, form: &mut $crate::form::Form) {
                form.push(key, self.as_str());
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let raw = Option::<String>::deserialize(deserializer)?;
                Ok(Self::from(raw.as_deref().unwrap_or_default()))
            }
        }
    )+};
}

pub(crate) use {reply, request, service, words};
