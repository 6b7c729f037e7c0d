// One channel's step: next = texture − pull / weight, the minimum of a separable quadratic that lies above the loss. The
// total variation joins with weight 1 / max(|difference|, ε) a pair of neighbours. `held` is the running mean of the sample
// weights, so that texels which this subset of views does not see keep theirs. `weights` becomes the share of the momentum that a
// texel takes.
#import workgroup
@group(0) @binding(0) var<storage, read_write> chain: array<f32>;
@group(0) @binding(1) var<storage, read_write> pulls: array<f32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> held: array<f32>;
@group(0) @binding(4) var<storage, read_write> next: array<f32>;
// Side of the texture, factor of pulls and weights (1 / share of the subset), rate of `held`, weight of a neighbour
// difference (0: none), ε.
@group(0) @binding(5) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  let side = info[0];
  if (i >= side * side) { return; }
  let factor = bitcast<f32>(info[1]);
  let rate = bitcast<f32>(info[2]);
  let smooth_weight = bitcast<f32>(info[3]);
  let eps = bitcast<f32>(info[4]);
  var pull = pulls[i] * factor;
  // At rate 1 nothing is held yet, and the buffer may hold anything.
  let new_weight = weights[i] * factor;
  var mean = new_weight;
  if (rate < 1.0) { mean = mix(held[i], new_weight, rate); }
  held[i] = mean;
  // A texel that few subsets see must not go further than its own subset's minimum, nor look ahead while it is not seen, or it
  // swings ever wider.
  var weight = max(mean, new_weight);
  weights[i] = select(1.0, 3.0 * new_weight / mean, 3.0 * new_weight < mean);
  let own = chain[i];
  if (smooth_weight > 0.0) {
    let x = i % side;
    let y = i / side;
    var others = array<u32, 4>(i, i, i, i);
    if (x > 0u) { others[0] = i - 1u; }
    if (x + 1u < side) { others[1] = i + 1u; }
    if (y > 0u) { others[2] = i - side; }
    if (y + 1u < side) { others[3] = i + side; }
    for (var k = 0u; k < 4u; k++) {
      if (others[k] != i) {
        let d = own - chain[others[k]];
        let w = smooth_weight / max(abs(d), eps);
        pull += w * d;
        // Both ends of a difference move: each may go half of the way.
        weight += 2.0 * w;
      }
    }
  }
  next[i] = own - select(0.0, pull / weight, weight > 0.0);
}
