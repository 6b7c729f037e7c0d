//! The Lanczos-3 weights of one axis, in Pillow's 22-bit fixed point.

use crate::error::{ImageError, reserve};
use std::f64::consts::PI;

/// Fraction bits of a weight.
pub(crate) const PRECISION: u32 = 22;
/// One half in the last kept bit: added before the shift, so that the result is rounded.
pub(crate) const HALF: i32 = 1 << (PRECISION - 1);
/// Lobes of the filter on each side.
const SUPPORT: f64 = 3.0;

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

/// The filter at `x` source pixels (of the coarser of both grids) from its centre.
pub(crate) fn lanczos3(x: f64) -> f64 {
    if (-SUPPORT..SUPPORT).contains(&x) { sinc(x) * sinc(x / SUPPORT) } else { 0.0 }
}

/// For each output position: which source positions it reads, and with which weights.
pub(crate) struct Taps {
    /// First source position and range in `weights`, one an output position.
    spans: Vec<(usize, std::ops::Range<usize>)>,
    weights: Vec<i32>,
}

impl Taps {
    /// Weights from an axis of `from` positions to one of `to`, of which the source holds only `held` positions beginning at `start`
    /// (which may be negative: then the axis begins inside the source). What the source does not hold is zero, so its taps are left out:
    /// the sums stay the same.
    pub(crate) fn new(from: u32, to: u32, start: i64, held: u32) -> Result<Self, ImageError> {
        let scale = f64::from(from) / f64::from(to);
        let stretch = scale.max(1.0);
        let inverse_stretch = 1.0 / stretch;
        let support = SUPPORT * stretch;
        let mut spans = reserve(to as usize)?;
        let mut weights: Vec<i32> = Vec::new();
        let mut exact: Vec<f64> = Vec::new();
        for o in 0..to {
            let centre = (f64::from(o) + 0.5) * scale;
            // `as` truncates toward zero, as the definition asks, and a negative value is cut to 0 by the maximum
            let low = (centre - support + 0.5).max(0.0) as u32;
            let high = ((centre + support + 0.5) as u32).min(from);
            exact.clear();
            exact.extend(
                (low..high).map(|p| lanczos3((f64::from(p - low) + f64::from(low) - centre + 0.5) * inverse_stretch)),
            );
            let sum: f64 = exact.iter().sum();
            let first = i64::from(low).max(start);
            let last = i64::from(high).min(start + i64::from(held)).max(first);
            let begin = weights.len();
            weights
                .try_reserve((last - first) as usize)
                .map_err(|_| ImageError::OutOfMemory { bytes: (weights.len() as u64 + (last - first) as u64) * 4 })?;
            let kept = (first - i64::from(low)) as usize..(last - i64::from(low)) as usize;
            // an empty range can lie behind the last weight, hence `get`
            for &w in exact.get(kept).unwrap_or_default() {
                let w = if sum == 0.0 { w } else { w / sum };
                weights.push((w * f64::from(1 << PRECISION) + if w < 0.0 { -0.5 } else { 0.5 }) as i32);
            }
            let position = if begin == weights.len() { 0 } else { (first - start) as usize };
            spans.push((position, begin..weights.len()));
        }
        Ok(Self { spans, weights })
    }

    /// Taps that copy: output `o` is source position `o − start`, zero where the source does not reach.
    pub(crate) fn copy(to: u32, start: i64, held: u32) -> Result<Self, ImageError> {
        let mut spans = reserve(to as usize)?;
        for o in 0..i64::from(to) {
            let inside = o >= start && o < start + i64::from(held);
            spans.push(if inside { ((o - start) as usize, 0..1) } else { (0, 0..0) });
        }
        Ok(Self { spans, weights: vec![1 << PRECISION] })
    }

    /// Number of output positions.
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    /// First source position and the weights of output `o`.
    #[inline(always)]
    pub(crate) fn at(&self, o: usize) -> (usize, &[i32]) {
        let (first, range) = &self.spans[o];
        (*first, &self.weights[range.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_sum_to_one_within_rounding() {
        for (from, to) in [(1, 1), (7, 3), (3, 7), (1000, 17), (17, 1000), (1, 50), (50, 1)] {
            let taps = Taps::new(from, to, 0, from).unwrap();
            for o in 0..taps.len() {
                let (first, weights) = taps.at(o);
                let sum: i32 = weights.iter().sum();
                assert!(
                    (sum - (1 << PRECISION)).unsigned_abs() as usize <= weights.len(),
                    "{from}->{to} at {o}: {sum}"
                );
                assert!(first + weights.len() <= from as usize);
            }
        }
    }

    #[test]
    fn taps_outside_the_source_are_left_out_without_changing_the_others() {
        let whole = Taps::new(40, 9, 0, 40).unwrap();
        for (start, held) in [(0, 40), (5, 10), (-7, 30), (39, 5), (50, 4), (-10, 5)] {
            let part = Taps::new(40, 9, start, held).unwrap();
            for o in 0..9 {
                let (first, weights) = whole.at(o);
                let (part_first, part_weights) = part.at(o);
                let expected: Vec<(i64, i32)> = (first as i64..)
                    .zip(weights.iter().copied())
                    .filter(|(p, _)| (start..start + i64::from(held)).contains(p))
                    .map(|(p, w)| (p - start, w))
                    .collect();
                let got: Vec<(i64, i32)> = (part_first as i64..).zip(part_weights.iter().copied()).collect();
                assert_eq!(got, expected, "start {start}, held {held}, output {o}");
            }
        }
    }
}
