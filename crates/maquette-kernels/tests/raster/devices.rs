//! Where the cases run, and random numbers.

use burn::tensor::{Device, Int, Tensor};
use maquette_gpu::{AdapterChoice, Gpu, OpenOptions, TierRequest};

/// The base tier with the limits of every browser, where the machine has an adapter.
pub fn gpu() -> Option<Device> {
    of_tier(TierRequest::Web)
}

/// The tier whose kernels have bodies for subgroups, where the machine has such an adapter.
pub fn subgroups() -> Option<Device> {
    of_tier(TierRequest::Subgroup)
}

fn of_tier(tier: TierRequest) -> Option<Device> {
    let options = OpenOptions { tier, ..OpenOptions::default() };
    let gpu = pollster::block_on(Gpu::open(&AdapterChoice::default(), options)).ok()?;
    Some(gpu.device().clone())
}

/// The CPU tier.
pub fn cpu() -> Device {
    Gpu::cpu().device().clone()
}

/// The GPU where there is one, and the CPU tier.
pub fn all() -> Vec<Device> {
    gpu().into_iter().chain([cpu()]).collect()
}

/// The GPU where there is one, else the CPU tier: for cases that take long on the latter.
pub fn best() -> Device {
    gpu().unwrap_or_else(cpu)
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.word() % n as u64) as usize
    }

    /// In 0..1.
    pub fn unit(&mut self) -> f32 {
        (self.word() >> 40) as f32 / (1 << 24) as f32
    }
}

pub fn words<const D: usize>(x: &Tensor<D, Int>) -> Vec<u32> {
    x.to_data().try_to_vec_as::<u32>().expect("words")
}

pub fn floats<const D: usize>(x: &Tensor<D>) -> Vec<f32> {
    x.to_data().try_to_vec_as::<f32>().expect("floats")
}
