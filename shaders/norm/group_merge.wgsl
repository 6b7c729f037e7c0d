// Group norm, second step: merges the chunks of a batch item (Chan's formula) into mean and 1/√(variance + eps). A workgroup to
// every item and group.
#import workgroup
@group(0) @binding(0) var<storage, read_write> parts: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> stats: array<vec2<f32>>;
// Groups, items, eps, –; then the first chunk of every item, and their number.
@group(0) @binding(2) var<storage, read> info: array<u32>;

var<workgroup> merged: array<vec4<f32>, 256>;

// Count, mean and squares around it of two sets together.
fn both(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
  let count = a.x + b.x;
  let part = b.x / max(count, 1.0);
  let apart = b.y - a.y;
  return vec4<f32>(count, a.y + apart * part, a.z + b.z + apart * apart * a.x * part, 0.0);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let id = linear_workgroup(group, groups);
  if (id >= info[0] * info[1]) { return; }
  let item = id / info[0];
  var sum = vec4<f32>();
  for (var chunk = info[4u + item] + tid; chunk < info[5u + item]; chunk += 256u) {
    sum = both(sum, parts[chunk * info[0] + id % info[0]]);
  }
  merged[tid] = sum;
  for (var half = 128u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (tid < half) { merged[tid] = both(merged[tid], merged[tid + half]); }
  }
  if (tid == 0u) {
    let whole = merged[0];
    stats[id] = vec2<f32>(whole.y, 1.0 / sqrt(whole.z / max(whole.x, 1.0) + bitcast<f32>(info[2])));
  }
}
