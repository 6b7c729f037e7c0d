// One pass of the stable radix sort: moves every key and its payload behind all smaller digits, and behind the equal digits
// that came before it. `offsets` is the exclusive prefix sum of radix_count's counts. SUB as in scan256.
#import workgroup
#import scan256
#let ITEMS = 8
@group(0) @binding(0) var<storage, read_write> keys: array<u32>;
@group(0) @binding(1) var<storage, read_write> payload: array<u32>;
@group(0) @binding(2) var<storage, read_write> offsets: array<u32>;
@group(0) @binding(3) var<storage, read_write> sorted_keys: array<u32>;
@group(0) @binding(4) var<storage, read_write> sorted_payload: array<u32>;
// Number of keys, shift of the digit.
@group(0) @binding(5) var<storage, read> info: array<u32>;

// In turn: keys as they come, counters, keys in order, payload in order.
var<workgroup> work: array<u32, 2048>;
// What to add to a place inside the block to get the place in the whole.
var<workgroup> moves: array<u32, 16>;

@compute @workgroup_size(256)
#if SUB
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) lanes: u32, @builtin(subgroup_invocation_id) lane: u32) {
  // Whichever invocations a subgroup is made of, its lanes are neighbours here.
  let tid = subgroup * lanes + lane;
#else
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lanes = 1u;
#end
  let block = linear_workgroup(group, groups);
  let length = info[0];
  let shift = info[1];
  let blocks = (length + 2047u) / 2048u;
  if (block >= blocks) { return; }
  let first = block * 2048u;
  let count = min(2048u, length - first);
#for j in 0..ITEMS
  work[${j * 256}u + tid] = keys[min(first + ${j * 256}u + tid, length - 1u)];
#end
  workgroupBarrier();
  // Invocations own runs of neighbours, so that counting in their order is stable. Places beyond the end take the largest
  // digit, which puts them behind everything.
#for j in 0..ITEMS
  let key${j} = work[tid * 8u + ${j}u];
  let digit${j} = select(15u, (key${j} >> shift) & 15u, tid * 8u + ${j}u < count);
#end
  workgroupBarrier();
  // Counters of digits d and d + 8 share a word: [d][invocation].
#for j in 0..ITEMS
  work[${j * 256}u + tid] = 0u;
#end
#for j in 0..ITEMS
  let slot${j} = (digit${j} & 7u) * 256u + tid;
  let half${j} = (digit${j} >> 3u) * 16u;
  let earlier${j} = (work[slot${j}] >> half${j}) & 0xffffu;
  work[slot${j}] += 1u << half${j};
#end
  workgroupBarrier();
  var sum = 0u;
  for (var k = 0u; k < 8u; k++) { sum += work[tid * 8u + k]; }
  var before = scan256(sum, tid, lanes);
  // The upper digits come after all of the lower ones.
  before += scan_total << 16u;
  for (var k = 0u; k < 8u; k++) {
    let item = work[tid * 8u + k];
    work[tid * 8u + k] = before;
    before += item;
  }
  workgroupBarrier();
#for j in 0..ITEMS
  let place${j} = ((work[slot${j}] >> half${j}) & 0xffffu) + earlier${j};
#end
  if (tid < 16u) {
    let start = (work[(tid & 7u) * 256u] >> ((tid >> 3u) * 16u)) & 0xffffu;
    moves[tid] = offsets[tid * blocks + block] - start;
  }
  workgroupBarrier();
#for j in 0..ITEMS
  work[place${j}] = key${j};
#end
  workgroupBarrier();
#for j in 0..ITEMS
  let at${j} = ${j * 256}u + tid;
  let sorted${j} = work[at${j}];
  let target${j} = moves[(sorted${j} >> shift) & 15u] + at${j};
  if (at${j} < count) { sorted_keys[target${j}] = sorted${j}; }
#end
  workgroupBarrier();
#for j in 0..ITEMS
  work[place${j}] = payload[min(first + tid * 8u + ${j}u, length - 1u)];
#end
  workgroupBarrier();
#for j in 0..ITEMS
  if (at${j} < count) { sorted_payload[target${j}] = work[at${j}]; }
#end
}
