// Projects Gaussians to a picture: steps 1 to 8 of the definition in maquette-mesh, `raster_gaussian`.
//
// A splat is four vec4s of words: mean x, y, slope k, along i | across w, opacity, depth, radius | r, g, b, – | tile x0, y0, x1, y1.
// The exponent at a distance (x, y) is i·x² + w·(y + k·x)²: the definition's, completed to squares. Both terms are negative, so that
// nothing cancels; of a needle, the definition's three terms are hundreds of times their sum, and their rounding is as much
// as a faint splat's being drawn or not. The radius is 0 where nothing is drawn. `keys` are the depths as words, which sort as the positive floats they are; hidden
// Gaussians come last.
#import workgroup
@group(0) @binding(0) var<storage, read_write> means: array<f32>;
@group(0) @binding(1) var<storage, read_write> scales: array<f32>;
@group(0) @binding(2) var<storage, read_write> quats: array<f32>;
@group(0) @binding(3) var<storage, read_write> opacities: array<f32>;
@group(0) @binding(4) var<storage, read_write> f_dc: array<f32>;
@group(0) @binding(5) var<storage, read_write> splats: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read_write> keys: array<u32>;
// Gaussians, width, height, tangents of half the fields of view (2), kernel size, –, –, then rows 0 to 2 of the view and rows
// 0, 1 and 3 of projection · view.
@group(0) @binding(7) var<storage, read> info: array<u32>;

fn number(at: u32) -> f32 { return bitcast<f32>(info[at]); }

fn row(at: u32, p: vec3<f32>) -> f32 {
  return number(at) * p.x + number(at + 1u) * p.y + number(at + 2u) * p.z + number(at + 3u);
}

fn axis(at: u32) -> vec3<f32> { return vec3<f32>(number(at), number(at + 1u), number(at + 2u)); }

// Quotients and roots that WGSL lets be off by some units in the last place, corrected once: far from a splat its weight is off by as many
// times its exponent, and one of the reference's pixels is 1.6e-6 from not being drawn.
fn ratio(a: f32, b: f32) -> f32 {
  let q = a / b;
  let better = fma(fma(-q, b, a), 1.0 / b, q);
  return select(q, better, abs(better) < 3e38);
}

fn ratios(a: vec2<f32>, b: f32) -> vec2<f32> { return vec2<f32>(ratio(a.x, b), ratio(a.y, b)); }

fn root(x: f32) -> f32 {
  let r = sqrt(x);
  let better = fma(fma(-r, r, x), 0.5 / r, r);
  return select(r, better, abs(better) < 3e38);
}

// Whole tiles, cut to the picture. Compared as floats: the places of far splats fit no integer.
fn tile_edge(place: f32, tiles: f32) -> u32 { return u32(min(max(trunc(place / 16.0), 0.0), tiles)); }

