//! How much memory extraction takes at full size.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use maquette_mesh::flexicubes::{ROW, SparseExtractor};

/// Counts what is allocated, and the most of it at once.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn take(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    MOST.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new lie side by side for a moment.
        take(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Latent voxels of an object, and the most bytes for their surface (spec: a grid of 256³, never dense).
const LATENT: usize = 20_000;
const LIMIT: usize = 400_000_000;

#[test]
fn twenty_thousand_latent_voxels_stay_below_400_megabytes() {
    let distance = |p: [f32; 3]| (p[0] * p[0] + p[1] * p[1] + p[2] * p[2]).sqrt() - 0.38;
    let latent = (0..64i32.pow(3)).map(|i| [i / 4096, i / 64 % 64, i % 64]);
    let near = latent.filter(|c| distance(c.map(|x| (x as f32 + 0.5) / 64.0 - 0.5)).abs() < 0.025);
    let coords: Vec<[i32; 3]> = near
        .take(LATENT)
        .flat_map(|c| (0..64).map(move |k| [c[0] * 4 + k / 16, c[1] * 4 + k / 4 % 4, c[2] * 4 + k % 4]))
        .collect();
    assert_eq!(coords.len(), 64 * LATENT);
    let before = HELD.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let mut extractor = SparseExtractor::new(256).expect("a valid resolution");
    // As the decoder's rows come: in pieces.
    for piece in coords.chunks(65_536) {
        let mut rows = vec![0.0; piece.len() * ROW];
        for (c, row) in piece.iter().zip(rows.chunks_mut(ROW)) {
            for m in 0..8 {
                let corner = [c[0] + (m & 1), c[1] + (m >> 1 & 1), c[2] + (m >> 2 & 1)];
                row[m as usize] = distance(corner.map(|x| x as f32 / 256.0 - 0.5)) + 1.0 / 256.0;
            }
        }
        extractor.push(piece, &rows).expect("valid rows");
    }
    let mesh = extractor.finish();
    let most = MOST.load(Ordering::Relaxed) - before;
    println!("{} faces, at most {:.0} MB at once", mesh.faces.len(), most as f64 * 1e-6);
    assert!(mesh.faces.len() > 200_000, "{} faces", mesh.faces.len());
    assert!(most <= LIMIT, "{most} bytes at once");
}
