//! Consistent winding: neighbours agree, closed parts face outwards.

use super::topology::{edges, sorted_sides};
use crate::TriangleMesh;
use crate::vector::{cross, dot};

/// Turns faces so that neighbours across edges of two faces agree, and closed parts enclose a positive volume. Where the
/// surface is one-sided (a Möbius strip) some disagreement stays. Returns the number of turned faces.
pub fn orient(mesh: &mut TriangleMesh) -> usize {
    let n = mesh.faces.len();
    // Per side, the face across and whether the two run the edge in the same direction (they should not).
    let mut across = vec![(u32::MAX, false); n * 3];
    let mut open = vec![false; n];
    let sides = sorted_sides(&mesh.faces);
    for group in edges(&sides) {
        if let [(_, f, k), (_, g, l)] = *group {
            let same = mesh.faces[f as usize][k as usize] == mesh.faces[g as usize][l as usize];
            across[3 * f as usize + k as usize] = (g, same);
            across[3 * g as usize + l as usize] = (f, same);
        } else if group.len() == 1 {
            open[group[0].1 as usize] = true;
        }
    }
    const UNSEEN: u8 = 2;
    let mut turn = vec![UNSEEN; n];
    let mut queue = Vec::new();
    let mut turned = 0;
    for start in 0..n {
        if turn[start] != UNSEEN {
            continue;
        }
        turn[start] = 0;
        queue.clear();
        queue.push(start as u32);
        let mut at = 0;
        while let Some(&f) = queue.get(at) {
            at += 1;
            for &(g, same) in &across[3 * f as usize..3 * f as usize + 3] {
                if g != u32::MAX && turn[g as usize] == UNSEEN {
                    turn[g as usize] = turn[f as usize] ^ u8::from(same);
                    queue.push(g);
                }
            }
        }
        let volume: f64 = queue
            .iter()
            .map(|&f| {
                let [a, b, c] = mesh.corners(f as usize);
                let v = dot(a, cross(b, c));
                if turn[f as usize] == 1 { -v } else { v }
            })
            .sum();
        let flipped = queue.iter().filter(|&&f| turn[f as usize] == 1).count();
        let closed = queue.iter().all(|&f| !open[f as usize]);
        // An open part has no inside: keep the direction most of its faces have.
        let invert = if closed { volume < 0.0 } else { 2 * flipped > queue.len() };
        for &f in &queue {
            if (turn[f as usize] == 1) != invert {
                mesh.faces[f as usize].swap(1, 2);
                turned += 1;
            }
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    #[test]
    fn a_scrambled_sphere_faces_outwards_again() {
        let m = shapes::sphere(12, 20, 0.5);
        let mut s = m.clone();
        for (i, f) in s.faces.iter_mut().enumerate() {
            if i * 7 % 5 < 3 {
                f.swap(1, 2);
            }
        }
        orient(&mut s);
        assert!((s.volume() - m.volume()).abs() < 1e-9);
    }

    #[test]
    fn an_inside_out_box_is_turned_and_an_open_sheet_is_not() {
        let mut m = shapes::cuboid([1.0; 3]);
        m.faces.iter_mut().for_each(|f| f.swap(1, 2));
        assert_eq!(orient(&mut m), 12);
        let mut open = shapes::cuboid([1.0; 3]);
        open.faces.truncate(10);
        open.faces.iter_mut().for_each(|f| f.swap(1, 2));
        assert_eq!(orient(&mut open), 0);
    }
}
