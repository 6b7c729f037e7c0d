//! Shelf packing of rectangles into a square, at the largest scale that fits.

/// Lower corners of the rectangles `sizes`, scaled by the returned factor and grown by `padding` on every side, in a
/// square of `side`; `None` if not even a tiny scale fits.
pub(super) fn pack(sizes: &[[f64; 2]], side: f64, padding: f64) -> Option<(f64, Vec<[f64; 2]>)> {
    let area: f64 = sizes.iter().map(|s| s[0] * s[1]).sum();
    let longest = sizes.iter().flatten().copied().fold(0.0, f64::max);
    if longest <= 0.0 {
        return place(sizes, 1.0, side, padding).map(|p| (1.0, p));
    }
    let mut high = ((side - 2.0 * padding) / longest).min(side / area.sqrt().max(longest * 1e-3));
    let mut best = None;
    // From the largest conceivable scale downwards, then closer between the last failure and the first success.
    let mut scale = high;
    for _ in 0..60 {
        if let Some(p) = place(sizes, scale, side, padding) {
            best = Some((scale, p));
            break;
        }
        high = scale;
        scale *= 0.8;
    }
    let mut low = scale;
    for _ in 0..10 {
        let middle = 0.5 * (low + high);
        match place(sizes, middle, side, padding) {
            Some(p) if best.is_some() => {
                low = middle;
                best = Some((middle, p));
            }
            _ => high = middle,
        }
    }
    best
}

/// Rows filled from left to right, tallest rectangles first.
fn place(sizes: &[[f64; 2]], scale: f64, side: f64, padding: f64) -> Option<Vec<[f64; 2]>> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| sizes[b][1].total_cmp(&sizes[a][1]).then(a.cmp(&b)));
    let mut out = vec![[0.0; 2]; sizes.len()];
    let (mut x, mut y, mut row) = (0.0, 0.0, 0.0f64);
    for i in order {
        let [w, h] = sizes[i].map(|s| s * scale + 2.0 * padding);
        if x + w > side {
            (x, y, row) = (0.0, y + row, 0.0);
        }
        if x + w > side || y + h > side {
            return None;
        }
        out[i] = [x + padding, y + padding];
        x += w;
        row = row.max(h);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_lie_apart_inside_the_square() {
        let sizes: Vec<[f64; 2]> =
            (1..60).map(|i| [0.1 * f64::from(i % 7 + 1), 0.05 * f64::from(i % 11 + 1)]).collect();
        let (scale, at) = pack(&sizes, 256.0, 2.0).expect("fits");
        let rect = |i: usize| [at[i][0], at[i][1], at[i][0] + sizes[i][0] * scale, at[i][1] + sizes[i][1] * scale];
        for i in 0..sizes.len() {
            let a = rect(i);
            assert!(a[0] >= 2.0 && a[1] >= 2.0 && a[2] <= 254.0 && a[3] <= 254.0);
            for b in (0..i).map(rect) {
                let apart = a[0] >= b[2] + 3.9 || b[0] >= a[2] + 3.9 || a[1] >= b[3] + 3.9 || b[1] >= a[3] + 3.9;
                assert!(apart, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn too_many_rectangles_are_refused() {
        assert!(pack(&vec![[1.0, 1.0]; 1000], 64.0, 2.0).is_none());
    }
}
