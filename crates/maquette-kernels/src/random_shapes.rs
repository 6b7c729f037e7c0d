//! Every kernel on many random shapes, compared with its definition: what [`selfcheck`](crate::selfcheck::selfcheck) is to a
//! user, this is to a compiler and a driver. It needs nothing of the platform, so that it runs in browsers too.

use burn::tensor::{DType, Device, Tensor};

use crate::{
    Activation, Conv2, Conv3, Grid, Packing, RowGroups, Voxels, attention, conv2d, conv3_dense, conv3_sparse,
    gather_rows, group_norm, layer_norm, layer_norm_modulate, linear, linear_heads, linear_packed, linear_residual,
    rms_norm_heads, scatter_rows,
    selfcheck::{CheckLine, Inputs, flat, packed, read, relative},
    softmax,
};

/// Sizes by chance, the same on every platform.
struct Dice(u32);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % n
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// 1, primes, tiles' edges and their neighbours.
    fn size(&mut self) -> usize {
        self.pick(&[1, 2, 3, 4, 7, 8, 13, 16, 20, 24, 31, 32, 33, 40, 48, 64, 65])
    }

    /// Lengths of one to five groups, some of them empty.
    fn lengths(&mut self, most: usize) -> Vec<usize> {
        let count = 1 + self.below(5);
        let mut lengths: Vec<usize> =
            (0..count).map(|_| if self.below(4) == 0 { 0 } else { 1 + self.below(most) }).collect();
        lengths[0] = lengths[0].max(1);
        lengths
    }
}

/// A problem's result and what to call the problem.
type Problem = (Tensor<1>, String);
type Family = (&'static str, fn(&Inputs<'_>, &mut Dice) -> Problem);

