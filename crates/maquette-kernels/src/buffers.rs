//! Plain words and floats on a GPU, for the kernels that are no tensor arithmetic: sorting, rasterising, baking.

use burn::tensor::{DType, Device, Int, Shape, Tensor, TensorData};
use burn_cubecl::{CubeBackend, tensor::CubeTensor};
use cubecl::{MemoryPoolKind, MemoryPoolReport, MemoryScope};

use crate::{
    Error,
    wgsl::{any_subgroups, cube, empty, gpu, launch, permutation},
};

/// Words that a workgroup of the element-wise kernels takes.
pub(crate) const LANES: usize = 256;

/// Makes buffers on one GPU.
pub(crate) struct Buffers {
    like: CubeTensor,
    /// Largest buffer that a kernel can bind, in words.
    pub(crate) most_words: u64,
    /// Whether kernels with a body for subgroups of any size take it.
    subgroups: bool,
    /// Whether every buffer is an allocation of its own size.
    apart: bool,
}

impl Buffers {
    /// `None` on the CPU tier.
    pub(crate) fn on(device: &Device) -> Option<Self> {
        let anchor = Tensor::<1>::zeros([1], device);
        let capabilities = gpu(&anchor)?;
        let (most_words, subgroups) = (capabilities.storage_binding / 4, any_subgroups(&capabilities));
        Some(Self { like: cube(&anchor)?, most_words, subgroups, apart: false })
    }

    /// Checks that one buffer can hold the product of `sizes` words (multiplied in 64 bits: browsers count in 32).
    pub(crate) fn fits(&self, what: &'static str, sizes: &[usize]) -> Result<(), Error> {
        let words = sizes.iter().fold(1u64, |product, size| product.saturating_mul(*size as u64));
        if words <= self.most_words {
            return Ok(());
        }
        let most = self.most_words;
        let detail = format!("{words} words, the device's largest buffer has {most}; handle fewer views at once");
        Err(Error::OutOfRange { what, detail })
    }

    /// For work that takes `needed` bytes in all: where the runtime's pool has no room for them and would take another page that is larger
    /// (its pages are as large as the largest allocation so far), every buffer is an allocation of its own size instead, until
    /// [`Buffers::settle`].
    pub(crate) fn sparing(self, needed: u64) -> Self {
        let report = self.like.client.memory_report(MemoryScope::CurrentStream);
        let wasteful = |pool: &MemoryPoolReport| match pool.kind {
            MemoryPoolKind::Adaptive { page_size, .. } => {
                let taken = pool.usage.bytes_in_use + pool.usage.bytes_padding;
                page_size > needed && pool.usage.bytes_reserved < taken + needed
            }
            _ => false,
        };
        let apart = report.streams.iter().flat_map(|stream| &stream.pools.dynamic).any(wasteful);
        Self { apart, ..self }
    }

    /// What `task` allocates, as [`Buffers::sparing`] found best.
    pub(crate) fn allocate<R: Send>(&self, task: impl FnOnce() -> R + Send) -> R {
        // Allocations of this kind are taken again by others of the same size, and go back to the driver in `settle` only.
        if self.apart { self.like.client.memory_persistent_allocation((), |()| task()) } else { task() }
    }

