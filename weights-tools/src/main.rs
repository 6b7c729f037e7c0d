//! Inspect, verify, repair, convert and pack model weights.
fn main() {}
