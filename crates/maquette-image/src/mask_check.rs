//! Looking at a mask before a minute of GPU time is spent on it.

use std::fmt;

use crate::error::ImageError;
use crate::object::OBJECT_ALPHA;
use crate::raster::Mask;

/// Share of the picture under which a mask counts as nearly empty.
const NEARLY_EMPTY: f64 = 0.002;
/// Share of the picture over which a mask has removed nothing.
const NEARLY_FULL: f64 = 0.98;
/// Longer side of the subject, in pixels and as a share of the picture's longer side, under which detail will be missing.
const TINY_PIXELS: u32 = 64;
const TINY_SHARE: f64 = 0.1;
/// A component counts beside the largest if it has this share of its pixels.
const LARGE_COMPONENT: f64 = 0.1;
/// Parts closer together than one to two of the so many squares along the picture's longer side are one part: soft edges and
/// thin links between the parts of one object lie under the threshold of the mask.
const SQUARES: u32 = 160;
/// Share of a side of the picture that the subject must cover to count as cut by it (a stray pixel is none).
const BORDER_SHARE: f64 = 0.02;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The result will probably be fine; say it.
    Hint,
    /// The result will probably disappoint: stop unless told to go on.
    Warning,
    /// There is nothing to reconstruct: the next step would fail or give garbage.
    Fatal,
}

/// What is wrong with a mask, with what was measured.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MaskProblem {
    /// Nothing is marked at all.
    Empty,
    /// Something is marked, but nowhere firmly enough to be the object.
    NowhereOpaque {
        /// The highest mask value.
        max: u8,
    },
    /// Hardly anything is the object.
    NearlyEmpty {
        /// Share of the picture, 0 to 1.
        share: f64,
    },
    /// Everything is the object.
    NearlyFull {
        /// Share of the picture, 0 to 1.
        share: f64,
    },
    /// Several separate large parts.
    SeveralComponents {
        /// Pixels of each large part, the largest first.
        pixels: Vec<u64>,
    },
    /// The object reaches the picture's edge and may be cut off there.
    TouchesBorder {
        /// Share of each side that it covers: left, top, right, bottom.
        shares: [f64; 4],
    },
    /// The object has few pixels.
    SubjectTiny {
        /// Width of its bounding box in pixels.
        width: u32,
        /// Height of its bounding box in pixels.
        height: u32,
        /// Its longer side as a share of the picture's longer side.
        share: f64,
    },
}

impl MaskProblem {
    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Empty | Self::NowhereOpaque { .. } => Severity::Fatal,
            Self::NearlyEmpty { .. } | Self::NearlyFull { .. } | Self::SeveralComponents { .. } => Severity::Warning,
            Self::SubjectTiny { width, height, .. } if *width.max(height) < TINY_PIXELS => Severity::Warning,
            Self::TouchesBorder { shares } if shares.iter().any(|&s| s > 0.25) => Severity::Warning,
            Self::SubjectTiny { .. } | Self::TouchesBorder { .. } => Severity::Hint,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Empty => {
                "give a mask (`--mask`), keep the background (`--keep-background`), or use a picture where the subject stands out from it"
            }
            Self::NowhereOpaque { .. } => {
                "make the alpha of the subject 255 in an image program, or remove the alpha channel so that the subject is cut out here"
            }
            Self::NearlyEmpty { .. } => {
                "look at the cut-out (`--save-cutout`); crop the picture closer to the subject or give a mask (`--mask`)"
            }
            Self::NearlyFull { .. } => {
                "nothing was removed: use a picture with the whole subject before a plain background, or give a mask (`--mask`)"
            }
            Self::SeveralComponents { .. } => {
                "one object a picture works best: crop to the one you want or remove the others from the mask (`--mask`)"
            }
            Self::TouchesBorder { .. } => {
                "the model has to guess what lies outside: use a picture that shows the whole subject with some margin"
            }
            Self::SubjectTiny { .. } => {
                "detail will be missing: use a picture where the subject is some hundred pixels large"
            }
        }
    }
}

