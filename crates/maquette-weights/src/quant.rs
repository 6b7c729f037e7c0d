//! The packed weight forms: the one place with the maths of packing and unpacking.
//!
//! A tensor of shape `[rows, …]` is seen as a matrix of `rows × columns`, the columns being all axes after the first, so a row
//! holds everything that flows into one output. Both forms are symmetric (no zero point), with f16 scales:
//! - [`DType::Q8`]: `value = i8 · scale[row]`, levels −127…127.
//! - [`DType::Q4G32`], [`DType::Q4G64`]: `value = (nibble − 8) · scale[row, column / group]`, levels −7…7, two columns a byte, the
//!   even column in the low nibble; a row starts on a byte, and the last group of a row may be short.
//!
//! A scale is rounded *up* to f16, so no value is ever clipped and the error of a value is at most half a scale.

use half::f16;

use crate::{DType, Error, Result, TensorInfo};

/// The payload and the scales of a packed tensor, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// i8 values, or nibble pairs.
    pub data: Vec<u8>,
    /// Little-endian f16.
    pub scales: Vec<u8>,
}

/// Sizes of a packed tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Rows: the first axis (1 for a scalar).
    pub rows: usize,
    /// Columns: the product of the other axes.
    pub columns: usize,
    /// Columns that share a scale; the whole row for [`DType::Q8`].
    pub group: usize,
    /// Payload bytes of one row.
    pub row_bytes: usize,
    /// Scales of one row.
    pub row_scales: usize,
}

impl Layout {
    /// The layout of `shape` in the packed form `dtype`; `None` for a plain type or where a size overflows.
    pub fn of(dtype: DType, shape: &[usize]) -> Option<Self> {
        let rows = shape.first().copied().unwrap_or(1);
        let columns = shape.iter().skip(1).try_fold(1usize, |n, d| n.checked_mul(*d))?;
        let (group, row_bytes) = match dtype {
            DType::Q8 => (columns.max(1), columns),
            DType::Q4G32 => (32, columns.div_ceil(2)),
            DType::Q4G64 => (64, columns.div_ceil(2)),
            _ => return None,
        };
        let row_scales = columns.div_ceil(group);
        rows.checked_mul(row_bytes)?;
        rows.checked_mul(row_scales)?.checked_mul(2)?;
        Some(Self { rows, columns, group, row_bytes, row_scales })
    }

    /// Payload bytes of the whole tensor.
    pub fn data_bytes(&self) -> usize {
        self.rows * self.row_bytes
    }

    /// Bytes of all scales.
    pub fn scale_bytes(&self) -> usize {
        self.rows * self.row_scales * 2
    }
}

/// Why a tensor is not packed where weights are packed: such tensors carry little of the size and much of the precision. `None` for
/// one that is.
pub fn stays_plain(info: &TensorInfo) -> Option<&'static str> {
    if info.shape.len() < 2 {
        return Some("one axis");
    }
    let segments: Vec<&str> = info.name.split('.').collect();
    let any = |test: &dyn Fn(&str) -> bool| segments.iter().any(|s| test(s));
    if any(&|s| s.contains("embed") || s == "pos_emb" || s.ends_with("_token") || s.ends_with("_tokens")) {
        return Some("embedder");
    }
    if any(&|s| s.starts_with("adaLN") || s.contains("modulation") || s == "emb_layers" || s == "time_emb_proj") {
        return Some("adaLN");
    }
    if any(&|s| s.starts_with("norm") || s.ends_with("norm") || s == "gamma") {
        return Some("norm");
    }
    let edge = |s: &str| {
        matches!(s, "input_layer" | "out_layer" | "conv_in" | "conv_out" | "outconv") || s.starts_with("side")
    };
    if segments.first().is_some_and(|s| edge(s)) || any(&|s| matches!(s, "conv_in" | "conv_out")) {
        return Some("in/out layer");
    }
    if info.elements() < 4096 {
        return Some("small");
    }
    None
}

/// The smallest f16 that is not below `x` (`x` finite and not negative); infinity beyond the largest.
fn f16_not_below(x: f32) -> f16 {
    let near = f16::from_f32(x);
    if near.to_f32() < x { f16::from_bits(near.to_bits() + 1) } else { near }
}

/// Packs `values` of `shape` into the form `dtype`.
///
/// # Errors
/// [`Error::Conversion`] if `dtype` is not a packed form, if `values` do not fill `shape`, or if a value is not finite or so large
/// that its scale exceeds f16: such a tensor must stay in a plain type.
pub fn pack(name: &str, dtype: DType, shape: &[usize], values: &[f32]) -> Result<Packed> {
    let refuse = || Error::Conversion { name: name.to_owned(), found: DType::F32, wanted: dtype };
    let layout =
        Layout::of(dtype, shape).filter(|l| l.rows.checked_mul(l.columns) == Some(values.len())).ok_or_else(refuse)?;
    let mut packed =
        Packed { data: Vec::with_capacity(layout.data_bytes()), scales: Vec::with_capacity(layout.scale_bytes()) };
    let levels = if dtype == DType::Q8 { 127.0 } else { 7.0 };
    if layout.columns == 0 {
        return Ok(packed);
    }
    for row in values.chunks_exact(layout.columns) {
        for group in row.chunks(layout.group) {
            if !group.iter().all(|v| v.is_finite()) {
                return Err(refuse());
            }
            let scale = f16_not_below(group.iter().fold(0f32, |m, v| m.max(v.abs())) / levels);
            if scale.is_infinite() {
                return Err(refuse());
            }
            packed.scales.extend(scale.to_le_bytes());
            let scale = scale.to_f32();
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let level = |v: &f32| (v * inverse).round().clamp(-levels, levels) as i8;
            if dtype == DType::Q8 {
                packed.data.extend(group.iter().map(|v| level(v) as u8));
            } else {
                // Groups are even, so a byte never spans two of them.
                packed.data.extend(group.chunks(2).map(|pair| {
                    let nibble = |i: usize| pair.get(i).map_or(8, |v| (level(v) + 8) as u8);
                    nibble(0) | nibble(1) << 4
                }));
            }
        }
    }
    Ok(packed)
}

