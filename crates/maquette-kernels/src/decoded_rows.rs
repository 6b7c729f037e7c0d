//! The rows of a decoded field, made where they are used: whole they would be the largest array of all (0.5 GB for 1.28 M
//! voxels with colours), more than a browser's device may bind, and as large as every page of memory taken after them.

use std::ops::Range;

use burn::tensor::{Device, FloatDType, Tensor};

use crate::linear::{Activation, Linear, linear};

/// Rows that are made at once: 26 MB of them with colours, and as much of what they are made of.
const AT_ONCE: usize = 1 << 16;

/// Rows `[voxels, width]` in f32 that come in runs.
#[derive(Clone, Debug)]
pub struct DecodedRows {
    hidden: Tensor<2>,
    /// The layer that makes rows of `hidden`; none where these are rows already.
    head: Option<Linear>,
    at_once: usize,
}

impl DecodedRows {
    /// Rows that `head` makes of `hidden` `[voxels, inputs]`, in f32 whatever `hidden` are.
    pub fn new(hidden: Tensor<2>, head: Linear) -> Self {
        Self { hidden, head: Some(head), at_once: AT_ONCE }
    }

    /// The same in runs of `rows` rows (65,536 unless asked otherwise).
    #[must_use]
    pub fn in_runs_of(self, rows: usize) -> Self {
        Self { at_once: rows.max(1), ..self }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.hidden.dims()[0]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Values of a row.
    pub fn width(&self) -> usize {
        self.head.as_ref().map_or(self.hidden.dims()[1], Linear::outputs)
    }

    /// Where they are made.
    pub fn device(&self) -> Device {
        self.hidden.device()
    }

    /// The runs in which they are best made, in order.
    pub fn runs(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (rows, at_once) = (self.len(), self.at_once);
        (0..rows).step_by(at_once).map(move |first| first..rows.min(first + at_once))
    }

    /// The rows of a run.
    pub fn make(&self, run: Range<usize>) -> Tensor<2> {
        let channels = self.hidden.dims()[1];
        let part =
            if run == (0..self.len()) { self.hidden.clone() } else { self.hidden.clone().slice([run, 0..channels]) };
        let part = part.cast(FloatDType::F32);
        match &self.head {
            Some(head) => linear(part, head, Activation::None),
            None => part,
        }
    }

    /// All of them at once, for comparisons.
    pub fn whole(&self) -> Tensor<2> {
        self.make(0..self.len())
    }
}

/// Rows that are there.
impl From<Tensor<2>> for DecodedRows {
    fn from(rows: Tensor<2>) -> Self {
        Self { hidden: rows, head: None, at_once: AT_ONCE }
    }
}
