// Trilinear samples of a texture's chains: y [samples, 3].
#import workgroup
#import mip_chain
@group(0) @binding(0) var<storage, read_write> red: array<f32>;
@group(0) @binding(1) var<storage, read_write> green: array<f32>;
@group(0) @binding(2) var<storage, read_write> blue: array<f32>;
@group(0) @binding(3) var<storage, read_write> uv: array<f32>;
@group(0) @binding(4) var<storage, read_write> derivatives: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
// Samples, side of the texture.
@group(0) @binding(6) var<storage, read> info: array<u32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let i = linear_workgroup(group, groups) * 256u + tid;
  if (i >= info[0]) { return; }
  let d = vec4<f32>(derivatives[i * 4u], derivatives[i * 4u + 1u], derivatives[i * 4u + 2u], derivatives[i * 4u + 3u]);
  let taps = sample_taps(vec2<f32>(uv[i * 2u], uv[i * 2u + 1u]), footprint_level(d, info[1]), info[1]);
  var color = vec3<f32>();
  for (var k = 0u; k < 8u; k++) {
    let at = taps.at[k];
    color += taps.weight[k] * vec3<f32>(red[at], green[at], blue[at]);
  }
  y[i * 3u] = color.x;
  y[i * 3u + 1u] = color.y;
  y[i * 3u + 2u] = color.z;
}
