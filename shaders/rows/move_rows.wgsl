// y[i] = x[index[i]] (DIRECTION gather) or y[index[i]] = x[i] (scatter) for rows of words; an index outside the table moves
// nothing. UNIT 4: rows are vec4s of words, 1: words.
#import workgroup
#let ELEMENT = select(UNIT == 4, "vec4<u32>", "u32")
@group(0) @binding(0) var<storage, read_write> x: array<${ELEMENT}>;
@group(0) @binding(1) var<storage, read_write> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<${ELEMENT}>;
// Indices, rows of the table that they point into, units a row.
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  let row = at / info[2];
  if (row >= info[0]) { return; }
  let other = index[row];
  if (other < 0 || u32(other) >= info[1]) { return; }
  let there = u32(other) * info[2] + at % info[2];
#if DIRECTION == "gather"
  y[at] = x[there];
#else
  y[there] = x[at];
#end
}
