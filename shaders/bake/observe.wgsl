// Which pixels of a batch of pictures are observations, and their colours as bytes. A pixel counts where the mesh is and any
// byte of the picture (on black) is above 0. The pictures [V, 3, H, W] have row 0 at the top, everything else at the bottom.
#import workgroup
@group(0) @binding(0) var<storage, read_write> rgb: array<f32>;
@group(0) @binding(1) var<storage, read_write> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> colors: array<u32>;
@group(0) @binding(3) var<storage, read_write> flags: array<u32>;
// Views, width, height.
@group(0) @binding(4) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let at = linear_workgroup(group, groups) * 256u + tid;
  let pixels = info[1] * info[2];
  if (at >= info[0] * pixels) { return; }
  let row = at % pixels / info[1];
  let from_top = (info[2] - 1u - row) * info[1] + at % info[1];
  let first = at / pixels * 3u * pixels + from_top;
  let color = vec3<f32>(rgb[first], rgb[first + pixels], rgb[first + 2u * pixels]);
  let bytes = vec3<u32>(clamp(color * 255.0, vec3<f32>(), vec3<f32>(255.0)));
  let word = bytes.x | (bytes.y << 8u) | (bytes.z << 16u);
  colors[at] = word;
  flags[at] = select(0u, 1u, word != 0u && ids[at] > 0u);
}
