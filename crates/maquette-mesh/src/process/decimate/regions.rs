//! The first part of a large decimation in regions of the surface, each by itself and on any thread.
//!
//! Faces are parted by their place, in halves of equal number; vertices between regions stay where they are until all regions
//! are done. Which regions there are follows from the mesh alone, so the result does not depend on the number of threads. It is
//! also faster on one: a region fits the processor's cache.

use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Collapser, Ring};
use crate::vector::D3;

/// Faces of a region at least, and how often the mesh is halved at most.
const LEAST_FACES: usize = 12_000;
const MOST_HALVINGS: u32 = 6;

/// A region: a mesh of its own with its vertices' and faces' numbers in the whole.
struct Region {
    work: Collapser,
    vertices: Vec<u32>,
    faces: Vec<u32>,
}

/// Runs rounds in every region until `until` faces would be left of the whole. Small meshes are left as they are.
pub(super) fn run(whole: &mut Collapser, until: usize, threads: usize) {
    let halvings = (whole.live_faces / LEAST_FACES).checked_ilog2().unwrap_or(0).min(MOST_HALVINGS);
    if halvings == 0 || whole.live_faces / 2 <= until {
        return;
    }
    // All regions keep the same share: the exact order afterwards takes more from where less is needed.
    let share = until as f64 / whole.live_faces as f64;
    let parts = parts(whole, halvings);
    let shared = shared(whole, &parts);
    let done: Vec<Mutex<Option<Region>>> = parts.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    let worker = || {
        let todo = || next.fetch_add(1, Ordering::Relaxed);
        let mut at = todo();
        while let Some(part) = parts.get(at) {
            let mut region = Region::new(whole, part, &shared);
            region.work.run_rounds((part.len() as f64 * share) as usize);
            *done[at].lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(region);
            at = todo();
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(parts.len()) {
            // Where the system gives no more threads, the others do all.
            if std::thread::Builder::new().spawn_scoped(scope, worker).is_err() {
                break;
            }
        }
        worker();
    });
    let regions =
        done.into_iter().filter_map(|place| place.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()));
    let regions: Vec<Region> = regions.collect();
    regions.into_iter().for_each(|region| region.put_back(whole));
    whole.list_corners();
}

/// Live faces in `2^halvings` parts of equal size: each halving is along the longest side of the part's box.
fn parts(whole: &Collapser, halvings: u32) -> Vec<Vec<u32>> {
    let centre = |f: u32| -> [f32; 3] {
        let [a, b, c] = whole.faces[f as usize].map(|v| whole.points[v as usize]);
        [0, 1, 2].map(|k| (a[k] + b[k] + c[k]) as f32)
    };
    let mut all: Vec<([f32; 3], u32)> =
        (0..whole.faces.len() as u32).filter(|f| whole.alive[*f as usize]).map(|f| (centre(f), f)).collect();
    let mut spans = vec![all.as_mut_slice()];
    for _ in 0..halvings {
        spans = spans.into_iter().flat_map(halve).collect();
    }
    let ordered = |span: &mut [([f32; 3], u32)]| {
        let mut faces: Vec<u32> = span.iter().map(|item| item.1).collect();
        faces.sort_unstable();
        faces
    };
    spans.into_iter().map(ordered).collect()
}

fn halve(span: &mut [([f32; 3], u32)]) -> [&mut [([f32; 3], u32)]; 2] {
    let (mut low, mut high) = ([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]);
    for (p, _) in span.iter() {
        (0..3).for_each(|k| (low[k], high[k]) = (low[k].min(p[k]), high[k].max(p[k])));
    }
    let axis = (1..3).fold(0, |best, k| if high[k] - low[k] > high[best] - low[best] { k } else { best });
    let middle = span.len() / 2;
    // Equal places are told apart by the face's number, so that the halves are the same everywhere.
    span.select_nth_unstable_by(middle, |a, b| a.0[axis].total_cmp(&b.0[axis]).then(a.1.cmp(&b.1)));
    let (first, second) = span.split_at_mut(middle);
    [first, second]
}