fn hide(i: u32) {
  keys[i] = 0xffffffffu;
  splats[i * 4u] = vec4<u32>();
  splats[i * 4u + 1u] = vec4<u32>();
  splats[i * 4u + 2u] = vec4<u32>();
  splats[i * 4u + 3u] = vec4<u32>();
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[0]) { return; }
  let size = vec2<f32>(f32(info[1]), f32(info[2]));
  let half_tan = vec2<f32>(number(3u), number(4u));
  let kernel = number(5u);
  let p = vec3<f32>(means[i * 3u], means[i * 3u + 1u], means[i * 3u + 2u]);
  let t = vec3<f32>(row(8u, p), row(12u, p), row(16u, p));
  // Also false for NaN.
  if (!(t.z > 0.2)) { hide(i); return; }
  let ndc = vec2<f32>(row(20u, p), row(24u, p)) * ratio(1.0, row(28u, p) + 1e-7);
  // ((ndc + 1) · size − 1) / 2 with one rounding: the reference computes it in double.
  let mean = fma(ndc, 0.5 * size, 0.5 * (size - 1.0));

  let focal = vec2<f32>(ratio(size.x, 2.0 * half_tan.x), ratio(size.y, 2.0 * half_tan.y));
  // Only the Jacobian uses the clamped direction; far outside the picture it would explode.
  let near = clamp(ratios(t.xy, t.z), -1.3 * half_tan, 1.3 * half_tan) * t.z;
  let q = vec4<f32>(quats[i * 4u], quats[i * 4u + 1u], quats[i * 4u + 2u], quats[i * 4u + 3u]);
  let norm = max(root(dot(q, q)), 1e-12);
  let u = vec4<f32>(ratios(q.xy, norm), ratios(q.zw, norm));
  let w = u.x;
  let x = u.y;
  let y = u.z;
  let z = u.w;
  // Columns of the rotation.
  let c0 = vec3<f32>(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y));
  let c1 = vec3<f32>(2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x));
  let c2 = vec3<f32>(2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
  let s = vec3<f32>(scales[i * 3u], scales[i * 3u + 1u], scales[i * 3u + 2u]);
  // Rows of J·V·R·S: their products are the covariance on the screen.
  let across_view = ratios(focal, t.z);
  let along_view = ratios(-focal * near, t.z * t.z);
  let jx = across_view.x * axis(8u) + along_view.x * axis(16u);
  let jy = across_view.y * axis(12u) + along_view.y * axis(16u);
  let rx = vec3<f32>(dot(jx, c0), dot(jx, c1), dot(jx, c2)) * s;
  let ry = vec3<f32>(dot(jy, c0), dot(jy, c1), dot(jy, c2)) * s;
  let narrow = vec3<f32>(dot(rx, rx), dot(rx, ry), dot(ry, ry));
  // The determinant of products is that of the cross product: of a needle, the difference of two near squares would leave noise.
  let across = cross(rx, ry);
  let thin = dot(across, across);
  let d0 = max(thin, 1e-6);
  let a = narrow.x + kernel;
  let b = narrow.y;
  let c = narrow.z + kernel;
  let det = thin + kernel * (narrow.x + narrow.z + kernel);
  let d1 = max(det, 1e-6);
  var compensation = root(ratio(d0, d1 + 1e-6) + 1e-6);
  if (d0 <= 1e-6 || d1 <= 1e-6) { compensation = 0.0; }
  let middle = 0.5 * (a + c);
  let largest = middle + sqrt(max(middle * middle - det, 0.1));
  let radius = ceil(3.0 * sqrt(largest));
  // NaN fails each of these.
  if (!(abs(det) > 0.0) || !(radius > 0.0) || !(abs(mean.x) < 1e30) || !(abs(mean.y) < 1e30)) { hide(i); return; }
  let tiles = ceil(size / 16.0);
  let x0 = tile_edge(mean.x - radius, tiles.x);
  let y0 = tile_edge(mean.y - radius, tiles.y);
  let x1 = tile_edge(mean.x + radius + 15.0, tiles.x);
  let y1 = tile_edge(mean.y + radius + 15.0, tiles.y);
  if (x0 >= x1 || y0 >= y1) { hide(i); return; }

  let dc = vec3<f32>(f_dc[i * 3u], f_dc[i * 3u + 1u], f_dc[i * 3u + 2u]);
  let rgb = max(0.28209479177387814 * dc + 0.5, vec3<f32>());
  let opacity = opacities[i] * compensation;
  keys[i] = bitcast<u32>(t.z);
  splats[i * 4u] = bitcast<vec4<u32>>(vec4<f32>(mean, ratio(-b, a), ratio(-0.5, a)));
  splats[i * 4u + 1u] = bitcast<vec4<u32>>(vec4<f32>(ratio(-0.5 * a, det), opacity, t.z, radius));
  splats[i * 4u + 2u] = bitcast<vec4<u32>>(vec4<f32>(rgb, 0.0));
  splats[i * 4u + 3u] = vec4<u32>(x0, y0, x1, y1);
}
