// Needed vertices as the surface wants them, in place, ten words each: distance, deformed position, colours.
#import workgroup
@group(0) @binding(0) var<storage, read_write> origins: array<u32>;
@group(0) @binding(1) var<storage, read_write> needed: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>;
@group(0) @binding(3) var<storage, read_write> distances: array<f32>;
@group(0) @binding(4) var<storage, read_write> attributes: array<f32>;
// Bricks of vertices a side, slots, cubes a side, how far a vertex may move.
@group(0) @binding(5) var<storage, read> info: array<u32>;
#import brick_cells
#import activations

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let slot = linear_workgroup(group, groups) * 256u + tid;
  if (slot >= info[1]) { return; }
  let to = needed[slot];
  if (needed[slot + 1u] == to) { return; }
  let p = vec3<f32>(cell_position(slot, info[0])) / f32(info[2]) - 0.5;
  let count = f32(counts[slot]);
  attributes[to * 10u] = distances[slot];
  for (var k = 0u; k < 3u; k++) {
    attributes[to * 10u + 1u + k] = p[k] + bitcast<f32>(info[3]) * tanh_of(attributes[to * 10u + 1u + k] / count);
  }
  for (var k = 4u; k < 10u; k++) { attributes[to * 10u + k] = sigmoid_of(attributes[to * 10u + k] / count); }
}
