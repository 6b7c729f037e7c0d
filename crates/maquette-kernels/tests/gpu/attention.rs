use burn::tensor::DType;
use maquette_kernels::{RowGroups, attention};

use crate::support::*;

/// `softmax(q·kᵀ/√D)·v` in f64.
fn reference(q: &[f64], k: &[f64], v: &[f64], heads: usize, dim: usize, qg: &RowGroups, kg: &RowGroups) -> Vec<f64> {
    let mut y = vec![0.0; q.len()];
    let scale = 1.0 / (dim as f64).sqrt();
    for g in 0..qg.len() {
        for row in qg.range(g) {
            for h in 0..heads {
                let at = (row * heads + h) * dim;
                let scores: Vec<f64> = kg
                    .range(g)
                    .map(|key| (0..dim).map(|d| q[at + d] * k[(key * heads + h) * dim + d]).sum::<f64>() * scale)
                    .collect();
                let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - top).exp()).collect();
                let sum: f64 = weights.iter().sum();
                for (weight, key) in weights.iter().zip(kg.range(g)) {
                    for d in 0..dim {
                        y[at + d] += weight / sum * v[(key * heads + h) * dim + d];
                    }
                }
            }
        }
    }
    y
}

fn case(
    random: &mut Random,
    heads: usize,
    dim: usize,
    qg: &RowGroups,
    kg: &RowGroups,
    place: (&str, &burn::tensor::Device),
    dtype: DType,
    bound: f64,
    all: &mut Together,
) {
    let (tier, device) = place;
    let scale = random.pick(&[0.3, 1.0, 3.0]);
    let q = random.values(qg.rows() * heads * dim, scale, dtype);
    let k = random.values(kg.rows() * heads * dim, 1.0, dtype);
    let v = random.values(kg.rows() * heads * dim, 1.0, dtype);
    let up = |x: &[f64], rows: usize| upload(x, [rows, heads, dim], dtype, device);
    let y = attention(up(&q, qg.rows()), up(&k, kg.rows()), up(&v, kg.rows()), qg, kg);
    assert_eq!(y.dims(), [qg.rows(), heads, dim]);
    let expected = reference(&q, &k, &v, heads, dim, qg, kg);
    let y = download(y);
    all.add(&y, &expected);
    let error = relative_error(&y, &expected);
    assert!(
        error <= allowed(&expected, dtype, bound),
        "{tier} {dtype:?} heads {heads} dim {dim} {qg:?} {kg:?}: {error:.2e}"
    );
}

/// A length that the networks have, or any up to `most`.
fn length(random: &mut Random, most: usize) -> usize {
    match random.below(5) {
        0 => random.pick(&[1, 7, 64]),
        _ => 1 + random.below(most),
    }
}

#[test]
fn attention_of_any_shape_equals_f64() {
    let mut random = Random(2);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            let mut all = Together::default();
            for i in 0..SHAPES {
                let heads = 1 + random.below(3);
                let dim = random.pick(&[32, 64, 128, 64, 32, 16, 24, 1, 33, 80]);
                let (qg, kg) = if i % 2 == 0 {
                    let (groups, q, k) = (1 + random.below(3), length(&mut random, 90), random.below(130));
                    (RowGroups::uniform(groups, q), RowGroups::uniform(groups, k))
                } else {
                    let q = random.lengths(6, 100);
                    let k: Vec<usize> = q.iter().map(|_| random.pick(&[0, 1, 7, 16, 33, 64, 65, 100])).collect();
                    (RowGroups::from_lengths(q), RowGroups::from_lengths(k))
                };
                if qg.rows() > 0 {
                    case(&mut random, heads, dim, &qg, &kg, (tier, &device), dtype, bound, &mut all);
                }
            }
            // The lengths of the networks.
            for (dim, q, k) in
                [(64, 64, 1374), (32, 7, 4096), (128, 1, 1374), (64, 1374, 64), (32, 4096, 1374), (128, 64, 4096)]
            {
                let heads = 1 + random.below(2);
                let (q, k) = (RowGroups::single(q), RowGroups::single(k));
                case(&mut random, heads, dim, &q, &k, (tier, &device), dtype, bound, &mut all);
            }
            // Many small windows, and some of up to 512 rows.
            let windows = RowGroups::from_lengths((0..150).map(|_| 1 + random.below(40)));
            case(&mut random, 2, 32, &windows, &windows, (tier, &device), dtype, bound, &mut all);
            let windows =
                RowGroups::from_lengths([1, 512, 0, 511].into_iter().chain((0..4).map(|_| random.below(512))));
            case(&mut random, 1, 64, &windows, &windows, (tier, &device), dtype, bound, &mut all);
            assert!(all.error() <= bound, "{tier} {dtype:?}, all shapes together: {:.2e}", all.error());
        }
    }
}

#[test]
fn a_nan_stays_in_its_rows_and_infinite_scores_give_nan() {
    for (tier, device, f16) in devices() {
        for (dtype, _) in dtypes(f16) {
            let (dim, groups) = (32, RowGroups::uniform(2, 5));
            let up = |x: &[f64]| upload(x, [10, 1, dim], dtype, &device);
            let mut random = Random(3);
            let k = random.values(10 * dim, 1.0, dtype);
            let v = random.values(10 * dim, 1.0, dtype);
            let mut q = random.values(10 * dim, 1.0, dtype);
            q[2 * dim + 1] = f64::NAN;
            q[3 * dim + 1] = f64::INFINITY;
            let y = download(attention(up(&q), up(&k), up(&v), &groups, &groups));
            let bad: Vec<usize> = (0..10).filter(|row| y[row * dim..][..dim].iter().any(|v| v.is_nan())).collect();
            assert_eq!(bad, [2, 3], "{tier} {dtype:?}");
            // A value that is NaN reaches its own group only, however small its weight.
            let mut v = v;
            v[7 * dim + 4] = f64::NAN;
            let q = random.values(10 * dim, 1.0, dtype);
            let y = download(attention(up(&q), up(&k), up(&v), &groups, &groups));
            for row in 0..10 {
                for d in 0..dim {
                    assert_eq!(y[row * dim + d].is_nan(), row >= 5 && d == 4, "{tier} {dtype:?} row {row} column {d}");
                }
            }
        }
    }
}
