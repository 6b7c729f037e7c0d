//! Euler integration of a rectified flow, from noise at t = 1 to a sample at t = 0.

use std::ops::ControlFlow;

use burn::tensor::Tensor;

use super::{SamplerParams, schedule};
use crate::{Error, Result};

/// A flow: where samples move, given what they are conditioned on. `D` is the rank of a sample.
pub trait VelocityField<const D: usize> {
    /// What depends on time alone; computed once a step and shared by every call of that step.
    type Moment;
    /// What depends on the condition alone; computed once a picture and shared by all steps.
    type Condition;

    /// Prepares a time, already multiplied by 1000.
    fn moment(&self, time: f32) -> Self::Moment;

    /// Velocity at `x`, f32.
    ///
    /// # Errors
    /// The network's.
    fn velocity(&self, x: Tensor<D>, moment: &Self::Moment, condition: &Self::Condition) -> Result<Tensor<D>>;
}

/// How several pictures of one object steer a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MultiImage {
    /// One picture a step, in turn.
    #[default]
    Stochastic,
    /// The mean velocity of all pictures at every step.
    MultiDiffusion,
}

/// What a sample is conditioned on.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a, C> {
    /// One per picture, at least one.
    pub pictures: &'a [C],
    /// The condition that guidance pushes away from.
    pub negative: &'a C,
    /// How several pictures are used.
    pub mode: MultiImage,
}

/// One finished step.
#[derive(Debug)]
pub struct SamplingStep<'a, const D: usize> {
    /// Number of this step, from 0.
    pub index: usize,
    /// Steps in all.
    pub steps: usize,
    /// Time at its start.
    pub t: f64,
    /// Time at its end.
    pub t_next: f64,
    /// Velocity used, after guidance.
    pub velocity: &'a Tensor<D>,
    /// Sample at its start.
    pub x_before: &'a Tensor<D>,
    /// Sample at its end.
    pub x: &'a Tensor<D>,
    sigma_min: f64,
}

impl<const D: usize> SamplingStep<'_, D> {
    /// The end of the flow as seen from the step's start, for previews: `x₀ = (1 − σ)·x − (σ + (1 − σ)·t)·v`.
    pub fn predicted_sample(&self) -> Tensor<D> {
        let s = self.sigma_min;
        self.x_before.clone() * (1.0 - s) - self.velocity.clone() * (s + (1.0 - s) * self.t)
    }
}

/// The sampler of all TRELLIS pipelines; without guidance, with guidance, and with guidance in an interval.
#[derive(Clone, Debug)]
pub struct EulerSampler {
    params: SamplerParams,
    times: Vec<f64>,
}

impl EulerSampler {
    /// A sampler with the given settings.
    ///
    /// # Errors
    /// [`Error::Sampler`].
    pub fn new(params: SamplerParams) -> Result<Self> {
        params.validate()?;
        Ok(Self { times: schedule(params.steps, params.rescale_t), params })
    }

    /// Times of all steps and the end, `steps + 1` of them.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// Guided velocity of step `index` at `x`.
    ///
    /// # Errors
    /// The network's.
    pub fn velocity<const D: usize, F: VelocityField<D>>(
        &self,
        field: &F,
        index: usize,
        x: &Tensor<D>,
        conditions: &Conditions<'_, F::Condition>,
    ) -> Result<Tensor<D>> {
        let t = self.times[index];
        let moment = field.moment((1000.0 * t) as f32);
        let pictures = conditions.pictures;
        if pictures.is_empty() {
            return Err(Error::Sampler { field: "pictures", found: "none".into(), expected: "at least one condition" });
        }
        let v = match conditions.mode {
            MultiImage::Stochastic => field.velocity(x.clone(), &moment, &pictures[index % pictures.len()])?,
            MultiImage::MultiDiffusion => {
                let mut sum = field.velocity(x.clone(), &moment, &pictures[0])?;
                for picture in &pictures[1..] {
                    sum = sum + field.velocity(x.clone(), &moment, picture)?;
                }
                sum / pictures.len() as f32
            }
        };
        match &self.params.guidance {
            Some(guidance) if guidance.acts_at(t) => {
                let w = guidance.strength;
                let negative = field.velocity(x.clone(), &moment, conditions.negative)?;
                Ok(v * (1.0 + w) - negative * w)
            }
            _ => Ok(v),
        }
    }

