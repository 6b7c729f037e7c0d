// Group norm of voxel features, first step: count, mean and sum of squares around it for every chunk of CHUNK rows of a batch
// item and every channel group. x [M, C]; parts [chunks, groups, 4 words]. T element type.
#import workgroup
#let CHUNK = 128
@group(0) @binding(0) var<storage, read_write> x: array<${T}>;
@group(0) @binding(1) var<storage, read_write> parts: array<vec4<f32>>;
// C, groups, chunks, –; then first row and rows of every chunk.
@group(0) @binding(2) var<storage, read> info: array<u32>;

var<workgroup> sums: array<f32, 256>;

fn total(part: f32, tid: u32) -> f32 {
  workgroupBarrier();
  sums[tid] = part;
  workgroupBarrier();
  var sum = vec4<f32>();
  for (var i = 0u; i < 256u; i += 4u) { sum += vec4<f32>(sums[i], sums[i + 1u], sums[i + 2u], sums[i + 3u]); }
  return sum.x + sum.y + sum.z + sum.w;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let id = linear_workgroup(group, groups);
  if (id >= info[1] * info[2]) { return; }
  let chunk = id / info[1];
  let share = info[0] / info[1];
  let start = info[4u + chunk * 2u] * info[0] + id % info[1] * share;
  let count = info[5u + chunk * 2u] * share;
  var sum = 0.0;
  for (var i = tid; i < count; i += 256u) { sum += f32(x[start + i / share * info[0] + i % share]); }
  let mean = total(sum, tid) / f32(count);
  var squares = 0.0;
  for (var i = tid; i < count; i += 256u) {
    let d = f32(x[start + i / share * info[0] + i % share]) - mean;
    squares += d * d;
  }
  let around = total(squares, tid);
  if (tid == 0u) { parts[id] = vec4<f32>(f32(count), mean, around, 0.0); }
}
