// Texture coordinates [views, H, W, 2] and their derivatives (∂u/∂X, ∂u/∂Y, ∂v/∂X, ∂v/∂Y) [views, H, W, 4], X and Y in
// pixels; 0 where no face is.
#import workgroup
@group(0) @binding(0) var<storage, read_write> clip: array<f32>;
@group(0) @binding(1) var<storage, read_write> faces: array<u32>;
@group(0) @binding(2) var<storage, read_write> uvs: array<f32>;
@group(0) @binding(3) var<storage, read_write> ids: array<u32>;
@group(0) @binding(4) var<storage, read_write> bary: array<f32>;
@group(0) @binding(5) var<storage, read_write> uv: array<f32>;
@group(0) @binding(6) var<storage, read_write> derivatives: array<f32>;
// Views, width, height, corners of a view.
@group(0) @binding(7) var<storage, read> info: array<u32>;
#import face_sample

// Change of the area p_i × p_j with the pixel: p moves by −w for a unit step in NDC.
fn area_step(pi: vec2<f32>, pj: vec2<f32>, wi: f32, wj: f32) -> vec2<f32> {
  return vec2<f32>(pi.y * wj - pj.y * wi, pj.x * wi - pi.x * wj);
}

fn finite_or_zero(v: vec2<f32>) -> vec2<f32> {
  return select(vec2<f32>(), v, abs(v) < vec2<f32>(3.0e38));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  let pixels = info[1] * info[2];
  if (at >= info[0] * pixels) { return; }
  var place = vec2<f32>();
  var change = vec4<f32>();
  if (ids[at] > 0u) {
    let base = at / pixels * info[3];
    var c: array<vec4<f32>, 3>;
    var t: array<vec2<f32>, 3>;
    for (var k = 0u; k < 3u; k++) {
      let v = faces[(ids[at] - 1u) * 3u + k];
      let from_clip = (base + v) * 4u;
      c[k] = vec4<f32>(clip[from_clip], clip[from_clip + 1u], clip[from_clip + 2u], clip[from_clip + 3u]);
      t[k] = vec2<f32>(uvs[v * 2u], uvs[v * 2u + 1u]);
    }
    let size = vec2<u32>(info[1], info[2]);
    let pixel = vec2<i32>(vec2<u32>(at % pixels % info[1], at % pixels / info[1]));
    let s = face_sample(c[0], c[1], c[2], pixel, vec2<i32>(size));
    let b = vec2<f32>(bary[at * 2u], bary[at * 2u + 1u]);
    let a0 = area_step(s.p[1], s.p[2], c[1].w, c[2].w);
    let a1 = area_step(s.p[2], s.p[0], c[2].w, c[0].w);
    let a2 = area_step(s.p[0], s.p[1], c[0].w, c[1].w);
    let total = a0 + a1 + a2;
    let unit = 2.0 / vec2<f32>(size);
    // Change of the first and second weight along X and Y.
    let d0 = finite_or_zero((a0 - b.x * total) * s.inverse_sum * unit);
    let d1 = finite_or_zero((a1 - b.y * total) * s.inverse_sum * unit);
    place = b.x * t[0] + b.y * t[1] + (1.0 - b.x - b.y) * t[2];
    let e0 = t[0] - t[2];
    let e1 = t[1] - t[2];
    change = vec4<f32>(e0.x * d0 + e1.x * d1, e0.y * d0 + e1.y * d1);
  }
  uv[at * 2u] = place.x;
  uv[at * 2u + 1u] = place.y;
  for (var k = 0u; k < 4u; k++) { derivatives[at * 4u + k] = change[k]; }
}
