//! Linear layers split into parts of heads, with and without norms of the heads.

use burn::tensor::{DType, Device, Tensor};
use half::f16;
use maquette_kernels::{Linear, PackedLinear, Packing, linear_heads, linear_packed_heads};

use crate::support::*;

/// Rows, heads, columns of a head, length of the sums.
type Shape = [usize; 4];

/// A layer and what it makes of an input.
struct Problem {
    x: Tensor<2>,
    layer: Linear,
    packed: PackedLinear,
    /// `x·Wᵀ + b` for the two forms of the weights.
    sums: [Vec<f64>; 2],
}

impl Problem {
    fn new(random: &mut Random, [m, heads, dim, k]: Shape, parts: usize, dtype: DType, device: &Device) -> Self {
        let n = parts * heads * dim;
        let scale = f16::from_f64(1.0 / (100.0 * (k as f64).sqrt())).to_f64();
        let levels: Vec<i8> = (0..n * k).map(|_| random.below(255) as i8).collect();
        let x = random.values(m * k, 1.0, dtype);
        let w = random.values(n * k, 1.0 / (k as f64).sqrt(), dtype);
        let b = (random.below(4) > 0).then(|| random.values(n, 0.5, dtype));
        let bias = b.as_ref().map(|b| upload(b, [n], dtype, device));
        let unpacked: Vec<f64> = levels.iter().map(|level| round(f64::from(*level) * scale, dtype)).collect();
        let sums = [&w, &unpacked].map(|w| {
            let sum = |i: usize| x[i / n * k..][..k].iter().zip(&w[i % n * k..][..k]).map(|(x, w)| x * w).sum::<f64>();
            (0..m * n).map(|i| sum(i) + b.as_ref().map_or(0.0, |b| b[i % n])).collect()
        });
        let data: Vec<u8> = levels.iter().map(|level| *level as u8).collect();
        let scales: Vec<u8> = (0..n).flat_map(|_| f16::from_f64(scale).to_le_bytes()).collect();
        Self {
            x: upload(&x, [m, k], dtype, device),
            layer: Linear { weight: upload(&w, [n, k], dtype, device), bias: bias.clone() },
            packed: PackedLinear::from_bytes(&data, &scales, Packing::Int8, bias, [n, k], device),
            sums,
        }
    }
}

/// Part `part` of `parts` of the sums, after its norm if it has one.
fn part_of(sums: &[f64], [_, heads, dim, _]: Shape, [part, parts]: [usize; 2], gamma: Option<&[f64]>) -> Vec<f64> {
    let rows = sums.chunks(parts * heads * dim);
    let vectors = rows.flat_map(|row| row[part * heads * dim..][..heads * dim].chunks(dim).enumerate());
    vectors
        .flat_map(|(head, values)| {
            let length = values.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12) / (dim as f64).sqrt();
            let factor = |i: usize| gamma.map_or(1.0, |gamma| gamma[head * dim + i] / length);
            values.iter().enumerate().map(|(i, v)| v * factor(i)).collect::<Vec<_>>()
        })
        .collect()
}

/// Whether the norm is fused; otherwise what it reads is rounded already.
fn fused(tier: &str, [rows, heads, dim, k]: Shape, parts: usize, dtype: DType) -> bool {
    let columns = parts * heads * dim;
    let matrix = tier == "matrix" && dtype == DType::F16 && rows >= 16 && [k, columns].iter().all(|n| n % 8 == 0);
    let tile = match rows.div_ceil(128) * columns.div_ceil(128) {
        64.. => 128,
        _ => {
            if matrix {
                64
            } else {
                32
            }
        }
    };
    let unit = if matrix { 32 } else { 4 };
    tier != "cpu" && k % 4 == 0 && dim % unit == 0 && tile % dim == 0
}

