// Clip-space corners [views, V, 4] of positions [V, 3] under row-major matrices [views, 4, 4] on column vectors.
#import workgroup
@group(0) @binding(0) var<storage, read_write> positions: array<f32>;
@group(0) @binding(1) var<storage, read_write> matrices: array<f32>;
@group(0) @binding(2) var<storage, read_write> clip: array<f32>;
// Corners, views.
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[0] * info[1]) { return; }
  let v = i % info[0] * 3u;
  let m = i / info[0] * 16u;
  for (var r = 0u; r < 4u; r++) {
    let at = m + r * 4u;
    clip[i * 4u + r] = matrices[at] * positions[v] + matrices[at + 1u] * positions[v + 1u] + matrices[at + 2u] * positions[v + 2u] + matrices[at + 3u];
  }
}
