// The geometry of the mesh rasteriser: clipping to the frustum, snapping to 1/16 pixel, and what a pixel sees of a face.
// Needs the buffers `clip` (four floats a corner) and `faces`.

// A face's corners in clip space, of the view that starts at corner `base`.
fn face_corner(face: u32, k: u32, base: u32) -> vec4<f32> {
  let at = (base + faces[face * 3u + k]) * 4u;
  return vec4<f32>(clip[at], clip[at + 1u], clip[at + 2u], clip[at + 3u]);
}

// Also false for NaN.
fn is_finite(v: vec4<f32>) -> bool {
  return all(abs(v) < vec4<f32>(3.0e38));
}

fn inside_frustum(v: vec4<f32>) -> bool {
  return v.w > 0.0 && all(abs(v.xyz) <= vec3<f32>(v.w));
}

// A triangle cut by six planes has at most nine corners.
var<private> polygon: array<vec4<f32>, 10>;
var<private> polygon_length: u32;

fn cut_plane(axis: u32, direction: f32) {
  var out: array<vec4<f32>, 10>;
  var length = 0u;
  for (var i = 0u; i < polygon_length; i++) {
    let b = polygon[i];
    let a = polygon[(i + polygon_length - 1u) % polygon_length];
    let da = a.w + direction * a[axis];
    let db = b.w + direction * b[axis];
    if ((da >= 0.0) != (db >= 0.0) && length < 10u) {
      let t = da / (da - db);
      out[length] = a + (b - a) * t;
      length++;
    }
    if (db >= 0.0 && length < 10u) {
      out[length] = b;
      length++;
    }
  }
  polygon = out;
  polygon_length = length;
}

// Fills `polygon` with the visible part of a face that is not wholly inside; nothing for corners that are no numbers.
fn cut_face(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) {
  polygon_length = 0u;
  if (!is_finite(a) || !is_finite(b) || !is_finite(c)) { return; }
  polygon[0] = a;
  polygon[1] = b;
  polygon[2] = c;
  polygon_length = 3u;
  for (var k = 0u; k < 3u; k++) {
    // Depth first, as the definition cuts.
    let axis = (k + 2u) % 3u;
    cut_plane(axis, 1.0);
    if (polygon_length == 0u) { return; }
    cut_plane(axis, -1.0);
    if (polygon_length == 0u) { return; }
  }
}

// A triangle of the polygon's fan on the picture, counter-clockwise, in 1/16 pixel from the picture's centre; and the pixels
// that its box touches: x first, y first, x last, y last (empty where last < first).
struct Piece { a: vec2<i32>, b: vec2<i32>, c: vec2<i32>, box: vec4<i32> }

fn snap(v: vec4<f32>, size: vec2<i32>) -> vec2<i32> {
  let reach = 8.0 * vec2<f32>(size);
  let p = clamp(round(v.xy / v.w * reach), -reach, reach);
  // 0/0 is no place: any will do for a corner at the eye.
  return vec2<i32>(select(vec2<f32>(), p, p == p));
}

fn piece(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, size: vec2<i32>) -> Piece {
  var out: Piece;
  out.a = snap(a, size);
  out.b = snap(b, size);
  out.c = snap(c, size);
  out.box = vec4<i32>(0, 0, -1, -1);
  let turn = turns(out.b - out.a, out.c - out.a);
  if (turn == 0) { return out; }
  if (turn < 0) {
    let b = out.b;
    out.b = out.c;
    out.c = b;
  }
  // Pixel centre k lies at 16 k + 8 − 8 · size. Shifts divide downwards.
  let centre = 8 * size - 8;
  let low = min(min(out.a, out.b), out.c) + centre;
  let high = max(max(out.a, out.b), out.c) + centre;
  let first = max((low + 15) >> vec2<u32>(4u), vec2<i32>());
  let last = min(high >> vec2<u32>(4u), size - 1);
  out.box = vec4<i32>(first, last);
  return out;
}

// Sign of the cross product u × v of vectors up to 2¹⁸ long. The product needs 37 bits: far from zero a float tells its
// sign; close to it the words that are left after wrapping around are exact.
fn turns(u: vec2<i32>, v: vec2<i32>) -> i32 {
  let f = vec4<f32>(vec4<i32>(u, v));
  let rough = f.x * f.w - f.y * f.z;
  if (abs(rough) > 1048576.0) { return i32(sign(rough)); }
  return sign(u.x * v.y - u.y * v.x);
}

fn edge_holds(a: vec2<i32>, b: vec2<i32>, q: vec2<i32>) -> bool {
  let d = b - a;
  let side = turns(d, q - a);
  // Left and bottom edges belong to the triangle.
  return side > 0 || (side == 0 && (d.y < 0 || (d.y == 0 && d.x > 0)));
}

fn piece_covers(p: Piece, pixel: vec2<i32>, size: vec2<i32>) -> bool {
  let q = 16 * pixel + 8 - 8 * size;
  return edge_holds(p.a, p.b, q) && edge_holds(p.b, p.c, q) && edge_holds(p.c, p.a, q);
}
