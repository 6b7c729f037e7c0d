//! 3×3×3 convolutions over dense volumes and over voxel sets.
//!
//! Both work on rows, `[voxels, channels]`, and on the same weight layout, so a dense volume is just a voxel set whose
//! neighbours follow from its dimensions.

use burn::tensor::{DType, FloatDType, IndexingUpdateOp, Tensor, module, ops::ConvOptions};

use crate::{
    linear::in_f32,
    neighbours::{NeighbourMap, TAPS},
    wgsl,
};

/// Weights of a 3×3×3 convolution, cross-correlation, stride 1.
#[derive(Clone, Debug)]
pub struct Conv3 {
    /// `[out, 27·in]`: for every output channel the taps in order (kx, ky, kz), kz fastest, and for every tap the input
    /// channels. Sparse checkpoints store exactly this; dense ones (`[out, in, kx, ky, kz]`) are permuted when loaded.
    pub weight: Tensor<2>,
    /// `[out]`.
    pub bias: Tensor<1>,
}

impl Conv3 {
    /// Input channels.
    pub fn inputs(&self) -> usize {
        self.weight.dims()[1] / TAPS
    }

    /// Output channels.
    pub fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// Size of a dense volume of rows: row `((b·X + x)·Y + y)·Z + z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Batch items.
    pub batch: usize,
    /// Voxels along x, y, z.
    pub size: [usize; 3],
}

impl Grid {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.batch * self.size.iter().product::<usize>()
    }

    /// The grid with every edge doubled.
    pub fn doubled(&self) -> Self {
        Self { batch: self.batch, size: self.size.map(|s| 2 * s) }
    }

    /// The grid with every edge halved, rounding down.
    pub fn halved(&self) -> Self {
        Self { batch: self.batch, size: self.size.map(|s| s / 2) }
    }
}

/// Submanifold convolution: `x [voxels, in]` → `[voxels, out]` on the same voxels,
/// `y[p] = bias + Σ_t W_t · x[p + offset_t]` over the neighbours that exist.
pub fn conv3_sparse(x: Tensor<2>, layer: &Conv3, neighbours: &NeighbourMap) -> Tensor<2> {
    if let Some(y) = wgsl::conv3_sparse(&x, &layer.weight, &layer.bias, || neighbours.table(&x.device())) {
        return y;
    }
    let device = x.device();
    let (rows, inputs, outputs) = (x.dims()[0], layer.inputs(), layer.outputs());
    let dtype: FloatDType = x.dtype().into();
    if rows == 0 {
        return Tensor::zeros([0, outputs], (&device, dtype.into()));
    }
    let (x, weight, bias) =
        (x.cast(FloatDType::F32), layer.weight.clone().cast(FloatDType::F32), layer.bias.clone().cast(FloatDType::F32));
    let mut y = Tensor::zeros([rows, outputs], (&device, DType::F32)) + bias.reshape([1, outputs]);
    for pairs in neighbours.pairs(&device) {
        let tap = weight.clone().slice([0..outputs, pairs.tap * inputs..(pairs.tap + 1) * inputs]);
        let part = x.clone().select(0, pairs.inputs).matmul(tap.transpose());
        y = y.select_assign(0, pairs.outputs, part, IndexingUpdateOp::Add);
    }
    y.cast(dtype)
}

/// Dense convolution with zero padding 1: `x [grid rows, in]` → `[grid rows, out]`.
pub fn conv3_dense(x: Tensor<2>, layer: &Conv3, grid: Grid) -> Tensor<2> {
    if let Some(y) = wgsl::conv3_dense(&x, &layer.weight, &layer.bias, grid.size) {
        return y;
    }
    let (inputs, outputs) = (layer.inputs(), layer.outputs());
    let [nx, ny, nz] = grid.size;
    let weight =
        layer.weight.clone().cast(FloatDType::F32).reshape([outputs, 3, 3, 3, inputs]).permute([0, 4, 1, 2, 3]);
    let bias = layer.bias.clone().cast(FloatDType::F32);
    in_f32(x, |x| {
        let volume = x.reshape([grid.batch, nx, ny, nz, inputs]).permute([0, 4, 1, 2, 3]);
        let options = ConvOptions::new([1, 1, 1], [1, 1, 1], [1, 1, 1], 1);
        let y = module::conv3d(volume, weight, Some(bias), options);
        y.permute([0, 2, 3, 4, 1]).reshape([grid.rows(), outputs])
    })
}

/// 3-D pixel shuffle by two: `x [grid rows, 8·C]` → `[doubled grid rows, C]`; channel `8c + 4i + 2j + k` of voxel (x, y, z)
/// becomes channel `c` of voxel (2x + i, 2y + j, 2z + k).
pub fn pixel_shuffle(x: Tensor<2>, grid: Grid) -> Tensor<2> {
    let [nx, ny, nz] = grid.size;
    let channels = x.dims()[1] / 8;
    let b = grid.batch;
    // Three swaps of at most six axes each: device back ends limit the rank.
    let x = x.reshape([b * nx * ny * nz, channels, 8]).permute([0, 2, 1]);
    let x = x.reshape([b * nx, ny * nz, 2, 4 * channels]).permute([0, 2, 1, 3]);
    let x = x.reshape([b * nx * 2 * ny, nz, 2, 2 * channels]).permute([0, 2, 1, 3]);
    x.reshape([8 * b * nx * ny * nz, channels])
}

