//! How a texture is solved for, and what is told on the way.

/// One pass over all views.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PassPlan {
    /// Subsets of views with a step after each, fewer where they would have less than four views; 1 = one step for all.
    pub subsets: usize,
    /// How far each step looks ahead, as a fraction of the last step; below 1.
    pub momentum: f32,
}

/// The passes after the start (which is always one pass of back-projection).
#[derive(Clone, Debug, PartialEq)]
pub struct BakePlan {
    /// The passes.
    pub passes: Vec<PassPlan>,
    /// Below which difference |r| becomes r² (ε), at the first and the last pass, as multiples of the mean |r| that the pass
    /// before met; shrinks geometrically. Large values converge fast, small ones to the least absolute differences.
    pub rounding: [f32; 2],
    /// Weight of the total variation (0.01 in the reference).
    pub smoothness: f32,
}

/// Steps of the reference's optimisation, one view each.
const REFERENCE_STEPS: usize = 2500;
/// Passes at least and at most.
const PASSES: [usize; 2] = [25, 400];

impl BakePlan {
    /// As many passes as the reference's steps go over the pictures, within limits: many views say much about every texel in one
    /// pass, of few views some texels hear only through their neighbours. Found by experiment: closer to the true texture than
    /// the reference from 6 to 100 views, with and without noise, and within 0.4 % of its loss (1 % from six noisy views).
    ///
    /// A smaller last rounding fits the loss better and, under noise, the true texture worse, the more so the fewer views
    /// average it.
    pub fn for_views(views: usize) -> Self {
        let passes = (REFERENCE_STEPS / views.max(1)).clamp(PASSES[0], PASSES[1]);
        let thirds = (4 * passes / 5).min(30);
        let whole = passes - thirds;
        // What is left after many whole passes are slow modes, which need the momentum.
        let momentum = if whole > 10 { 0.97 } else { 0.9 };
        let thirds = vec![PassPlan { subsets: 3, momentum: 0.9 }; thirds];
        let whole = vec![PassPlan { subsets: 1, momentum }; whole];
        let last = (2.7 / views.max(1) as f32).clamp(0.2, 0.5);
        Self { passes: [thirds, whole].concat(), rounding: [1.5, last], smoothness: 0.01 }
    }
}

impl Default for BakePlan {
    /// For the hundred views of a real bake.
    fn default() -> Self {
        Self::for_views(100)
    }
}

/// Views that a subset has at least: fewer say too little about each texel.
const LEAST_VIEWS: usize = 4;

/// Limits of ε in colour units: a fifth of a byte's step, and what no noise exceeds.
const ROUNDING: [f32; 2] = [5e-4, 0.1];

/// A step of the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Step {
    /// Pass, 0 = the start.
    pub(super) pass: usize,
    /// Which subset of how many.
    pub(super) subset: [usize; 2],
    pub(super) momentum: f32,
    /// ε as a multiple of the mean |r| met by the pass before.
    relative_rounding: f32,
    /// Share of the new weights in their running mean.
    pub(super) rate: f32,
    /// Weight of a difference of neighbours; 0 at the start.
    pub(super) smoothness: f32,
    /// Whether the pass ends with it.
    pub(super) last: bool,
}

impl BakePlan {
    /// All steps for a number of views, the start first.
    pub(super) fn steps(&self, views: usize) -> Vec<Step> {
        let start = [PassPlan { subsets: 1, momentum: 0.0 }];
        let passes: Vec<PassPlan> = start.iter().chain(&self.passes).copied().collect();
        let subsets_of = |pass: &PassPlan| pass.subsets.clamp(1, (views / LEAST_VIEWS).max(1));
        let total: usize = passes.iter().map(subsets_of).sum();
        let mut steps = Vec::with_capacity(total);
        for (pass, plan) in passes.iter().enumerate() {
            let subsets = subsets_of(plan);
            let [first, last] = self.rounding.map(|x| x.max(1e-3));
            let relative_rounding = first * (last / first).powf(pass as f32 / (passes.len().max(2) - 1) as f32);
            for subset in 0..subsets {
                let n = steps.len();
                steps.push(Step {
                    pass,
                    subset: [subset, subsets],
                    momentum: plan.momentum.clamp(0.0, 0.99),
                    relative_rounding,
                    rate: if n <= 1 { 1.0 } else { (1.0 / n as f32).max(1.5 / subsets as f32).min(1.0) },
                    smoothness: if pass == 0 { 0.0 } else { self.smoothness },
                    last: subset + 1 == subsets,
                });
            }
        }
        steps
    }
}

impl Step {
    /// ε of the step, after a pass that met a mean |r| of `photometric`. At the start every weight is 1.
    pub(super) fn rounding(&self, photometric: f64) -> f32 {
        if self.pass == 0 { 1.0 } else { (self.relative_rounding * photometric as f32).clamp(ROUNDING[0], ROUNDING[1]) }
    }
}

/// What a pass found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BakeProgress {
    /// Pass that ended, 0 = the start.
    pub pass: usize,
    /// How many there will be, the start included.
    pub passes: usize,
    /// Photometric loss met on the way (each subset before its own step), without total variation.
    pub photometric: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_view_is_in_one_subset_of_a_pass_and_rounding_shrinks() {
        let steps = BakePlan::default().steps(100);
        assert_eq!(steps.len(), 1 + 20 * 3 + 5);
        let rounding: Vec<f32> = steps.iter().filter(|step| step.last).map(|step| step.rounding(0.05)).collect();
        assert_eq!(rounding.len(), 26);
        assert_eq!((rounding[0], rounding[1]), (1.0, ROUNDING[1].min(0.05 * 1.5 * (0.2f32 / 1.5).powf(1.0 / 25.0))));
        assert!(rounding.windows(2).all(|pair| pair[1] < pair[0]));
        assert!((rounding[25] - 0.2 * 0.05).abs() < 1e-6);
        assert_eq!(steps[60].rounding(0.0), ROUNDING[0]);
        for pass in steps.chunk_by(|a, b| a.pass == b.pass) {
            assert!(pass.iter().enumerate().all(|(n, step)| step.subset == [n, pass.len()]));
        }
        // Eleven views make two subsets, two views one.
        assert_eq!(BakePlan::default().steps(11).len(), 1 + 20 * 2 + 5);
        assert_eq!(BakePlan::default().steps(2).len(), 26);
    }

    #[test]
    fn few_views_get_more_passes() {
        let passes = |views| BakePlan::for_views(views).passes.len();
        assert_eq!([0, 1, 6, 12, 48, 100, 1000].map(passes), [400, 400, 400, 208, 52, 25, 25]);
        assert!((BakePlan::for_views(6).rounding[1] - 0.45).abs() < 1e-6);
    }
}
