//! Decimation by edge collapses in order of quadric error (spec §8.4), in a form that keeps closed meshes closed.
//!
//! Far from the target, rounds over all edges stand in for the exact order (several times faster, no visible difference).
//! Differences from the original, on purpose: the link condition is checked (no collapse makes an edge of three faces or
//! closes a handle), a collapse that turns a triangle's normal too far is rejected, and equal costs are ordered by vertex
//! number, so the result is the same on every machine.

mod regions;

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::quadric::Quadric;
use super::topology::{edges, sorted_sides};
use crate::vector::{D3, add, cross, dot, length, narrow, scale, sub, unit, widen};
use crate::{MeshError, TriangleMesh};

/// Options of [`decimate`].
#[derive(Debug, Clone, PartialEq)]
pub struct DecimateOptions {
    /// Faces wanted; the result has at most as many, unless no further collapse is allowed.
    pub target_faces: usize,
    /// How strongly open borders hold their place, against the surface.
    pub boundary_weight: f64,
    /// Smallest cosine between a triangle's normal before and after a collapse.
    pub min_normal_cosine: f64,
    /// Threads to use; the result does not depend on it.
    pub threads: usize,
}

impl DecimateOptions {
    /// Default weights with a number of faces, on the caller's thread.
    pub fn to_faces(target_faces: usize) -> Self {
        Self { target_faces, boundary_weight: 10.0, min_normal_cosine: 0.2, threads: 1 }
    }
}

/// Reduces the number of faces. Vertex colours are carried along the collapsed edges; normals and uvs are dropped, since
/// they no longer fit. Vertices keep their order.
///
/// # Errors
/// What [`TriangleMesh::validate`] reports. A mesh that cannot be reduced further is returned as far as it got.
pub fn decimate(mesh: &TriangleMesh, options: &DecimateOptions) -> Result<TriangleMesh, MeshError> {
    mesh.validate()?;
    if mesh.faces.len() <= options.target_faces {
        return Ok(mesh.clone());
    }
    let mut work = Collapser::new(mesh, options);
    let end = options.target_faces.saturating_mul(ROUNDS_END);
    regions::run(&mut work, end, options.threads);
    work.run_rounds(end);
    work.fill_heap();
    // An edge rejected once may become possible when its surroundings change: start over as long as that helps.
    loop {
        let before = work.live_faces;
        work.run(options.target_faces);
        if work.live_faces <= options.target_faces || work.live_faces == before {
            break;
        }
    }
    Ok(work.finish())
}

#[derive(PartialEq)]
struct Candidate {
    cost: f64,
    ends: [u32; 2],
    stamps: [u32; 2],
}

impl Eq for Candidate {}

impl Ord for Candidate {
    /// Greatest = cheapest, ties by vertex numbers.
    fn cmp(&self, o: &Self) -> Ordering {
        o.cost.total_cmp(&self.cost).then_with(|| o.ends.cmp(&self.ends)).then_with(|| o.stamps.cmp(&self.stamps))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, o: &Self) -> Option<Ordering> {
        Some(self.cmp(o))
    }
}

const NONE: u32 = u32::MAX;

/// Rounds stop, and the exact order begins, at this multiple of the target.
const ROUNDS_END: usize = 3;
/// Share of the edges, the cheapest ones, that a round may collapse.
const ROUND_SHARE: f64 = 0.35;

/// The mesh during decimation, scaled to a unit bounding box. Corners of a vertex form a linked list.
struct Collapser {
    faces: Vec<[u32; 3]>,
    alive: Vec<bool>,
    live_faces: usize,
    points: Vec<D3>,
    colors: Vec<[f32; 3]>,
    quadrics: Vec<Quadric>,
    on_border: Vec<bool>,
    /// Vertices that stay where they are; empty for none.
    locked: Vec<bool>,
    /// Changes whenever the vertex does; 0 marks a vertex that is gone.
    stamps: Vec<u32>,
    first_corner: Vec<u32>,
    last_corner: Vec<u32>,
    next_corner: Vec<u32>,
    heap: BinaryHeap<Candidate>,
    min_cosine: f64,
    centre: D3,
    size: f64,
    ring: Ring,
}

