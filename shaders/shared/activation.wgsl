// erf: the Taylor series where it converges fast, Abramowitz and Stegun 7.1.26 beyond (absolute error 1.5e-7).
fn erf4(x: vec4<f32>) -> vec4<f32> {
  let a = abs(x);
  let s = x * x;
  var series = vec4<f32>(1.0 / 76204800.0);
  series = series * s - vec4<f32>(1.0 / 6894720.0);
  series = series * s + vec4<f32>(1.0 / 685440.0);
  series = series * s - vec4<f32>(1.0 / 75600.0);
  series = series * s + vec4<f32>(1.0 / 9360.0);
  series = series * s - vec4<f32>(1.0 / 1320.0);
  series = series * s + vec4<f32>(1.0 / 216.0);
  series = series * s - vec4<f32>(1.0 / 42.0);
  series = series * s + vec4<f32>(0.1);
  series = series * s - vec4<f32>(1.0 / 3.0);
  series = (series * s + vec4<f32>(1.0)) * x * 1.1283791670955126;
  let t = 1.0 / (1.0 + 0.3275911 * a);
  let tail = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  let far = sign(x) * (1.0 - tail * exp(-s));
  return select(far, series, a < vec4<f32>(1.0));
}

// 0 none, 1 GELU (tanh form), 2 GELU (erf), 3 SiLU. Written with one exp that may overflow to infinity: dividing by it is the
// right limit, where tanh of a large argument is NaN on some drivers.
fn activate(x: vec4<f32>, kind: u32) -> vec4<f32> {
  switch kind {
    case 1u: { return x / (1.0 + exp(-1.5957691216057308 * (x + 0.044715 * x * x * x))); }
    case 2u: { return 0.5 * x * (1.0 + erf4(x * 0.7071067811865476)); }
    case 3u: { return x / (1.0 + exp(-x)); }
    default: { return x; }
  }
}
