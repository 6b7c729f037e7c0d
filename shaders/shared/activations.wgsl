// Absolute errors of a few 10⁻⁷, which is what positions and weights need; no overflow.
fn tanh_of(x: f32) -> f32 {
  let t = exp(-2.0 * min(abs(x), 40.0));
  let y = (1.0 - t) / (1.0 + t);
  return select(y, -y, x < 0.0);
}

fn sigmoid_of(x: f32) -> f32 { return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0))); }
