//! Index streams of EXT_meshopt_compression, mode TRIANGLES (bitstream version 1 of the extension's specification): each
//! triangle continues an edge from a FIFO of 16, or starts anew from `next` and a FIFO of 16 vertices.

use crate::MeshError;

const HEADER: u8 = 0xE1;
/// Frequent (b, c) codes of free-standing triangles, sent with every stream.
const AUX: [u8; 16] = [0x00, 0x76, 0x87, 0x56, 0x67, 0x78, 0xA9, 0x86, 0x65, 0x89, 0x68, 0x98, 0x01, 0x69, 0x00, 0x00];
/// First vertex code that is not a FIFO position: 13 and 14 mean last − 1 and last + 1, 15 an explicit index.
const FIRST_SPECIAL: usize = 13;

/// State that encoder and decoder keep in step.
struct State {
    edges: [[u32; 2]; 16],
    vertices: [u32; 16],
    edge_at: usize,
    vertex_at: usize,
    next: u32,
    last: u32,
}

impl State {
    fn new() -> Self {
        Self { edges: [[u32::MAX; 2]; 16], vertices: [u32::MAX; 16], edge_at: 0, vertex_at: 0, next: 0, last: 0 }
    }

    fn push_edge(&mut self, a: u32, b: u32) {
        self.edges[self.edge_at] = [a, b];
        self.edge_at = (self.edge_at + 1) & 15;
    }

    fn push_vertex(&mut self, v: u32) {
        self.vertices[self.vertex_at] = v;
        self.vertex_at = (self.vertex_at + 1) & 15;
    }

    fn edge(&self, back: usize) -> [u32; 2] {
        self.edges[self.edge_at.wrapping_sub(1 + back) & 15]
    }

    fn vertex(&self, back: usize) -> u32 {
        self.vertices[self.vertex_at.wrapping_sub(1 + back) & 15]
    }

    fn take_next(&mut self) -> u32 {
        self.next = self.next.wrapping_add(1);
        self.next.wrapping_sub(1)
    }

    fn restart(&mut self) {
        self.next = 0;
        self.vertices = [u32::MAX; 16];
    }
}

/// Encodes triangles; their order stays, their first corner may turn.
pub(super) fn encode(faces: &[[u32; 3]]) -> Vec<u8> {
    let mut codes = Vec::with_capacity(faces.len() + 1);
    codes.push(HEADER);
    let mut data = Vec::new();
    let mut s = State::new();
    for face in faces {
        match shared_edge(&s, face) {
            Some((back, turn)) => encode_continued(&mut s, turned(face, turn), back, &mut codes, &mut data),
            None => encode_free(&mut s, face, &mut codes, &mut data),
        }
    }
    codes.extend(data);
    codes.extend(AUX);
    codes
}

fn turned(face: &[u32; 3], by: usize) -> [u32; 3] {
    std::array::from_fn(|k| face[(k + by) % 3])
}

/// The most recent edge of the FIFO (of those a code can name) that the face continues, and the turn that puts it first.
fn shared_edge(s: &State, face: &[u32; 3]) -> Option<(usize, usize)> {
    (0..15).find_map(|back| {
        let e = s.edge(back);
        (0..3).find(|&t| e == [face[t], face[(t + 1) % 3]]).map(|t| (back, t))
    })
}

fn encode_continued(s: &mut State, [a, b, c]: [u32; 3], back: usize, codes: &mut Vec<u8>, data: &mut Vec<u8>) {
    let fifo = (1..FIRST_SPECIAL).find(|&k| s.vertex(k) == c);
    let code = if let Some(k) = fifo {
        k
    } else if c == s.next {
        s.take_next();
        0
    } else if c.wrapping_add(1) == s.last {
        s.last = c;
        13
    } else if c == s.last.wrapping_add(1) {
        s.last = c;
        14
    } else {
        put_index(c, s, data);
        15
    };
    codes.push((back as u8) << 4 | code as u8);
    if code == 0 || code >= FIRST_SPECIAL {
        s.push_vertex(c);
    }
    s.push_edge(c, b);
    s.push_edge(a, c);
}

fn encode_free(s: &mut State, face: &[u32; 3], codes: &mut Vec<u8>, data: &mut Vec<u8>) {
    let turn = if face[1] == s.next {
        1
    } else if face[2] == s.next {
        2
    } else {
        0
    };
    let corners = turned(face, turn);
    // Explicit code 0 with a zero pair tells the decoder to start counting at 0 again; it must not arise by itself.
    let restart = corners == [0, 1, 2] && s.next > 0;
    if restart {
        s.restart();
    }
    let [a, b, c] = corners;
    let fb = (0..14).find(|&k| s.vertex(k) == b);
    let fc = (0..14).find(|&k| s.vertex(k) == c);
    let code_a = if a == s.next {
        s.take_next();
        0
    } else {
        15u8
    };
    let mut code = |fifo: Option<usize>, v: u32| match fifo {
        Some(k) => k as u8 + 1,
        None if v == s.next => {
            s.take_next();
            0
        }
        None => 15,
    };
    let (code_b, code_c) = (code(fb, b), code(fc, c));
    let pair = code_b << 4 | code_c;
    match AUX[..14].iter().position(|&x| x == pair) {
        Some(k) if code_a == 0 && !restart => codes.push(0xF0 | k as u8),
        _ => {
            codes.push(0xF0 | 14 | u8::from(code_a == 15));
            data.push(pair);
        }
    }
    for (v, k) in [(a, code_a), (b, code_b), (c, code_c)] {
        if k == 15 {
            put_index(v, s, data);
        }
    }
    for (v, k) in [(a, code_a), (b, code_b), (c, code_c)] {
        if k == 0 || k == 15 {
            s.push_vertex(v);
        }
    }
    s.push_edge(b, a);
    s.push_edge(c, b);
    s.push_edge(a, c);
}

