//! From one precision to another, tensor by tensor.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use serde_json::json;

use crate::quant::{self, Layout};
use crate::safetensors::packed::{self, KEPT_KEY, PACKED_KEY, PackedEntry};
use crate::{Checkpoint, DType, Error, Result, SafetensorsWriter, TensorInfo, TensorSource, TensorView};

/// What a checkpoint is converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Every float as f32.
    F32,
    /// Every float as f16; a finite value beyond ±65504 is an error.
    F16,
    /// Every float as bf16.
    Bf16,
    /// Large matrices as [`DType::Q8`], other floats as f16.
    Q8,
    /// Large matrices in groups of 32 or 64, other floats as f16.
    Q4 {
        /// Columns that share a scale: 32 or 64.
        group: usize,
    },
}

impl Precision {
    /// `f32`, `f16`, `bf16`, `q8`, `q4` (groups of 32) or `q4g64`.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "f32" => Self::F32,
            "f16" => Self::F16,
            "bf16" => Self::Bf16,
            "q8" => Self::Q8,
            "q4" | "q4g32" => Self::Q4 { group: 32 },
            "q4g64" => Self::Q4 { group: 64 },
            _ => return None,
        })
    }

    /// The name that [`Precision::from_name`] takes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Q8 => "q8",
            Self::Q4 { group: 64 } => "q4g64",
            Self::Q4 { .. } => "q4",
        }
    }

    /// The type of a tensor after conversion, and why it stays plain where others are packed.
    pub fn plan(self, info: &TensorInfo) -> (DType, Option<&'static str>) {
        if !info.dtype.is_float() && !info.dtype.is_packed() {
            return (info.dtype, None);
        }
        let packed = match self {
            Self::F32 => return (DType::F32, None),
            Self::F16 => return (DType::F16, None),
            Self::Bf16 => return (DType::BF16, None),
            Self::Q8 => DType::Q8,
            Self::Q4 { group: 64 } => DType::Q4G64,
            Self::Q4 { .. } => DType::Q4G32,
        };
        match quant::stays_plain(info) {
            Some(reason) => (DType::F16, Some(reason)),
            None => (packed, None),
        }
    }
}

/// Elements that are converted at a time, so that memory does not grow with a tensor and the numbers stay in the cache.
const PIECE: usize = 1 << 18;

/// Converts one tensor to `dtype`, piece by piece; `put` takes the payload and the scales of each, in order.
pub(crate) fn encode(
    view: &TensorView<'_>,
    dtype: DType,
    put: &mut dyn FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let layout = Layout::of(view.dtype(), view.shape()).or_else(|| Layout::of(dtype, view.shape()));
    // Packed forms have scales of their own in each row, so their pieces are whole rows; others need no shape.
    let (rows, columns) = layout.map_or((view.elements(), 1), |l| (l.rows, l.columns));
    let (row_bytes, row_scales) = match view.dtype().size() {
        Some(size) => (columns * size, 0),
        None => layout.map_or((0, 0), |l| (l.row_bytes, l.row_scales * 2)),
    };
    if columns == 0 {
        return Ok(());
    }
    let step = (PIECE / columns).max(1);
    for start in (0..rows).step_by(step) {
        let end = rows.min(start + step);
        let bytes = &view.bytes()[start * row_bytes..end * row_bytes];
        let scales = &view.scales()[start * row_scales..end * row_scales];
        if view.dtype() == dtype {
            put(bytes, scales)?;
            continue;
        }
        let info = TensorInfo { name: view.name().into(), dtype: view.dtype(), shape: vec![end - start, columns] };
        let values = TensorView::packed(&info, Cow::Borrowed(bytes), Cow::Borrowed(scales)).to_f32();
        let (bytes, scales) = from_f32(&info, &values, dtype)?;
        put(&bytes, &scales)?;
    }
    Ok(())
}

