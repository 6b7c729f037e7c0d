//! Sampler settings, and the walk from noise to sample that waits for the device at every step.

use burn::tensor::Tensor;
use maquette_gpu::Gpu;
use maquette_models::sampler::{Conditions, EulerSampler, Guidance, SamplerParams, VelocityField};
use maquette_weights::SamplerConfig;

use crate::control::Running;
use crate::{Error, Result};

/// Settings of one sampling stage. What is `None` is the model's own default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Euler steps.
    pub steps: Option<u32>,
    /// Strength of guidance; 0 means none.
    pub guidance: Option<f64>,
    /// Times between which guidance acts, both ends included.
    pub interval: Option<(f64, f64)>,
    /// Time shift.
    pub rescale_t: Option<f64>,
}

impl Sampling {
    /// These settings over those of the model's file, key by key.
    pub(crate) fn over(self, config: &SamplerConfig) -> Result<SamplerParams> {
        let defaults = &config.params;
        let strength = self.guidance.or(defaults.cfg_strength).unwrap_or(3.0);
        let own = defaults.cfg_interval.map(|[low, high]| (low, high));
        let (guided, interval) = match config.name.as_str() {
            "FlowEulerSampler" => (self.guidance.is_some(), self.interval),
            "FlowEulerCfgSampler" => (true, self.interval),
            "FlowEulerGuidanceIntervalSampler" => (true, Some(self.interval.or(own).unwrap_or((0.0, 1.0)))),
            other => {
                let known = "FlowEulerSampler, FlowEulerCfgSampler or FlowEulerGuidanceIntervalSampler";
                return Err(Error::option("the model's sampler", known, other));
            }
        };
        let params = SamplerParams {
            steps: self.steps.or(defaults.steps).unwrap_or(25) as usize,
            rescale_t: self.rescale_t.or(defaults.rescale_t).unwrap_or(1.0),
            guidance: (guided && strength != 0.0).then_some(Guidance { strength, interval }),
            sigma_min: config.sigma_min,
        };
        params.validate()?;
        Ok(params)
    }
}

/// Integrates as [`EulerSampler::sample`] does, but waits for the device after each step: progress is honest, a lost device is
/// noticed, and stopping takes one step at most.
pub(crate) async fn integrate<const D: usize, F: VelocityField<D>>(
    gpu: &Gpu,
    sampler: &EulerSampler,
    field: &F,
    noise: Tensor<D>,
    conditions: &Conditions<'_, F::Condition>,
    running: &Running<'_>,
) -> Result<Tensor<D>> {
    let mut x = noise;
    for (index, times) in sampler.times().windows(2).enumerate() {
        let next = gpu.guard(|| -> Result<Tensor<D>> {
            let velocity = sampler.velocity(field, index, &x, conditions)?;
            Ok(x.clone() - velocity * ((times[0] - times[1]) as f32))
        })??;
        gpu.finish().await?;
        x = next;
        running.step(index + 1)?;
    }
    gpu.check()?;
    Ok(x)
}

#[cfg(test)]
mod tests {
    use maquette_weights::PipelineConfig;

    use super::*;

    fn config() -> SamplerConfig {
        let text = br#"{"name":"P","args":{"models":{},"s_sampler":{"name":"FlowEulerGuidanceIntervalSampler",
            "args":{"sigma_min":1e-5},"params":{"steps":25,"cfg_strength":5.0,"cfg_interval":[0.5,1.0],"rescale_t":3.0}}}}"#;
        PipelineConfig::parse("test", text).unwrap().sampler("s_sampler").unwrap().clone()
    }

    #[test]
    fn settings_override_the_models_key_by_key() {
        let params = Sampling { steps: Some(12), ..Default::default() }.over(&config()).unwrap();
        assert_eq!((params.steps, params.rescale_t), (12, 3.0));
        assert_eq!(params.guidance, Some(Guidance { strength: 5.0, interval: Some((0.5, 1.0)) }));
        let none = Sampling { guidance: Some(0.0), ..Default::default() }.over(&config()).unwrap();
        assert_eq!(none.guidance, None);
    }

    #[test]
    fn zero_steps_and_unknown_samplers_are_refused() {
        assert!(Sampling { steps: Some(0), ..Default::default() }.over(&config()).is_err());
        let other = SamplerConfig { name: "Heun".into(), ..config() };
        assert!(Sampling::default().over(&other).is_err());
    }
}
