//! Halving and doubling the resolution of sparse tensors.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::{
    RowGroups, Voxels, gather_rows,
    linear::in_f32,
    voxels::{DeviceCache, upload},
    wgsl,
};

/// A voxel set at half the resolution of another, with the way between their rows. Cheap to clone.
#[derive(Clone)]
pub struct Coarsening {
    /// The coarse set, sorted by batch item, then x, y, z.
    pub coarse: Voxels,
    inner: Arc<Inner>,
}

struct Inner {
    parents: Vec<i32>,
    /// `[8, coarse]`: the fine rows under each coarse row, ascending, padded with the number of fine rows.
    children: Vec<i32>,
    counts: Vec<f32>,
    device_parents: DeviceCache<Tensor<1, Int>>,
    device_children: DeviceCache<(Tensor<2, Int>, Tensor<2>)>,
}

impl Coarsening {
    pub(crate) fn new(fine: &Voxels) -> Self {
        let parent = |&[b, x, y, z]: &[i32; 4]| [b, x.div_euclid(2), y.div_euclid(2), z.div_euclid(2)];
        let keys: Vec<[i32; 4]> = fine.coords().iter().map(parent).collect();
        let mut coords = keys.clone();
        coords.sort_unstable();
        coords.dedup();
        let parents: Vec<i32> =
            keys.iter().map(|k| coords.binary_search(k).expect("every key is in the sorted set") as i32).collect();

        let (rows, coarse_rows) = (fine.len(), coords.len());
        let mut children = vec![rows as i32; 8 * coarse_rows];
        let mut counts = vec![0usize; coarse_rows];
        for (row, &parent) in parents.iter().enumerate() {
            let parent = parent as usize;
            // At most eight distinct voxels share a parent, and a Voxels holds no duplicates.
            children[counts[parent] * coarse_rows + parent] = row as i32;
            counts[parent] += 1;
        }
        let mut lengths = vec![0usize; fine.batches().len()];
        for c in &coords {
            lengths[c[0] as usize] += 1;
        }
        let inner = Inner {
            parents,
            children,
            counts: counts.into_iter().map(|c| c as f32).collect(),
            device_parents: DeviceCache::default(),
            device_children: DeviceCache::default(),
        };
        Self { coarse: Voxels::from_parts(coords, RowGroups::from_lengths(lengths)), inner: Arc::new(inner) }
    }

    /// The coarse row of every fine row.
    pub fn parents(&self) -> &[i32] {
        &self.inner.parents
    }

    /// [`Coarsening::parents`] on a device, `[fine rows]`, i32.
    pub fn device_parents(&self, device: &Device) -> Tensor<1, Int> {
        self.inner.device_parents.get(device, || upload(&self.inner.parents, device))
    }

    /// On a device: the fine rows under each coarse row, `[8, coarse rows]` i32, padded with the number of fine rows; and how
    /// many there are, `[coarse rows, 1]` f32.
    pub fn device_children(&self, device: &Device) -> (Tensor<2, Int>, Tensor<2>) {
        self.inner.device_children.get(device, || {
            let n = self.coarse.len();
            let children = TensorData::new(self.inner.children.clone(), [8, n]);
            let counts = TensorData::new(self.inner.counts.clone(), [n, 1]);
            (Tensor::from_data(children, (device, DType::I32)), Tensor::from_data(counts, (device, DType::F32)))
        })
    }
}

/// Features at half the resolution: `x [fine, C]` → `[coarse, C]`, each the **sum of its children over (count + 1)**. The
/// reference averages into a buffer of zeros and counts that zero as a member; trained weights rely on it.
pub fn downsample(x: Tensor<2>, to: &Coarsening) -> Tensor<2> {
    let device = x.device();
    if let Some(y) = wgsl::downsample(&x, || to.device_children(&device).0) {
        return y;
    }
    let (children, counts) = to.device_children(&device);
    let [_, channels] = x.dims();
    let coarse = to.coarse.len();
    in_f32(x, |x| {
        let padded = Tensor::cat(vec![x, Tensor::zeros([1, channels], (&device, DType::F32))], 0);
        let mut sum = Tensor::zeros([coarse, channels], (&device, DType::F32));
        for child in 0..8 {
            let rows = children.clone().slice([child..child + 1, 0..coarse]).reshape([coarse]);
            sum = sum + gather_rows(padded.clone(), rows);
        }
        sum / (counts + 1.0)
    })
}

/// Features at twice the resolution, the way back of [`downsample`]: `x [coarse, C]` → `[fine, C]` in the fine set's own
/// order, every voxel taking its parent's row.
pub fn upsample(x: Tensor<2>, from: &Coarsening) -> Tensor<2> {
    let device = x.device();
    gather_rows(x, from.device_parents(&device))
}

/// Features of [`Voxels::subdivided`]: every row eight times, `[N, C]` → `[8N, C]`.
pub fn subdivide(x: Tensor<2>) -> Tensor<2> {
    let [rows, channels] = x.dims();
    x.reshape([rows, 1, channels]).expand([rows, 8, channels]).reshape([8 * rows, channels])
}

#[cfg(test)]
mod tests {
    use burn::tensor::FloatDType;

    use super::*;

    #[test]
    fn the_mean_counts_the_zero_it_starts_from() {
        let device = Device::flex();
        let voxels = Voxels::new(vec![[0, 0, 0, 0], [0, 5, 5, 5], [0, 1, 1, 1]]).unwrap();
        let x = Tensor::<2>::from_data([[2.0f32], [6.0], [4.0]], &device);
        let to = voxels.coarsened();
        assert_eq!(to.coarse.coords(), &[[0, 0, 0, 0], [0, 2, 2, 2]]);
        assert_eq!(to.parents(), &[0, 1, 0]);
        let y = downsample(x, to);
        assert_eq!(y.to_data().try_to_vec::<f32>().unwrap(), vec![2.0, 3.0]);
        let back = upsample(y, to);
        assert_eq!(back.to_data().try_to_vec::<f32>().unwrap(), vec![2.0, 3.0, 2.0]);
    }

    #[test]
    fn half_precision_features_keep_their_type() {
        let device = Device::flex();
        let voxels = Voxels::new(vec![[0, 0, 0, 0]]).unwrap();
        let x = Tensor::<2>::from_data([[3.0f32]], &device).cast(FloatDType::F16);
        assert_eq!(downsample(x, voxels.coarsened()).dtype(), DType::F16);
    }

    #[test]
    fn children_follow_their_parent_with_z_fastest() {
        let voxels = Voxels::new(vec![[0, 1, 2, 3]]).unwrap().subdivided();
        assert_eq!(voxels.coords()[1], [0, 2, 4, 7]);
        assert_eq!(voxels.coords()[4], [0, 3, 4, 6]);
        assert_eq!(voxels.batches().offsets(), &[0, 8]);
    }
}