/// Payload and scales of `values`, which came from the tensor `info`.
fn from_f32(info: &TensorInfo, values: &[f32], dtype: DType) -> Result<(Vec<u8>, Vec<u8>)> {
    let refuse = || Error::Conversion { name: info.name.clone(), found: info.dtype, wanted: dtype };
    let bytes = match dtype {
        DType::F32 => little_endian(values),
        DType::F16 => {
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            if halves.iter().zip(values).any(|(h, v)| h.is_infinite() && v.is_finite()) {
                return Err(refuse());
            }
            little_endian(&halves)
        }
        DType::BF16 => {
            let mut halves = vec![bf16::ZERO; values.len()];
            halves.convert_from_f32_slice(values);
            little_endian(&halves)
        }
        DType::Q8 | DType::Q4G32 | DType::Q4G64 => {
            let packed = quant::pack(&info.name, dtype, &info.shape, values)?;
            return Ok((packed.data, packed.scales));
        }
        _ => return Err(refuse()),
    };
    Ok((bytes, Vec::new()))
}

/// The bytes of plain numbers as files hold them; every target of this crate is little-endian.
fn little_endian<T: bytemuck::NoUninit>(values: &[T]) -> Vec<u8> {
    const { assert!(cfg!(target_endian = "little")) };
    bytemuck::cast_slice(values).to_vec()
}

/// Writes `source` to `target` in another precision, holding a piece of a tensor at a time. `progress` is told the bytes read so far.
/// The file is written beside `target` and renamed at the end, so that an interrupted run leaves nothing half done.
///
/// # Errors
/// [`Error::Io`], or [`Error::Conversion`] naming the tensor whose values the precision cannot hold.
pub fn convert_file(
    source: &Checkpoint,
    target: &Path,
    precision: Precision,
    progress: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut tensors = Vec::new();
    let (mut packed_list, mut kept) = (BTreeMap::new(), BTreeMap::new());
    for info in source.infos() {
        let (dtype, reason) = precision.plan(info);
        if let Some(reason) = reason {
            kept.insert(info.name.clone(), reason);
        }
        match Layout::of(dtype, &info.shape) {
            Some(layout) => {
                tensors.extend(packed::stored(&TensorInfo { dtype, ..info.clone() }, &layout));
                packed_list
                    .insert(info.name.clone(), PackedEntry { form: dtype.name().into(), shape: info.shape.clone() });
            }
            None => tensors.push(TensorInfo { dtype, ..info.clone() }),
        }
    }
    let mut metadata = source.metadata().clone();
    metadata.remove(PACKED_KEY);
    metadata.remove(KEPT_KEY);
    if !packed_list.is_empty() {
        metadata.insert(PACKED_KEY.into(), json!(packed_list).to_string());
        metadata.insert(KEPT_KEY.into(), json!(kept).to_string());
    }
    let mut writer = SafetensorsWriter::create(target, &tensors, &metadata)?;
    let mut done = 0;
    for info in source.infos() {
        let (dtype, _) = precision.plan(info);
        let scales_name = packed::scales_name(&info.name);
        encode(&source.tensor(&info.name)?, dtype, &mut |bytes, scales| {
            writer.append(&info.name, bytes)?;
            if !scales.is_empty() {
                writer.append(&scales_name, scales)?;
            }
            source.release(&info.name);
            Ok(())
        })?;
        done += source.stored_bytes(&info.name);
        progress(done);
    }
    writer.finish()
}

/// How far one tensor of two checkpoints is apart.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorDifference {
    /// The tensor.
    pub name: String,
    /// Largest absolute difference; infinite where one side is not finite and the other is another value.
    pub max: f64,
    /// ‖a − b‖ / ‖b‖ (‖a‖ where b is all zero, so 1 stands for "everything differs").
    pub relative: f64,
}

/// Two checkpoints compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Tensors that both have with one shape.
    pub common: Vec<TensorDifference>,
    /// Names that only the first has.
    pub only_first: Vec<String>,
    /// Names that only the second has.
    pub only_second: Vec<String>,
    /// Names with two shapes.
    pub misshapen: Vec<(String, Vec<usize>, Vec<usize>)>,
}

