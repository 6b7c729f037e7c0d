//! Attention windows over voxel sets.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor};

use crate::{
    RowGroups, attention, gather_rows,
    voxels::{DeviceCache, upload},
};

/// The non-empty windows of a voxel set: which voxels share one, and the order that makes each window's rows contiguous.
/// Cheap to clone.
#[derive(Clone)]
pub struct Windows {
    inner: Arc<Inner>,
}

struct Inner {
    window_of_voxel: Vec<i32>,
    groups: RowGroups,
    order: Vec<i32>,
    inverse: Vec<i32>,
    device_order: DeviceCache<Tensor<1, Int>>,
    device_inverse: DeviceCache<Tensor<1, Int>>,
}

impl Windows {
    /// A voxel's window is `(batch, ⌊(x + shift) / size⌋, …)`: the shift is added and nothing wraps around.
    pub(crate) fn new(coords: &[[i32; 4]], size: i32, shift: i32) -> Self {
        let key = |c: &[i32; 4]| {
            [c[0], (c[1] + shift).div_euclid(size), (c[2] + shift).div_euclid(size), (c[3] + shift).div_euclid(size)]
        };
        let keys: Vec<[i32; 4]> = coords.iter().map(key).collect();
        let mut order: Vec<i32> = (0..coords.len() as i32).collect();
        order.sort_by_key(|&row| (keys[row as usize], row));
        let mut inverse = vec![0; coords.len()];
        let mut window_of_voxel = vec![0; coords.len()];
        let mut lengths: Vec<usize> = Vec::new();
        let mut previous = None;
        for (place, &row) in order.iter().enumerate() {
            let key = keys[row as usize];
            if previous != Some(key) {
                lengths.push(0);
                previous = Some(key);
            }
            let window = lengths.len() - 1;
            lengths[window] += 1;
            window_of_voxel[row as usize] = window as i32;
            inverse[row as usize] = place as i32;
        }
        let inner = Inner {
            window_of_voxel,
            groups: RowGroups::from_lengths(lengths),
            order,
            inverse,
            device_order: DeviceCache::default(),
            device_inverse: DeviceCache::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Rank of each voxel's window among the non-empty windows, which are sorted by batch item, then x, y, z.
    pub fn window_of_voxel(&self) -> &[i32] {
        &self.inner.window_of_voxel
    }

    /// Rows of each window after reordering by [`Windows::order`].
    pub fn groups(&self) -> &RowGroups {
        &self.inner.groups
    }

    /// `order[place]` is the row that stands at `place` once windows are contiguous; inside a window rows keep their order.
    pub fn order(&self, device: &Device) -> Tensor<1, Int> {
        self.inner.device_order.get(device, || upload(&self.inner.order, device))
    }

    /// The inverse of [`Windows::order`]: where each row went.
    pub fn inverse(&self, device: &Device) -> Tensor<1, Int> {
        self.inner.device_inverse.get(device, || upload(&self.inner.inverse, device))
    }
}

/// Full attention inside each window: `q`, `k`, `v` `[voxels, H, D]` in voxel order → `[voxels, H, D]`.
pub fn windowed_attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, windows: &Windows) -> Tensor<3> {
    let (device, size) = (q.device(), q.dims());
    let [rows, heads, dim] = size;
    let gather = |x: Tensor<3>, index| gather_rows(x.reshape([rows, heads * dim]), index).reshape(size);
    let [q, k, v] = [q, k, v].map(|x| gather(x, windows.order(&device)));
    gather(attention(q, k, v, windows.groups(), windows.groups()), windows.inverse(&device))
}

#[cfg(test)]
mod tests {
    use crate::Voxels;

    #[test]
    fn the_shift_adds_and_does_not_wrap() {
        let voxels = Voxels::new(vec![[0, 7, 0, 0], [0, 0, 0, 0], [0, 8, 0, 0], [1, 0, 0, 0]]).unwrap();
        let even = voxels.windows(8, 0);
        assert_eq!(even.window_of_voxel(), &[0, 0, 1, 2]);
        assert_eq!(even.groups().offsets(), &[0, 2, 3, 4]);
        let odd = voxels.windows(8, 4);
        assert_eq!(odd.window_of_voxel(), &[1, 0, 1, 2]);
    }
}