/// Scratch space for the neighbourhood of an edge.
#[derive(Default)]
struct Ring {
    of: [Vec<u32>; 2],
    faces: Vec<u32>,
}

impl Collapser {
    fn new(mesh: &TriangleMesh, options: &DecimateOptions) -> Self {
        let (lo, hi) = mesh.bounds().unwrap_or_default();
        let centre = scale(add(widen(lo), widen(hi)), 0.5);
        let size = mesh.diagonal().max(f64::MIN_POSITIVE);
        let n = mesh.positions.len();
        let mut this = Self {
            faces: mesh.faces.clone(),
            alive: mesh.faces.iter().map(|[a, b, c]| a != b && b != c && a != c).collect(),
            live_faces: 0,
            points: mesh.positions.iter().map(|p| scale(sub(widen(*p), centre), 1.0 / size)).collect(),
            colors: mesh.colors.clone(),
            quadrics: vec![Quadric::default(); n],
            on_border: vec![false; n],
            locked: Vec::new(),
            stamps: vec![1; n],
            first_corner: Vec::new(),
            last_corner: Vec::new(),
            next_corner: Vec::new(),
            heap: BinaryHeap::new(),
            min_cosine: options.min_normal_cosine,
            centre,
            size,
            ring: Ring::default(),
        };
        this.list_corners();
        this.add_quadrics(options.boundary_weight);
        this
    }

    /// Lists every vertex's corners in live faces anew.
    fn list_corners(&mut self) {
        self.live_faces = self.alive.iter().filter(|a| **a).count();
        let n = self.points.len();
        (self.first_corner, self.last_corner) = (vec![NONE; n], vec![NONE; n]);
        self.next_corner = vec![NONE; 3 * self.faces.len()];
        for f in 0..self.faces.len() {
            if self.alive[f] {
                (0..3).for_each(|k| self.append_corner(self.faces[f][k], (3 * f + k) as u32));
            }
        }
    }

    fn is_locked(&self, v: u32) -> bool {
        self.locked.get(v as usize).is_some_and(|locked| *locked)
    }

    fn append_corner(&mut self, v: u32, corner: u32) {
        let v = v as usize;
        match self.last_corner[v] {
            NONE => self.first_corner[v] = corner,
            last => self.next_corner[last as usize] = corner,
        }
        self.last_corner[v] = corner;
    }

    fn normal(&self, f: usize) -> D3 {
        let [a, b, c] = self.faces[f].map(|v| self.points[v as usize]);
        cross(sub(b, a), sub(c, a))
    }

    fn add_quadrics(&mut self, boundary_weight: f64) {
        for f in (0..self.faces.len()).filter(|&f| self.alive[f]) {
            let n = self.normal(f);
            let Some(u) = unit(n) else { continue };
            let face = self.faces[f];
            let q = Quadric::plane(u, self.points[face[0] as usize], 0.5 * length(n));
            for v in face {
                self.quadrics[v as usize] = self.quadrics[v as usize].plus(&q);
            }
        }
        let live = self.live_faces();
        let sides = sorted_sides(&live);
        for group in edges(&sides).filter(|g| g.len() == 1) {
            let (_, f, k) = group[0];
            let face = live[f as usize];
            let (a, b) = (face[k as usize], face[(k as usize + 1) % 3]);
            self.on_border[a as usize] = true;
            self.on_border[b as usize] = true;
            let [p0, p1, p2] = face.map(|v| self.points[v as usize]);
            let (pa, pb) = (self.points[a as usize], self.points[b as usize]);
            let edge = sub(pb, pa);
            // The plane through the border edge, perpendicular to its face.
            let Some(n) = unit(cross(edge, cross(sub(p1, p0), sub(p2, p0)))) else { continue };
            let q = Quadric::plane(n, pa, dot(edge, edge) * boundary_weight);
            for v in [a, b] {
                self.quadrics[v as usize] = self.quadrics[v as usize].plus(&q);
            }
        }
    }