/// The vertices that lie between regions.
fn shared(whole: &Collapser, parts: &[Vec<u32>]) -> Vec<bool> {
    let mut owners = vec![usize::MAX; whole.points.len()];
    let mut shared = vec![false; whole.points.len()];
    for (part, faces) in parts.iter().enumerate() {
        for v in faces.iter().flat_map(|&f| whole.faces[f as usize]) {
            let owner = &mut owners[v as usize];
            shared[v as usize] |= *owner != usize::MAX && *owner != part;
            *owner = part;
        }
    }
    shared
}

impl Region {
    fn new(whole: &Collapser, part: &[u32], shared: &[bool]) -> Self {
        let mut vertices: Vec<u32> = part.iter().flat_map(|&f| whole.faces[f as usize]).collect();
        vertices.sort_unstable();
        vertices.dedup();
        let own = |v: u32| vertices.binary_search(&v).map_or(0, |at| at as u32);
        let faces: Vec<[u32; 3]> = part.iter().map(|&f| whole.faces[f as usize].map(own)).collect();
        let colors = if whole.colors.is_empty() { Vec::new() } else { pick(&whole.colors, &vertices) };
        let mut work = Collapser {
            alive: vec![true; faces.len()],
            live_faces: faces.len(),
            faces,
            points: pick::<D3>(&whole.points, &vertices),
            colors,
            quadrics: pick(&whole.quadrics, &vertices),
            on_border: pick(&whole.on_border, &vertices),
            locked: pick(shared, &vertices),
            stamps: pick(&whole.stamps, &vertices),
            first_corner: Vec::new(),
            last_corner: Vec::new(),
            next_corner: Vec::new(),
            heap: BinaryHeap::new(),
            min_cosine: whole.min_cosine,
            centre: whole.centre,
            size: whole.size,
            ring: Ring::default(),
        };
        work.list_corners();
        Self { work, vertices, faces: part.to_vec() }
    }

    fn put_back(self, whole: &mut Collapser) {
        let Self { work, vertices, faces } = self;
        for (at, &f) in faces.iter().enumerate() {
            whole.alive[f as usize] = work.alive[at];
            whole.faces[f as usize] = work.faces[at].map(|v| vertices[v as usize]);
        }
        for (at, &v) in vertices.iter().enumerate().filter(|(at, _)| !work.locked[*at]) {
            let v = v as usize;
            whole.points[v] = work.points[at];
            whole.quadrics[v] = work.quadrics[at];
            whole.on_border[v] = work.on_border[at];
            whole.stamps[v] = work.stamps[at];
            if let Some(color) = work.colors.get(at) {
                whole.colors[v] = *color;
            }
        }
    }
}

fn pick<T: Copy>(values: &[T], places: &[u32]) -> Vec<T> {
    places.iter().map(|&v| values[v as usize]).collect()
}

#[cfg(test)]
mod tests {
    use crate::process::{DecimateOptions, decimate};
    use crate::shapes;

    #[test]
    fn the_number_of_threads_changes_nothing_and_closed_stays_closed() {
        let mesh = shapes::torus(260, 130, 0.3, 0.1);
        let with = |threads| {
            let options = DecimateOptions { threads, ..DecimateOptions::to_faces(3000) };
            decimate(&mesh, &options).expect("valid")
        };
        let one = with(1);
        assert!(one.faces.len() <= 3000 && one.faces.len() > 2900, "{}", one.faces.len());
        assert!((one.volume() / mesh.volume() - 1.0).abs() < 1e-3);
        let sides = crate::process::topology::sorted_sides(&one.faces);
        assert!(crate::process::topology::edges(&sides).all(|edge| edge.len() == 2));
        for threads in [2, 3, 16] {
            assert_eq!(with(threads), one, "{threads} threads");
        }
    }
}
