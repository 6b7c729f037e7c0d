// Group norm, last step: (x − mean)·factor·weight + bias. T element type.
#import workgroup
@group(0) @binding(0) var<storage, read_write> x: array<${T}>;
@group(0) @binding(1) var<storage, read_write> stats: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read_write> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<${T}>;
// Elements, C, groups, –; then the batch items as groups of rows.
@group(0) @binding(5) var<storage, read> info: array<u32>;
#let GROUPS = 4
#import groups

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= info[0]) { return; }
  let channel = at % info[1];
  let s = stats[group_of(at / info[1]) * info[2] + channel / (info[1] / info[2])];
  y[at] = ${T}((f32(x[at]) - s.x) * s.y * weight[channel] + bias[channel]);
}
