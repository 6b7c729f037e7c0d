// Mean distances with their bias, in place; +1 where no voxel touches a vertex.
#import workgroup
@group(0) @binding(0) var<storage, read_write> sums: array<f32>;
@group(0) @binding(1) var<storage, read_write> counts: array<u32>;
// Slots, bias.
@group(0) @binding(2) var<storage, read> info: array<u32>;

// x / n, n from 1 to 8, rounded to nearest even. WGSL's own division may be off by 2.5 units in the last place, and faces
// depend on the sign of what is left after the bias.
fn quotient(x: f32, n: u32) -> f32 {
  let bits = bitcast<u32>(x);
  let exponent = (bits >> 23u) & 255u;
  // Infinities and NaN stay; what is nearly 0 is far from the bias.
  if (exponent == 255u || exponent < 8u) { return x / f32(n); }
  let wide = ((bits & 0x7fffffu) | 0x800000u) << 7u;
  let whole = wide / n;
  let rest = wide % n;
  // Bits of `whole` beyond the 24 of a float: four to seven.
  let beyond = 8u - countLeadingZeros(whole);
  var kept = whole >> beyond;
  let cut = whole & ((1u << beyond) - 1u);
  let half = 1u << (beyond - 1u);
  if (cut > half || (cut == half && (rest > 0u || (kept & 1u) == 1u))) { kept += 1u; }
  // A carry out of the fraction goes into the exponent, where it belongs.
  return bitcast<f32>((bits & 0x80000000u) | (((exponent + beyond - 7u) << 23u) + (kept - 0x800000u)));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let slot = linear_workgroup(group, groups) * 256u + tid;
  if (slot >= info[0]) { return; }
  let count = counts[slot];
  if (count == 0u) {
    sums[slot] = 1.0;
  } else {
    sums[slot] = quotient(sums[slot], count) - bitcast<f32>(info[1]);
  }
}
