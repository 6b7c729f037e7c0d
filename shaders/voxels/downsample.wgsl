// y[p] = Σ x[child] / (count + 1) over the children of coarse row p that exist, summed in f32 in their order.
// T element type; UNIT 4: channels are taken four at once, 1: singly.
#import workgroup
#let ELEMENT = select(UNIT == 4, select(T == "f16", "vec4<f16>", "vec4<f32>"), T)
#let SUM = select(UNIT == 4, "vec4<f32>", "f32")
@group(0) @binding(0) var<storage, read_write> x: array<${ELEMENT}>;
// [8, coarse rows]; the number of fine rows where there is no child.
@group(0) @binding(1) var<storage, read_write> children: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<${ELEMENT}>;
// Coarse rows, fine rows, units a row.
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  let row = at / info[2];
  if (row >= info[0]) { return; }
  var sum = ${SUM}(0.0);
  var members = 1.0;
  for (var i = 0u; i < 8u; i++) {
    let child = u32(children[i * info[0] + row]);
    if (child < info[1]) {
      sum += ${SUM}(x[child * info[2] + at % info[2]]);
      members += 1.0;
    }
  }
  y[at] = ${ELEMENT}(sum / members);
}
