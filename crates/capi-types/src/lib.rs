//! capi-types
