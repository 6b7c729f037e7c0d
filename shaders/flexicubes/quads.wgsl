// The dual vertices of every quad, in order.
#import workgroup
@group(0) @binding(0) var<storage, read_write> items: array<u32>;
@group(0) @binding(1) var<storage, read_write> high: array<u32>;
@group(0) @binding(2) var<storage, read_write> keys: array<u32>;
@group(0) @binding(3) var<storage, read_write> patterns: array<u32>;
@group(0) @binding(4) var<storage, read_write> numbers: array<u32>;
@group(0) @binding(5) var<storage, read_write> quads: array<vec4<u32>>;
// Words of cubes and patterns; word 4: quads.
@group(0) @binding(6) var<storage, read> info: array<u32>;
#import surface_cubes
#import dual_cases
#import edge_quads

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= info[4]) { return; }
  let axis = items[at] % 3u;
  let p = cube_position(keys[items[at] / 3u]);
  var corner = vec4<u32>();
  for (var q = 0u; q < 4u; q++) {
    let i = cube_at(p + around(axis, q));
    let pattern = patterns[i];
    corner[q] = numbers[(patches_of(pattern) - 1u) * info[1] + i] + patch_of_edge(pattern, edge_in(axis, q));
  }
  let inside = (high[at] >> (info[3] + 1u)) == 1u;
  quads[at] = select(corner.xywz, corner.zwyx, inside);
}