/// Multiplies a packed tensor out. Readers have checked the sizes; a payload of another size yields no more than it holds.
pub fn unpack(dtype: DType, shape: &[usize], data: &[u8], scales: &[u8]) -> Vec<f32> {
    let Some(layout) = Layout::of(dtype, shape).filter(|l| l.columns > 0) else {
        return Vec::new();
    };
    let scales: Vec<f32> = scales.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect();
    let mut out = Vec::with_capacity(data.len().saturating_mul(2).min(layout.rows * layout.columns));
    for (row, scales) in data.chunks_exact(layout.row_bytes).zip(scales.chunks_exact(layout.row_scales)) {
        if dtype == DType::Q8 {
            out.extend(row.iter().map(|v| f32::from(*v as i8) * scales[0]));
        } else {
            out.extend((0..layout.columns).map(|c| {
                let nibble = row[c / 2] >> (4 * (c % 2)) & 15;
                (f32::from(nibble) - 8.0) * scales[c / layout.group]
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forms() -> impl Strategy<Value = DType> {
        prop_oneof![Just(DType::Q8), Just(DType::Q4G32), Just(DType::Q4G64)]
    }

    proptest! {
        #[test]
        fn round_trip_error_is_at_most_half_a_scale(
            dtype in forms(), rows in 1usize..6, columns in 1usize..150, seed in any::<u64>(), exponent in -18i32..15,
        ) {
            let mut state = seed | 1;
            let values: Vec<f32> = (0..rows * columns).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 40) as f32 / 8_388_608.0 - 1.0) * 2f32.powi(exponent)
            }).collect();
            let packed = pack("w", dtype, &[rows, columns], &values).unwrap();
            let layout = Layout::of(dtype, &[rows, columns]).unwrap();
            prop_assert_eq!(packed.data.len(), layout.data_bytes());
            prop_assert_eq!(packed.scales.len(), layout.scale_bytes());
            let back = unpack(dtype, &[rows, columns], &packed.data, &packed.scales);
            prop_assert_eq!(back.len(), values.len());
            let levels = if dtype == DType::Q8 { 127.0f64 } else { 7.0 };
            for (r, row) in values.chunks(columns).enumerate() {
                for (g, group) in row.chunks(layout.group).enumerate() {
                    let max = group.iter().fold(0f64, |m, v| m.max(f64::from(v.abs())));
                    // Rounding the scale up to f16 adds at most one part in 1024, or the smallest subnormal.
                    let scale = (max / levels * (1.0 + 1.0 / 1024.0)).max(max / levels + 2f64.powi(-24));
                    for (i, v) in group.iter().enumerate() {
                        let b = back[r * columns + g * layout.group + i];
                        prop_assert!((f64::from(*v) - f64::from(b)).abs() <= scale * 0.5 * (1.0 + 1e-5), "{} became {} (scale {})", v, b, scale);
                    }
                }
            }
        }

        #[test]
        fn values_on_the_levels_are_exact(dtype in forms(), row in prop::collection::vec(-7i8..=7, 1..100)) {
            // A power-of-two scale is exact in f16; the 7 (or 127) fixes it.
            let top = if dtype == DType::Q8 { 127.0 } else { 7.0 };
            let mut values: Vec<f32> = row.iter().map(|v| f32::from(*v) * 0.25).collect();
            let group = Layout::of(dtype, &[1, values.len()]).unwrap().group;
            for g in values.chunks_mut(group) { g[0] = top * 0.25; }
            let packed = pack("w", dtype, &[1, values.len()], &values).unwrap();
            prop_assert_eq!(unpack(dtype, &[1, values.len()], &packed.data, &packed.scales), values);
        }
    }

    #[test]
    fn convolution_rows_are_the_first_axis() {
        let values: Vec<f32> = (0..2 * 3 * 4).map(|i| if i < 12 { 1.0 } else { 100.0 }).collect();
        let packed = pack("w", DType::Q8, &[2, 3, 4], &values).unwrap();
        assert_eq!((packed.data.len(), packed.scales.len()), (24, 4));
        assert!(packed.data.iter().all(|v| *v as i8 == 127));
    }

    #[test]
    fn nibbles_are_low_first_and_rows_start_on_a_byte() {
        let packed = pack("w", DType::Q4G32, &[2, 3], &[7.0, -7.0, 1.0, 0.0, 7.0, -1.0]).unwrap();
        assert_eq!(packed.data, [0x1f, 0x89, 0xf8, 0x87]);
    }

    #[test]
    fn values_that_no_scale_can_hold_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, 1e7] {
            assert!(matches!(pack("w", DType::Q8, &[1, 2], &[0.0, bad]), Err(Error::Conversion { .. })));
        }
        assert!(pack("w", DType::Q8, &[1, 3], &[0.0, 1.0]).is_err());
        assert!(pack("w", DType::F16, &[1, 1], &[0.0]).is_err());
    }

    #[test]
    fn all_zero_rows_and_empty_tensors_survive() {
        let packed = pack("w", DType::Q8, &[2, 2], &[0.0; 4]).unwrap();
        assert_eq!(unpack(DType::Q8, &[2, 2], &packed.data, &packed.scales), [0.0; 4]);
        assert_eq!(pack("w", DType::Q4G64, &[3, 0], &[]).unwrap().data.len(), 0);
    }
}
