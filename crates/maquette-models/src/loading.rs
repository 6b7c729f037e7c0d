//! From checkpoints to device tensors.

use std::{cell::RefCell, collections::BTreeSet};

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use maquette_kernels::{Conv3, Linear, PackedLinear, Packing};
use maquette_weights::{DType as Stored, Layout, TensorInfo, TensorSource, quant};
use serde::de::DeserializeOwned;

use crate::{Error, Result, nn::BlockLinear};

/// Element type of a network's torso: what its transformer and convolution blocks store and multiply. Norms, embeddings,
/// first and last layers are f32 in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// The definition.
    #[default]
    F32,
    /// f16 storage, f32 accumulation.
    F16,
    /// The weights of the blocks' linear layers in 8 bits (or in 4, where the checkpoint stores them so), all else as in f32.
    Q8F32,
    /// The same, all else as in f16.
    Q8F16,
}

impl Precision {
    /// The tensors' element type.
    pub fn dtype(self) -> FloatDType {
        match self {
            Self::F32 | Self::Q8F32 => FloatDType::F32,
            Self::F16 | Self::Q8F16 => FloatDType::F16,
        }
    }

    /// Whether weights of linear layers are packed.
    pub fn packs(self) -> bool {
        matches!(self, Self::Q8F32 | Self::Q8F16)
    }

    /// Room that a tensor of a checkpoint takes on the device, in bytes.
    pub fn bytes_of(self, info: &TensorInfo) -> u64 {
        let width = if self.dtype() == FloatDType::F16 { 2 } else { 4 };
        let plain = info.elements() as u64 * width;
        match packed_form(info).filter(|_| self.packs()).and_then(|form| Layout::of(form, &info.shape)) {
            Some(layout) => (layout.data_bytes() + layout.scale_bytes()) as u64,
            None => plain,
        }
    }
}

/// The packed form of a linear layer's weights where weights are packed: the stored one, or 8 bits for floats of which the
/// converter would make them. Convolutions have no packed kernels.
fn packed_form(info: &TensorInfo) -> Option<Stored> {
    match info.dtype {
        _ if info.shape.len() != 2 => None,
        stored if stored.is_packed() => Some(stored),
        stored if stored.is_float() && quant::stays_plain(info).is_none() => Some(Stored::Q8),
        _ => None,
    }
}

/// One network's loading: hands out its tensors by key, converts, uploads, and remembers what was asked for, so that a
/// checkpoint of another network is noticed.
pub struct Loading<'a> {
    model: &'static str,
    source: &'a dyn TensorSource,
    device: &'a Device,
    precision: Precision,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Loading<'a> {
    /// Starts loading `model` (a name for messages).
    pub fn new(model: &'static str, source: &'a dyn TensorSource, device: &'a Device, precision: Precision) -> Self {
        Self { model, source, device, precision, used: RefCell::default() }
    }

    /// The whole checkpoint.
    pub fn root(&self) -> Scope<'_> {
        Scope { loading: self, prefix: String::new() }
    }

    /// Checks that every tensor of the checkpoint was used, apart from those whose name starts with one of `ignored`.
    ///
    /// # Errors
    /// [`Error::UnexpectedTensors`].
    pub fn finish(self, ignored: &[&str]) -> Result<()> {
        let used = self.used.into_inner();
        let mut names: Vec<String> = self
            .source
            .names()
            .into_iter()
            .filter(|name| !used.contains(*name) && !ignored.iter().any(|prefix| name.starts_with(prefix)))
            .map(str::to_owned)
            .collect();
        names.sort_unstable();
        if names.is_empty() { Ok(()) } else { Err(Error::UnexpectedTensors { model: self.model, names }) }
    }
}

/// A part of a checkpoint: all keys that start with a prefix.
pub struct Scope<'a> {
    loading: &'a Loading<'a>,
    prefix: String,
}