fn put_index(v: u32, s: &mut State, data: &mut Vec<u8>) {
    let delta = v.wrapping_sub(s.last);
    let mut z = (delta << 1) ^ ((delta as i32) >> 31) as u32;
    s.last = v;
    while z > 127 {
        data.push(z as u8 & 127 | 128);
        z >>= 7;
    }
    data.push(z as u8);
}

fn take_index(s: &mut State, data: &mut std::slice::Iter<'_, u8>) -> Option<u32> {
    let mut z = 0u32;
    for shift in (0..35).step_by(7) {
        let byte = *data.next()?;
        z |= u32::from(byte & 127).checked_shl(shift).unwrap_or(0);
        if byte < 128 {
            s.last = s.last.wrapping_add((z >> 1) ^ (z & 1).wrapping_neg());
            return Some(s.last);
        }
    }
    None
}

/// Decodes `count` triangles.
pub(super) fn decode(stream: &[u8], count: usize) -> Result<Vec<[u32; 3]>, MeshError> {
    let fail = |detail: &str| MeshError::format("GLB", format!("meshopt index stream: {detail}"));
    if stream.first() != Some(&HEADER) {
        return Err(fail("unknown version"));
    }
    let codes = stream[1..].split_at_checked(count);
    let Some((codes, rest)) = codes.filter(|(_, rest)| rest.len() >= AUX.len()) else { return Err(fail("cut off")) };
    let (data, aux) = rest.split_at(rest.len() - AUX.len());
    let mut data = data.iter();
    let mut s = State::new();
    let mut faces = Vec::with_capacity(count);
    for &code in codes {
        let face = if code < 0xF0 {
            decode_continued(&mut s, code, &mut data)
        } else {
            decode_free(&mut s, code, aux, &mut data)
        };
        faces.push(face.ok_or_else(|| fail("cut off"))?);
    }
    Ok(faces)
}

fn decode_continued(s: &mut State, code: u8, data: &mut std::slice::Iter<'_, u8>) -> Option<[u32; 3]> {
    let [a, b] = s.edge(usize::from(code >> 4));
    let k = usize::from(code & 15);
    let c = match k {
        0 => s.take_next(),
        13 | 14 => {
            s.last = if k == 13 { s.last.wrapping_sub(1) } else { s.last.wrapping_add(1) };
            s.last
        }
        15 => take_index(s, data)?,
        _ => s.vertex(k),
    };
    if k == 0 || k >= FIRST_SPECIAL {
        s.push_vertex(c);
    }
    s.push_edge(c, b);
    s.push_edge(a, c);
    Some([a, b, c])
}

fn decode_free(s: &mut State, code: u8, aux: &[u8], data: &mut std::slice::Iter<'_, u8>) -> Option<[u32; 3]> {
    let low = usize::from(code & 15);
    let explicit = low >= 14;
    let pair = if explicit { *data.next()? } else { aux[low] };
    if explicit && pair == 0 && low == 14 {
        s.restart();
    }
    let codes = [if low == 15 { 15 } else { 0 }, pair >> 4, pair & 15];
    // FIFO positions refer to the state before any corner of this triangle is pushed.
    let mut face = [0u32; 3];
    for (v, &k) in face.iter_mut().zip(&codes) {
        *v = match k {
            0 => s.take_next(),
            15 => 0,
            k => s.vertex(usize::from(k) - 1),
        };
    }
    for (v, _) in face.iter_mut().zip(&codes).filter(|(_, k)| **k == 15) {
        *v = take_index(s, data)?;
    }
    for (v, _) in face.iter().zip(&codes).filter(|(_, k)| **k == 0 || **k == 15) {
        s.push_vertex(*v);
    }
    let [a, b, c] = face;
    s.push_edge(b, a);
    s.push_edge(c, b);
    s.push_edge(a, c);
    Some(face)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes;

    fn same_up_to_turns(a: &[[u32; 3]], b: &[[u32; 3]]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| (0..3).any(|t| turned(x, t) == *y))
    }

    #[test]
    fn meshes_and_random_triangles_survive_a_round_trip() {
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            state >> 8
        };
        let noise: Vec<[u32; 3]> = (0..3000).map(|_| std::array::from_fn(|_| random() % 50)).collect();
        let far: Vec<[u32; 3]> = (0..300).map(|_| std::array::from_fn(|_| random() * 200)).collect();
        let restart = vec![[0, 1, 2], [2, 1, 3], [0, 1, 2], [1, 2, 0], [5, 4, 9], [0, 1, 2]];
        for faces in [shapes::sphere(40, 60, 1.0).faces, shapes::cuboid([1.0; 3]).faces, noise, far, restart, vec![]] {
            let packed = encode(&faces);
            let back = decode(&packed, faces.len()).expect("own stream");
            assert!(same_up_to_turns(&faces, &back), "{} faces", faces.len());
        }
    }

    #[test]
    fn cut_streams_are_errors() {
        let packed = encode(&shapes::sphere(10, 10, 1.0).faces);
        for cut in [0, 1, 50] {
            assert!(decode(&packed[..cut], 180).is_err());
        }
    }
}
