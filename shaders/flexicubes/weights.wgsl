// The weights of the surface's cubes, 21 words each: β 12, α 8, and γ before its activation (the host compares products of
// those, and needs the definition's bits). Cubes that are no voxels take what zeros become.
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> starts: array<u32>;
@group(0) @binding(2) var<storage, read_write> rows: array<u32>;
@group(0) @binding(3) var<storage, read_write> features: array<f32>;
@group(0) @binding(4) var<storage, read_write> weights: array<f32>;
// Words of bricks and cubes; from word 4 on: first row, first row after, values of a row.
@group(0) @binding(5) var<storage, read> info: array<u32>;
#import bricks
#import surface_cubes
#import activations

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[1]) { return; }
  let cell = slot_of(cube_position(keys[i]));
  var row = ABSENT;
  if (cell != ABSENT) { row = rows[cell]; }
  if (row == ABSENT) {
    if (info[4] == 0u) {
      for (var k = 0u; k < 20u; k++) { weights[i * 21u + k] = 1.0; }
      weights[i * 21u + 20u] = 0.0;
    }
    return;
  }
  if (row < info[4] || row >= info[5]) { return; }
  let first = (row - info[4]) * info[6] + 32u;
  for (var k = 0u; k < 20u; k++) { weights[i * 21u + k] = 0.99 * tanh_of(features[first + k]) + 1.0; }
  weights[i * 21u + 20u] = features[first + 20u];
}
