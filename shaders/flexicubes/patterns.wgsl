// The pattern that each cube takes: two cubes that meet at the one ambiguous face of each take the complementary one, both by
// the original patterns. And how many dual vertices it has, for numbering: cubes with one come first, then those with two,
// three and four.
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> original: array<u32>;
@group(0) @binding(2) var<storage, read_write> patterns: array<u32>;
@group(0) @binding(3) var<storage, read_write> numbers: array<u32>;
@group(0) @binding(4) var<storage, read> info: array<u32>;
#import surface_cubes
#import dual_cases

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[1]) { return; }
  var pattern = original[i];
  let face = ambiguous_face(pattern);
  if (face > 0u) {
    let axis = (face - 1u) / 2u;
    let step = select(0xffffffffu, 1u, (face - 1u) % 2u == 1u);
    let near = cube_at(cube_position(keys[i]) + step * vec3<u32>(vec3<u32>(0u, 1u, 2u) == vec3<u32>(axis)));
    if (near != NO_CUBE && ambiguous_face(original[near]) > 0u) { pattern = 255u - pattern; }
  }
  patterns[i] = pattern;
  let count = patches_of(pattern);
  for (var k = 0u; k < 4u; k++) { numbers[k * info[1] + i] = select(0u, count, k + 1u == count); }
}
