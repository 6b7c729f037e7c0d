//! The initialisers of an ONNX model: constant tensors, read out of the protobuf by hand.
//!
//! Only what is needed to take weights is read: initialisers with their data, and the convolutions in graph order with their
//! weight names and dilations, from which [`u2net`] gives renamed tensors their state-dict names back.

mod model;
mod protobuf;
pub(crate) mod u2net;

pub(crate) use model::{Place, parse};

/// Whether the bytes start like a `ModelProto`: field 1 (`ir_version`) as a varint, then another field of the message.
pub(crate) fn looks_like_onnx(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, 1..=32, next, ..] if [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42].contains(next))
}
