//! Small vectors: plain arrays and the handful of operations on them.

/// Three doubles; the working precision of the geometry code.
pub(crate) type D3 = [f64; 3];

pub(crate) fn widen(a: [f32; 3]) -> D3 {
    [f64::from(a[0]), f64::from(a[1]), f64::from(a[2])]
}

pub(crate) fn narrow(a: D3) -> [f32; 3] {
    [a[0] as f32, a[1] as f32, a[2] as f32]
}

pub(crate) fn add(a: D3, b: D3) -> D3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

pub(crate) fn sub(a: D3, b: D3) -> D3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

pub(crate) fn scale(a: D3, s: f64) -> D3 {
    [a[0] * s, a[1] * s, a[2] * s]
}

pub(crate) fn dot(a: D3, b: D3) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(crate) fn cross(a: D3, b: D3) -> D3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(crate) fn length(a: D3) -> f64 {
    dot(a, a).sqrt()
}

/// Unit vector, or `None` for a vector too short to have a direction.
pub(crate) fn unit(a: D3) -> Option<D3> {
    let l = length(a);
    (l > 1e-300 && l.is_finite()).then(|| scale(a, 1.0 / l))
}
