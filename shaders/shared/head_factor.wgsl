// √dim / max(|v|, 1e-12): what a head vector of `dim` elements whose squares add up to `sum` is multiplied with.
fn head_factor(sum: f32, dim: u32) -> f32 {
  var length = sqrt(sum);
  // A NaN has to spread over the whole vector. Drivers turn a comparison of floats into max(), which drops it: ask the bits.
  let is_nan = (bitcast<u32>(sum) & 0x7fffffffu) > 0x7f800000u;
  if (!is_nan && length < 1e-12) { length = 1e-12; }
  return sqrt(f32(dim)) / length;
}