    fn live_faces(&self) -> Vec<[u32; 3]> {
        self.faces.iter().zip(&self.alive).filter(|(_, a)| **a).map(|(f, _)| *f).collect()
    }

    fn fill_heap(&mut self) {
        let sides = sorted_sides(&self.live_faces());
        let candidates: Vec<Candidate> =
            edges(&sides).map(|g| self.candidate((g[0].0 >> 32) as u32, g[0].0 as u32)).collect();
        self.heap = BinaryHeap::from(candidates);
    }

    /// The fast first part: in each round the cheapest third of all edges is collapsed in order of cost, each vertex taking
    /// part once. Far from the target the order hardly matters, and a heap over all edges would cost most of the time.
    fn run_rounds(&mut self, until: usize) {
        while self.live_faces > until {
            let before = self.live_faces;
            let mut candidates: Vec<(f32, [u32; 2])> = Vec::with_capacity(before * 3 / 2 + 16);
            for f in (0..self.faces.len()).filter(|&f| self.alive[f]) {
                let face = self.faces[f];
                for k in 0..3 {
                    let (a, b) = (face[k], face[(k + 1) % 3]);
                    // Inner edges of a consistently wound surface appear once this way; others wait for the heap.
                    if a < b && !self.is_locked(a) && !self.is_locked(b) {
                        candidates.push((self.candidate(a, b).cost as f32, [a, b]));
                    }
                }
            }
            let share = (candidates.len() as f64 * ROUND_SHARE) as usize;
            let order = |p: &(f32, [u32; 2]), q: &(f32, [u32; 2])| p.0.total_cmp(&q.0).then(p.1.cmp(&q.1));
            if share == 0 || share >= candidates.len() {
                break;
            }
            candidates.select_nth_unstable_by(share, order);
            candidates.truncate(share);
            candidates.sort_unstable_by(order);
            let mut touched = vec![false; self.points.len()];
            for (_, ends) in candidates {
                let [i, j] = ends.map(|v| v as usize);
                if self.live_faces <= until || touched[i] || touched[j] {
                    continue;
                }
                if self.try_collapse(ends) {
                    (touched[i], touched[j]) = (true, true);
                }
            }
            if self.live_faces * 50 > before * 49 {
                break;
            }
        }
    }

    fn candidate(&self, a: u32, b: u32) -> Candidate {
        let ends = [a.min(b), a.max(b)];
        let [i, j] = ends.map(|v| v as usize);
        let q = self.quadrics[i].plus(&self.quadrics[j]);
        let (p, r) = (self.points[i], self.points[j]);
        let edge = sub(r, p);
        // In flat regions every collapse is free: the small length term then takes short edges first.
        let cost = q.error(q.best_point(p, r)) + 1e-6 * dot(edge, edge).powi(2);
        Candidate { cost, ends, stamps: [self.stamps[i], self.stamps[j]] }
    }

    fn run(&mut self, target: usize) {
        if self.heap.is_empty() {
            self.fill_heap();
        }
        while self.live_faces > target {
            let Some(c) = self.heap.pop() else { break };
            if c.stamps == c.ends.map(|v| self.stamps[v as usize]) && self.try_collapse(c.ends) {
                self.push_around(c.ends[0]);
            }
        }
    }

    /// Collapses an edge to its best point, if that is allowed.
    fn try_collapse(&mut self, ends: [u32; 2]) -> bool {
        let [i, j] = ends.map(|v| v as usize);
        let point = self.quadrics[i].plus(&self.quadrics[j]).best_point(self.points[i], self.points[j]);
        let point = self.keep_volume(ends, point);
        let allowed = self.allowed(ends, point);
        if allowed {
            self.collapse(ends, point);
        }
        allowed
    }

