// Exclusive prefix sum of one word an invocation over a workgroup of 256; `scan_total` holds the sum afterwards.
var<workgroup> scan_parts: array<u32, 256>;
var<workgroup> scan_total: u32;

fn scan256(value: u32, tid: u32) -> u32 {
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
