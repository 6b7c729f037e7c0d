//! Choices that a benchmark may force.

use std::sync::atomic::{AtomicU8, Ordering};

use super::LinearConfig;

static LINEAR: AtomicU8 = AtomicU8::new(0);

/// Makes every linear layer on matrix units use one tile size, or lets the problem decide again. For benchmarks only: it is
/// one setting for the whole process.
pub fn force_linear_config(config: Option<LinearConfig>) {
    let place = config.and_then(|config| LinearConfig::ALL.iter().position(|known| *known == config));
    LINEAR.store(place.map_or(0, |place| place as u8 + 1), Ordering::Relaxed);
}

pub(crate) fn linear_config() -> Option<LinearConfig> {
    let place = LINEAR.load(Ordering::Relaxed);
    LinearConfig::ALL.get(usize::from(place).checked_sub(1)?).copied()
}
