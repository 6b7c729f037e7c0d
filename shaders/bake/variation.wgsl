// One channel's sum of |differences| of neighbours, one word a workgroup.
#import workgroup
#import sum256
@group(0) @binding(0) var<storage, read_write> texture: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;
// Side of the texture, first word of `sums`.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let block = linear_workgroup(group, groups);
  let side = info[0];
  if (block * 256u >= side * side) { return; }
  let i = block * 256u + tid;
  var sum = 0.0;
  if (i < side * side) {
    if (i % side + 1u < side) { sum += abs(texture[i + 1u] - texture[i]); }
    if (i / side + 1u < side) { sum += abs(texture[i + side] - texture[i]); }
  }
  let all = sum256(sum, tid);
  if (tid == 0u) { sums[info[1] + block] = all; }
}