/// Compares the values of two checkpoints, tensor by tensor; `b` is the reference of the relative error.
///
/// # Errors
/// Those of reading either.
pub fn difference(a: &Checkpoint, b: &Checkpoint) -> Result<Difference> {
    let mut result = Difference::default();
    for info in a.infos() {
        let Some(other) = b.info(&info.name) else {
            result.only_first.push(info.name.clone());
            continue;
        };
        if other.shape != info.shape {
            result.misshapen.push((info.name.clone(), info.shape.clone(), other.shape.clone()));
            continue;
        }
        result.common.push(compare(&info.name, &a.tensor(&info.name)?.to_f32(), &b.tensor(&info.name)?.to_f32()));
        a.release(&info.name);
        b.release(&info.name);
    }
    result.only_second = b.infos().filter(|i| !a.contains(&i.name)).map(|i| i.name.clone()).collect();
    Ok(result)
}

fn compare(name: &str, a: &[f32], b: &[f32]) -> TensorDifference {
    let (mut max, mut error, mut norm_a, mut norm_b) = (0f64, 0f64, 0f64, 0f64);
    for (x, y) in a.iter().zip(b) {
        // Equal infinities, and NaN on both sides, are no difference.
        let same = x == y || (x.is_nan() && y.is_nan());
        let (x, y) = (f64::from(*x), f64::from(*y));
        let apart = if same { 0.0 } else { (x - y).abs() };
        max = max.max(if apart.is_nan() { f64::INFINITY } else { apart });
        error += apart * apart;
        norm_a += x * x;
        norm_b += y * y;
    }
    let norm = if norm_b > 0.0 { norm_b } else { norm_a };
    let relative = if max == 0.0 { 0.0 } else { (error / norm).sqrt() };
    TensorDifference { name: name.to_owned(), max, relative: if relative.is_nan() { f64::INFINITY } else { relative } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{goldens, safetensors};

    fn info(name: &str, shape: &[usize]) -> TensorInfo {
        TensorInfo { name: name.into(), dtype: DType::F32, shape: shape.into() }
    }

    #[test]
    fn sensitive_tensors_stay_f16_and_say_why() {
        let plain = [
            ("blocks.0.mlp.mlp.0.bias", vec![4096], "one axis"),
            ("t_embedder.mlp.0.weight", vec![1024, 256], "embedder"),
            ("patch_embed.proj.weight", vec![1024, 3, 14, 14], "embedder"),
            ("pos_emb", vec![4096, 1024], "embedder"),
            ("blocks.3.adaLN_modulation.1.weight", vec![6144, 1024], "adaLN"),
            ("input_blocks.0.emb_layers.1.weight", vec![256, 1024], "adaLN"),
            ("blocks.0.self_attn.q_rms_norm.gamma", vec![16, 64], "norm"),
            ("input_layer.weight", vec![512, 8, 3, 3, 3], "in/out layer"),
            ("out_layer.weight", vec![448, 768], "in/out layer"),
            ("blocks.0.tiny.weight", vec![8, 8], "small"),
        ];
        for (name, shape, reason) in plain {
            assert_eq!(Precision::Q8.plan(&info(name, &shape)), (DType::F16, Some(reason)), "{name}");
        }
        for name in [
            "blocks.0.self_attn.to_qkv.weight",
            "blocks.0.mlp.mlp.2.weight",
            "upsample.0.out_layers.0.conv.weight",
            "blocks.0.attn.to_out.weight",
        ] {
            assert_eq!(Precision::Q8.plan(&info(name, &[768, 768])), (DType::Q8, None), "{name}");
            assert_eq!(Precision::Q4 { group: 64 }.plan(&info(name, &[768, 768])).0, DType::Q4G64);
        }
    }

    #[test]
    fn packed_file_reads_back_within_the_bound_and_lists_what_stayed() {
        let source =
            Checkpoint::open(goldens().join("trellis/model/ckpts/slat_dec_gs_swin8_T_32l8gs32.safetensors")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        for (precision, bound) in [
            (Precision::F32, 0.0),
            (Precision::F16, 3e-4),
            (Precision::Bf16, 3e-3),
            (Precision::Q8, 0.02),
            (Precision::Q4 { group: 32 }, 0.15),
            (Precision::Q4 { group: 64 }, 0.15),
        ] {
            let target = dir.path().join(format!("{}.safetensors", precision.name()));
            let mut told = 0;
            convert_file(&source, &target, precision, &mut |done| told = done).unwrap();
            let back = Checkpoint::open(&target).unwrap();
            assert_eq!(told, source.infos().map(|i| source.stored_bytes(&i.name)).sum::<u64>());
            let apart = difference(&back, &source).unwrap();
            assert_eq!(
                (apart.common.len(), apart.only_first.len(), apart.only_second.len()),
                (source.names().len(), 0, 0)
            );
            for t in apart.common {
                assert!(t.relative <= bound, "{}: {} is {} apart", precision.name(), t.name, t.relative);
            }
            if precision == Precision::Q8 {
                let kept: BTreeMap<String, String> = serde_json::from_str(&back.metadata()[KEPT_KEY]).unwrap();
                assert_eq!(kept["out_layer.weight"], "in/out layer");
                let qkv = back.tensor("blocks.0.attn.to_qkv.weight").unwrap();
                assert_eq!((qkv.dtype(), qkv.shape()), (DType::Q8, &[288, 96][..]));
                assert_eq!(qkv.scales().len(), 288 * 2);
            }
        }
    }

    #[test]
    fn a_tensor_converted_in_pieces_equals_one_converted_whole() {
        let (rows, columns) = (3, PIECE / 2 + 1);
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37) % 1001) as f32 / 500.0 - 1.0).collect();
        let shape = [rows, columns];
        let source = TensorInfo { name: "w".into(), dtype: DType::F32, shape: shape.to_vec() };
        let view = TensorView::new(&source, Cow::Borrowed(bytemuck::cast_slice(&values)));
        for dtype in [DType::F32, DType::F16, DType::BF16, DType::Q8, DType::Q4G32, DType::Q4G64] {
            let (mut data, mut scales, mut pieces) = (Vec::new(), Vec::new(), 0);
            encode(&view, dtype, &mut |d, s| {
                data.extend_from_slice(d);
                scales.extend_from_slice(s);
                pieces += 1;
                Ok(())
            })
            .unwrap();
            assert!(pieces > 1, "{dtype}");
            assert_eq!((data.clone(), scales.clone()), from_f32(&source, &values, dtype).unwrap(), "{dtype}");
            // And back again.
            let packed = TensorInfo { dtype, ..source.clone() };
            let view = TensorView::packed(&packed, Cow::Borrowed(&data), Cow::Borrowed(&scales));
            let mut wide = Vec::new();
            encode(&view, DType::F32, &mut |d, _| {
                wide.extend_from_slice(d);
                Ok(())
            })
            .unwrap();
            assert_eq!(wide, little_endian(&view.to_f32()), "{dtype}");
        }
    }

    #[test]
    fn a_value_that_f16_cannot_hold_is_refused_by_name_and_nothing_is_left() {
        let source = Checkpoint::from_bytes(safetensors(
            r#"{"big":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            &1e6f32.to_le_bytes(),
        ))
        .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let error = convert_file(&source, &dir.path().join("o.safetensors"), Precision::F16, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("`big`"));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn differences_count_signs_and_special_values() {
        let same = compare("w", &[1.0, f32::NAN, f32::INFINITY], &[1.0, f32::NAN, f32::INFINITY]);
        assert_eq!((same.max, same.relative), (0.0, 0.0));
        assert_eq!(compare("w", &[3.0, 4.0], &[3.0, -1.0]).max, 5.0);
        assert_eq!(compare("w", &[2.0], &[0.0]).relative, 1.0);
        assert_eq!(compare("w", &[f32::NAN], &[0.0]).max, f64::INFINITY);
    }
}
