//! Bands of tile rows: how a picture is cut where its list of tile entries would be too long.

/// Tile rows `first..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    pub(super) first: u32,
    pub(super) end: u32,
}

impl Band {
    /// Bands that cover `rows` tile rows of `columns` tiles, each so low that `gaussians` of them, all over the whole band,
    /// cannot overflow 32 bits: their entries can be counted.
    pub(super) fn countable(rows: u32, columns: u32, gaussians: u64) -> Vec<Self> {
        let row = gaussians.max(1).saturating_mul(u64::from(columns));
        let most = (u64::from(u32::MAX) / row).clamp(1, u64::from(rows)) as u32;
        (0..rows).step_by(most as usize).map(|first| Self { first, end: rows.min(first + most) }).collect()
    }

    /// The band in two halves; `None` for a single row.
    pub(super) fn halves(self) -> Option<[Self; 2]> {
        let middle = self.first + (self.end - self.first) / 2;
        (middle > self.first).then_some([Self { end: middle, ..self }, Self { first: middle, ..self }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_cover_every_row_once_and_can_be_counted() {
        for (rows, columns, gaussians) in [(1, 1, 0), (64, 64, 400_000), (1024, 1024, 5_000_000), (7, 3, 1 << 30)] {
            let bands = Band::countable(rows, columns, gaussians);
            assert_eq!(bands[0].first, 0);
            assert_eq!(bands[bands.len() - 1].end, rows);
            assert!(bands.windows(2).all(|pair| pair[0].end == pair[1].first));
            let counted = |b: &Band| u64::from(b.end - b.first) * u64::from(columns) * gaussians <= u64::from(u32::MAX);
            assert!(bands.iter().all(|b| counted(b) || b.end - b.first == 1));
        }
    }

    #[test]
    fn halves_end_at_single_rows() {
        let [a, b] = Band { first: 3, end: 6 }.halves().expect("three rows");
        assert_eq!((a.first, a.end, b.first, b.end), (3, 4, 4, 6));
        assert_eq!(a.halves(), None);
    }
}
