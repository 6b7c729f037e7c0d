// Weights of the first two corners [views, H, W, 2] and z/w [views, H, W] of the face that each pixel shows; 0 without one.
#import workgroup
@group(0) @binding(0) var<storage, read_write> clip: array<f32>;
@group(0) @binding(1) var<storage, read_write> faces: array<u32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> bary: array<f32>;
@group(0) @binding(4) var<storage, read_write> depth: array<f32>;
// Views, width, height, corners of a view.
@group(0) @binding(5) var<storage, read> info: array<u32>;
#import face_sample

fn corner(face: u32, k: u32, base: u32) -> vec4<f32> {
  let at = (base + faces[face * 3u + k]) * 4u;
  return vec4<f32>(clip[at], clip[at + 1u], clip[at + 2u], clip[at + 3u]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  let pixels = info[1] * info[2];
  if (at >= info[0] * pixels) { return; }
  var weights = vec2<f32>();
  var z = 0.0;
  if (ids[at] > 0u) {
    let face = ids[at] - 1u;
    let base = at / pixels * info[3];
    let place = at % pixels;
    let pixel = vec2<i32>(vec2<u32>(place % info[1], place / info[1]));
    let s = face_sample(corner(face, 0u, base), corner(face, 1u, base), corner(face, 2u, base), pixel, vec2<i32>(vec2<u32>(info[1], info[2])));
    weights = s.bary;
    z = s.depth;
  }
  bary[at * 2u] = weights.x;
  bary[at * 2u + 1u] = weights.y;
  depth[at] = z;
}
