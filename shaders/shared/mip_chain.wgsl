// A square texture of side S with its chain of halves, one channel, finest level first, rows from v = 0.
fn chain_start(side: u32, level: u32) -> u32 {
  // S² + S²/4 + …: 4/3 of what lies between.
  let rest = side >> level;
  return (4u * (side * side - rest * rest)) / 3u;
}

struct Taps { at: array<u32, 8>, weight: array<f32, 8> }

fn level_taps(taps: ptr<function, Taps>, first: u32, uv: vec2<f32>, side: u32, level: u32, share: f32) {
  let n = side >> level;
  let start = chain_start(side, level);
  let p = (uv - floor(uv)) * f32(n) - 0.5;
  let low = floor(p);
  let f = p - low;
  // Sizes are powers of two: wrapping around is cutting bits.
  let a = vec2<u32>(vec2<i32>(low)) & vec2<u32>(n - 1u);
  let b = (a + 1u) & vec2<u32>(n - 1u);
  (*taps).at[first] = start + a.y * n + a.x;
  (*taps).at[first + 1u] = start + a.y * n + b.x;
  (*taps).at[first + 2u] = start + b.y * n + a.x;
  (*taps).at[first + 3u] = start + b.y * n + b.x;
  (*taps).weight[first] = share * (1.0 - f.x) * (1.0 - f.y);
  (*taps).weight[first + 1u] = share * f.x * (1.0 - f.y);
  (*taps).weight[first + 2u] = share * (1.0 - f.x) * f.y;
  (*taps).weight[first + 3u] = share * f.x * f.y;
}

// The texels of the chain that make up a trilinear sample, with their weights.
fn sample_taps(uv: vec2<f32>, lod: f32, side: u32) -> Taps {
  var taps: Taps;
  let low = u32(floor(lod));
  let part = lod - floor(lod);
  level_taps(&taps, 0u, uv, side, low, 1.0 - part);
  let top = countTrailingZeros(side);
  level_taps(&taps, 4u, uv, side, min(low + 1u, top), part);
  return taps;
}

// Half the binary logarithm of the longer axis of the footprint ellipse, squared, in texels.
fn footprint_level(d: vec4<f32>, side: u32) -> f32 {
  let s = d * f32(side);
  let a = s.x * s.x + s.z * s.z;
  let b = s.y * s.y + s.w * s.w;
  let c = s.x * s.y + s.z * s.w;
  let half = 0.5 * (a - b);
  let major = 0.5 * (a + b) + sqrt(half * half + c * c);
  // The logarithm of 0 is the finest level.
  if (!(major > 1.0)) { return 0.0; }
  return min(0.5 * log2(major), f32(countTrailingZeros(side)));
}
