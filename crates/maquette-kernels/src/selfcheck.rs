//! A quick comparison of every kernel with its definition, for users who want to know whether their GPU and driver compute
//! correctly, and for browsers.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use maquette_gpu::{Tier, capabilities_of};

use crate::{
    Activation, Conv2, Conv3, Grid, Linear, PackedLinear, Packing, RowGroups, Voxels, attention, conv2d, conv3_dense,
    conv3_sparse, gather_rows, group_norm, layer_norm, layer_norm_modulate, linear, linear_heads, linear_packed,
    linear_residual, rms_norm_heads, scatter_rows, softmax,
};

/// The outcome of one comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckLine {
    /// The kernel and its element type.
    pub name: String,
    /// Relative Frobenius error against the default body on the CPU; infinite where the result could not be read or is NaN.
    pub error: f64,
    /// The largest error allowed.
    pub bound: f64,
    /// Whether the error is within the bound.
    pub ok: bool,
}

/// Numbers between −1 and 1 without a visible pattern, the same on every platform.
fn numbers(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0) as f32
        })
        .collect()
}

/// Makes inputs on one device.
pub(crate) struct Inputs<'a> {
    pub(crate) device: &'a Device,
    pub(crate) dtype: DType,
    /// Inputs are rounded to this first, so that both sides start from the same numbers.
    pub(crate) rounding: DType,
}

impl Inputs<'_> {
    pub(crate) fn floats<const D: usize>(&self, seed: u32, shape: [usize; D]) -> Tensor<D> {
        self.scaled(1.0, seed, shape, self.dtype)
    }

    pub(crate) fn wide<const D: usize>(&self, seed: u32, shape: [usize; D]) -> Tensor<D> {
        self.scaled(3.0, seed, shape, self.dtype)
    }

    pub(crate) fn exact<const D: usize>(&self, seed: u32, shape: [usize; D], dtype: DType) -> Tensor<D> {
        self.scaled(1.0, seed, shape, dtype)
    }

    fn scaled<const D: usize>(&self, scale: f32, seed: u32, shape: [usize; D], dtype: DType) -> Tensor<D> {
        let count: usize = shape.iter().product();
        let mut values: Vec<f32> = numbers(seed, count).into_iter().map(|v| v * scale).collect();
        if self.rounding == DType::F16 {
            for value in &mut values {
                *value = half::f16::from_f32(*value).to_f32();
            }
        }
        Tensor::<D>::from_data(TensorData::new(values, shape), self.device).cast(dtype)
    }

    pub(crate) fn words(&self, values: Vec<i32>) -> Tensor<1, Int> {
        let shape = [values.len()];
        Tensor::from_data(TensorData::new(values, shape), (self.device, DType::I32))
    }

    pub(crate) fn layer(&self, seed: u32, outputs: usize, inputs: usize) -> Linear {
        Linear { weight: self.floats(seed, [outputs, inputs]), bias: Some(self.floats(seed + 1, [outputs])) }
    }
}

type Case = (&'static str, fn(&Inputs) -> Tensor<1>);

pub(crate) fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let count: usize = x.dims().iter().product();
    x.reshape([count])
}

fn shell(inputs: &Inputs, size: [usize; 2]) -> (Voxels, Tensor<2>, Conv3) {
    let coords: Vec<[i32; 4]> = (0..6i32)
        .flat_map(|x| (0..6i32).flat_map(move |y| (0..6i32).map(move |z| [0, x, y, z])))
        .filter(|c| (c[1] * 7 + c[2] * 3 + c[3] * 5) % 4 != 0)
        .collect();
    let voxels = Voxels::new(coords).expect("distinct coordinates of one item");
    let x = inputs.floats(31, [voxels.len(), size[0]]);
    let layer = Conv3 { weight: inputs.floats(32, [size[1], 27 * size[0]]), bias: inputs.floats(33, [size[1]]) };
    (voxels, x, layer)
}

