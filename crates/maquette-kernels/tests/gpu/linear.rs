use burn::tensor::DType;
use maquette_kernels::{Activation, Linear, RowGroups, linear, linear_residual};

use crate::support::*;

const ACTIVATIONS: [Activation; 4] = [Activation::None, Activation::GeluTanh, Activation::GeluErf, Activation::Silu];

fn erf(x: f64) -> f64 {
    // Series for small arguments, continued fraction for large ones: both to f64 accuracy.
    if x.abs() < 3.0 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 * sum.abs().max(1e-300) {
            n += 1.0;
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        return sum * 2.0 / std::f64::consts::PI.sqrt();
    }
    let a = x.abs();
    let mut f = 0.0;
    for k in (1..60).rev() {
        f = f64::from(k) / 2.0 / (a + f);
    }
    x.signum() * (1.0 - (-a * a).exp() / ((a + f) * std::f64::consts::PI.sqrt()))
}

fn activate(x: f64, act: Activation) -> f64 {
    match act {
        Activation::None => x,
        Activation::GeluTanh => {
            0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
        }
        Activation::GeluErf => 0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2)),
        Activation::Silu => x / (1.0 + (-x).exp()),
    }
}

fn product(x: &[f64], w: &[f64], [m, n, k]: [usize; 3]) -> Vec<f64> {
    let mut y = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            y[i * n + j] = x[i * k..][..k].iter().zip(&w[j * k..][..k]).map(|(a, b)| a * b).sum();
        }
    }
    y
}

fn size(random: &mut Random) -> usize {
    random.pick(&[1, 2, 3, 4, 7, 8, 13, 16, 24, 31, 32, 33, 48, 64, 65, 96, 101, 128, 132, 160])
}

fn case(
    random: &mut Random,
    shape: [usize; 3],
    place: (&str, &burn::tensor::Device),
    dtype: DType,
    bound: f64,
    all: &mut Together,
) {
    let (tier, device) = place;
    let [m, n, k] = shape;
    let act = random.pick(&ACTIVATIONS);
    // f16 weights beside f32 activations are a form of their own.
    let weight_dtype = if random.below(3) == 0 { DType::F16 } else { dtype };
    let x = random.values(m * k, 1.0, dtype);
    let w = random.values(n * k, 1.0 / (k as f64).sqrt(), weight_dtype);
    let b = random.values(n, 0.5, dtype);
    let with_bias = random.below(4) > 0;
    let layer = Linear {
        weight: upload(&w, [n, k], weight_dtype, device),
        bias: with_bias.then(|| upload(&b, [n], dtype, device)),
    };
    let mut expected = product(&x, &w, shape);
    for (i, y) in expected.iter_mut().enumerate() {
        *y += if with_bias { b[i % n] } else { 0.0 };
    }
    let input = upload(&x, [m, k], dtype, device);
    let activated: Vec<f64> = expected.iter().map(|y| activate(*y, act)).collect();
    let y = download(linear(input.clone(), &layer, act));
    all.add(&y, &activated);
    let error = relative_error(&y, &activated);
    assert!(error <= allowed(&activated, dtype, bound), "{tier} {dtype:?} linear {shape:?} {act:?}: {error:.2e}");

    let r = random.values(m * n, 1.0, dtype);
    let residual = upload(&r, [m, n], dtype, device);
    if random.below(2) == 0 {
        let expected: Vec<f64> = expected.iter().zip(&r).map(|(y, r)| y + r).collect();
        let y = download(linear_residual(input, &layer, residual, None));
        all.add(&y, &expected);
        let error = relative_error(&y, &expected);
        assert!(error <= allowed(&expected, dtype, bound), "{tier} {dtype:?} residual {shape:?}: {error:.2e}");
    } else {
        let groups = if m.is_multiple_of(2) && random.below(2) == 0 {
            RowGroups::uniform(2, m / 2)
        } else {
            let first = random.below(m + 1);
            RowGroups::from_lengths([first, 0, m - first])
        };
        let g = random.values(groups.len() * n, 1.0, dtype);
        let gate = upload(&g, [groups.len(), n], dtype, device);
        let group_of = group_of(&groups);
        let expected: Vec<f64> = (0..m * n).map(|i| r[i] + expected[i] * g[group_of[i / n] * n + i % n]).collect();
        let y = download(linear_residual(input, &layer, residual, Some((&gate, &groups))));
        all.add(&y, &expected);
        let error = relative_error(&y, &expected);
        assert!(error <= allowed(&expected, dtype, bound), "{tier} {dtype:?} gated {shape:?} {groups:?}: {error:.2e}");
    }
}

