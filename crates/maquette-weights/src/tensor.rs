//! One stored tensor: what it is, its bytes, and its values as f32 or f16.

use std::borrow::Cow;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

use crate::{DType, Error, Result, quant};

/// Name, element type and shape of a stored tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The checkpoint's key.
    pub name: String,
    /// Stored element type.
    pub dtype: DType,
    /// Shape, row-major, last axis fastest. Empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorInfo {
    /// Number of elements. Every reader has checked that the product fits.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A borrowed stored tensor. The bytes are the file's own, little-endian, row-major; nothing is copied until a conversion is
/// asked for (readers whose tensors are not contiguous in the file hand out an owned copy of that one tensor).
#[derive(Clone, Debug)]
pub struct TensorView<'a> {
    info: &'a TensorInfo,
    bytes: Cow<'a, [u8]>,
    scales: Cow<'a, [u8]>,
}

impl<'a> TensorView<'a> {
    pub(crate) fn new(info: &'a TensorInfo, bytes: Cow<'a, [u8]>) -> Self {
        Self { info, bytes, scales: Cow::Borrowed(&[]) }
    }

    pub(crate) fn packed(info: &'a TensorInfo, bytes: Cow<'a, [u8]>, scales: Cow<'a, [u8]>) -> Self {
        Self { info, bytes, scales }
    }

    /// The checkpoint's key.
    pub fn name(&self) -> &'a str {
        &self.info.name
    }

    /// Stored element type.
    pub fn dtype(&self) -> DType {
        self.info.dtype
    }

    /// Shape, row-major, last axis fastest.
    pub fn shape(&self) -> &'a [usize] {
        &self.info.shape
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.info.elements()
    }

    /// The stored bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Little-endian f16 scales of a packed form, one a row ([`DType::Q8`]) or one a group; empty for plain types.
    pub fn scales(&self) -> &[u8] {
        &self.scales
    }

    /// The stored bytes, borrowed from the file wherever they are contiguous there.
    pub fn into_bytes(self) -> Cow<'a, [u8]> {
        self.bytes
    }

    /// Checks the shape, which is what a network does first.
    ///
    /// # Errors
    /// [`Error::Shape`] with both shapes.
    pub fn expect_shape(&self, expected: &[usize]) -> Result<()> {
        if self.shape() == expected {
            return Ok(());
        }
        Err(Error::Shape {
            origin: "checkpoint".into(),
            name: self.name().into(),
            expected: expected.into(),
            found: self.shape().into(),
        })
    }

    /// All elements as f32, in storage order. Half types widen exactly; f64 and wide integers round to nearest; packed forms are
    /// multiplied out.
    pub fn to_f32(&self) -> Vec<f32> {
        let bytes = self.bytes();
        match self.dtype() {
            DType::F32 => widen(bytes, f32::from_le_bytes),
            DType::F16 => with_bits(bytes, |bits| bits.reinterpret_cast::<f16>().to_f32_vec()),
            DType::BF16 => with_bits(bytes, |bits| bits.reinterpret_cast::<bf16>().to_f32_vec()),
            DType::F64 => widen(bytes, |b| f64::from_le_bytes(b) as f32),
            DType::I64 => widen(bytes, |b| i64::from_le_bytes(b) as f32),
            DType::I32 => widen(bytes, |b| i32::from_le_bytes(b) as f32),
            DType::I16 => widen(bytes, |b| f32::from(i16::from_le_bytes(b))),
            DType::I8 => widen(bytes, |b| f32::from(i8::from_le_bytes(b))),
            DType::U64 => widen(bytes, |b| u64::from_le_bytes(b) as f32),
            DType::U32 => widen(bytes, |b| u32::from_le_bytes(b) as f32),
            DType::U16 => widen(bytes, |b| f32::from(u16::from_le_bytes(b))),
            DType::U8 => widen(bytes, |[b]| f32::from(b)),
            DType::Bool => widen(bytes, |[b]| f32::from(u8::from(b != 0))),
            DType::Q8 | DType::Q4G32 | DType::Q4G64 => quant::unpack(self.dtype(), self.shape(), bytes, self.scales()),
        }
    }

    /// All elements as f16, in storage order, rounded to nearest even (beyond ±65504 to infinity).
    pub fn to_f16(&self) -> Vec<f16> {
        match self.dtype() {
            DType::F16 => widen(self.bytes(), f16::from_le_bytes),
            _ => {
                let wide = self.to_f32();
                let mut out = vec![f16::ZERO; wide.len()];
                out.convert_from_f32_slice(&wide);
                out
            }
        }
    }
}

/// Decodes fixed-size little-endian elements.
fn widen<const N: usize, T>(bytes: &[u8], decode: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|c| decode(*c)).collect()
}

