use maquette_kernels::{RowGroups, layer_norm, layer_norm_modulate, rms_norm_heads};

use crate::support::*;

fn normalised(x: &[f64], width: usize, eps: f64) -> Vec<f64> {
    x.chunks(width)
        .flat_map(|row| {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / width as f64;
            row.iter().map(move |v| (v - mean) / (variance + eps).sqrt()).collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn layer_norms_of_any_shape_equal_f64() {
    let mut random = Random(4);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            let mut all = Together::default();
            for _ in 0..SHAPES {
                let rows = random.pick(&[1, 2, 3, 5, 8, 13, 37]);
                let width = random.pick(&[4, 7, 12, 31, 64, 100, 192, 255, 256, 513, 768, 1024, 1028, 2050, 4096]);
                let x: Vec<f64> =
                    random.values(rows * width, 2.0, dtype).iter().map(|v| round(v + 0.5, dtype)).collect();
                let plain = normalised(&x, width, 1e-6);
                let input = upload(&x, [rows, width], dtype, &device);
                let mut check = |what: &str, y: Vec<f64>, expected: &[f64]| {
                    all.add(&y, expected);
                    let error = relative_error(&y, expected);
                    assert!(
                        error <= allowed(expected, dtype, bound),
                        "{tier} {dtype:?} {what} [{rows}, {width}]: {error:.2e}"
                    );
                };
                check("plain", download(layer_norm(input.clone(), None, 1e-6)), &plain);

                let f32 = burn::tensor::DType::F32;
                let (w, b) = (random.values(width, 1.0, f32), random.values(width, 1.0, f32));
                let (weight, bias) = (upload(&w, [width], f32, &device), upload(&b, [width], f32, &device));
                let expected: Vec<f64> =
                    plain.iter().enumerate().map(|(i, y)| y * w[i % width] + b[i % width]).collect();
                check("affine", download(layer_norm(input.clone(), Some((&weight, &bias)), 1e-6)), &expected);

                let first = random.below(rows + 1);
                let groups = if random.below(2) == 0 {
                    RowGroups::single(rows)
                } else {
                    RowGroups::from_lengths([first, 0, rows - first])
                };
                let kind = if random.below(2) == 0 { dtype } else { f32 };
                let s = random.values(groups.len() * width, 1.0, kind);
                let t = random.values(groups.len() * width, 1.0, kind);
                let up = |x: &[f64]| upload(x, [groups.len(), width], kind, &device);
                let group_of = group_of(&groups);
                let at = |i: usize| group_of[i / width] * width + i % width;
                let expected: Vec<f64> =
                    plain.iter().enumerate().map(|(i, y)| y * (1.0 + s[at(i)]) + t[at(i)]).collect();
                check("modulated", download(layer_norm_modulate(input, &up(&s), &up(&t), &groups, 1e-6)), &expected);
            }
            assert!(all.error() <= bound, "{tier} {dtype:?}, all shapes together: {:.2e}", all.error());
        }
    }
}

/// So many rows that lanes take two of them, in widths of exactly eight or six units of every lane (subgroups of 4, 8 and 32, and the 32
/// lanes that rows have without subgroups); the last row is alone, and groups begin within pairs.
#[test]
fn pairs_of_rows_take_the_factors_of_their_groups() {
    let mut random = Random(41);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            for width in [96, 128, 192, 256, 768, 1024] {
                let rows = 2049 + 2 * random.below(4);
                let odd = 2 * random.below(1000) + 1;
                let x = random.values(rows * width, 2.0, dtype);
                let (input, plain) = (upload(&x, [rows, width], dtype, &device), normalised(&x, width, 1e-6));
                for groups in [RowGroups::single(rows), RowGroups::from_lengths([odd, 0, 2, rows - odd - 2])] {
                    let s = random.values(groups.len() * width, 1.0, dtype);
                    let t = random.values(groups.len() * width, 1.0, dtype);
                    let up = |x: &[f64]| upload(x, [groups.len(), width], dtype, &device);
                    let y = download(layer_norm_modulate(input.clone(), &up(&s), &up(&t), &groups, 1e-6));

                    let group_of = group_of(&groups);
                    let at = |i: usize| group_of[i / width] * width + i % width;
                    let expected: Vec<f64> =
                        plain.iter().enumerate().map(|(i, y)| y * (1.0 + s[at(i)]) + t[at(i)]).collect();
                    let what = format!("{tier} {dtype:?} [{rows}, {width}], {} groups", groups.len());
                    let error = relative_error(&y, &expected);
                    assert!(error <= bound, "{what}: {error:.2e}");
                    let rows_of = y.chunks(width).zip(expected.chunks(width));
                    let wrong = rows_of.map(|(y, expected)| relative_error(y, expected)).position(|e| e > 4.0 * bound);
                    assert_eq!(wrong, None, "{what}: this row is off");
                }
            }
        }
    }
}

