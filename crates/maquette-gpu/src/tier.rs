//! The tiers of hardware that kernels are written for.

use std::fmt;
use std::str::FromStr;

use crate::GpuError;

/// What kind of kernel bodies a device can run, weakest first, so that `tier >= Tier::Subgroup` reads as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// No GPU: the operators' default bodies on Burn's CPU backend.
    Cpu,
    /// WGSL without subgroup operations: what every WebGPU implementation runs.
    Base,
    /// WGSL with subgroup operations.
    Subgroup,
    /// WGSL with cooperative matrices (16×16×16, f16 in, f32 accumulated) and subgroups.
    Matrix,
}

impl Tier {
    /// The tier's name, as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Base => "base",
            Self::Subgroup => "subgroup",
            Self::Matrix => "matrix",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which tier the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TierRequest {
    /// The best that the adapter can do.
    #[default]
    Auto,
    /// No GPU at all.
    Cpu,
    /// The base tier with the limits that every WebGPU browser guarantees, whatever the adapter offers: this is how the
    /// browser's path is tested and timed in a native program.
    Web,
    /// WGSL without subgroup operations, with the adapter's own limits.
    Base,
    /// WGSL with subgroup operations.
    Subgroup,
    /// Cooperative matrices.
    Matrix,
}

impl TierRequest {
    /// Every request, in the order in which help texts name them.
    pub const ALL: [Self; 6] = [Self::Auto, Self::Cpu, Self::Web, Self::Base, Self::Subgroup, Self::Matrix];

    /// The request's name, as users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Web => "web",
            Self::Base => "base",
            Self::Subgroup => "subgroup",
            Self::Matrix => "matrix",
        }
    }
}

impl fmt::Display for TierRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TierRequest {
    type Err = GpuError;

    fn from_str(text: &str) -> Result<Self, GpuError> {
        Self::ALL
            .into_iter()
            .find(|tier| tier.name().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| GpuError::UnknownTier { given: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiers_are_ordered_weakest_first() {
        assert!(Tier::Cpu < Tier::Base && Tier::Base < Tier::Subgroup && Tier::Subgroup < Tier::Matrix);
    }

    #[test]
    fn every_request_is_read_back_from_its_name() {
        for tier in TierRequest::ALL {
            assert_eq!(tier.name().to_uppercase().parse(), Ok(tier));
        }
        assert_eq!("fast".parse::<TierRequest>(), Err(GpuError::UnknownTier { given: "fast".into() }));
    }
}
