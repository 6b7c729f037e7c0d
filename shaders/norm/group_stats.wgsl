// Group norm of voxel features, first step: count, mean and sum of squares around it for every chunk of CHUNK rows of a batch
// item and every channel group. x [M, C]; parts [chunks, groups, 4 words]. T element type.
//
// A workgroup takes the groups whose channels fit its invocations side by side (or one wider group), so that neighbours read
// neighbouring channels, and as many rows at once as are left.
#import workgroup
@group(0) @binding(0) var<storage, read_write> x: array<${T}>;
@group(0) @binding(1) var<storage, read_write> parts: array<vec4<f32>>;
// C, groups, chunks, groups a workgroup takes; then first row and rows of every chunk.
@group(0) @binding(2) var<storage, read> info: array<u32>;

var<workgroup> sums: array<f32, 256>;
var<workgroup> means: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let id = linear_workgroup(group, groups);
  let across = (info[1] + info[3] - 1u) / info[3];
  if (id >= across * info[2]) { return; }
  let chunk = id / across;
  let first = id % across * info[3];
  let share = info[0] / info[1];
  let mine = min(info[3], info[1] - first);
  let width = mine * share;
  // Rows at once, and how far apart an invocation's channels are where a group is wider than a workgroup.
  let tall = max(256u / width, 1u);
  let lane = min(width, 256u);
  let row = tid / lane;
  let start = info[4u + chunk * 2u] * info[0] + first * share;
  let rows = info[5u + chunk * 2u];
  let busy = row < tall;
  let count = f32(rows * share);

  var sum = 0.0;
  for (var r = row; busy && r < rows; r += tall) {
    for (var c = tid % lane; c < width; c += lane) { sum += f32(x[start + r * info[0] + c]); }
  }
  sums[tid] = sum;
  workgroupBarrier();
  // Where a group is wider than a workgroup, all invocations are its own.
  let held = min(share, lane);
  if (tid < mine) {
    var whole = 0.0;
    for (var r = 0u; r < tall; r++) {
      for (var c = 0u; c < held; c++) { whole += sums[r * lane + tid * held + c]; }
    }
    means[tid] = whole / count;
  }
  workgroupBarrier();
  let mean = means[tid % lane / held];
  var squares = 0.0;
  for (var r = row; busy && r < rows; r += tall) {
    for (var c = tid % lane; c < width; c += lane) {
      let d = f32(x[start + r * info[0] + c]) - mean;
      squares += d * d;
    }
  }
  sums[tid] = squares;
  workgroupBarrier();
  if (tid < mine) {
    var whole = 0.0;
    for (var r = 0u; r < tall; r++) {
      for (var c = 0u; c < held; c++) { whole += sums[r * lane + tid * held + c]; }
    }
    parts[chunk * info[1] + first + tid] = vec4<f32>(count, means[tid], whole, 0.0);
  }
}
