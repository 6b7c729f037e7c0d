//! PyTorch's CPU generator, so that a seed means here what it means in the reference.

/// Mersenne Twister MT19937 with `torch.randn`'s way from bits to normal deviates (CPU, f32).
///
/// Differences to PyTorch stay below 2.4e-7: its logarithms and cosines are vectorised approximations.
#[derive(Clone)]
pub struct TorchGenerator {
    state: [u32; N],
    next: usize,
    /// The second deviate of a pair that [`TorchGenerator::deviate`] has in hand.
    spare: Option<f64>,
}

const N: usize = 624;
const M: usize = 397;

impl std::fmt::Debug for TorchGenerator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TorchGenerator").field("next", &self.next).finish_non_exhaustive()
    }
}

impl TorchGenerator {
    /// `torch.manual_seed(seed)`; only the low 32 bits count.
    pub fn new(seed: u64) -> Self {
        let mut state = [0u32; N];
        state[0] = seed as u32;
        for i in 1..N {
            let before = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N, spare: None }
    }

    fn bits(&mut self) -> u32 {
        if self.next == N {
            for i in 0..N {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % N] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + M) % N] ^ (y >> 1) ^ odd;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// Uniform in [0, 1) with 24 bits.
    fn uniform(&mut self) -> f32 {
        (self.bits() & 0x00ff_ffff) as f32 * (1.0 / 16_777_216.0)
    }

    /// Uniform in [0, 1) with 53 bits of two outputs, the first the higher.
    fn uniform_f64(&mut self) -> f64 {
        let high = u64::from(self.bits());
        let bits = (high << 32) | u64::from(self.bits());
        (bits & ((1 << 53) - 1)) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// One standard normal deviate by Box and Muller, the second of each pair kept for the next call.
    fn deviate(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (u1, u2) = (self.uniform_f64(), self.uniform_f64());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * u1).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// `torch.randn` of a tensor with `n` elements, in storage order.
    ///
    /// Below 16 elements PyTorch draws deviates one by one in double precision. From 16 on it draws `n` uniforms and turns every
    /// full block of 16 into deviates; when `n` is no multiple of 16, the last 16 elements are drawn afresh and overwrite.
    pub fn normal(&mut self, n: usize) -> Vec<f32> {
        if n < 16 {
            return (0..n).map(|_| self.deviate() as f32).collect();
        }
        let mut values: Vec<f32> = (0..n).map(|_| self.uniform()).collect();
        for block in values.chunks_exact_mut(16) {
            transform(block);
        }
        if !n.is_multiple_of(16) {
            let last = &mut values[n - 16..];
            for value in last.iter_mut() {
                *value = self.uniform();
            }
            transform(last);
        }
        values
    }
}

/// Box and Muller on 16 uniforms: the first eight give radii, the others angles.
fn transform(block: &mut [f32]) {
    for j in 0..8 {
        let radius = (-2.0 * (1.0 - block[j]).ln()).sqrt();
        let (sin, cos) = (2.0 * std::f32::consts::PI * block[j + 8]).sin_cos();
        block[j] = radius * cos;
        block[j + 8] = radius * sin;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(found: &[f32], expected: &[f64]) {
        for (f, e) in found.iter().zip(expected) {
            assert!((f64::from(*f) - e).abs() < 5e-7, "{f} is not {e}");
        }
    }

    #[test]
    fn seed_42_gives_the_noise_of_the_reference() {
        let values = TorchGenerator::new(42).normal(8 * 16 * 16 * 16);
        assert_close(&values[..4], &[1.9269152879714966, 1.4872840642929077, 0.9007171988487244, -2.1055209636688232]);
        let second = [-0.7521352767944336, 1.6487230062484741, -0.3924786448478699, -1.4036071300506592];
        assert_close(&values[8..12], &second);
    }

    #[test]
    fn small_tensors_take_the_scalar_path() {
        // torch.manual_seed(42); torch.randn(4)
        for (f, e) in TorchGenerator::new(42).normal(4).iter().zip([0.3367f32, 0.1288, 0.2345, 0.2303]) {
            assert!((f - e).abs() <= 5e-5, "{f} is not {e}");
        }
    }

    #[test]
    fn a_ragged_end_is_drawn_afresh() {
        let whole = TorchGenerator::new(7).normal(32);
        let ragged = TorchGenerator::new(7).normal(24);
        assert_eq!(whole[..8], ragged[..8]);
        assert_ne!(whole[8..16], ragged[8..16]);
        let mut after = TorchGenerator::new(7);
        after.normal(24);
        assert_eq!(after.next, 40);
    }
}
