//! Nothing to do: Cargo reads build dependencies (and pins their features) only of packages with a build script.

fn main() {}
