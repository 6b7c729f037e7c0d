// Exclusive prefix sum of one word an invocation over a workgroup of 256; `scan_total` holds the sum afterwards. To be called
// once. SUB 1: subgroups of any size (4 to 128) scan by themselves and pass their sums through workgroup memory; `tid` has to
// count the invocations of a subgroup one after the other. 0: steps of powers of two in workgroup memory; `lanes` is not read.
#if SUB
var<workgroup> scan_parts: array<u32, 64>;
var<private> scan_total: u32;

// The sums of the subgroups before this one, whose own is `sum`.
fn scan_subgroups(sum: u32, tid: u32, lanes: u32) -> u32 {
  if (tid % lanes == 0u) { scan_parts[tid / lanes] = sum; }
  workgroupBarrier();
  var before = 0u;
  scan_total = 0u;
  for (var i = 0u; i < 256u / lanes; i++) {
    let part = scan_parts[i];
    before += select(0u, part, i < tid / lanes);
    scan_total += part;
  }
  return before;
}

fn scan256(value: u32, tid: u32, lanes: u32) -> u32 {
  let upto = subgroupInclusiveAdd(value);
  return scan_subgroups(subgroupShuffle(upto, lanes - 1u), tid, lanes) + upto - value;
}
#else
var<workgroup> scan_parts: array<u32, 256>;
var<workgroup> scan_total: u32;

fn scan256(value: u32, tid: u32, lanes: u32) -> u32 {
  scan_parts[tid] = value;
  workgroupBarrier();
  for (var step = 1u; step < 256u; step *= 2u) {
    var sum = scan_parts[tid];
    if (tid >= step) { sum += scan_parts[tid - step]; }
    workgroupBarrier();
    scan_parts[tid] = sum;
    workgroupBarrier();
  }
  if (tid == 255u) { scan_total = scan_parts[255]; }
  workgroupBarrier();
  return scan_parts[tid] - value;
}
#end
