//! Forms of kernels that a benchmark may force.

use std::sync::atomic::{AtomicU8, Ordering};

use super::{attention::MATRIX_FORMS, dense::MATRIX_TILES, dense::PLAIN_TILES};

/// Kernels that come in several forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Linear layers and convolutions on matrix units.
    MatrixLinear,
    /// Linear layers without matrix units.
    PlainLinear,
    /// Attention on matrix units.
    MatrixAttention,
}

impl Family {
    /// The names of its forms.
    pub(crate) fn forms(self) -> Vec<&'static str> {
        match self {
            Self::MatrixLinear => MATRIX_TILES.map(|tile| tile.0).to_vec(),
            Self::PlainLinear => PLAIN_TILES.to_vec(),
            Self::MatrixAttention => MATRIX_FORMS.map(|form| form.0).to_vec(),
        }
    }
}

static FORCED: [AtomicU8; 3] = [const { AtomicU8::new(0) }; 3];

/// Makes every kernel of a family take one form where the problem allows it, or lets the problem decide again. For
/// benchmarks only: it is one setting for the whole process.
pub(crate) fn force(family: Family, form: Option<&str>) {
    let place = form.and_then(|form| family.forms().iter().position(|known| *known == form));
    FORCED[family as usize].store(place.map_or(0, |place| place as u8 + 1), Ordering::Relaxed);
}

/// The form that is forced.
pub(super) fn forced(family: Family) -> Option<&'static str> {
    let place = FORCED[family as usize].load(Ordering::Relaxed);
    if place == 0 { None } else { family.forms().get(usize::from(place) - 1).copied() }
}
