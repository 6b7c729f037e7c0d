//! Cutting dense volumes into cubic patches.

use burn::tensor::Tensor;

/// Tokens of a volume: `[B, C, X, Y, Z]` → `[B, X/p·Y/p·Z/p, C·p³]`, channel `((c·p + i)·p + j)·p + k`, tokens with z fastest.
pub fn patchify(x: Tensor<5>, p: usize) -> Tensor<3> {
    let [b, c, x_size, y_size, z_size] = x.dims();
    let (nx, ny, nz) = (x_size / p, y_size / p, z_size / p);
    // Axis order, memory: b c X i Y j Z k → b X Y Z c i j k, by swaps of few axes: device back ends limit the rank.
    let x = x.reshape([b * c * nx, p, ny, p * nz * p]).swap_dims(1, 2);
    let x = x.reshape([b * c * nx * ny * p, p, nz, p]).swap_dims(1, 2);
    let x = x.reshape([b * c * nx * ny, p, nz, p * p]).swap_dims(1, 2);
    let x = x.reshape([b, c, nx * ny * nz, p * p * p]).swap_dims(1, 2);
    x.reshape([b, nx * ny * nz, c * p * p * p])
}

/// The way back of [`patchify`] for a grid of `[nx, ny, nz]` patches.
pub fn unpatchify(x: Tensor<3>, p: usize, [nx, ny, nz]: [usize; 3]) -> Tensor<5> {
    let [b, tokens, channels] = x.dims();
    let c = channels / (p * p * p);
    let x = x.reshape([b, tokens, c, p * p * p]).swap_dims(1, 2);
    let x = x.reshape([b * c * nx * ny, nz, p, p * p]).swap_dims(1, 2);
    let x = x.reshape([b * c * nx * ny * p, nz, p, p]).swap_dims(1, 2);
    let x = x.reshape([b * c * nx, ny, p, p * nz * p]).swap_dims(1, 2);
    x.reshape([b, c, nx * p, ny * p, nz * p])
}
