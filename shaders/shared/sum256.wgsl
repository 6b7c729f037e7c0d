// Sum of one float an invocation over a workgroup of 256, in a fixed order; the first invocation's answer is the sum.
var<workgroup> sum_parts: array<f32, 256>;

fn sum256(value: f32, tid: u32) -> f32 {
  sum_parts[tid] = value;
  workgroupBarrier();
  for (var step = 128u; step > 0u; step /= 2u) {
    if (tid < step) { sum_parts[tid] += sum_parts[tid + step]; }
    workgroupBarrier();
  }
  return sum_parts[0];
}
