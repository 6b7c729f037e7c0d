// Which of the three grid edges that end at a cube's far corner cross the surface and have four cubes around them.
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> patterns: array<u32>;
@group(0) @binding(2) var<storage, read_write> flags: array<u32>;
@group(0) @binding(3) var<storage, read> info: array<u32>;
#import surface_cubes
#import dual_cases
#import edge_quads

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= 3u * info[1]) { return; }
  let i = at / 3u;
  let axis = at % 3u;
  var complete = patch_of_edge(patterns[i], edge_in(axis, 0u)) != NO_PATCH;
  if (complete) {
    let p = cube_position(keys[i]);
    for (var q = 1u; q < 4u; q++) {
      let near = cube_at(p + around(axis, q));
      if (near == NO_CUBE) {
        complete = false;
      } else if (patch_of_edge(patterns[near], edge_in(axis, q)) == NO_PATCH) {
        complete = false;
      }
    }
  }
  flags[at] = u32(complete);
}
