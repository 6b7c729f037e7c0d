//! Element types of stored tensors.

use std::fmt;

/// Element type of a stored tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE double.
    F64,
    /// IEEE single.
    F32,
    /// IEEE half.
    F16,
    /// The upper half of an IEEE single.
    BF16,
    /// 64-bit signed integer.
    I64,
    /// 32-bit signed integer.
    I32,
    /// 16-bit signed integer.
    I16,
    /// 8-bit signed integer.
    I8,
    /// 64-bit unsigned integer.
    U64,
    /// 32-bit unsigned integer.
    U32,
    /// 16-bit unsigned integer.
    U16,
    /// 8-bit unsigned integer.
    U8,
    /// One byte, zero or one.
    Bool,
    /// Our 8-bit weight-only form: one signed byte an element, one f16 scale a row.
    Q8,
    /// Our 4-bit weight-only form: two elements a byte, one f16 scale a group of 32 along the row.
    Q4G32,
    /// As [`DType::Q4G32`] with groups of 64.
    Q4G64,
}

impl DType {
    /// The plain types, which a safetensors header may name.
    pub const PLAIN: [Self; 13] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::I64,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U64,
        Self::U32,
        Self::U16,
        Self::U8,
        Self::Bool,
    ];

    /// Bytes of one element; `None` for the packed forms, whose size depends on the shape.
    pub const fn size(self) -> Option<usize> {
        match self {
            Self::F64 | Self::I64 | Self::U64 => Some(8),
            Self::F32 | Self::I32 | Self::U32 => Some(4),
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => Some(2),
            Self::I8 | Self::U8 | Self::Bool => Some(1),
            Self::Q8 | Self::Q4G32 | Self::Q4G64 => None,
        }
    }

    /// The name used in safetensors headers, manifests and packs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U64 => "U64",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
            Self::Q8 => "Q8",
            Self::Q4G32 => "Q4G32",
            Self::Q4G64 => "Q4G64",
        }
    }

    /// The plain type of that safetensors name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::PLAIN.into_iter().find(|d| d.name() == name)
    }

    /// Whether it is one of the floating types.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::BF16)
    }

    /// Whether it is one of our packed forms.
    pub const fn is_packed(self) -> bool {
        matches!(self, Self::Q8 | Self::Q4G32 | Self::Q4G64)
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
