// A pixel's weights and depth inside a face, from the corners before snapping.
struct FaceSample {
  // Weights of the first and second corner.
  bary: vec2<f32>,
  // z/w.
  depth: f32,
  // Corners relative to the pixel: x − fx·w, y − fy·w.
  p: mat3x2<f32>,
  // 1 / (sum of the three areas).
  inverse_sum: f32,
}

fn cross2(a: vec2<f32>, b: vec2<f32>) -> f32 { return a.x * b.y - a.y * b.x; }

fn face_sample(c0: vec4<f32>, c1: vec4<f32>, c2: vec4<f32>, pixel: vec2<i32>, size: vec2<i32>) -> FaceSample {
  let f = vec2<f32>(2 * pixel + 1) / vec2<f32>(size) - 1.0;
  var out: FaceSample;
  out.p = mat3x2<f32>(c0.xy - f * c0.w, c1.xy - f * c1.w, c2.xy - f * c2.w);
  let area = vec3<f32>(cross2(out.p[1], out.p[2]), cross2(out.p[2], out.p[0]), cross2(out.p[0], out.p[1]));
  out.inverse_sum = 1.0 / (area.x + area.y + area.z);
  let depth = dot(vec3<f32>(c0.z, c1.z, c2.z), area) / dot(vec3<f32>(c0.w, c1.w, c2.w), area);
  // A sliver's sample can come out beside it, or as 0/0.
  out.depth = select(1.0, clamp(depth, -1.0, 1.0), depth == depth);
  let b = area.xy * out.inverse_sum;
  let weights = select(vec2<f32>(), clamp(b, vec2<f32>(), vec2<f32>(1.0)), b == b);
  out.bary = weights / max(weights.x + weights.y, 1.0);
  return out;
}