impl fmt::Display for MaskProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        match self {
            Self::Empty => f.write_str("the mask is empty: no subject was found"),
            Self::NowhereOpaque { max } => {
                write!(
                    f,
                    "the subject is nowhere opaque: the highest alpha is {max} of 255, {} is needed",
                    u16::from(OBJECT_ALPHA) + 1
                )
            }
            Self::NearlyEmpty { share } => write!(f, "the subject covers only {:.2} % of the picture", percent(*share)),
            Self::NearlyFull { share } => write!(f, "the subject covers {:.1} % of the picture", percent(*share)),
            Self::SeveralComponents { pixels } => {
                let total: u64 = pixels.iter().sum();
                let parts: Vec<String> =
                    pixels.iter().map(|&n| format!("{:.0} %", percent(n as f64 / total as f64))).collect();
                write!(f, "the subject has {} separate large parts ({})", pixels.len(), parts.join(", "))
            }
            Self::TouchesBorder { shares } => {
                let sides: Vec<String> = ["left", "top", "right", "bottom"]
                    .iter()
                    .zip(shares)
                    .filter(|&(_, &s)| s >= BORDER_SHARE)
                    .map(|(name, &s)| format!("{name} ({:.0} % of it)", percent(s)))
                    .collect();
                write!(f, "the subject touches the picture's edge: {}", sides.join(", "))
            }
            Self::SubjectTiny { width, height, share } => {
                write!(
                    f,
                    "the subject is only {width}x{height} pixels ({:.1} % of the picture's longer side)",
                    percent(*share)
                )
            }
        }
    }
}

/// One thing that is wrong with a mask.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskFinding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is, with figures; its `Display` is a sentence.
    pub problem: MaskProblem,
    /// What to do about it.
    pub advice: &'static str,
}

impl fmt::Display for MaskFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.advice)
    }
}

/// Checks a mask (255 = subject), or the alpha of a cut-out. No finding means that nothing speaks against going on; the worst come first.
///
/// # Errors
/// [`ImageError::OutOfMemory`].
pub fn check_mask(mask: &Mask) -> Result<Vec<MaskFinding>, ImageError> {
    let mut problems = measure(mask)?;
    problems.sort_by_key(|p| std::cmp::Reverse(p.severity()));
    Ok(problems
        .into_iter()
        .map(|problem| MaskFinding { severity: problem.severity(), advice: problem.advice(), problem })
        .collect())
}

fn measure(mask: &Mask) -> Result<Vec<MaskProblem>, ImageError> {
    let (width, height) = mask.size();
    let max = mask.data().iter().copied().max().unwrap_or(0);
    if max == 0 {
        return Ok(vec![MaskProblem::Empty]);
    }
    if max <= OBJECT_ALPHA {
        return Ok(vec![MaskProblem::NowhereOpaque { max }]);
    }
    let mut problems = Vec::new();
    let components = Components::of(mask)?;
    let total: u64 = components.pixels.iter().sum();
    let share = total as f64 / (f64::from(width) * f64::from(height));
    if share < NEARLY_EMPTY {
        problems.push(MaskProblem::NearlyEmpty { share });
    }
    if share > NEARLY_FULL {
        // borders and parts say nothing about a mask that is the whole picture
        problems.push(MaskProblem::NearlyFull { share });
        return Ok(problems);
    }
    let mut large = components.pixels;
    large.sort_unstable_by_key(|&n| std::cmp::Reverse(n));
    let largest = large.first().copied().unwrap_or(0) as f64;
    large.retain(|&n| n as f64 >= largest * LARGE_COMPONENT);
    // crumbs of a nearly empty mask are no "large parts"
    if large.len() > 1 && share >= NEARLY_EMPTY {
        problems.push(MaskProblem::SeveralComponents { pixels: large });
    }
    let shares = border_shares(mask);
    if shares.iter().any(|&s| s >= BORDER_SHARE) {
        problems.push(MaskProblem::TouchesBorder { shares });
    }
    let (box_width, box_height) = components.bounds;
    let longer = box_width.max(box_height);
    let longer_share = f64::from(longer) / f64::from(width.max(height));
    if longer < TINY_PIXELS || longer_share < TINY_SHARE {
        problems.push(MaskProblem::SubjectTiny { width: box_width, height: box_height, share: longer_share });
    }
    Ok(problems)
}

fn inside(value: u8) -> bool {
    value > OBJECT_ALPHA
}

fn border_shares(mask: &Mask) -> [f64; 4] {
    let (w, h) = (mask.width() as usize, mask.height() as usize);
    let data = mask.data();
    let share =
        |values: &mut dyn Iterator<Item = u8>, n: usize| values.filter(|&v| inside(v)).count() as f64 / n as f64;
    [
        share(&mut data.iter().copied().step_by(w), h),
        share(&mut data[..w].iter().copied(), w),
        share(&mut data[w - 1..].iter().copied().step_by(w), h),
        share(&mut data[(h - 1) * w..].iter().copied(), w),
    ]
}

