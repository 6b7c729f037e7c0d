//! The WGSL bodies of the operators: which one fits a device and a problem, and how it is launched.
//!
//! Every function here returns `None` where no WGSL body applies (CPU tier, element types without one, sizes beyond a
//! limit); the operator then runs its default body. A launch costs no read-back and builds its text only when the pipeline
//! is not there yet.

mod activate;
mod attention;
mod conv2;
mod dense;
pub(crate) mod move_rows;
mod norm;
pub(crate) mod peak;
mod resample;

use std::sync::Arc;

use burn::tensor::{DType, Shape, Tensor};
use burn_cubecl::{
    CubeBackend,
    kernel::into_contiguous,
    ops::numeric::empty_device_contiguous_dtype,
    template::{KernelSource, SourceKernel, SourceTemplate},
    tensor::CubeTensor,
};
use cubecl::{
    prelude::*,
    server::{KernelArguments, MetadataBindingInfo},
};
use maquette_gpu::{Capabilities, Tier, capabilities_of};
use maquette_shaders::{Dialect, Permutation};

pub(crate) use activate::activate;
pub(crate) use attention::attention;
pub(crate) use conv2::{conv2, conv2_packs};
pub(crate) use dense::{Weights, conv3_dense, conv3_sparse, linear, linear_heads, linear_residual};
pub(crate) use norm::{group_norm, layer_norm, layer_norm_modulate, rms_norm_heads, softmax};
pub(crate) use resample::downsample;

use crate::{RowGroups, prepare};

/// The capabilities of a tensor's device where WGSL bodies run on it.
pub(crate) fn gpu<const D: usize>(x: &Tensor<D>) -> Option<Arc<Capabilities>> {
    let capabilities = capabilities_of(&x.device());
    (capabilities.tier > Tier::Cpu).then_some(capabilities)
}

/// The `T` parameter of an element type that kernels know and the device can compute with.
fn element(dtype: DType, capabilities: &Capabilities) -> Option<&'static str> {
    match dtype {
        DType::F32 => Some("f32"),
        DType::F16 if capabilities.f16 => Some("f16"),
        _ => None,
    }
}

/// How many elements of a row of `width` elementwise bodies take at once, and how many such units a row has.
fn units_of_four(width: usize) -> (&'static str, usize) {
    if width.is_multiple_of(4) { ("4", width / 4) } else { ("1", width) }
}

/// Whether bodies on matrix units run: they take a subgroup for 32 lanes.
fn matrix_kernels(capabilities: &Capabilities) -> bool {
    capabilities.tier == Tier::Matrix && capabilities.subgroups.is_some_and(|sizes| sizes.min == 32 && sizes.max == 32)
}

/// The size of subgroups where bodies that count on it are used: all of one known size.
fn subgroup_size(capabilities: &Capabilities) -> Option<usize> {
    let sizes = capabilities.subgroups.filter(|sizes| sizes.min == sizes.max && capabilities.tier >= Tier::Subgroup)?;
    (4..=64).contains(&sizes.min).then_some(sizes.min as usize)
}

/// Whether bodies run that ask a subgroup for its size, whatever it is.
pub(crate) fn any_subgroups(capabilities: &Capabilities) -> bool {
    let sizes = capabilities.subgroups.filter(|_| capabilities.tier >= Tier::Subgroup);
    sizes.is_some_and(|sizes| sizes.min >= 4 && sizes.max <= 128)
}

/// The tensor as a buffer of contiguous rows.
pub(crate) fn cube<const D: usize>(x: &Tensor<D>) -> Option<CubeTensor> {
    x.clone().try_into_primitive::<CubeBackend>().ok().map(into_contiguous)
}

/// The same, in f32.
pub(crate) fn cube_f32<const D: usize>(x: &Tensor<D>) -> Option<CubeTensor> {
    if x.dtype() == DType::F32 { cube(x) } else { cube(&x.clone().cast(DType::F32)) }
}

/// The same, in `dtype`.
fn cube_as<const D: usize>(x: &Tensor<D>, dtype: DType) -> Option<CubeTensor> {
    if x.dtype() == dtype { cube(x) } else { cube(&x.clone().cast(dtype)) }
}

pub(crate) fn tensor<const D: usize>(x: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<CubeBackend>(x)
}

/// Memory for a result beside `like`, not yet written.
pub(crate) fn empty(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape.into(), dtype)
}

/// The permutation of a kernel, which the table is known to list.
pub(crate) fn permutation(kernel: &str, values: &[(&str, &str)]) -> Option<&'static Permutation> {
    let found = maquette_shaders::kernel(kernel).and_then(|kernel| kernel.permutation(values));
    debug_assert!(found.is_some(), "no permutation {kernel} {values:?}");
    found
}

/// Words that describe groups of rows to a shader (`shared/groups.wgsl`).
fn group_words(groups: &RowGroups, words: &mut Vec<u32>) {
    match groups.uniform_length() {
        Some(length) if length > 0 => words.extend([length as u32, groups.len() as u32]),
        _ => {
            words.extend([0, groups.len() as u32]);
            words.extend_from_slice(groups.offsets());
        }
    }
}

/// Largest number of workgroups in one dimension, in every WebGPU implementation.
const MAX_GROUPS: u32 = 65_535;

struct Source {
    permutation: &'static Permutation,
}

impl KernelSource for Source {
    fn source(&self) -> SourceTemplate {
        // An edited template that no longer resolves is handed on as it is, so that the compiler's message reaches the caller.
        SourceTemplate::new(self.permutation.wgsl(Dialect::HERE).unwrap_or_else(|error| error.to_string()))
    }

    fn id(&self) -> KernelId {
        let [x, y, z] = self.permutation.workgroup_size;
        KernelId::new::<Self>()
            .info((self.permutation.id, self.permutation.revision()))
            .cube_dim(CubeDim::new_3d(x, y, z).into())
            // Every access is inside its buffer by construction, so loops need no artificial bounds.
            .mode(ExecutionMode::Unchecked)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Enqueues `groups` workgroups of `permutation` with `buffers` in binding order and the words of `info`.
pub(crate) fn launch(permutation: &'static Permutation, buffers: &[&CubeTensor], mut info: Vec<u32>, groups: usize) {
    debug_assert_eq!(buffers.len() + 1, permutation.buffers.len(), "{}", permutation.name);
    let Some(first) = buffers.first() else { return };
    if groups == 0 {
        return;
    }
    prepare::launched(permutation);
    let groups = groups as u32;
    let count = if groups <= MAX_GROUPS {
        CubeCount::Static(groups, 1, 1)
    } else {
        CubeCount::Static(MAX_GROUPS, groups.div_ceil(MAX_GROUPS), 1)
    };
    if !info.len().is_multiple_of(2) {
        info.push(0);
    }
    let words = info.chunks_exact(2).map(|pair| u64::from(pair[0]) | (u64::from(pair[1]) << 32)).collect();
    let mut arguments = KernelArguments::new();
    for buffer in buffers {
        arguments = arguments.with_buffer(buffer.handle.clone().binding());
    }
    let arguments = arguments.with_info(MetadataBindingInfo::custom(words));
    let [x, y, z] = permutation.workgroup_size;
    let kernel = SourceKernel::new(Source { permutation }, CubeDim::new_3d(x, y, z));
    first.client.launch(Box::new(kernel), count, arguments);
}
