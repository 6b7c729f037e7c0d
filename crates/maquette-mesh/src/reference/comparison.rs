//! One figure against its limit.

/// How far something is off, and how far it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What was compared, for instance "picture, largest difference".
    pub what: String,
    /// Number of values looked at.
    pub values: usize,
    /// The figure; NaN if something was not a number or of another length.
    pub found: f64,
    /// The largest figure accepted.
    pub allowed: f64,
}

impl Comparison {
    pub(super) fn new(what: impl Into<String>, values: usize, found: f64, allowed: f64) -> Self {
        Self { what: what.into(), values, found, allowed }
    }

    /// Whether it is within its limit; NaN is not.
    pub fn passed(&self) -> bool {
        self.found <= self.allowed
    }
}

/// |a − b| one by one; a single NaN when the lengths differ.
pub(super) fn differences(a: &[f32], b: &[f32]) -> Vec<f32> {
    if a.len() != b.len() {
        return vec![f32::NAN];
    }
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).collect()
}

/// The largest value; NaN if there is one.
pub(super) fn largest(values: impl IntoIterator<Item = f32>) -> f64 {
    values.into_iter().fold(0.0, |most: f64, x| if x.is_nan() || most.is_nan() { f64::NAN } else { most.max(x.into()) })
}

/// Below which a share (in thousandths) of the values lies; NaN sorts last.
pub(super) fn quantile(values: &mut [f32], thousandths: usize) -> f64 {
    values.sort_unstable_by(f32::total_cmp);
    let at = (values.len() * thousandths / 1000).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(0.0).into()
}

/// Number of unequal values, a missing one counting as unequal.
pub(super) fn unequal<T: PartialEq>(a: &[T], b: &[T]) -> f64 {
    (a.iter().zip(b).filter(|(a, b)| a != b).count() + a.len().abs_diff(b.len())) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_or_too_short_does_not_pass() {
        let of = |found| Comparison::new("x", 1, found, 1.0).passed();
        assert!(of(1.0) && !of(1.1) && !of(f64::NAN));
        assert!(largest(differences(&[1.0, f32::NAN, 2.0], &[1.0; 3])).is_nan());
        assert!(largest(differences(&[1.0], &[1.0, 2.0])).is_nan());
        assert_eq!(unequal(&[1, 2, 3], &[1, 3]), 2.0);
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0, 0.0], 500), 2.0);
    }
}