fn case<const P: usize>(random: &mut Random, shape: Shape, (tier, device): (&str, &Device), dtype: DType, bound: f64) {
    let [m, heads, dim, _] = shape;
    let width = heads * dim;
    let Problem { x, layer, packed, sums } = Problem::new(random, shape, P, dtype, device);
    let normed = random.below(P + 1);
    let g = random.values(normed * width, 1.0, DType::F32);
    let gammas = (normed > 0).then(|| upload(&g, [normed, heads, dim], DType::F32, device));
    let found: [[Tensor<3>; P]; 2] = [
        linear_heads(x.clone(), &layer, heads, gammas.as_ref()),
        linear_packed_heads(x, &packed, heads, gammas.as_ref()),
    ];
    for ((found, sums), form) in found.into_iter().zip(&sums).zip(["plain", "packed"]) {
        for (part, y) in found.into_iter().enumerate() {
            assert_eq!((y.dims(), y.dtype()), ([m, heads, dim], dtype));
            let gamma = (part < normed).then(|| &g[part * width..][..width]);
            let expected = part_of(sums, shape, [part, P], gamma);
            // What a norm of its own adds, which reads rounded values and rounds again.
            let (apart, twice) = if gamma.is_some() && !fused(tier, shape, P, dtype) {
                let rounded: Vec<f64> = sums.iter().map(|sum| round(*sum, dtype)).collect();
                let normed = part_of(&rounded, shape, [part, P], gamma);
                let again: Vec<f64> = normed.iter().map(|value| round(*value, dtype)).collect();
                (relative_error(&normed, &expected), relative_error(&again, &expected))
            } else {
                (0.0, 0.0)
            };
            // The body without matrix units does not round unpacked weights.
            let bound = if form == "packed" && dtype == DType::F16 { 2.0 * bound } else { bound };
            let most = (allowed(&expected, dtype, bound) + apart).max(1.01 * twice);
            let error = relative_error(&download(y), &expected);
            assert!(
                error <= most,
                "{tier} {dtype:?} {form}, part {part} of {P}, {normed} with norms, {shape:?}: {error:.2e}"
            );
        }
    }
}

#[test]
fn parts_of_a_layer_and_norms_of_their_heads_equal_f64() {
    let mut random = Random(11);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            let mut shapes: Vec<Shape> = (0..SHAPES)
                .map(|_| {
                    let (rows, heads) = (random.pick(&[1, 7, 16, 33, 64, 129, 150]), 1 + random.below(3));
                    let dim = random.pick(&[3, 4, 8, 20, 32, 64, 128]);
                    [rows, heads, dim, random.pick(&[6, 8, 32, 48])]
                })
                .collect();
            // Large tiles: they hold all of these heads but those of 96 columns.
            shapes.extend([[1025, 12, 32, 36], [1025, 6, 64, 32], [1025, 3, 128, 32], [1025, 4, 96, 24]]);
            for shape in shapes {
                let large = shape[0] > 1000;
                match if large { 3 } else { 1 + random.below(3) } {
                    1 => case::<1>(&mut random, shape, (tier, &device), dtype, bound),
                    2 => case::<2>(&mut random, shape, (tier, &device), dtype, bound),
                    _ => case::<3>(&mut random, shape, (tier, &device), dtype, bound),
                }
            }
        }
    }
}

/// The sums are known to the bit here: a head of NaN, of zeros, of the shortest and of long vectors.
#[test]
fn heads_of_nan_zero_and_tiny_vectors_are_normalised_as_their_definition_says() {
    for (tier, device, f16) in devices() {
        for (dtype, _) in dtypes(f16) {
            for dim in [32, 64] {
                // 1025 rows and 18 heads fill large tiles; row i of x picks the weights' column i % 4.
                let (rows, heads, k) = (1025, 6 * 64 / dim, 4);
                let x: Vec<f64> = (0..rows * k).map(|i| f64::from(u8::from(i % k == i / k % k))).collect();
                let columns = [f64::NAN, 0.0, 1e-7, 100.0];
                let n = 3 * heads * dim;
                // A NaN stands in one column of one head: products with zeros spread it over the rows, not over heads.
                let bad = dim + 5;
                let w: Vec<f64> = (0..n * k)
                    .map(|i| if i % k == 0 && i / k != bad { 1.0 } else { columns[i % k] })
                    .map(|v| if v.is_nan() { v } else { round(v, dtype) })
                    .collect();
                let layer = Linear { weight: upload(&w, [n, k], dtype, &device), bias: None };
                let gammas = upload(&vec![1.0; 2 * heads * dim], [2, heads, dim], DType::F32, &device);
                let [q, key, v] = linear_heads(upload(&x, [rows, k], dtype, &device), &layer, heads, Some(&gammas));
                for (part, y) in [q, key, v].map(download).into_iter().enumerate() {
                    for (i, y) in y.into_iter().enumerate() {
                        let (row, head) = (i / dim / heads, i / dim % heads);
                        let picked = w[(bad + 1) * k + row % k];
                        if part * heads + head == 1 {
                            assert!(y.is_nan(), "{tier} {dtype:?} {dim}: {y} at {part}, {row}, {head}");
                        } else {
                            // All elements are alike: a normalised one is 1, or 0 where the vector is.
                            let expected = if part < 2 { f64::from(u8::from(picked > 0.0)) } else { picked };
                            let near = (y - expected).abs() <= 1e-3 * expected.abs();
                            assert!(near, "{tier} {dtype:?} {dim}: {y} for {expected} at {part}, {row}, {head}");
                        }
                    }
                }
            }
        }
    }
}
