// y[i] = activation(x[i]), computed in f32. T element type; UNIT 4: elements are taken four at once, 1: singly.
#import workgroup
#import activation
#let ELEMENT = select(UNIT == 4, select(T == "f16", "vec4<f16>", "vec4<f32>"), T)
@group(0) @binding(0) var<storage, read_write> x: array<${ELEMENT}>;
@group(0) @binding(1) var<storage, read_write> y: array<${ELEMENT}>;
// Units, the activation's code.
@group(0) @binding(2) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  if (at >= info[0]) { return; }
#if UNIT == 4
  y[at] = ${ELEMENT}(activate(vec4<f32>(x[at]), info[1]));
#else
  y[at] = ${ELEMENT}(activate(vec4<f32>(f32(x[at])), info[1]).x);
#end
}
