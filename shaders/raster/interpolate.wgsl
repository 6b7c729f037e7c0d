// Attributes [V, C] interpolated over the faces: [views, H, W, C]; 0 where no face is.
#import workgroup
@group(0) @binding(0) var<storage, read_write> attributes: array<f32>;
@group(0) @binding(1) var<storage, read_write> faces: array<u32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> bary: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
// Pixels of all views, C.
@group(0) @binding(5) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= info[0]) { return; }
  let channels = info[1];
  if (ids[at] == 0u) {
    for (var c = 0u; c < channels; c++) { y[at * channels + c] = 0.0; }
    return;
  }
  let face = (ids[at] - 1u) * 3u;
  let v0 = faces[face] * channels;
  let v1 = faces[face + 1u] * channels;
  let v2 = faces[face + 2u] * channels;
  let b0 = bary[at * 2u];
  let b1 = bary[at * 2u + 1u];
  for (var c = 0u; c < channels; c++) {
    y[at * channels + c] = b0 * attributes[v0 + c] + b1 * attributes[v1 + c] + (1.0 - b0 - b1) * attributes[v2 + c];
  }
}
