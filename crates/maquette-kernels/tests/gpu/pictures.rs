use maquette_kernels::{Conv2, conv2d};

use crate::support::*;

/// Items, inputs, height, width; outputs, edge of the kernel, dilation.
struct Problem {
    x: [usize; 4],
    outputs: usize,
    edge: usize,
    dilation: usize,
}

impl Problem {
    /// What the taps of a result read: places in an item's plane and in a kernel, in order.
    fn taps(&self, row: usize, column: usize) -> Vec<(usize, usize)> {
        let [.., height, width] = self.x;
        let pad = self.edge / 2 * self.dilation;
        let mut taps = Vec::new();
        for ky in 0..self.edge {
            for kx in 0..self.edge {
                let (r, c) =
                    ((row + ky * self.dilation).wrapping_sub(pad), (column + kx * self.dilation).wrapping_sub(pad));
                if r < height && c < width {
                    taps.push((r * width + c, ky * self.edge + kx));
                }
            }
        }
        taps
    }

    fn convolved(&self, x: &[f64], w: &[f64], b: &[f64], relu: bool) -> Vec<f64> {
        let [items, inputs, height, width] = self.x;
        let (area, kernel) = (height * width, self.edge * self.edge);
        let mut y = vec![0.0; items * self.outputs * area];
        for row in 0..height {
            for column in 0..width {
                let taps = self.taps(row, column);
                for item in 0..items {
                    for o in 0..self.outputs {
                        let mut sum = b[o];
                        for c in 0..inputs {
                            let (plane, w) = (&x[(item * inputs + c) * area..], &w[(o * inputs + c) * kernel..]);
                            sum += taps.iter().map(|(at, tap)| plane[*at] * w[*tap]).sum::<f64>();
                        }
                        let sum = if relu && sum < 0.0 { 0.0 } else { sum };
                        y[(item * self.outputs + o) * area + row * width + column] = sum;
                    }
                }
            }
        }
        y
    }
}

#[test]
fn convolutions_of_pictures_of_any_shape_equal_f64() {
    let mut random = Random(21);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            let mut all = Together::default();
            for case in 0..SHAPES {
                let mut problem = Problem {
                    x: [
                        1 + random.below(2),
                        random.pick(&[1, 2, 3, 5, 8, 13, 16, 33]),
                        1 + random.below(24),
                        1 + random.below(24),
                    ],
                    outputs: random.pick(&[1, 2, 3, 4, 5, 7, 8, 9, 16, 17]),
                    edge: random.pick(&[1, 3, 3, 3]),
                    dilation: random.pick(&[1, 1, 2, 3, 4, 8, 30]),
                };
                if case == 0 {
                    // As long as the longest sums of U²-Net.
                    problem = Problem { x: [1, 1024, 5, 3], outputs: 9, edge: 3, dilation: 1 };
                }
                let relu = random.below(2) == 0;
                let Problem { x: shape, outputs, edge, dilation } = problem;
                let x = random.values(shape.iter().product(), 1.0, dtype);
                let w = random.values(outputs * shape[1] * edge * edge, 0.2, dtype);
                let b = random.values(outputs, 1.0, dtype);
                let expected = problem.convolved(&x, &w, &b, relu);
                let weight = upload(&w, [outputs, shape[1], edge, edge], dtype, &device);
                let layer = Conv2::new(weight, upload(&b, [outputs], dtype, &device), dilation);
                assert_eq!((layer.inputs(), layer.outputs()), (shape[1], outputs));
                let y = conv2d(upload(&x, shape, dtype, &device), &layer, relu);
                assert_eq!((y.dims(), y.dtype()), ([shape[0], outputs, shape[2], shape[3]], dtype));
                let y = download(y);
                all.add(&y, &expected);
                let error = relative_error(&y, &expected);
                assert!(
                    error <= allowed(&expected, dtype, bound),
                    "{tier} {dtype:?} {shape:?}→{outputs}, {edge}×{edge}, dilation {dilation}, ReLU {relu}: {error:.2e}"
                );
            }
            assert!(all.error() <= bound, "{tier} {dtype:?}, all shapes together: {:.2e}", all.error());
        }
    }
}

#[test]
fn a_nan_stays_where_a_tap_reaches_it() {
    for (tier, device, f16) in devices() {
        for (dtype, _) in dtypes(f16) {
            for dilation in [1, 4] {
                let problem = Problem { x: [1, 2, 11, 13], outputs: 3, edge: 3, dilation };
                let mut x: Vec<f64> = (0..2 * 11 * 13).map(|i| round((f64::from(i) * 0.7).sin(), dtype)).collect();
                let place = 143 + 5 * 13;
                x[place] = f64::NAN;
                x[12] = f64::INFINITY;
                let w: Vec<f64> =
                    (0..3 * 2 * 9).map(|i| round(0.5 + (f64::from(i) * 0.3).cos() / 4.0, dtype)).collect();
                let layer = Conv2::new(
                    upload(&w, [3, 2, 3, 3], dtype, &device),
                    upload(&[0.0; 3], [3], dtype, &device),
                    dilation,
                );
                let expected = problem.convolved(&x, &w, &[0.0; 3], false);
                assert!(expected.iter().any(|v| v.is_nan()) && expected.iter().any(|v| v.is_infinite()));
                let y = download(conv2d(upload(&x, problem.x, dtype, &device), &layer, false));
                assert!(same_kinds(&y, &expected), "{tier} {dtype:?} dilation {dilation}");
                let y = download(conv2d(upload(&x, problem.x, dtype, &device), &layer, true));
                assert!(same_kinds(&y, &problem.convolved(&x, &w, &[0.0; 3], true)), "{tier} {dtype:?} ReLU");
            }
        }
    }
}

#[test]
fn convolutions_of_no_pictures_are_empty() {
    for (tier, device, _) in devices() {
        let dtype = burn::tensor::DType::F32;
        let layer =
            Conv2::new(upload(&[0.0; 36], [2, 2, 3, 3], dtype, &device), upload(&[0.0; 2], [2], dtype, &device), 1);
        let y = conv2d(upload(&[], [0, 2, 4, 4], dtype, &device), &layer, true);
        assert_eq!(y.dims(), [0, 2, 4, 4], "{tier}");
    }
}