#[test]
fn linear_layers_of_any_shape_equal_f64() {
    let mut random = Random(1);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            let mut all = Together::default();
            for _ in 0..SHAPES {
                let shape = [size(&mut random), size(&mut random), size(&mut random)];
                case(&mut random, shape, (tier, &device), dtype, bound, &mut all);
            }
            // Long sums, big tiles and their edges.
            for shape in [[5, 12, 4096], [1, 256, 1024], [1030, 1028, 20], [1025, 1152, 64]] {
                case(&mut random, shape, (tier, &device), dtype, bound, &mut all);
            }
            assert!(all.error() <= bound, "{tier} {dtype:?}, all shapes together: {:.2e}", all.error());
        }
    }
}

/// The widest convolution of the networks adds up 27·1024 products. Adding one after the other in f32 is off by 3e-6.
#[test]
fn sums_of_tens_of_thousands_of_products_stay_exact() {
    let (mut random, k) = (Random(21), 27 * 1024);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            // Rows and columns, each distinct one so often that small tiles are taken, and large ones.
            for ([rows, columns], [down, across]) in [([3, 5], [1, 4]), ([8, 8], [128, 128])] {
                // Large tiles add up in a form of their own in f32 only; the CPU tier has no tiles.
                if down > 1 && (dtype == DType::F16 || tier == "cpu") {
                    continue;
                }
                let x = random.values(rows * k, 1.0, dtype);
                let w = random.values(columns * k, 1.0 / (k as f64).sqrt(), dtype);
                let weight = upload(&w, [columns, k], dtype, &device).repeat_dim(0, across);
                let input = upload(&x, [rows, k], dtype, &device).repeat_dim(0, down);
                let y = download(linear(input, &Linear { weight, bias: None }, Activation::None));
                let few = product(&x, &w, [rows, columns, k]);
                let n = columns * across;
                let expected: Vec<f64> =
                    (0..rows * down * n).map(|i| few[i / n % rows * columns + i % n % columns]).collect();
                let error = relative_error(&y, &expected);
                assert!(error <= allowed(&expected, dtype, bound), "{tier} {dtype:?} {rows}·{down}: {error:.2e}");
            }
        }
    }
}

#[test]
fn linear_layers_pass_nan_and_infinity_on() {
    for (tier, device, f16) in devices() {
        for (dtype, _) in dtypes(f16) {
            let (m, n, k) = (3, 8, 8);
            let mut x = vec![1.0; m * k];
            x[k] = f64::NAN;
            x[2 * k] = f64::INFINITY;
            let mut w = vec![0.5; n * k];
            w[k] = -0.5;
            let layer = Linear { weight: upload(&w, [n, k], dtype, &device), bias: None };
            for act in ACTIVATIONS {
                let y = download(linear(upload(&x, [m, k], dtype, &device), &layer, act));
                let expected: Vec<f64> = product(&x, &w, [m, n, k]).into_iter().map(|y| activate(y, act)).collect();
                assert!(same_kinds(&y, &expected), "{tier} {dtype:?} {act:?}: {y:?} for {expected:?}");
            }
        }
    }
}

#[test]
fn large_arguments_do_not_break_activations() {
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            let x: Vec<f64> = (-64..64).map(|i| round(f64::from(i) * 7.5, dtype)).collect();
            let layer = Linear { weight: upload(&[1.0], [1, 1], dtype, &device), bias: None };
            for act in ACTIVATIONS {
                let y = download(linear(upload(&x, [128, 1], dtype, &device), &layer, act));
                let expected: Vec<f64> = x.iter().map(|x| activate(*x, act)).collect();
                let error = relative_error(&y, &expected);
                assert!(error <= allowed(&expected, dtype, bound), "{tier} {dtype:?} {act:?}: {error:.2e}");
            }
        }
    }
}

#[test]
fn activations_by_themselves_equal_f64_for_every_size() {
    let mut random = Random(31);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            for _ in 0..SHAPES {
                let shape = [random.below(70), random.pick(&[1, 3, 4, 31, 128, 260])];
                let x = random.values(shape[0] * shape[1], 4.0, dtype);
                let act = random.pick(&ACTIVATIONS);
                let expected: Vec<f64> = x.iter().map(|x| activate(*x, act)).collect();
                let y = maquette_kernels::activate(upload(&x, shape, dtype, &device), act);
                assert_eq!((y.dims(), y.dtype()), (shape, dtype));
                let error = relative_error(&download(y), &expected);
                assert!(error <= allowed(&expected, dtype, bound), "{tier} {dtype:?} {act:?} {shape:?}: {error:.2e}");
            }
        }
    }
}