/// Hands 16-bit patterns to `half`'s vectorised conversions, copying first where the file's bytes are not aligned to two.
fn with_bits<T>(bytes: &[u8], convert: impl Fn(&[u16]) -> T) -> T {
    #[cfg(target_endian = "little")]
    if let Ok(bits) = bytemuck::try_cast_slice::<u8, u16>(bytes) {
        return convert(bits);
    }
    convert(&widen(bytes, u16::from_le_bytes))
}

/// Where a network's weights come from: a file, memory, or a pack.
pub trait TensorSource {
    /// Every tensor's name, in storage order.
    fn names(&self) -> Vec<&str>;

    /// What the tensor of that name is, without touching its bytes.
    fn info(&self, name: &str) -> Option<&TensorInfo>;

    /// The tensor of that name.
    ///
    /// # Errors
    /// [`Error::MissingTensor`] with the nearest name that is there.
    fn get(&self, name: &str) -> Result<TensorView<'_>>;

    /// Whether a tensor of that name is there.
    fn contains(&self, name: &str) -> bool {
        self.info(name).is_some()
    }
}

impl<T: TensorSource + ?Sized> TensorSource for &T {
    fn names(&self) -> Vec<&str> {
        (**self).names()
    }
    fn info(&self, name: &str) -> Option<&TensorInfo> {
        (**self).info(name)
    }
    fn get(&self, name: &str) -> Result<TensorView<'_>> {
        (**self).get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpoint;
    use crate::test_support::safetensors;

    #[test]
    fn every_type_converts_to_f32() {
        let mut data = Vec::new();
        let mut header = Vec::new();
        let mut add = |name: &str, bytes: &[u8]| {
            header.push(format!(
                "\"{name}\":{{\"dtype\":\"{name}\",\"shape\":[1],\"data_offsets\":[{},{}]}}",
                data.len(),
                data.len() + bytes.len()
            ));
            data.extend(bytes);
        };
        add("BOOL", &[1]); // everything after it is unaligned
        add("F64", &1.5f64.to_le_bytes());
        add("F32", &1.5f32.to_le_bytes());
        add("F16", &f16::from_f32(1.5).to_le_bytes());
        add("BF16", &bf16::from_f32(1.5).to_le_bytes());
        add("I64", &(-2i64).to_le_bytes());
        add("I32", &(-2i32).to_le_bytes());
        add("I16", &(-2i16).to_le_bytes());
        add("I8", &(-2i8).to_le_bytes());
        add("U64", &3u64.to_le_bytes());
        add("U32", &3u32.to_le_bytes());
        add("U16", &3u16.to_le_bytes());
        add("U8", &[3]);
        let c = Checkpoint::from_bytes(safetensors(&format!("{{{}}}", header.join(",")), &data)).unwrap();
        for (name, value) in [
            ("BOOL", 1.0),
            ("F64", 1.5),
            ("F32", 1.5),
            ("F16", 1.5),
            ("BF16", 1.5),
            ("I64", -2.0),
            ("I32", -2.0),
            ("I16", -2.0),
            ("I8", -2.0),
            ("U64", 3.0),
            ("U32", 3.0),
            ("U16", 3.0),
            ("U8", 3.0),
        ] {
            let view = c.tensor(name).unwrap();
            assert_eq!(view.to_f32(), [value], "{name}");
            assert_eq!(view.to_f16(), [f16::from_f32(value)], "{name}");
        }
    }

    #[test]
    fn f16_rounds_to_nearest_even_and_overflows_to_infinity() {
        let values = [1.0 + 1.0 / 2048.0, 1.0 + 3.0 / 2048.0, 65519.0, 65520.0, 1e-8];
        let data: Vec<u8> = values.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
        let c =
            Checkpoint::from_bytes(safetensors(r#"{"w":{"dtype":"F32","shape":[5],"data_offsets":[0,20]}}"#, &data))
                .unwrap();
        let halves: Vec<f32> = c.tensor("w").unwrap().to_f16().iter().map(|h| h.to_f32()).collect();
        assert_eq!(halves, [1.0, 1.0 + 2.0 / 1024.0, 65504.0, f32::INFINITY, 0.0]);
    }

    #[test]
    fn tensors_are_borrowed_from_the_file() {
        let bytes: std::sync::Arc<[u8]> =
            safetensors(r#"{"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, &[7, 8]).into();
        let c = Checkpoint::from_bytes(bytes.clone()).unwrap();
        let Cow::Borrowed(inside) = c.tensor("w").unwrap().into_bytes() else { panic!("copied") };
        assert!(bytes.as_ptr_range().contains(&inside.as_ptr()));
    }
}