/// The eight voxels of every 2×2×2 cell side by side, `x [grid rows, C]` → `[halved grid rows, 8·C]`, cell order
/// `4i + 2j + k`: what a convolution of kernel and stride two multiplies with its weights. Edges must be even.
pub fn gather_cells(x: Tensor<2>, grid: Grid) -> Tensor<2> {
    let channels = x.dims()[1];
    let half = grid.halved();
    let [nx, ny, nz] = half.size;
    let b = grid.batch;
    let x = x.reshape([b * nx * 2 * ny, 2, nz, 2 * channels]).permute([0, 2, 1, 3]);
    let x = x.reshape([b * nx, 2, ny * nz, 4 * channels]).permute([0, 2, 1, 3]);
    x.reshape([half.rows(), 8 * channels])
}

/// Rows of a dense `[B, C, X, Y, Z]` volume, `[B·X·Y·Z, C]`.
pub fn volume_to_rows(x: Tensor<5>) -> (Tensor<2>, Grid) {
    let [batch, channels, nx, ny, nz] = x.dims();
    let grid = Grid { batch, size: [nx, ny, nz] };
    (x.permute([0, 2, 3, 4, 1]).reshape([grid.rows(), channels]), grid)
}

/// The way back of [`volume_to_rows`].
pub fn rows_to_volume(x: Tensor<2>, grid: Grid) -> Tensor<5> {
    let [nx, ny, nz] = grid.size;
    let channels = x.dims()[1];
    x.reshape([grid.batch, nx, ny, nz, channels]).permute([0, 4, 1, 2, 3])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int};

    use super::*;
    use crate::Voxels;

    fn ramp<const D: usize>(shape: [usize; D]) -> Tensor<D> {
        let n = shape.iter().product::<usize>() as i64;
        let t = Tensor::<1, Int>::arange(0..n, &Device::flex()).float();
        (t * 0.37).sin().reshape(shape)
    }

    fn layer(outputs: usize, inputs: usize) -> Conv3 {
        Conv3 { weight: ramp([outputs, TAPS * inputs]), bias: ramp([outputs]) }
    }

    fn assert_close<const D: usize>(a: Tensor<D>, b: Tensor<D>) {
        let worst: f32 = (a - b).abs().max().into_scalar();
        assert!(worst < 1e-5, "differs by {worst}");
    }

    #[test]
    fn a_full_voxel_set_convolves_like_the_dense_volume() {
        let grid = Grid { batch: 2, size: [3, 4, 5] };
        let voxels = Voxels::from_occupancy(&vec![true; grid.rows()], [2, 3, 4, 5]).unwrap();
        let x = ramp([grid.rows(), 3]);
        let layer = layer(4, 3);
        assert_close(conv3_sparse(x.clone(), &layer, voxels.neighbours()), conv3_dense(x, &layer, grid));
    }

    #[test]
    fn tap_zero_moves_information_from_the_voxel_before() {
        let device = Device::flex();
        let voxels = Voxels::new(vec![[0, 0, 0, 0], [0, 1, 1, 1]]).unwrap();
        let mut taps = [0.0f32; TAPS];
        taps[0] = 1.0;
        let weight = Tensor::<1>::from_data(taps, &device).reshape([1, TAPS]);
        let layer = Conv3 { weight, bias: Tensor::zeros([1], &device) };
        let y = conv3_sparse(Tensor::from_data([[3.0f32], [5.0]], &device), &layer, voxels.neighbours());
        assert_eq!(y.to_data().try_to_vec::<f32>().unwrap(), vec![0.0, 3.0]);
    }

    #[test]
    fn an_empty_set_convolves_to_nothing() {
        let voxels = Voxels::new(vec![]).unwrap();
        let x = Tensor::zeros([0, 3], &Device::flex());
        assert_eq!(conv3_sparse(x, &layer(4, 3), voxels.neighbours()).dims(), [0, 4]);
    }

    #[test]
    fn shuffled_pixels_land_where_the_definition_says() {
        let grid = Grid { batch: 2, size: [2, 3, 4] };
        let x = ramp([grid.rows(), 16]);
        let y = rows_to_volume(pixel_shuffle(x.clone(), grid), grid.doubled());
        let x = rows_to_volume(x, grid);
        for (i, j, k, c) in [(0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 0, 0), (1, 0, 0, 1), (1, 1, 1, 1)] {
            let from =
                x.clone().slice([1..2, 8 * c + 4 * i + 2 * j + k..8 * c + 4 * i + 2 * j + k + 1, 1..2, 2..3, 3..4]);
            let to = y.clone().slice([1..2, c..c + 1, 2 + i..3 + i, 4 + j..5 + j, 6 + k..7 + k]);
            assert_close(from, to);
        }
    }

    #[test]
    fn gathering_cells_undoes_the_shuffle() {
        let grid = Grid { batch: 1, size: [2, 3, 2] };
        let x = ramp([grid.rows(), 24]);
        let cells = gather_cells(pixel_shuffle(x.clone(), grid), grid.doubled());
        let back = cells.reshape([grid.rows(), 8, 3]).permute([0, 2, 1]).reshape([grid.rows(), 24]);
        assert_close(back, x);
    }

    #[test]
    fn half_precision_keeps_its_type() {
        let grid = Grid { batch: 1, size: [2, 2, 2] };
        let x = ramp([8, 3]).cast(FloatDType::F16);
        assert_eq!(conv3_dense(x, &layer(4, 3), grid).dtype(), DType::F16);
    }
}