    /// Gives the allocations back that [`Buffers::sparing`] made single ones, once nothing holds them any more.
    ///
    /// # Errors
    /// [`Error::Read`] if the device is gone.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        if self.apart { self.like.client.memory_cleanup().map_err(read_failed) } else { Ok(()) }
    }

    /// `length` words (at least one), not yet written.
    pub(crate) fn words(&self, length: usize) -> CubeTensor {
        self.allocate(|| empty(&self.like, [length.max(1)], DType::U32))
    }

    /// Floats of a shape, not yet written.
    pub(crate) fn floats(&self, shape: impl Into<Shape>) -> CubeTensor {
        let shape = shape.into();
        self.allocate(|| empty(&self.like, shape, DType::F32))
    }

    /// Signed integers of a shape, not yet written.
    pub(crate) fn integers(&self, shape: impl Into<Shape>) -> CubeTensor {
        empty(&self.like, shape, DType::I32)
    }

    /// `length` words `start`, `start + step`, …
    pub(crate) fn ramp(&self, length: usize, start: u32, step: u32) -> CubeTensor {
        let y = self.words(length);
        self.fill(&y, length, start, step);
        y
    }

    /// Writes `start`, `start + step`, … over the first `length` words of a buffer.
    pub(crate) fn fill(&self, y: &CubeTensor, length: usize, start: u32, step: u32) {
        run("fill", &[], &[y], vec![length as u32, start, step], length.div_ceil(LANES));
    }

    /// `x[index[i]]` for the first `length` entries of `index`.
    pub(crate) fn gather(&self, x: &CubeTensor, index: &CubeTensor, length: usize) -> CubeTensor {
        let y = self.words(length);
        let most = x.meta.num_elements() as u32;
        run("gather_words", &[], &[x, index, &y], vec![length as u32, most], length.div_ceil(LANES));
        y
    }

    /// Enqueues the body for subgroups (`kernel` + `_subgroup`, `SUB` 1) where they are, else the plain one (`SUB` 0).
    pub(crate) fn run_either(
        &self,
        kernel: &str,
        values: &[(&str, &str)],
        buffers: &[&CubeTensor],
        info: Vec<u32>,
        groups: usize,
    ) {
        let mut values = values.to_vec();
        values.push(("SUB", if self.subgroups { "1" } else { "0" }));
        if self.subgroups {
            run(&format!("{kernel}_subgroup"), &values, buffers, info, groups);
        } else {
            run(kernel, &values, buffers, info, groups);
        }
    }
}

/// Enqueues a permutation that the table is known to list.
pub(crate) fn run(kernel: &str, values: &[(&str, &str)], buffers: &[&CubeTensor], info: Vec<u32>, groups: usize) {
    if let Some(permutation) = permutation(kernel, values) {
        launch(permutation, buffers, info, groups);
    }
}

/// The words of an integer tensor: 32-bit integers as they are, others converted.
pub(crate) fn words_of<const D: usize>(x: &Tensor<D, Int>) -> Option<CubeTensor> {
    let x = match x.dtype() {
        DType::U32 | DType::I32 => x.clone(),
        _ => x.clone().cast(DType::U32),
    };
    x.try_into_primitive::<CubeBackend>().ok().map(burn_cubecl::kernel::into_contiguous)
}

/// The buffer as an integer tensor.
pub(crate) fn int_tensor<const D: usize>(x: CubeTensor) -> Tensor<D, Int> {
    Tensor::from_primitive::<CubeBackend>(x)
}

/// Uploads words as a tensor of type U32.
pub(crate) fn upload_words<const D: usize>(words: Vec<u32>, shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(words, shape), (device, DType::U32))
}

/// Uploads floats.
pub(crate) fn upload_floats<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Reads an integer tensor back as words.
pub(crate) async fn read_words<const D: usize>(x: Tensor<D, Int>) -> Result<Vec<u32>, Error> {
    let data = x.into_data_async().await.map_err(read_failed)?;
    data.try_to_vec_as::<u32>().map_err(read_failed)
}

/// Reads a float tensor back.
pub(crate) async fn read_floats<const D: usize>(x: Tensor<D>) -> Result<Vec<f32>, Error> {
    let data = x.into_data_async().await.map_err(read_failed)?;
    data.try_to_vec_as::<f32>().map_err(read_failed)
}

fn read_failed(error: impl std::fmt::Debug) -> Error {
    Error::Read { message: format!("{error:?}") }
}

#[cfg(test)]
mod tests {
    use maquette_gpu::{AdapterChoice, Gpu, OpenOptions};
    use pollster::block_on;

    use super::*;

    /// One dimension of a dispatch ends at 65,535 groups; more go into the second, whose last row is not full.
    #[test]
    fn dispatches_beyond_65535_groups_reach_every_word_once() {
        let Ok(gpu) = block_on(Gpu::open(&AdapterChoice::default(), OpenOptions::default())) else { return };
        let buffers = Buffers::on(gpu.device()).expect("a GPU");
        let length = LANES * (65_535 + 3) + 5;
        // Multiplied by an odd number, every word is another.
        let step = 2_654_435_761u32;
        let index = buffers.ramp(length, (length - 1) as u32, u32::MAX);
        let reversed = buffers.gather(&buffers.ramp(length, 7, step), &index, length);
        let words = block_on(read_words::<1>(int_tensor(reversed))).expect("readable");
        assert_eq!(words.len(), length);
        let wrong = (0..length).find(|i| words[*i] != step.wrapping_mul((length - 1 - i) as u32).wrapping_add(7));
        assert_eq!(wrong, None);
    }
}
