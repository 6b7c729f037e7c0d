//! Minimum cut of an undirected graph between a source and a sink, by Dinic's algorithm.

use std::collections::VecDeque;

/// A graph under construction, then cut once.
pub(super) struct FlowGraph {
    /// Per arc: target node and residual capacity; arc a's reverse is a ^ 1.
    arcs: Vec<(u32, f64)>,
    first: Vec<u32>,
    next: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl FlowGraph {
    pub fn new(nodes: usize) -> Self {
        Self { arcs: Vec::new(), first: vec![NONE; nodes], next: Vec::new() }
    }

    /// Adds an edge with a capacity in both directions.
    pub fn connect(&mut self, a: usize, b: usize, capacity: f64) {
        self.push(a, b, capacity);
        self.push(b, a, capacity);
    }

    fn push(&mut self, from: usize, to: usize, capacity: f64) {
        self.next.push(self.first[from]);
        self.first[from] = self.arcs.len() as u32;
        self.arcs.push((to as u32, capacity));
    }

    fn arcs_of(&self, node: usize) -> impl Iterator<Item = u32> + '_ {
        std::iter::successors(Some(self.first[node]).filter(|a| *a != NONE), |&a| {
            Some(self.next[a as usize]).filter(|n| *n != NONE)
        })
    }

    /// Saturates the graph and returns which nodes stay connected to the source: its side of the smallest minimum cut.
    pub fn source_side(mut self, source: usize, sink: usize) -> Vec<bool> {
        let total: f64 = self.arcs_of(source).map(|a| self.arcs[a as usize].1).sum();
        // Rounding leaves crumbs of capacity; below this they count as nothing.
        let crumb = total.max(f64::MIN_POSITIVE) * 1e-14;
        loop {
            let level = self.levels(source, crumb);
            if level[sink] == NONE {
                return level.iter().map(|l| *l != NONE).collect();
            }
            let mut current = self.first.clone();
            while self.augment(source, sink, &level, &mut current, crumb) {}
        }
    }

    fn levels(&self, source: usize, crumb: f64) -> Vec<u32> {
        let mut level = vec![NONE; self.first.len()];
        level[source] = 0;
        let mut queue = VecDeque::from([source]);
        while let Some(n) = queue.pop_front() {
            for a in self.arcs_of(n) {
                let (to, capacity) = self.arcs[a as usize];
                if capacity > crumb && level[to as usize] == NONE {
                    level[to as usize] = level[n] + 1;
                    queue.push_back(to as usize);
                }
            }
        }
        level
    }

    /// Pushes flow along one path of the level graph; false when there is none left. Iterative, since paths can be as long
    /// as the mesh is wide.
    fn augment(&mut self, source: usize, sink: usize, level: &[u32], current: &mut [u32], crumb: f64) -> bool {
        let mut path: Vec<u32> = Vec::new();
        let mut node = source;
        while node != sink {
            let a = current[node];
            if a == NONE {
                // A dead end: go back and never try the arc that led here again.
                let Some(back) = path.pop() else { return false };
                node = self.arcs[back as usize ^ 1].0 as usize;
                current[node] = self.next[back as usize];
                continue;
            }
            let (to, capacity) = self.arcs[a as usize];
            if capacity > crumb && level[to as usize] == level[node].wrapping_add(1) {
                path.push(a);
                node = to as usize;
            } else {
                current[node] = self.next[a as usize];
            }
        }
        let flow = path.iter().map(|&a| self.arcs[a as usize].1).fold(f64::INFINITY, f64::min);
        for &a in &path {
            self.arcs[a as usize].1 -= flow;
            self.arcs[a as usize ^ 1].1 += flow;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_runs_through_the_weakest_edges() {
        // source - 0 - 1 - 2 - sink, weakest between 1 and 2.
        let mut g = FlowGraph::new(5);
        let (s, t) = (3, 4);
        g.connect(s, 0, 5.0);
        g.connect(0, 1, 4.0);
        g.connect(1, 2, 1.0);
        g.connect(2, t, 3.0);
        assert_eq!(g.source_side(s, t), [true, true, false, true, false]);
    }

    #[test]
    fn random_graphs_satisfy_max_flow_equals_min_cut() {
        let mut state = 3u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % n
        };
        for _ in 0..40 {
            let n = 7usize;
            let edges: Vec<(usize, usize, f64)> =
                (0..14).map(|_| (random(7) as usize, random(7) as usize, 1.0 + random(9) as f64)).collect();
            let mut g = FlowGraph::new(n);
            edges.iter().filter(|e| e.0 != e.1).for_each(|e| g.connect(e.0, e.1, e.2));
            let side = g.source_side(0, 6);
            let cost = |inside: &dyn Fn(usize) -> bool| -> f64 {
                edges.iter().filter(|e| inside(e.0) != inside(e.1)).map(|e| e.2).sum()
            };
            // All 32 ways to put the five free nodes on a side.
            let best = (0..32u32)
                .map(|mask| cost(&|v| v == 0 || (v != 6 && mask >> (v - 1) & 1 == 1)))
                .fold(f64::INFINITY, f64::min);
            assert!((cost(&|v| side[v]) - best).abs() < 1e-9);
        }
    }
}