    /// Integrates from `noise` to a sample. `observe` sees every finished step and may stop the sampling.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when `observe` breaks; the network's.
    pub fn sample<const D: usize, F: VelocityField<D>>(
        &self,
        field: &F,
        noise: Tensor<D>,
        conditions: &Conditions<'_, F::Condition>,
        observe: &mut dyn FnMut(&SamplingStep<'_, D>) -> ControlFlow<()>,
    ) -> Result<Tensor<D>> {
        let steps = self.params.steps;
        let mut x = noise;
        for index in 0..steps {
            let velocity = self.velocity(field, index, &x, conditions)?;
            let (t, t_next) = (self.times[index], self.times[index + 1]);
            let next = x.clone() - velocity.clone() * ((t - t_next) as f32);
            let step = SamplingStep {
                index,
                steps,
                t,
                t_next,
                velocity: &velocity,
                x_before: &x,
                x: &next,
                sigma_min: self.params.sigma_min,
            };
            if observe(&step).is_break() {
                return Err(Error::Cancelled { step: index + 1, steps });
            }
            x = next;
        }
        Ok(x)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use burn::tensor::Device;

    use super::*;
    use crate::sampler::Guidance;

    /// Velocity = condition, so that sums can be checked by hand; counts its calls.
    struct Constant(Cell<usize>);

    impl VelocityField<1> for Constant {
        type Moment = ();
        type Condition = f32;
        fn moment(&self, _: f32) {}
        fn velocity(&self, x: Tensor<1>, (): &(), condition: &f32) -> Result<Tensor<1>> {
            self.0.set(self.0.get() + 1);
            Ok(x * 0.0 + *condition)
        }
    }

    fn run(mode: MultiImage, guidance: Option<Guidance>) -> (f32, usize) {
        let sampler = EulerSampler::new(SamplerParams { steps: 4, rescale_t: 1.0, guidance, sigma_min: 0.0 }).unwrap();
        let field = Constant(Cell::new(0));
        let conditions = Conditions { pictures: &[1.0, 4.0], negative: &-2.0, mode };
        let noise = Tensor::<1>::zeros([1], &Device::flex());
        let x = sampler.sample(&field, noise, &conditions, &mut |_| ControlFlow::Continue(())).unwrap();
        (x.into_scalar(), field.0.get())
    }

    #[test]
    fn pictures_take_turns_or_are_averaged() {
        assert_eq!(run(MultiImage::Stochastic, None), (-2.5, 4));
        assert_eq!(run(MultiImage::MultiDiffusion, None), (-2.5, 8));
    }

    #[test]
    fn guidance_acts_only_in_its_interval() {
        let guidance = Some(Guidance { strength: 1.0, interval: Some((0.75, 1.0)) });
        // Steps at 1, 0.75 (guided: 2v + 2) and 0.5, 0.25.
        assert_eq!(run(MultiImage::MultiDiffusion, guidance), (-(7.0 + 7.0 + 2.5 + 2.5) / 4.0, 10));
    }

    #[test]
    fn the_caller_can_stop_between_steps() {
        let params = SamplerParams { steps: 4, rescale_t: 1.0, guidance: None, sigma_min: 0.0 };
        let conditions = Conditions { pictures: &[1.0], negative: &0.0, mode: MultiImage::Stochastic };
        let noise = Tensor::<1>::zeros([1], &Device::flex());
        let field = Constant(Cell::new(0));
        let stop = &mut |step: &SamplingStep<'_, 1>| match step.index {
            1 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let error = EulerSampler::new(params).unwrap().sample(&field, noise, &conditions, stop).unwrap_err();
        assert!(matches!(error, Error::Cancelled { step: 2, steps: 4 }));
        assert_eq!(field.0.get(), 2);
    }
}
