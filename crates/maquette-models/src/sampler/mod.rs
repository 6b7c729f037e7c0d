//! Rectified-flow sampling.

mod euler;
mod noise;
mod schedule;

pub use euler::{Conditions, EulerSampler, MultiImage, SamplingStep, VelocityField};
pub use noise::TorchGenerator;
pub use schedule::{Guidance, SamplerParams, schedule};