/// Every kernel on a small odd problem and, where big tiles have a body of their own, on one that fills them.
const CASES: &[Case] = &[
    ("linear 37×29×31", |i| flat(linear(i.floats(1, [37, 31]), &i.layer(2, 29, 31), Activation::None))),
    ("linear 70×64×96, GELU (tanh)", |i| {
        flat(linear(i.floats(1, [70, 96]), &i.layer(2, 64, 96), Activation::GeluTanh))
    }),
    ("linear 70×64×96, GELU (erf)", |i| {
        flat(linear(i.floats(1, [70, 96]), &i.layer(2, 64, 96), Activation::GeluErf))
    }),
    ("linear 1030×1032×40, SiLU", |i| flat(linear(i.floats(1, [1030, 40]), &i.layer(2, 1032, 40), Activation::Silu))),
    ("linear + gated residual", |i| {
        let groups = RowGroups::from_lengths([20, 0, 45]);
        let gate = i.floats(4, [3, 40]);
        flat(linear_residual(i.floats(1, [65, 72]), &i.layer(2, 40, 72), i.floats(5, [65, 40]), Some((&gate, &groups))))
    }),
    ("queries, keys, values with head norms", |i| {
        let gammas = i.exact(6, [2, 2, 32], DType::F32);
        let [q, k, v] = linear_heads(i.floats(1, [33, 64]), &i.layer(2, 192, 64), 2, Some(&gammas));
        Tensor::cat(vec![flat(q), flat(k), flat(v)], 0)
    }),
    ("linear, 8-bit weights", |i| {
        flat(linear_packed(i.floats(1, [40, 64]), &packed(i, Packing::Int8), Activation::None))
    }),
    ("linear, 4-bit weights", |i| {
        flat(linear_packed(i.floats(1, [40, 64]), &packed(i, Packing::Int4 { group: 32 }), Activation::None))
    }),
    ("attention, one group, 64", |i| {
        let (q, k) = (RowGroups::single(150), RowGroups::single(201));
        flat(attention(i.wide(1, [150, 2, 64]), i.wide(2, [201, 2, 64]), i.floats(3, [201, 2, 64]), &q, &k))
    }),
    ("attention, windows, 32", |i| {
        let groups = RowGroups::from_lengths([1, 40, 0, 17, 64, 3]);
        let [a, b, c] = [1, 2, 3].map(|seed| i.floats(seed, [125, 3, 32]));
        flat(attention(a, b, c, &groups, &groups))
    }),
    ("attention, head dim 20", |i| {
        let groups = RowGroups::uniform(2, 23);
        let [a, b, c] = [1, 2, 3].map(|seed| i.floats(seed, [46, 1, 20]));
        flat(attention(a, b, c, &groups, &groups))
    }),
    ("attention, head dim 128", |i| {
        let groups = RowGroups::single(70);
        flat(attention(i.wide(1, [70, 2, 128]), i.wide(2, [70, 2, 128]), i.floats(3, [70, 2, 128]), &groups, &groups))
    }),
    ("layer norm", |i| {
        let (weight, bias) = (i.exact(2, [100], DType::F32), i.exact(3, [100], DType::F32));
        flat(layer_norm(i.floats(1, [9, 100]), Some((&weight, &bias)), 1e-6))
    }),
    ("layer norm + modulate", |i| {
        let groups = RowGroups::from_lengths([4, 5]);
        flat(layer_norm_modulate(
            i.floats(1, [9, 1030]),
            &i.floats(2, [2, 1030]),
            &i.floats(3, [2, 1030]),
            &groups,
            1e-6,
        ))
    }),
    ("RMS norm", |i| flat(rms_norm_heads(i.floats(1, [11, 3, 64]), &i.exact(2, [3, 64], DType::F32)))),
    ("softmax", |i| flat(softmax(i.wide(1, [7, 130])))),
    ("group norm", |i| {
        let (weight, bias) = (i.exact(2, [64], DType::F32), i.exact(3, [64], DType::F32));
        flat(group_norm(i.floats(1, [300, 64]), &RowGroups::from_lengths([137, 163]), 8, (&weight, &bias), 1e-5))
    }),
    ("gather and scatter rows", |i| {
        let index = || i.words(vec![4, 0, 2, 6, 1]);
        flat(scatter_rows(gather_rows(i.floats(1, [7, 12]), index()), index(), 9))
    }),
    ("sparse convolution", |i| {
        let (voxels, x, layer) = shell(i, [12, 20]);
        flat(conv3_sparse(x, &layer, voxels.neighbours()))
    }),
    ("sparse convolution, 64 channels", |i| {
        let (voxels, x, layer) = shell(i, [64, 64]);
        flat(conv3_sparse(x, &layer, voxels.neighbours()))
    }),
    ("dense convolution", |i| {
        let grid = Grid { batch: 2, size: [3, 4, 5] };
        let layer = Conv3 { weight: i.floats(2, [16, 27 * 8]), bias: i.floats(3, [16]) };
        flat(conv3_dense(i.floats(1, [grid.rows(), 8]), &layer, grid))
    }),
    ("convolution of a picture", |i| {
        let layer = Conv2::new(i.floats(2, [20, 5, 3, 3]), i.floats(3, [20]), 2);
        flat(conv2d(i.floats(1, [2, 5, 11, 13]), &layer, true))
    }),
    ("convolution of a picture, 1×1", |i| {
        let layer = Conv2::new(i.floats(2, [1, 6, 1, 1]), i.floats(3, [1]), 1);
        flat(conv2d(i.floats(1, [1, 6, 19, 7]), &layer, false))
    }),
];

