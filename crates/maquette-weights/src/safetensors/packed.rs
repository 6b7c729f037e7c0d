//! How packed tensors lie in a safetensors file: the payload under the tensor's own name, the scales under `<name>:scales`, and
//! the metadata entry `maquette.packed`, which gives each packed tensor's form and true shape.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::strict_json::UniqueMap;
use crate::{DType, quant::Layout};

/// The metadata entry that lists packed tensors.
pub(crate) const PACKED_KEY: &str = "maquette.packed";

/// The metadata entry that lists tensors which stayed plain in a packed file, with the reason.
#[cfg(feature = "native")]
pub(crate) const KEPT_KEY: &str = "maquette.kept";

/// Form and shape of one packed tensor.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct PackedEntry {
    pub(crate) form: String,
    pub(crate) shape: Vec<usize>,
}

/// Name of the tensor that holds the scales of `name`. A colon cannot stand in a torch parameter's name.
pub(crate) fn scales_name(name: &str) -> String {
    format!("{name}:scales")
}

/// The packed form of that name.
pub(crate) fn form(name: &str) -> Option<DType> {
    [DType::Q8, DType::Q4G32, DType::Q4G64].into_iter().find(|d| d.name() == name)
}

/// The two plain tensors, payload and scales, that a packed tensor is stored as.
#[cfg(feature = "native")]
pub(crate) fn stored(info: &crate::TensorInfo, layout: &Layout) -> [crate::TensorInfo; 2] {
    let (dtype, shape) = if info.dtype == DType::Q8 {
        (DType::I8, info.shape.clone())
    } else {
        (DType::U8, vec![layout.rows, layout.row_bytes])
    };
    let scales = vec![layout.rows, layout.row_scales];
    [
        crate::TensorInfo { name: info.name.clone(), dtype, shape },
        crate::TensorInfo { name: scales_name(&info.name), dtype: DType::F16, shape: scales },
    ]
}

/// Parses the metadata entry; `Err` says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, (DType, Vec<usize>, Layout)>, String> {
    let entries: UniqueMap<PackedEntry> =
        serde_json::from_str(text).map_err(|e| format!("`{PACKED_KEY}` is damaged: {e}"))?;
    let mut packed = BTreeMap::new();
    for (name, entry) in entries.0 {
        let dtype =
            form(&entry.form).ok_or_else(|| format!("tensor `{name}`: packed form `{}` is not known", entry.form))?;
        let fits = entry.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).is_some();
        let layout = Layout::of(dtype, &entry.shape).filter(|_| fits);
        let layout = layout.ok_or_else(|| format!("tensor `{name}`: shape {:?} is beyond any file", entry.shape))?;
        packed.insert(name, (dtype, entry.shape, layout));
    }
    Ok(packed)
}
