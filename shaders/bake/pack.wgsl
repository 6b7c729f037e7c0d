// Colours of pictures as bytes, one word a pixel, 0 where nothing is. The pictures [V, 3, H, W] have row 0 at the top, the
// words [V, H, W] at the bottom, as drawn meshes have it.
//
// With a transmittance the pictures are splats on black: their colours are divided by how much the splats cover, rounded, and at least
// one step bright; pixels covered by no more than the limit are nothing. Without it bytes are cut off, as the reference's
// frames are.
#import workgroup
@group(0) @binding(0) var<storage, read_write> rgb: array<f32>;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;
// One word that nobody reads where there is none.
@group(0) @binding(2) var<storage, read_write> transmittance: array<f32>;
// Views, width, height, whether there is a transmittance, least cover.
@group(0) @binding(3) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  let pixels = info[1] * info[2];
  if (at >= info[0] * pixels) { return; }
  let row = at % pixels / info[1];
  let from_top = (info[2] - 1u - row) * info[1] + at % info[1];
  let first = at / pixels * 3u * pixels + from_top;
  let color = vec3<f32>(rgb[first], rgb[first + pixels], rgb[first + 2u * pixels]);
  var bytes = vec3<u32>(clamp(color * 255.0, vec3<f32>(), vec3<f32>(255.0)));
  if (info[3] == 1u) {
    let cover = 1.0 - transmittance[at / pixels * pixels + from_top];
    let seen = cover > bitcast<f32>(info[4]);
    let scaled = clamp(color / select(1.0, cover, seen) * 255.0, vec3<f32>(1.0), vec3<f32>(255.0)) + 0.5;
    bytes = select(vec3<u32>(), vec3<u32>(scaled), seen);
  }
  words[at] = bytes.x | (bytes.y << 8u) | (bytes.z << 16u);
}