impl Scope<'_> {
    /// The part below `name`.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        Scope { loading: self.loading, prefix: format!("{}{name}.", self.prefix) }
    }

    /// Where tensors go.
    pub fn device(&self) -> &Device {
        self.loading.device
    }

    /// Element type of the torso.
    pub fn torso(&self) -> FloatDType {
        self.loading.precision.dtype()
    }

    /// Whether the checkpoint has the tensor.
    pub fn has(&self, name: &str) -> bool {
        self.loading.source.contains(&self.key(name))
    }

    /// The shape of a tensor, if it is there: for sizes that only the weights know.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.loading.source.info(&self.key(name)).map(|info| info.shape.clone())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A tensor of exactly this shape in the given type.
    ///
    /// # Errors
    /// [`Error::Weights`] when it is missing or has another shape.
    pub fn tensor<const D: usize>(&self, name: &str, shape: [usize; D], dtype: FloatDType) -> Result<Tensor<D>> {
        self.reshaped(name, &shape, shape, dtype)
    }

    /// A tensor stored as `stored`, uploaded with the same elements in the shape `shape`.
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn reshaped<const D: usize>(
        &self,
        name: &str,
        stored: &[usize],
        shape: [usize; D],
        dtype: FloatDType,
    ) -> Result<Tensor<D>> {
        let key = self.key(name);
        let view = self.loading.source.get(&key)?;
        view.expect_shape(stored)?;
        let data = match dtype {
            FloatDType::F16 => TensorData::new(view.to_f16(), shape),
            _ => TensorData::new(view.to_f32(), shape),
        };
        let tensor = Tensor::from_data(data, (self.device(), DType::from(dtype)));
        self.loading.used.borrow_mut().insert(key);
        Ok(tensor)
    }

    /// A tensor's values on the host.
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let key = self.key(name);
        let view = self.loading.source.get(&key)?;
        view.expect_shape(shape)?;
        let values = view.to_f32();
        self.loading.used.borrow_mut().insert(key);
        Ok(values)
    }

    /// A linear layer `name.weight [outputs, inputs]`, with `name.bias` if the checkpoint has one.
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn linear(&self, name: &str, inputs: usize, outputs: usize, dtype: FloatDType) -> Result<Linear> {
        let scope = self.at(name);
        let bias = scope.has("bias").then(|| scope.tensor("bias", [outputs], dtype)).transpose()?;
        Ok(Linear { weight: scope.tensor("weight", [outputs, inputs], dtype)?, bias })
    }

    /// A linear layer of a block, as [`Scope::linear`]; its weights are packed where the precision says so. A device without
    /// kernels for packed weights gets what packing left of them as floats: the same numbers, without the saving.
    ///
    /// # Errors
    /// As [`Scope::tensor`]; [`Error::Weights`] for weights that are not finite.
    pub fn block_linear(&self, name: &str, inputs: usize, outputs: usize, dtype: FloatDType) -> Result<BlockLinear> {
        let scope = self.at(name);
        let key = scope.key("weight");
        let precision = self.loading.precision;
        let form = self.loading.source.info(&key).filter(|_| precision.packs()).and_then(packed_form);
        let Some(form) = form else { return Ok(BlockLinear::Plain(self.linear(name, inputs, outputs, dtype)?)) };
        let view = self.loading.source.get(&key)?;
        view.expect_shape(&[outputs, inputs])?;
        self.loading.used.borrow_mut().insert(key.clone());
        let bias = scope.has("bias").then(|| scope.tensor("bias", [outputs], dtype)).transpose()?;
        let made;
        let (data, scales) = if view.dtype() == form {
            (view.bytes(), view.scales())
        } else {
            made = quant::pack(&key, form, &[outputs, inputs], &view.to_f32())?;
            (&made.data[..], &made.scales[..])
        };
        let packing = match form {
            Stored::Q4G32 => Packing::Int4 { group: 32 },
            Stored::Q4G64 => Packing::Int4 { group: 64 },
            _ => Packing::Int8,
        };
        let shape = [outputs, inputs];
        if PackedLinear::stays_packed(self.device(), shape) {
            let layer = PackedLinear::from_bytes(data, scales, packing, bias, shape, self.device());
            return Ok(BlockLinear::Packed(Box::new(layer), dtype));
        }
        let values = quant::unpack(form, &shape, data, scales);
        let weight = Tensor::<2>::from_data(TensorData::new(values, shape), (self.device(), DType::F32)).cast(dtype);
        Ok(BlockLinear::Plain(Linear { weight, bias }))
    }

    /// Affine parameters of a norm, `name.weight` and `name.bias`, always f32.
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn affine(&self, name: &str, channels: usize) -> Result<Affine> {
        let scope = self.at(name);
        Ok(Affine {
            weight: scope.tensor("weight", [channels], FloatDType::F32)?,
            bias: scope.tensor("bias", [channels], FloatDType::F32)?,
        })
    }

    /// A submanifold 3×3×3 convolution, stored `[out, 3, 3, 3, in]`.
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn conv3_sparse(&self, name: &str, inputs: usize, outputs: usize) -> Result<Conv3> {
        let scope = self.at(name);
        Ok(Conv3 {
            weight: scope.reshaped("weight", &[outputs, 3, 3, 3, inputs], [outputs, 27 * inputs], self.torso())?,
            bias: scope.tensor("bias", [outputs], self.torso())?,
        })
    }

    /// A dense 3×3×3 convolution, stored `[out, in, 3, 3, 3]`; the taps come first here, as [`Conv3`] wants them.
    ///
    /// # Errors
    /// As [`Scope::tensor`].
    pub fn conv3_dense(&self, name: &str, inputs: usize, outputs: usize, dtype: FloatDType) -> Result<Conv3> {
        let scope = self.at(name);
        let weight: Tensor<3> = scope.reshaped("weight", &[outputs, inputs, 3, 3, 3], [outputs, inputs, 27], dtype)?;
        Ok(Conv3 {
            weight: weight.swap_dims(1, 2).reshape([outputs, 27 * inputs]),
            bias: scope.tensor("bias", [outputs], dtype)?,
        })
    }
}

/// Scale and shift of a norm, f32.
#[derive(Clone, Debug)]
pub struct Affine {
    /// `[C]`.
    pub weight: Tensor<1>,
    /// `[C]`.
    pub bias: Tensor<1>,
}

impl Affine {
    /// Both, as the operators take them.
    pub fn pair(&self) -> (&Tensor<1>, &Tensor<1>) {
        (&self.weight, &self.bias)
    }
}

/// Reads the `args` of a network description.
pub(crate) fn description<T: DeserializeOwned>(model: &'static str, args: &serde_json::Value) -> Result<T> {
    T::deserialize(args).map_err(|source| Error::Description { model, source })
}