const FAMILIES: &[Family] = &[
    ("linear", |i, dice| {
        let [m, n, k] = [dice.size(), dice.size(), dice.size()];
        let act = dice.pick(&[Activation::None, Activation::GeluTanh, Activation::GeluErf, Activation::Silu]);
        (flat(linear(i.floats(1, [m, k]), &i.layer(2, n, k), act)), format!("{m}×{n}×{k} {act:?}"))
    }),
    ("linear + gated residual", |i, dice| {
        let (lengths, n, k) = (dice.lengths(20), dice.size(), dice.size());
        let groups = RowGroups::from_lengths(lengths.iter().copied());
        let (m, gate) = (groups.rows(), i.floats(4, [groups.len(), n]));
        let y = linear_residual(i.floats(1, [m, k]), &i.layer(2, n, k), i.floats(5, [m, n]), Some((&gate, &groups)));
        (flat(y), format!("{lengths:?}×{n}×{k}"))
    }),
    ("queries, keys, values with head norms", |i, dice| {
        let (rows, heads, dim, k) = (dice.size(), 1 + dice.below(3), dice.pick(&[4, 8, 20, 32, 64]), 4 * dice.size());
        let gammas = i.exact(6, [2, heads, dim], DType::F32);
        let [q, k_, v] = linear_heads(i.floats(1, [rows, k]), &i.layer(2, 3 * heads * dim, k), heads, Some(&gammas));
        (Tensor::cat(vec![flat(q), flat(k_), flat(v)], 0), format!("{rows}×{heads}×{dim} of {k}"))
    }),
    ("linear, packed weights", |i, dice| {
        let (rows, packing) =
            (dice.size(), dice.pick(&[Packing::Int8, Packing::Int4 { group: 32 }, Packing::Int4 { group: 64 }]));
        (
            flat(linear_packed(i.floats(1, [rows, 64]), &packed(i, packing), Activation::None)),
            format!("{rows} {packing:?}"),
        )
    }),
    ("attention", |i, dice| {
        let (heads, dim) = (1 + dice.below(2), dice.pick(&[32, 64, 128, 1, 20, 33, 80]));
        let q = dice.lengths(40);
        let k: Vec<usize> = q.iter().map(|_| dice.pick(&[0, 1, 7, 16, 33, 64, 65])).collect();
        let [qg, kg] = [&q, &k].map(|lengths| RowGroups::from_lengths(lengths.iter().copied()));
        let [x, y, z] =
            [(1, qg.rows()), (2, kg.rows()), (3, kg.rows())].map(|(s, rows)| i.floats(s, [rows, heads, dim]));
        (flat(attention(x, y, z, &qg, &kg)), format!("{q:?}×{k:?}, {heads}×{dim}"))
    }),
    ("layer norm", |i, dice| {
        let (rows, width) = (dice.size(), dice.size() * dice.pick(&[1, 4, 16]));
        let (weight, bias) = (i.exact(2, [width], DType::F32), i.exact(3, [width], DType::F32));
        (flat(layer_norm(i.floats(1, [rows, width]), Some((&weight, &bias)), 1e-3)), format!("{rows}×{width}"))
    }),
    ("layer norm + modulate", |i, dice| {
        let (lengths, width) = (dice.lengths(12), dice.size() * dice.pick(&[1, 4, 16]));
        let groups = RowGroups::from_lengths(lengths.iter().copied());
        let [x, scale, shift] =
            [(1, groups.rows()), (2, groups.len()), (3, groups.len())].map(|(s, rows)| i.floats(s, [rows, width]));
        (flat(layer_norm_modulate(x, &scale, &shift, &groups, 1e-3)), format!("{lengths:?}×{width}"))
    }),
    ("RMS norm", |i, dice| {
        let shape = [dice.size(), 1 + dice.below(4), dice.pick(&[1, 4, 16, 20, 32, 33, 64, 128])];
        (flat(rms_norm_heads(i.floats(1, shape), &i.exact(2, [shape[1], shape[2]], DType::F32))), format!("{shape:?}"))
    }),
    ("softmax", |i, dice| {
        let shape = [dice.size(), dice.size() * dice.pick(&[1, 5])];
        (flat(softmax(i.wide(1, shape))), format!("{shape:?}"))
    }),
    ("group norm", |i, dice| {
        let (lengths, groups) = (dice.lengths(150), dice.pick(&[1, 2, 8]));
        let (batches, channels) = (RowGroups::from_lengths(lengths.iter().copied()), groups * dice.pick(&[2, 3, 8]));
        let (weight, bias) = (i.exact(2, [channels], DType::F32), i.exact(3, [channels], DType::F32));
        let x = i.floats(1, [batches.rows(), channels]);
        (flat(group_norm(x, &batches, groups, (&weight, &bias), 1e-3)), format!("{lengths:?}×{channels} / {groups}"))
    }),
    ("gather and scatter rows", |i, dice| {
        let (rows, width) = (dice.size(), dice.size());
        let mut order: Vec<i32> = (0..rows as i32).collect();
        for place in (1..rows).rev() {
            order.swap(place, dice.below(place + 1));
        }
        order.truncate(1 + dice.below(rows));
        let index = || i.words(order.clone());
        (flat(scatter_rows(gather_rows(i.floats(1, [rows, width]), index()), index(), rows)), format!("{rows}×{width}"))
    }),
    ("sparse convolution", |i, dice| {
        let (inputs, outputs, edge, of) = (dice.size(), dice.size(), 1 + dice.below(5) as i32, 1 + dice.below(4));
        let all = (0..edge).flat_map(|x| (0..edge).flat_map(move |y| (0..edge).map(move |z| [0, x, y, z])));
        let mut coords: Vec<[i32; 4]> = all.filter(|_| dice.below(of) == 0).collect();
        if coords.is_empty() {
            coords.push([0; 4]);
        }
        let name = format!("{} voxels {inputs}→{outputs}", coords.len());
        let voxels = Voxels::new(coords).expect("a grid's cells are distinct");
        let x = i.floats(1, [voxels.len(), inputs]);
        let layer = Conv3 { weight: i.floats(2, [outputs, 27 * inputs]), bias: i.floats(3, [outputs]) };
        (flat(conv3_sparse(x, &layer, voxels.neighbours())), name)
    }),
    ("dense convolution", |i, dice| {
        let (inputs, outputs) = (dice.size(), dice.size());
        let grid = Grid { batch: 1 + dice.below(2), size: [0; 3].map(|_| 1 + dice.below(4)) };
        let layer = Conv3 { weight: i.floats(2, [outputs, 27 * inputs]), bias: i.floats(3, [outputs]) };
        (flat(conv3_dense(i.floats(1, [grid.rows(), inputs]), &layer, grid)), format!("{grid:?} {inputs}→{outputs}"))
    }),
    ("convolution of pictures", |i, dice| {
        let (edge, dilation, relu) = (dice.pick(&[1, 3, 3]), dice.pick(&[1, 1, 2, 4, 8]), dice.below(2) == 0);
        let size = [1 + dice.below(2), dice.size(), 1 + dice.below(20), 1 + dice.below(20)];
        let outputs = dice.size();
        let weight = i.floats(2, [outputs, size[1], edge, edge]);
        let layer = Conv2::new(weight, i.floats(3, [outputs]), dilation);
        (
            flat(conv2d(i.floats(1, size), &layer, relu)),
            format!("{size:?}→{outputs}, {edge}×{edge}, dilation {dilation}"),
        )
    }),
];

/// Runs every kernel on `device` on `shapes` random small shapes in f32 and compares with the definition on the CPU. A line is
/// a kernel with its worst error.
pub async fn random_shapes(device: &Device, shapes: usize) -> Vec<CheckLine> {
    const BOUND: f64 = 2e-6;
    let (cpu, dtype) = (Device::flex(), DType::F32);
    let mut lines = Vec::new();
    for (place, (family, run)) in FAMILIES.iter().enumerate() {
        let mut worst = (0.0, String::new());
        for shape in 0..shapes {
            let seed = ((place * shapes + shape) as u32).wrapping_mul(0x9e37_79b9) | 1;
            let (expected, name) = run(&Inputs { device: &cpu, dtype, rounding: dtype }, &mut Dice(seed));
            let (found, _) = run(&Inputs { device, dtype, rounding: dtype }, &mut Dice(seed));
            let sides = (read(expected).await, read(found).await);
            let error =
                if let (Some(expected), Some(found)) = sides { relative(&found, &expected) } else { f64::INFINITY };
            if error > worst.0 {
                worst = (error, format!(", worst: {name}"));
            }
        }
        let name = format!("{family}, {shapes} random shapes{}", worst.1);
        lines.push(CheckLine { name, error: worst.0, bound: BOUND, ok: worst.0 <= BOUND });
    }
    lines
}
