// Blends each tile's splats front to back, one invocation a pixel (step 9 of the definition).
#import workgroup
@group(0) @binding(0) var<storage, read_write> starts: array<u32>;
@group(0) @binding(1) var<storage, read_write> entries: array<u32>;
@group(0) @binding(2) var<storage, read_write> splats: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> rgb: array<f32>;
@group(0) @binding(4) var<storage, read_write> transmittance: array<f32>;
// Width, height, first tile row of the band, tiles of the band, tiles in a row, background, picture of the batch.
@group(0) @binding(5) var<storage, read> info: array<u32>;

var<workgroup> places: array<vec4<f32>, 256>;
// Across, opacity, the power below which a splat is too faint.
var<workgroup> strengths: array<vec3<f32>, 256>;
var<workgroup> colors: array<vec3<f32>, 256>;
var<workgroup> span: vec2<u32>;
var<workgroup> waiting: atomic<u32>;
var<workgroup> go_on: u32;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let tile = linear_workgroup(group, groups);
  if (tile >= info[3]) { return; }
  let x = tile % info[4] * 16u + tid % 16u;
  let y = (info[2] + tile / info[4]) * 16u + tid / 16u;
  let place = vec2<f32>(f32(x), f32(y));
  if (tid == 0u) { span = vec2<u32>(starts[tile], starts[tile + 1u]); }
  let list = workgroupUniformLoad(&span);
  var done = x >= info[0] || y >= info[1];
  var color = vec3<f32>();
  var t = 1.0;
  for (var first = list.x; first < list.y; first += 256u) {
    if (tid == 0u) { atomicStore(&waiting, 0u); }
    workgroupBarrier();
    if (!done) { atomicMax(&waiting, 1u); }
    workgroupBarrier();
    if (tid == 0u) { go_on = atomicLoad(&waiting); }
    if (workgroupUniformLoad(&go_on) == 0u) { break; }
    let count = min(256u, list.y - first);
    if (tid < count) {
      let splat = entries[first + tid] * 4u;
      let strength = bitcast<vec4<f32>>(splats[splat + 1u]);
      places[tid] = bitcast<vec4<f32>>(splats[splat]);
      // Well below the exact limit, which is decided by alpha itself: this only saves the exponential.
      strengths[tid] = vec3<f32>(strength.xy, -log(255.0 * strength.y) - 0.01);
      colors[tid] = bitcast<vec4<f32>>(splats[splat + 2u]).xyz;
    }
    workgroupBarrier();
    if (!done) {
      for (var k = 0u; k < count; k++) {
        let p = places[k];
        let s = strengths[k];
        let d = p.xy - place;
        let off = d.y + p.z * d.x;
        let power = p.w * d.x * d.x + s.x * off * off;
        if (!(power >= s.z)) { continue; }
        let alpha = min(s.y * exp(power), 0.99);
        if (!(alpha >= 1.0 / 255.0)) { continue; }
        let next = t * (1.0 - alpha);
        // The splat that would make it opaque is not added.
        if (next < 1e-4) { done = true; break; }
        color += colors[k] * (alpha * t);
        t = next;
      }
    }
  }
  if (x >= info[0] || y >= info[1]) { return; }
  let pixels = info[0] * info[1];
  let at = y * info[0] + x;
  let background = t * bitcast<f32>(info[5]);
  rgb[info[6] * 3u * pixels + at] = color.x + background;
  rgb[(info[6] * 3u + 1u) * pixels + at] = color.y + background;
  rgb[(info[6] * 3u + 2u) * pixels + at] = color.z + background;
  transmittance[info[6] * pixels + at] = t;
}
