//! capmaasctl
fn main() {}