/// Parts that hang together, looked at in squares of a few pixels (of one pixel in small pictures), over edges and corners.
struct Components {
    /// Pixels of each part.
    pixels: Vec<u64>,
    /// Width and height of the box around all of them.
    bounds: (u32, u32),
}

/// A run of squares with object pixels in one row of squares: columns `start..end`, and the part it belongs to.
struct Run {
    start: usize,
    end: usize,
    part: usize,
}

impl Components {
    /// Joins the runs of each row with the runs of the row above that they touch; memory grows with the runs, not with the pixels.
    fn of(mask: &Mask) -> Result<Self, ImageError> {
        let width = mask.width() as usize;
        let side = (mask.width().max(mask.height()) / SQUARES).max(1) as usize;
        let mut parents: Vec<usize> = Vec::new();
        let mut counts: Vec<u64> = Vec::new();
        let mut above: Vec<Run> = Vec::new();
        let mut row: Vec<u64> = vec![0; width.div_ceil(side)];
        let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
        for (band, pixels) in mask.data().chunks(width * side).enumerate() {
            row.fill(0);
            for (y, line) in (0u32..).zip(pixels.chunks_exact(width)) {
                let y = (band * side) as u32 + y;
                for (x, _) in line.iter().enumerate().filter(|&(_, &v)| inside(v)) {
                    row[x / side] += 1;
                    (left, right) = (left.min(x as u32), right.max(x as u32 + 1));
                    (top, bottom) = (top.min(y), y + 1);
                }
            }
            let mut runs: Vec<Run> = Vec::new();
            let mut x = 0;
            let mut touching = 0;
            while let Some(start) = row[x..].iter().position(|&n| n > 0).map(|n| x + n) {
                let end = row[start..].iter().position(|&n| n == 0).map_or(row.len(), |n| start + n);
                let part = parents.len();
                let grown = parents.try_reserve(1).and_then(|()| counts.try_reserve(1));
                grown.map_err(|_| ImageError::OutOfMemory { bytes: (part as u64 + 1) * 16 })?;
                parents.push(part);
                counts.push(row[start..end].iter().sum());
                // `end` counts too: neighbours over a corner hang together
                while above.get(touching).is_some_and(|r| r.end < start) {
                    touching += 1;
                }
                for r in above[touching..].iter().take_while(|r| r.start <= end) {
                    join(&mut parents, part, r.part);
                }
                runs.push(Run { start, end, part });
                x = end;
            }
            above = runs;
        }
        let mut sums = vec![0u64; parents.len()];
        for part in 0..parents.len() {
            sums[root(&mut parents, part)] += counts[part];
        }
        sums.retain(|&n| n > 0);
        Ok(Self { pixels: sums, bounds: (right.saturating_sub(left), bottom.saturating_sub(top)) })
    }
}

fn root(parents: &mut [usize], mut part: usize) -> usize {
    while parents[part] != part {
        parents[part] = parents[parents[part]];
        part = parents[part];
    }
    part
}

fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    parents[a.max(b)] = a.min(b);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Mask {
        let data = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| value(x, y)).collect();
        Mask::new(width, height, data).unwrap()
    }

    fn disc(x: u32, y: u32, cx: f64, cy: f64, r: f64) -> bool {
        (f64::from(x) - cx).hypot(f64::from(y) - cy) <= r
    }

    fn problems(mask: &Mask) -> Vec<MaskProblem> {
        check_mask(mask).unwrap().into_iter().map(|f| f.problem).collect()
    }

    #[test]
    fn a_good_mask_has_no_findings() {
        assert_eq!(problems(&mask(300, 200, |x, y| if disc(x, y, 150.0, 100.0, 70.0) { 255 } else { 0 })), []);
        // crumbs far smaller than the subject do not count as parts
        let crumbs =
            mask(300, 200, |x, y| if disc(x, y, 150.0, 100.0, 70.0) || disc(x, y, 20.0, 20.0, 5.0) { 255 } else { 3 });
        assert_eq!(problems(&crumbs), []);
    }

    #[test]
    fn empty_and_faint_masks_are_fatal() {
        assert_eq!(problems(&mask(20, 20, |_, _| 0)), [MaskProblem::Empty]);
        assert_eq!(problems(&mask(20, 20, |_, _| 204)), [MaskProblem::NowhereOpaque { max: 204 }]);
        for value in [0, 204] {
            assert_eq!(check_mask(&mask(20, 20, |_, _| value)).unwrap()[0].severity, Severity::Fatal);
        }
    }

    #[test]
    fn nearly_empty_and_tiny_are_measured() {
        let found = problems(&mask(1000, 1000, |x, y| if disc(x, y, 500.0, 500.0, 10.0) { 255 } else { 0 }));
        assert!(matches!(found[0], MaskProblem::NearlyEmpty { share } if (share - 317e-6).abs() < 1e-9), "{found:?}");
        assert!(
            matches!(found[1], MaskProblem::SubjectTiny { width: 21, height: 21, share } if share == 0.021),
            "{found:?}"
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn two_subjects_are_two_parts() {
        let two =
            mask(
                400,
                200,
                |x, y| if disc(x, y, 100.0, 100.0, 60.0) || disc(x, y, 300.0, 100.0, 30.0) { 255 } else { 0 },
            );
        let found = problems(&two);
        assert!(
            matches!(&found[..], [MaskProblem::SeveralComponents { pixels }] if pixels.len() == 2 && pixels[0] > pixels[1]),
            "{found:?}"
        );
        assert!(found[0].to_string().contains("2 separate large parts (80 %, 20 %)"), "{}", found[0]);
    }

    #[test]
    fn parts_that_meet_late_or_over_a_corner_are_one() {
        // a U, a comb and a diagonal
        let u = mask(90, 90, |x, y| {
            if (10..80).contains(&y) && (x / 10 == 1 || x / 10 == 7 || y >= 70) && (10..80).contains(&x) {
                255
            } else {
                0
            }
        });
        assert_eq!(Components::of(&u).unwrap().pixels.len(), 1);
        let comb = mask(90, 90, |x, y| if y >= 80 || x % 4 == 0 { 255 } else { 0 });
        assert_eq!(Components::of(&comb).unwrap().pixels.len(), 1);
        let diagonal = mask(30, 30, |x, y| if x == y || x + y == 29 { 255 } else { 0 });
        assert_eq!(Components::of(&diagonal).unwrap().pixels, [60]);
        let apart = mask(30, 30, |x, y| if x % 2 == 0 && y % 2 == 0 { 255 } else { 0 });
        assert_eq!(Components::of(&apart).unwrap().pixels, vec![1; 225]);
    }

    #[test]
    fn parts_a_hair_apart_are_one_object_and_clearly_separate_ones_are_not() {
        // a cap on a stem, as a soft edge separates them
        let gap = |pixels: u32| {
            mask(320, 320, |x, y| {
                let cap = disc(x, y, 160.0, 130.0, 60.0);
                let stem = (140..180).contains(&x) && (191 + pixels..250).contains(&y);
                if cap || stem { 255 } else { 0 }
            })
        };
        assert_eq!(problems(&gap(1)), []);
        assert!(matches!(problems(&gap(8))[..], [MaskProblem::SeveralComponents { .. }]));
        assert_eq!(
            Components::of(&gap(1)).unwrap().pixels.iter().sum::<u64>(),
            Components::of(&gap(8)).unwrap().pixels.iter().sum::<u64>() + 7 * 40
        );
        // a large picture's squares do not change what is counted, and its box is exact
        let found =
            Components::of(&mask(1000, 700, |x, y| if disc(x, y, 300.0, 300.0, 50.0) { 255 } else { 0 })).unwrap();
        assert_eq!(found.bounds, (101, 101));
        assert_eq!(found.pixels.len(), 1);
    }

    #[test]
    fn a_cut_off_subject_names_the_sides() {
        let found = problems(&mask(200, 200, |x, y| if disc(x, y, 0.0, 100.0, 80.0) { 255 } else { 0 }));
        assert!(
            matches!(&found[..], [MaskProblem::TouchesBorder { shares: [l, 0.0, 0.0, 0.0] }] if *l == 161.0 / 200.0),
            "{found:?}"
        );
        assert!(
            found[0].to_string().contains("left (80 % of it)") || found[0].to_string().contains("left (81 % of it)"),
            "{}",
            found[0]
        );
        assert_eq!(found[0].severity(), Severity::Warning);
    }

    #[test]
    fn a_mask_that_removed_nothing_is_told() {
        assert!(matches!(problems(&mask(50, 50, |_, _| 255))[..], [MaskProblem::NearlyFull { share }] if share == 1.0));
        assert!(matches!(problems(&mask(1, 1, |_, _| 255))[..], [MaskProblem::NearlyFull { .. }]));
    }
}