    /// New candidates for the edges around a vertex that has changed.
    fn push_around(&mut self, v: u32) {
        let mut around = Vec::with_capacity(12);
        self.faces_around(v, &mut around);
        let mut neighbours: Vec<u32> =
            around.iter().flat_map(|&f| self.faces[f as usize]).filter(|&n| n != v).collect();
        neighbours.sort_unstable();
        neighbours.dedup();
        for n in neighbours {
            let c = self.candidate(v, n);
            self.heap.push(c);
        }
    }

    /// Live faces around `v`, appended to `out`; unlinks the corners of dead ones on the way.
    fn faces_around(&mut self, v: u32, out: &mut Vec<u32>) {
        let (mut previous, mut corner) = (NONE, self.first_corner[v as usize]);
        while corner != NONE {
            let next = self.next_corner[corner as usize];
            if self.alive[corner as usize / 3] {
                out.push(corner / 3);
                previous = corner;
            } else {
                match previous {
                    NONE => self.first_corner[v as usize] = next,
                    p => self.next_corner[p as usize] = next,
                }
                if next == NONE {
                    self.last_corner[v as usize] = previous;
                }
            }
            corner = next;
        }
    }

    /// Shifts the new point so that the collapse changes the enclosed volume by nothing. (Quadrics alone shrink round
    /// shapes by some per cent at strong reductions.)
    ///
    /// The volume is linear in the point: it has to lie on a plane whose normal is the sum of the ring's area normals.
    fn keep_volume(&mut self, ends: [u32; 2], point: D3) -> D3 {
        if ends.iter().any(|&v| self.on_border[v as usize]) {
            return point;
        }
        let mut ring = std::mem::take(&mut self.ring);
        ring.faces.clear();
        self.faces_around(ends[0], &mut ring.faces);
        let own = ring.faces.len();
        self.faces_around(ends[1], &mut ring.faces);
        let origin = self.points[ends[0] as usize];
        let (mut gradient, mut lost) = ([0.0; 3], 0.0);
        for (k, &f) in ring.faces.iter().enumerate() {
            let face = self.faces[f as usize];
            let shared = face.contains(&ends[0]) && face.contains(&ends[1]);
            if shared && k >= own {
                continue;
            }
            let [a, b, c] = face.map(|v| sub(self.points[v as usize], origin));
            lost += dot(a, cross(b, c));
            if !shared {
                let moving = face.iter().position(|v| ends.contains(v)).unwrap_or(0);
                let p = [a, b, c];
                gradient = add(gradient, cross(p[(moving + 1) % 3], p[(moving + 2) % 3]));
            }
        }
        self.ring = ring;
        let square = dot(gradient, gradient);
        let edge = sub(self.points[ends[1] as usize], origin);
        let missing = lost - dot(gradient, sub(point, origin));
        // A ring without a direction, or a plane far away, says nothing about where the surface is.
        if missing * missing > 0.25 * dot(edge, edge) * square {
            return point;
        }
        add(point, scale(gradient, missing / square.max(1e-300)))
    }

    fn allowed(&mut self, ends: [u32; 2], point: D3) -> bool {
        let mut ring = std::mem::take(&mut self.ring);
        let fine = self.allowed_in(ends, point, &mut ring);
        self.ring = ring;
        fine
    }

