// Which pixels each face covers, in three passes of the same program (so that all compute the same numbers):
// 0 counts the 8×8 blocks of pixels that the face's pieces touch; 1 keeps the nearest depth of every pixel; 2 keeps, among
// the faces at that depth, the last. Passes 1 and 2 take one invocation a block, whoever the face is.
//
// Items are the faces of the first view, then those of the next, and so on; a dispatch handles a run of them. Depths and faces
// are the pictures [views, H, W], row 0 at the bottom; `blocks` and `offsets` have one entry an item of the run (+ 1).
#import workgroup
@group(0) @binding(0) var<storage, read_write> clip: array<f32>;
@group(0) @binding(1) var<storage, read_write> faces: array<u32>;
// Pass 0 writes.
@group(0) @binding(2) var<storage, read_write> blocks: array<u32>;
// Passes 1 and 2 read: blocks before each face, and of all.
@group(0) @binding(3) var<storage, read_write> offsets: array<u32>;
@group(0) @binding(4) var<storage, read_write> depths: array<atomic<u32>>;
@group(0) @binding(5) var<storage, read_write> ids: array<atomic<u32>>;
// Pass, faces, items of the run, width, height, corners of a view, first item of the run.
@group(0) @binding(6) var<storage, read> info: array<u32>;
#import face_pieces
#import face_sample

fn blocks_of(box: vec4<i32>) -> vec2<i32> {
  if (any(box.zw < box.xy)) { return vec2<i32>(); }
  return (box.zw >> vec2<u32>(3u)) - (box.xy >> vec2<u32>(3u)) + 1;
}

// Unsigned words in the order of the floats; both zeros are the same depth.
fn depth_word(depth: f32) -> u32 {
  let word = bitcast<u32>(select(depth, 0.0, depth == 0.0));
  return select(word | 0x80000000u, ~word, (word & 0x80000000u) != 0u);
}

fn count_blocks(item: u32, size: vec2<i32>) {
  let whole = info[6] + item;
  let base = whole / info[1] * info[5];
  let c0 = face_corner(whole % info[1], 0u, base);
  let c1 = face_corner(whole % info[1], 1u, base);
  let c2 = face_corner(whole % info[1], 2u, base);
  if (inside_frustum(c0) && inside_frustum(c1) && inside_frustum(c2)) {
    let n = blocks_of(piece(c0, c1, c2, size).box);
    blocks[item] = u32(n.x * n.y);
    return;
  }
  cut_face(c0, c1, c2);
  var count = 0u;
  for (var k = 2u; k < polygon_length; k++) {
    let n = blocks_of(piece(polygon[0], polygon[k - 1u], polygon[k], size).box);
    count += u32(n.x * n.y);
  }
  blocks[item] = count;
}

fn cover_block(unit: u32, items: u32, size: vec2<i32>) {
  // The last face that starts at or before the block; those without blocks start at the same place, earlier.
  var low = 0u;
  var high = items;
  while (high - low > 1u) {
    let middle = low + (high - low) / 2u;
    if (offsets[middle] <= unit) { low = middle; } else { high = middle; }
  }
  let face = (info[6] + low) % info[1];
  let view = (info[6] + low) / info[1];
  let base = view * info[5];
  let c0 = face_corner(face, 0u, base);
  let c1 = face_corner(face, 1u, base);
  let c2 = face_corner(face, 2u, base);
  var place = i32(unit - offsets[low]);
  var p: Piece;
  if (inside_frustum(c0) && inside_frustum(c1) && inside_frustum(c2)) {
    p = piece(c0, c1, c2, size);
  } else {
    cut_face(c0, c1, c2);
    for (var k = 2u; k < polygon_length; k++) {
      p = piece(polygon[0], polygon[k - 1u], polygon[k], size);
      let n = blocks_of(p.box);
      if (place < n.x * n.y) { break; }
      place -= n.x * n.y;
    }
  }
  let n = blocks_of(p.box);
  if (place >= n.x * n.y) { return; }
  let corner = ((p.box.xy >> vec2<u32>(3u)) + vec2<i32>(place % n.x, place / n.x)) * 8;
  let first = max(corner, p.box.xy);
  let last = min(corner + 7, p.box.zw);
  for (var y = first.y; y <= last.y; y++) {
    for (var x = first.x; x <= last.x; x++) {
      let pixel = vec2<i32>(x, y);
      if (!piece_covers(p, pixel, size)) { continue; }
      let depth = depth_word(face_sample(c0, c1, c2, pixel, size).depth);
      let at = (view * info[4] + u32(y)) * info[3] + u32(x);
      if (info[0] == 1u) {
        atomicMin(&depths[at], depth);
      } else if (depth == atomicLoad(&depths[at])) {
        atomicMax(&ids[at], face + 1u);
      }
    }
  }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let first = linear_workgroup(group, groups) * 256u + tid;
  let size = vec2<i32>(vec2<u32>(info[3], info[4]));
  let items = info[2];
  if (info[0] == 0u) {
    if (first < items) { count_blocks(first, size); }
    return;
  }
  // The host does not know how many blocks there are: it sends a fixed number of invocations.
  let stride = groups.x * groups.y * 256u;
  let total = offsets[items];
  for (var unit = first; unit < total; unit += stride) { cover_block(unit, items, size); }
}
