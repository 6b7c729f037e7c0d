//! Position embeddings for grids other than the trained one.

/// How a DINOv2 was told to resize its position embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PositionResize {
    /// Low-pass filter when shrinking. The models with registers do, the others do not.
    pub antialias: bool,
    /// Added to the target grid's edges when the scale is computed, against rounding; 0 (resize to the exact grid) in the models
    /// with registers, 0.1 in the others.
    pub offset: f64,
}

/// Bicubic weights along one axis: for every output, the first input and the weights from there on.
fn axis_weights(inputs: usize, outputs: usize, resize: PositionResize) -> Vec<(Vec<usize>, Vec<f32>)> {
    let scale = if resize.offset == 0.0 {
        inputs as f64 / outputs as f64
    } else {
        inputs as f64 / (outputs as f64 + resize.offset)
    };
    (0..outputs)
        .map(|o| if resize.antialias { filtered(inputs, o, scale) } else { interpolated(inputs, o, scale) })
        .collect()
}

/// Keys' cubic convolution kernel.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
}

/// With antialiasing: a kernel with a = −½, widened when shrinking, cut off at the border and normalised.
fn filtered(inputs: usize, output: usize, scale: f64) -> (Vec<usize>, Vec<f32>) {
    let stretch = scale.max(1.0);
    let (support, centre) = (2.0 * stretch, scale * (output as f64 + 0.5));
    let low = (centre - support + 0.5).max(0.0) as usize;
    let high = ((centre + support + 0.5) as usize).min(inputs);
    let weights: Vec<f64> = (low..high).map(|i| cubic((i as f64 - centre + 0.5) / stretch, -0.5)).collect();
    let total: f64 = weights.iter().sum();
    ((low..high).collect(), weights.into_iter().map(|w| (w / total) as f32).collect())
}

/// Without: four taps of a kernel with a = −¾, the border repeated.
fn interpolated(inputs: usize, output: usize, scale: f64) -> (Vec<usize>, Vec<f32>) {
    let at = scale * (output as f64 + 0.5) - 0.5;
    let taps = (-1..3).map(|tap| {
        let i = at.floor() as i64 + tap;
        (i.clamp(0, inputs as i64 - 1) as usize, cubic(at - i as f64, -0.75) as f32)
    });
    taps.unzip()
}

/// Resizes `embedding`, `[rows·columns, channels]` of a `[from; 2]` grid, to the grid `to` (rows, columns).
pub(super) fn resized(
    embedding: &[f32],
    channels: usize,
    from: usize,
    to: [usize; 2],
    resize: PositionResize,
) -> Vec<f32> {
    let mix =
        |source: &[f32], offset: usize, stride: usize, out: &mut [f32], (at, weights): &(Vec<usize>, Vec<f32>)| {
            for (i, w) in at.iter().zip(weights) {
                let row = &source[offset + i * stride..offset + i * stride + channels];
                for (o, v) in out.iter_mut().zip(row) {
                    *o += w * v;
                }
            }
        };
    let across = axis_weights(from, to[1], resize);
    let mut wide = vec![0.0; from * to[1] * channels];
    for (i, out) in wide.chunks_exact_mut(channels).enumerate() {
        let (row, column) = (i / to[1], i % to[1]);
        mix(embedding, row * from * channels, channels, out, &across[column]);
    }
    let down = axis_weights(from, to[0], resize);
    let mut result = vec![0.0; to[0] * to[1] * channels];
    for (i, out) in result.chunks_exact_mut(channels).enumerate() {
        let (row, column) = (i / to[1], i % to[1]);
        mix(&wide, column * channels, to[1] * channels, out, &down[row]);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTERS: PositionResize = PositionResize { antialias: true, offset: 0.0 };
    const PLAIN: PositionResize = PositionResize { antialias: false, offset: 0.1 };

    #[test]
    fn a_constant_stays_constant() {
        for resize in [REGISTERS, PLAIN] {
            let y = resized(&[2.5; 7 * 7 * 3], 3, 7, [4, 11], resize);
            assert!(y.iter().all(|v| (v - 2.5).abs() < 1e-5));
        }
    }

    #[test]
    fn the_same_grid_stays_itself() {
        let x: Vec<f32> = (0..25).map(|i| (i as f32).sin()).collect();
        let y = resized(&x, 1, 5, [5, 5], REGISTERS);
        assert!(x.iter().zip(&y).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
