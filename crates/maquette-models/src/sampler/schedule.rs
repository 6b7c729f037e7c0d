//! When a sampler looks at the flow, and how hard it is guided. Time is f64 throughout, as in the reference: whether a step is
//! guided depends on an equality.

use crate::{Error, Result};

/// More steps than any use; bounds what a request may ask for.
const MOST_STEPS: usize = 10_000;

/// Classifier-free guidance: `v = (1 + w)·v_cond − w·v_uncond`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guidance {
    /// The weight `w`; 0 means none.
    pub strength: f64,
    /// Times at which guidance acts, both ends included; outside, the conditional velocity is used alone. None: always.
    pub interval: Option<(f64, f64)>,
}

impl Guidance {
    /// Whether guidance acts at time `t`.
    pub fn acts_at(&self, t: f64) -> bool {
        self.interval.is_none_or(|(low, high)| low <= t && t <= high)
    }
}

/// A sampler's settings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerParams {
    /// Euler steps.
    pub steps: usize,
    /// Time shift `r`: `t' = r·t / (1 + (r − 1)·t)`; 1 leaves the steps equal.
    pub rescale_t: f64,
    /// Guidance, if any.
    pub guidance: Option<Guidance>,
    /// Smallest noise; only enters the diagnostic x₀, never the sample.
    pub sigma_min: f64,
}

impl SamplerParams {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Sampler`].
    pub fn validate(&self) -> Result<()> {
        let refuse = |field, found: String, expected| Err(Error::Sampler { field, found, expected });
        if !(1..=MOST_STEPS).contains(&self.steps) {
            return refuse("steps", self.steps.to_string(), "1 to 10000");
        }
        if !(self.rescale_t.is_finite() && self.rescale_t > 0.0) {
            return refuse("rescale_t", self.rescale_t.to_string(), "a finite number above 0");
        }
        if !self.sigma_min.is_finite() {
            return refuse("sigma_min", self.sigma_min.to_string(), "a finite number");
        }
        if let Some(guidance) = &self.guidance {
            if !guidance.strength.is_finite() {
                return refuse("cfg_strength", guidance.strength.to_string(), "a finite number");
            }
            if guidance.interval.is_some_and(|(low, high)| low.is_nan() || high.is_nan()) {
                return refuse("cfg_interval", format!("{:?}", guidance.interval), "two numbers");
            }
        }
        Ok(())
    }
}

/// Times from 1 (noise) to 0 (sample), `steps + 1` of them.
pub fn schedule(steps: usize, rescale_t: f64) -> Vec<f64> {
    let delta = -1.0 / steps as f64;
    (0..=steps)
        .map(|i| if i == steps { 0.0 } else { 1.0 + i as f64 * delta })
        .map(|s| rescale_t * s / (1.0 + (rescale_t - 1.0) * s))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_reference_to_the_last_bit() {
        let t = schedule(12, 3.0);
        assert_eq!(t[..4], [1.0, 0.9705882352941178, 0.9374999999999999, 0.9]);
        assert_eq!(t[9..], [0.5, 0.3750000000000001, 0.21428571428571436, 0.0]);
        let t = schedule(25, 3.0);
        assert_eq!(t[1], 0.9863013698630136);
        assert_eq!(t[19], 0.48648648648648646);
        assert_eq!(t[24], 0.1111111111111112);
    }

    #[test]
    fn both_ends_of_the_interval_are_guided() {
        let guidance = Guidance { strength: 1.0, interval: Some((0.5, 1.0)) };
        let guided = |steps| schedule(steps, 3.0)[..steps].iter().filter(|t| guidance.acts_at(**t)).count();
        assert_eq!((guided(12), guided(25)), (10, 19));
    }

    #[test]
    fn nonsense_is_refused() {
        let good = SamplerParams { steps: 1, rescale_t: 1.0, guidance: None, sigma_min: 1e-5 };
        assert!(good.validate().is_ok());
        assert!(SamplerParams { steps: 0, ..good }.validate().is_err());
        assert!(SamplerParams { rescale_t: f64::NAN, ..good }.validate().is_err());
        let guidance = Some(Guidance { strength: f64::INFINITY, interval: None });
        assert!(SamplerParams { guidance, ..good }.validate().is_err());
    }
}