/// A layer of 24 outputs and 64 inputs with random levels and the scale 1/64.
pub(crate) fn packed(inputs: &Inputs, packing: Packing) -> PackedLinear {
    let (count, shares) = match packing {
        Packing::Int8 => (24 * 64 / 4, 24),
        Packing::Int4 { group } => (24 * 64 / 8, 24 * 64 / group),
    };
    let words = numbers(41, count).into_iter().map(|v| (f64::from(v) * f64::from(i32::MAX)) as i32).collect();
    let scale = i32::from(half::f16::from_f32(1.0 / 64.0).to_bits());
    PackedLinear {
        words: inputs.words(words),
        scales: inputs.words(vec![scale | (scale << 16); shares / 2]),
        packing,
        bias: None,
        inputs: 64,
        outputs: 24,
    }
}

pub(crate) async fn read(x: Tensor<1>) -> Option<Vec<f32>> {
    x.cast(DType::F32).into_data_async().await.ok()?.try_to_vec::<f32>().ok()
}

pub(crate) fn relative(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() || a.iter().any(|v| v.is_nan()) {
        return f64::INFINITY;
    }
    let square = |v: f64| v * v;
    let apart: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let norm: f64 = b.iter().map(|b| square(f64::from(*b))).sum();
    if apart == 0.0 { 0.0 } else { (apart / norm).sqrt() }
}

/// Runs every kernel on `device`, in f32 and where the device has it in f16, and compares with the definition in f32 on the
/// CPU. On the CPU tier it compares the definitions with themselves.
pub async fn selfcheck(device: &Device) -> Vec<CheckLine> {
    let capabilities = capabilities_of(device);
    let cpu = Device::flex();
    let mut types = vec![(DType::F32, "f32", 2e-6)];
    if capabilities.f16 && capabilities.tier > Tier::Cpu {
        types.push((DType::F16, "f16", 3e-4));
    }
    let mut lines = Vec::new();
    for (dtype, label, bound) in types {
        for (name, run) in CASES {
            let expected = read(run(&Inputs { device: &cpu, dtype: DType::F32, rounding: dtype })).await;
            let found = read(run(&Inputs { device, dtype, rounding: dtype })).await;
            let error = expected.zip(found).map_or(f64::INFINITY, |(expected, found)| relative(&found, &expected));
            lines.push(CheckLine { name: format!("{name}, {label}"), error, bound, ok: error <= bound });
        }
    }
    lines
}
