// Places every dual vertex: ten words, position, colours, and its cube's γ before the activation.
#import workgroup
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> patterns: array<u32>;
@group(0) @binding(2) var<storage, read_write> numbers: array<u32>;
@group(0) @binding(3) var<storage, read_write> corners: array<u32>;
@group(0) @binding(4) var<storage, read_write> attributes: array<f32>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read> info: array<u32>;
#import cube_corners
#import surface_cubes
#import dual_cases

// The corners that an edge joins.
fn edge_ends(edge: u32) -> vec2<u32> {
  var first = array<u32, 12>(0u, 1u, 4u, 0u, 2u, 3u, 6u, 2u, 2u, 3u, 7u, 6u);
  var second = array<u32, 12>(1u, 5u, 5u, 4u, 3u, 7u, 7u, 6u, 0u, 1u, 5u, 4u);
  return vec2<u32>(first[edge], second[edge]);
}

// Untouched vertices lie far outside, in their place and without colour.
fn value_at(corner: u32, k: u32, place: vec3<f32>) -> f32 {
  if (corner != 0xffffffffu) { return attributes[corner * 10u + k]; }
  if (k == 0u) { return 1.0; }
  if (k < 4u) { return place[k - 1u]; }
  return 0.5;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[1]) { return; }
  let p = cube_position(keys[i]);
  let pattern = patterns[i];
  let count = patches_of(pattern);
  let first = numbers[(count - 1u) * info[1] + i];
  for (var k = 0u; k < count; k++) {
    var sum = array<f32, 9>();
    var total = 0.0;
    var edges = patch_edges(pattern, k);
    while (edges != 0u) {
      let edge = countTrailingZeros(edges);
      edges &= edges - 1u;
      let ends = edge_ends(edge);
      let a = corners[i * 8u + ends.x];
      let b = corners[i * 8u + ends.y];
      let place_a = vec3<f32>(p + cube_corner(ends.x)) / f32(info[2]) - 0.5;
      let place_b = vec3<f32>(p + cube_corner(ends.y)) / f32(info[2]) - 0.5;
      let beta = weights[i * 21u + edge];
      let sa = value_at(a, 0u, place_a) * weights[i * 21u + 12u + ends.x];
      let sb = value_at(b, 0u, place_b) * weights[i * 21u + 12u + ends.y];
      for (var j = 0u; j < 9u; j++) {
        let crossing = value_at(a, j + 1u, place_a) * sb - value_at(b, j + 1u, place_b) * sa;
        sum[j] += crossing / (sb - sa) * beta;
      }
      total += beta;
    }
    for (var j = 0u; j < 9u; j++) { y[(first + k) * 10u + j] = sum[j] / total; }
    y[(first + k) * 10u + 9u] = weights[i * 21u + 20u];
  }
}
