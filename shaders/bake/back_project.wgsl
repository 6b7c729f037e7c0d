// A batch of views thrown back on the texels of an atlas: adds colour · weight and weight to every texel's sums. The definition is
// `back_project` in maquette-mesh.
#import workgroup
// Surface point of every texel, 1 in w; 0 where no face is laid out. And face index + 1.
@group(0) @binding(0) var<storage, read_write> points: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> corners: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> faces: array<u32>;
// What the pixels of the views show, row 0 at the bottom: the surface point, 1 in w, and the colour's bytes; 0 where nothing is.
@group(0) @binding(4) var<storage, read_write> hits: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> colors: array<u32>;
@group(0) @binding(6) var<storage, read_write> sums: array<vec4<f32>>;
// Texels, views, width, height; 16 words a view: rows 0, 1 and 3 of its matrix from world to clip space, the eye, the length of row
// 0's first three.
@group(0) @binding(7) var<storage, read> info: array<u32>;

// Views nearly parallel to the surface say little.
const LEAST_COSINE: f32 = 0.1;

fn numbers(at: u32) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(info[at], info[at + 1u], info[at + 2u], info[at + 3u]));
}

// Colour and weight of what view `v` shows of a surface point; 0 if it does not see it.
fn look_up(v: u32, place: vec4<f32>, normal: vec3<f32>) -> vec4<f32> {
  let at = 4u + 16u * v;
  let eye = numbers(at + 12u);
  let to_eye = eye.xyz - place.xyz;
  let distance = length(to_eye);
  let direction = to_eye / distance;
  let cosine = dot(direction, normal);
  // Also true for NaN, here and below.
  if (!(cosine >= LEAST_COSINE)) { return vec4<f32>(); }
  let clip = vec3<f32>(dot(numbers(at), place), dot(numbers(at + 4u), place), dot(numbers(at + 8u), place));
  if (!(clip.z > 0.0)) { return vec4<f32>(); }
  let size = vec2<f32>(f32(info[2]), f32(info[3]));
  let pixel = (clip.xy / clip.z + 1.0) * 0.5 * size - 0.5;
  // All four pixels must lie inside and hold the object: beside them the background shines through.
  if (!(all(pixel >= vec2<f32>()) && all(pixel < size - 1.0))) { return vec4<f32>(); }
  let low = floor(pixel);
  let part = pixel - low;
  let first = (v * info[3] + u32(low.y)) * info[2] + u32(low.x);
  // Depths within two pixels' width at this distance are one surface; more where it is seen at a slant.
  let tolerance = 4.0 * distance / (max(eye.w, 1e-6) * size.x * cosine);
  var color = vec3<f32>();
  for (var k = 0u; k < 4u; k++) {
    let side = vec2<u32>(k & 1u, k >> 1u);
    let tap = first + side.y * info[2] + side.x;
    let hit = hits[tap];
    let behind = dot(place.xyz - hit.xyz, direction);
    if (colors[tap] == 0u || hit.w == 0.0 || -behind > tolerance) { return vec4<f32>(); }
    let share = select(1.0 - part, part, side == vec2<u32>(1u));
    color += share.x * share.y * unpack4x8unorm(colors[tap]).xyz;
  }
  let squared = cosine * cosine;
  return vec4<f32>(color, 1.0) * (squared * squared);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let texel = linear_workgroup(group, groups) * 256u + tid;
  if (texel >= info[0] || ids[texel] == 0u) { return; }
  let face = (ids[texel] - 1u) * 3u;
  let a = corners[faces[face]].xyz;
  let across = cross(corners[faces[face + 1u]].xyz - a, corners[faces[face + 2u]].xyz - a);
  let area = length(across);
  if (!(area > 0.0)) { return; }
  // 1 in w but for rounding.
  let place = vec4<f32>(points[texel].xyz, 1.0);
  var sum = sums[texel];
  for (var v = 0u; v < info[1]; v++) { sum += look_up(v, place, across / area); }
  sums[texel] = sum;
}
