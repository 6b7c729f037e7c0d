//! What crosses rooms: parity, end to end, file validation.
