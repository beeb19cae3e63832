//! capmaas-controller
fn main() {}
