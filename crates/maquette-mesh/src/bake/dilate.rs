//! Filling the texels between charts, so that filtering at seams and in mip levels finds colours of the nearest chart.

use super::FloatTexture;

/// Fills the texels without `covered` in place: `rings` times outwards from the charts by the mean of known neighbours,
/// then the rest from coarser and coarser means. Nothing changes without any covered texel.
///
/// This stands in for the reference's Telea inpainting (spec §8.7.5), whose exact values matter to nobody: the texels are
/// seen only through filters.
pub fn dilate(texture: &mut FloatTexture, covered: &[bool], rings: usize) {
    if covered.len() != texture.texels.len() || covered.iter().all(|c| !c) {
        return;
    }
    let mut known = covered.to_vec();
    let (width, height) = (texture.width, texture.height);
    let beside = |i: usize, known: &[bool]| {
        let mut any = false;
        neighbours(i, width, height, |j| any |= known[j]);
        any
    };
    // Only texels beside known ones change in a ring: looking at all of them every time would take as long as the texture is
    // wide.
    let mut front: Vec<usize> = (0..known.len()).filter(|&i| !known[i] && beside(i, &known)).collect();
    for _ in 0..rings {
        if front.is_empty() {
            break;
        }
        let mean = |i: usize| {
            let (mut sum, mut count) = ([0.0f32; 3], 0);
            neighbours(i, width, height, |j| {
                if known[j] {
                    (0..3).for_each(|k| sum[k] += texture.texels[j][k]);
                    count += 1;
                }
            });
            sum.map(|s| s / count.max(1) as f32)
        };
        let colors: Vec<[f32; 3]> = front.iter().map(|&i| mean(i)).collect();
        for (&i, color) in front.iter().zip(colors) {
            (texture.texels[i], known[i]) = (color, true);
        }
        let mut next = Vec::new();
        front.iter().for_each(|&i| neighbours(i, width, height, |j| next.extend((!known[j]).then_some(j))));
        next.sort_unstable();
        next.dedup();
        front = next;
    }
    if !front.is_empty() {
        fill_from_means(texture, &known);
    }
}

fn neighbours(i: usize, width: usize, height: usize, mut f: impl FnMut(usize)) {
    let (x, y) = (i % width, i / width);
    for ny in y.saturating_sub(1)..(y + 2).min(height) {
        for nx in x.saturating_sub(1)..(x + 2).min(width) {
            if (nx, ny) != (x, y) {
                f(ny * width + nx);
            }
        }
    }
}

/// Means of the known texels at half the size, and which of them exist.
fn shrink(texture: &FloatTexture, known: &[bool]) -> (FloatTexture, Vec<bool>) {
    let (w, h) = (texture.width.div_ceil(2), texture.height.div_ceil(2));
    let mut sums = vec![([0.0f32; 3], 0u32); w * h];
    for (i, c) in texture.texels.iter().enumerate().filter(|(i, _)| known[*i]) {
        let (sum, count) = &mut sums[i / texture.width / 2 * w + i % texture.width / 2];
        (0..3).for_each(|k| sum[k] += c[k]);
        *count += 1;
    }
    let texels = sums.iter().map(|(s, n)| s.map(|x| x / (*n).max(1) as f32)).collect();
    (FloatTexture { width: w, height: h, texels }, sums.iter().map(|s| s.1 > 0).collect())
}

fn fill_from_means(texture: &mut FloatTexture, known: &[bool]) {
    if known.iter().all(|k| *k) || (texture.width == 1 && texture.height == 1) {
        return;
    }
    let (mut half, half_known) = shrink(texture, known);
    fill_from_means(&mut half, &half_known);
    for i in (0..known.len()).filter(|&i| !known[i]) {
        texture.texels[i] = half.texels[i / texture.width / 2 * half.width + i % texture.width / 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_take_the_colour_of_the_nearest_chart_and_charts_keep_theirs() {
        let mut t = FloatTexture::filled(64, 64, [9.0; 3]).expect("valid size");
        let mut covered = vec![false; 64 * 64];
        for (i, covered) in covered.iter_mut().enumerate() {
            let (x, y) = (i % 64, i / 64);
            if (8..16).contains(&x) && (8..40).contains(&y) {
                (t.texels[i], *covered) = ([1.0, 0.0, 0.0], true);
            } else if (40..60).contains(&x) && (8..40).contains(&y) {
                (t.texels[i], *covered) = ([0.0, 0.0, 1.0], true);
            }
        }
        let before = t.clone();
        dilate(&mut t, &covered, 8);
        for (i, (a, b)) in t.texels.iter().zip(&before.texels).enumerate() {
            assert!(!covered[i] || a == b);
            assert!(a.iter().all(|x| (0.0..=1.0).contains(x)), "texel {i} is {a:?}");
        }
        assert_eq!(t.texels[20 * 64 + 20], [1.0, 0.0, 0.0]);
        assert_eq!(t.texels[20 * 64 + 36], [0.0, 0.0, 1.0]);
    }

    #[test]
    fn nothing_known_changes_nothing() {
        let mut t = FloatTexture::filled(4, 4, [0.5; 3]).expect("valid size");
        let before = t.clone();
        dilate(&mut t, &[false; 16], 4);
        assert_eq!(t, before);
    }
}
