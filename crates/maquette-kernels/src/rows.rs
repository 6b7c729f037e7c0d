//! Batch layout of row-major tensors.

use std::sync::Arc;

use burn::tensor::{IndexingUpdateOp, Int, Tensor};

use crate::wgsl;

/// Contiguous groups of rows: batch items, attention windows, sequences of different lengths.
///
/// `offsets` has one entry more than there are groups; group `g` owns rows `offsets[g]..offsets[g + 1]`. Groups may be
/// empty. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RowGroups {
    offsets: Arc<[u32]>,
}

impl RowGroups {
    /// One group of `rows` rows.
    pub fn single(rows: usize) -> Self {
        Self::uniform(1, rows)
    }

    /// `groups` groups of `rows` rows each.
    pub fn uniform(groups: usize, rows: usize) -> Self {
        Self { offsets: (0..=groups).map(|g| (g * rows) as u32).collect() }
    }

    /// Groups of the given lengths.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut offsets = vec![0u32];
        let mut end = 0usize;
        for length in lengths {
            end += length;
            offsets.push(end as u32);
        }
        Self { offsets: offsets.into() }
    }

    /// Row offsets, `len() + 1` entries, the first 0, never decreasing.
    pub fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no group at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Total number of rows.
    pub fn rows(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0) as usize
    }

    /// Row range of group `g`.
    pub fn range(&self, g: usize) -> std::ops::Range<usize> {
        self.offsets[g] as usize..self.offsets[g + 1] as usize
    }

    /// The common length when all groups are equally long.
    pub fn uniform_length(&self) -> Option<usize> {
        let mut lengths = self.offsets.windows(2).map(|w| w[1] - w[0]);
        let first = lengths.next()?;
        lengths.all(|length| length == first).then_some(first as usize)
    }

    /// The group of every row (length `rows()`).
    pub fn group_of_rows(&self) -> Vec<u32> {
        (0..self.len()).flat_map(|g| self.range(g).map(move |_| g as u32)).collect()
    }
}

/// The same values in memory of their own, row after row. Our kernels read nothing else: a part of a tensor's columns would be
/// copied by every call that takes it.
pub(crate) fn contiguous<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match wgsl::gpu(&x).and_then(|_| wgsl::cube(&x)) {
        Some(copy) => wgsl::tensor(copy),
        None => x,
    }
}

/// `y[i] = x[index[i]]`: `x [rows, C]`, `index [M]` (each inside `0..rows`) → `[M, C]`.
pub fn gather_rows(x: Tensor<2>, index: Tensor<1, Int>) -> Tensor<2> {
    match wgsl::move_rows::gather(&x, &index) {
        Some(y) => y,
        None => x.select(0, index),
    }
}

/// `y[index[i]] = x[i]` into zeros: `x [M, C]`, `index [M]` (distinct, each inside `0..rows`) → `[rows, C]`.
pub fn scatter_rows(x: Tensor<2>, index: Tensor<1, Int>, rows: usize) -> Tensor<2> {
    match wgsl::move_rows::scatter(&x, &index, rows) {
        Some(y) => y,
        None => {
            let zeros = Tensor::zeros([rows, x.dims()[1]], (&x.device(), x.dtype()));
            zeros.select_assign(0, index, x, IndexingUpdateOp::Add)
        }
    }
}
