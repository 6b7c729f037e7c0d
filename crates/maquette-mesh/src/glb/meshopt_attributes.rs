//! Vertex streams of EXT_meshopt_compression, mode ATTRIBUTES (bitstream version 0 of the extension's specification):
//! byte planes, deltas from vertex to vertex, groups of 16 in 0, 2, 4 or 8 bits.

use crate::MeshError;

const HEADER: u8 = 0xA0;
const GROUP: usize = 16;
const TAIL: usize = 32;

fn block_elements(stride: usize) -> usize {
    ((8192 / stride) & !(GROUP - 1)).min(256)
}

fn zigzag(delta: u8) -> u8 {
    (delta << 1) ^ ((delta as i8) >> 7) as u8
}

fn unzigzag(v: u8) -> u8 {
    (v >> 1) ^ (v & 1).wrapping_neg()
}

/// Encodes `data`, whose length is a multiple of `stride`; `stride` is a multiple of 4 between 4 and 256.
pub(super) fn encode(data: &[u8], stride: usize) -> Vec<u8> {
    let mut out = vec![HEADER];
    let first: Vec<u8> = data.iter().take(stride).copied().chain(std::iter::repeat(0)).take(stride).collect();
    let mut last = first.clone();
    for block in data.chunks(block_elements(stride) * stride) {
        let count = block.len() / stride;
        for k in 0..stride {
            let mut deltas = vec![0u8; count.next_multiple_of(GROUP)];
            let mut previous = last[k];
            for (d, row) in deltas.iter_mut().zip(block.chunks(stride)) {
                *d = zigzag(row[k].wrapping_sub(previous));
                previous = row[k];
            }
            last[k] = previous;
            encode_plane(&deltas, &mut out);
        }
    }
    let padding = TAIL.saturating_sub(stride);
    out.resize(out.len() + padding, 0);
    out.extend_from_slice(&first);
    out
}

fn encode_plane(deltas: &[u8], out: &mut Vec<u8>) {
    let groups = deltas.as_chunks::<GROUP>().0;
    let header = out.len();
    out.resize(header + groups.len().div_ceil(4), 0);
    for (g, group) in groups.iter().enumerate() {
        // Bytes that mode 1 and 2 would take: packed part plus one byte for every value at or above the sentinel.
        let cost = |bits: usize| GROUP * bits / 8 + group.iter().filter(|&&v| v >= (1 << bits) - 1).count();
        let mode = if group.iter().all(|&v| v == 0) {
            0
        } else if cost(2) <= cost(4) && cost(2) < GROUP {
            1
        } else if cost(4) < GROUP {
            2
        } else {
            3
        };
        out[header + g / 4] |= (mode as u8) << (g % 4 * 2);
        match mode {
            0 => {}
            3 => out.extend_from_slice(group),
            _ => pack_group(group, mode * 2, out),
        }
    }
}

fn pack_group(group: &[u8; GROUP], bits: usize, out: &mut Vec<u8>) {
    let sentinel = (1u8 << bits) - 1;
    for part in group.chunks(8 / bits) {
        out.push(part.iter().fold(0, |byte, &v| byte << bits | v.min(sentinel)));
    }
    out.extend(group.iter().filter(|&&v| v >= sentinel));
}

/// Decodes `count` elements of `stride` bytes.
pub(super) fn decode(data: &[u8], count: usize, stride: usize) -> Result<Vec<u8>, MeshError> {
    let fail = |detail: &str| MeshError::format("GLB", format!("meshopt vertex stream: {detail}"));
    if stride == 0 || stride > 256 || !stride.is_multiple_of(4) {
        return Err(fail("the stride must be a multiple of 4 up to 256"));
    }
    let (Some((&header, body)), Some(base)) = (data.split_first(), data.len().checked_sub(stride)) else {
        return Err(fail("too short"));
    };
    if header != HEADER {
        return Err(fail("unknown version"));
    }
    // Every group of 16 takes at least two header bits a byte plane; a count beyond that is a lie.
    if count.div_ceil(GROUP * 4) > body.len() {
        return Err(fail("declares more elements than its bytes can hold"));
    }
    let mut last = data[base..].to_vec();
    let mut reader = body;
    let mut out = vec![0u8; count * stride];
    for block in out.chunks_mut(block_elements(stride) * stride) {
        let n = block.len() / stride;
        for k in 0..stride {
            let deltas = decode_plane(&mut reader, n).ok_or_else(|| fail("cut off"))?;
            for (row, d) in block.chunks_mut(stride).zip(deltas) {
                last[k] = last[k].wrapping_add(unzigzag(d));
                row[k] = last[k];
            }
        }
    }
    Ok(out)
}

fn take<'a>(reader: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = reader.split_at_checked(n)?;
    *reader = tail;
    Some(head)
}

fn decode_plane(reader: &mut &[u8], count: usize) -> Option<Vec<u8>> {
    let groups = count.div_ceil(GROUP);
    let header = take(reader, groups.div_ceil(4))?;
    let mut out = Vec::with_capacity(groups * GROUP);
    for g in 0..groups {
        match header[g / 4] >> (g % 4 * 2) & 3 {
            0 => out.extend_from_slice(&[0; GROUP]),
            3 => out.extend_from_slice(take(reader, GROUP)?),
            mode => {
                let bits = usize::from(mode) * 2;
                let sentinel = (1u8 << bits) - 1;
                let packed = take(reader, GROUP * bits / 8)?;
                for i in 0..GROUP {
                    let per_byte = 8 / bits;
                    let v = packed[i / per_byte] >> (8 - bits - i % per_byte * bits) & sentinel;
                    out.push(if v == sentinel { take(reader, 1)?[0] } else { v });
                }
            }
        }
    }
    out.truncate(count);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_all_sizes_survive_a_round_trip() {
        for stride in [4, 8, 12, 16, 256] {
            for count in [0, 1, 15, 16, 17, 255, 256, 257, 1000] {
                let data: Vec<u8> =
                    (0..count * stride).map(|i| ((i * i / 7) % if i % 5 == 0 { 251 } else { 5 }) as u8).collect();
                let packed = encode(&data, stride);
                assert_eq!(decode(&packed, count, stride).expect("own stream"), data, "{stride} {count}");
            }
        }
    }

    #[test]
    fn cut_streams_are_errors() {
        let packed = encode(&[7; 12 * 100], 12);
        for cut in [0, 1, 5, 12] {
            assert!(decode(&packed[..cut], 100, 12).is_err());
        }
        assert!(decode(&packed, usize::MAX / 16, 12).is_err());
    }
}
