//! Functions that give the same bits on every platform.
//!
//! Sums, products and roots do so by themselves; the standard library's sines and exponentials are those of the system's C
//! library and differ in the last bit from one to the next. A file made in a browser must be the file that the program
//! makes, so this crate takes every such function from here.

pub(crate) use libm::{acos, atan2, cos, exp, expf, expm1, log, log1pf, log2f, logf, powf, sin, tan, tanhf};