#[test]
fn head_norms_of_any_shape_equal_f64() {
    let mut random = Random(5);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            let mut all = Together::default();
            for _ in 0..SHAPES {
                let (rows, heads) = (1 + random.below(40), 1 + random.below(5));
                let dim = random.pick(&[1, 3, 4, 16, 30, 32, 64, 96, 128]);
                let x = random.values(rows * heads * dim, 1.0, dtype);
                let g = random.values(heads * dim, 1.0, burn::tensor::DType::F32);
                let expected: Vec<f64> = x
                    .chunks(dim)
                    .enumerate()
                    .flat_map(|(vector, values)| {
                        let length = values.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
                        let gamma = &g[vector % heads * dim..][..dim];
                        values.iter().zip(gamma).map(|(v, g)| v / length * g * (dim as f64).sqrt()).collect::<Vec<_>>()
                    })
                    .collect();
                let gamma = upload(&g, [heads, dim], burn::tensor::DType::F32, &device);
                let y = rms_norm_heads(upload(&x, [rows, heads, dim], dtype, &device), &gamma);
                let y = download(y);
                all.add(&y, &expected);
                let error = relative_error(&y, &expected);
                assert!(
                    error <= allowed(&expected, dtype, bound),
                    "{tier} {dtype:?} [{rows}, {heads}, {dim}]: {error:.2e}"
                );
            }
            assert!(all.error() <= bound, "{tier} {dtype:?}, all shapes together: {:.2e}", all.error());
        }
    }
}

#[test]
fn norms_spread_nan_over_their_row_only() {
    for (tier, device, f16) in devices() {
        for (dtype, _) in dtypes(f16) {
            let (rows, width) = (5, 16);
            let mut x: Vec<f64> = (0..rows * width).map(|i| round((i as f64 * 0.7).sin(), dtype)).collect();
            x[2 * width + 3] = f64::NAN;
            x[4 * width + 3] = f64::INFINITY;
            let y = download(layer_norm(upload(&x, [rows, width], dtype, &device), None, 1e-6));
            for row in 0..rows {
                let all = y[row * width..][..width].iter().all(|v| v.is_nan());
                assert_eq!(all, row == 2 || row == 4, "{tier} {dtype:?} row {row}");
            }
            x[4 * width + 3] = 0.0;
            let gamma = upload(&vec![1.0; width], [1, width], burn::tensor::DType::F32, &device);
            let y = download(rms_norm_heads(upload(&x, [rows, 1, width], dtype, &device), &gamma));
            for row in 0..rows {
                let all = y[row * width..][..width].iter().all(|v| v.is_nan());
                assert_eq!(all, row == 2, "{tier} {dtype:?} row {row}");
            }
            let zero = download(rms_norm_heads(upload(&vec![0.0; width], [1, 1, width], dtype, &device), &gamma));
            assert!(zero.iter().all(|v| *v == 0.0), "{tier} {dtype:?}");
        }
    }
}