    fn allowed_in(&mut self, ends: [u32; 2], point: D3, ring: &mut Ring) -> bool {
        let mut shared = 0;
        // A border vertex has a neighbour seen once only.
        let mut on_border = [false; 2];
        for side in 0..2 {
            ring.faces.clear();
            self.faces_around(ends[side], &mut ring.faces);
            let neighbours = &mut ring.of[side];
            neighbours.clear();
            for &f in &ring.faces {
                let face = self.faces[f as usize];
                if face.contains(&ends[1 - side]) {
                    shared += 1 - side;
                } else if !self.keeps_direction(f as usize, ends[side], point) {
                    return false;
                }
                neighbours.extend(face.iter().filter(|&&v| v != ends[side]));
            }
            neighbours.sort_unstable();
            for group in neighbours.chunk_by(|a, b| a == b) {
                match group.len() {
                    1 => on_border[side] = true,
                    2 => {}
                    _ => return false,
                }
            }
            neighbours.dedup();
        }
        let common = ring.of[0].iter().filter(|v| ring.of[1].binary_search(v).is_ok()).count();
        let together = ring.of[0].len() + ring.of[1].len() - common - 2;
        if common != shared || shared == 0 || shared > 2 || together < 3 {
            return false;
        }
        // An inner edge between two borders would pinch them together.
        !(shared == 2 && on_border[0] && on_border[1])
    }

    /// Whether face `f` keeps its direction and an area when its corner `v` moves to `point`.
    fn keeps_direction(&self, f: usize, v: u32, point: D3) -> bool {
        let face = self.faces[f];
        let k = face.iter().position(|&x| x == v).unwrap_or(0);
        let (a, b) = (self.points[face[(k + 1) % 3] as usize], self.points[face[(k + 2) % 3] as usize]);
        let old = cross(sub(a, self.points[v as usize]), sub(b, self.points[v as usize]));
        let (pa, pb) = (sub(a, point), sub(b, point));
        let new = cross(pa, pb);
        let (lo, ln) = (dot(old, old), dot(new, new));
        // Twice the area against the longest side squared: a needle's normal means nothing.
        let edge = sub(b, a);
        let longest = dot(pa, pa).max(dot(pb, pb)).max(dot(edge, edge));
        if ln <= 1e-8 * longest * longest {
            return false;
        }
        lo <= 1e-30 || dot(old, new) > self.min_cosine * (lo * ln).sqrt()
    }

    fn collapse(&mut self, [i, j]: [u32; 2], point: D3) {
        let (a, b) = (i as usize, j as usize);
        if !self.colors.is_empty() {
            let edge = sub(self.points[b], self.points[a]);
            let t = (dot(sub(point, self.points[a]), edge) / dot(edge, edge).max(1e-300)).clamp(0.0, 1.0) as f32;
            self.colors[a] = std::array::from_fn(|k| self.colors[a][k] * (1.0 - t) + self.colors[b][k] * t);
        }
        let mut around = Vec::with_capacity(8);
        self.faces_around(j, &mut around);
        for f in around {
            let face = &mut self.faces[f as usize];
            if face.contains(&i) {
                self.alive[f as usize] = false;
                self.live_faces -= 1;
            } else {
                face.iter_mut().filter(|v| **v == j).for_each(|v| *v = i);
            }
        }
        let (first, last) = (self.first_corner[b], self.last_corner[b]);
        if first != NONE {
            match self.last_corner[a] {
                NONE => self.first_corner[a] = first,
                end => self.next_corner[end as usize] = first,
            }
            self.last_corner[a] = last;
        }
        self.quadrics[a] = self.quadrics[a].plus(&self.quadrics[b]);
        self.on_border[a] |= self.on_border[b];
        self.points[a] = point;
        self.stamps[a] += 1;
        self.stamps[b] = 0;
    }

    fn finish(self) -> TriangleMesh {
        let place = |p: &D3| narrow(add(scale(*p, self.size), self.centre));
        let faces = self.faces.iter().zip(&self.alive).filter(|(_, a)| **a).map(|(f, _)| *f).collect();
        let mesh = TriangleMesh::new(self.points.iter().map(place).collect(), faces);
        TriangleMesh { colors: self.colors, ..mesh }.without_unused_vertices()
    }
}
