//! Comparing and keeping the outcome.

use burn::tensor::{FloatDType, Tensor};
use maquette_mesh::reference::Comparison;
use maquette_models::Precision;

use super::{Result, VerifyError};

/// What a comparison allows.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "value")]
pub enum Bound {
    /// ‖found − expected‖ / ‖expected‖ at most this.
    Relative(f64),
    /// |found − expected| at most this everywhere.
    Absolute(f64),
    /// Every value equal.
    Identical,
}

/// Outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within the bound.
    Pass,
    /// Outside, or not a number.
    Fail,
    /// The case could not be run.
    Error,
}

/// One compared tensor.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    /// The case, `cases/ss_flow` for instance.
    pub case: String,
    /// The tensor's name.
    pub tensor: String,
    /// Number of values.
    pub values: usize,
    /// Largest |found − expected|; for integers the number of unequal values.
    pub max_abs: f64,
    /// ‖found − expected‖ / ‖expected‖; for figures of pictures, of what is allowed.
    pub relative: f64,
    /// What is allowed.
    pub bound: Bound,
    /// The outcome.
    pub verdict: Verdict,
    /// What went wrong, when it cannot be told from the numbers.
    pub note: Option<String>,
}

/// Rows of one case.
pub(super) struct Checks<'a> {
    case: String,
    precision: Precision,
    module: f64,
    rows: Vec<Row>,
    observe: &'a mut dyn FnMut(&Row),
}

/// fp32 bound of a single module.
const MODULE: f64 = 1e-5;
/// fp32 bound of several forward passes one after the other.
const CHAIN: f64 = 1e-4;
/// f16 bound.
const HALF: f64 = 1e-2;

impl<'a> Checks<'a> {
    pub(super) fn new(
        case: String,
        precision: Precision,
        module: Option<f64>,
        observe: &'a mut dyn FnMut(&Row),
    ) -> Self {
        Self { case, precision, module: module.unwrap_or(MODULE), rows: Vec::new(), observe }
    }

    pub(super) fn into_rows(self) -> Vec<Row> {
        self.rows
    }

    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    fn push(&mut self, row: Row) {
        (self.observe)(&row);
        self.rows.push(row);
    }

    /// Bound of one module that runs in the torso's type.
    pub(super) fn module_bound(&self) -> Bound {
        Bound::Relative(if self.precision == Precision::F16 { HALF } else { self.module })
    }

    /// Bound of a chain of modules.
    pub(super) fn chain_bound(&self) -> Bound {
        Bound::Relative(if self.precision == Precision::F16 { HALF } else { CHAIN })
    }

    /// A module that runs in the torso's type.
    pub(super) async fn module<const D: usize>(
        &mut self,
        tensor: &str,
        found: Tensor<D>,
        expected: &[f32],
    ) -> Result<()> {
        self.within(tensor, found, expected, self.module_bound()).await
    }

    /// A module that is f32 whatever the torso is.
    pub(super) async fn exact_module<const D: usize>(
        &mut self,
        tensor: &str,
        found: Tensor<D>,
        expected: &[f32],
    ) -> Result<()> {
        self.within(tensor, found, expected, Bound::Relative(self.module)).await
    }

    /// Several modules one after the other.
    pub(super) async fn chain<const D: usize>(
        &mut self,
        tensor: &str,
        found: Tensor<D>,
        expected: &[f32],
    ) -> Result<()> {
        self.within(tensor, found, expected, self.chain_bound()).await
    }

    /// Any bound.
    pub(super) async fn within<const D: usize>(
        &mut self,
        tensor: &str,
        found: Tensor<D>,
        expected: &[f32],
        bound: Bound,
    ) -> Result<()> {
        let found = read_back(found).await?;
        self.floats(tensor, &found, expected, bound);
        Ok(())
    }

    /// Host values.
    pub(super) fn floats(&mut self, tensor: &str, found: &[f32], expected: &[f32], bound: Bound) {
        let (max_abs, relative) = distance(found, expected);
        let same_length = found.len() == expected.len();
        // Written so that a NaN fails.
        let good = same_length
            && match bound {
                Bound::Relative(limit) => relative <= limit,
                Bound::Absolute(limit) => max_abs <= limit,
                Bound::Identical => max_abs == 0.0,
            };
        let note = (!same_length).then(|| format!("{} values, expected {}", found.len(), expected.len()));
        self.push(Row {
            case: self.case.clone(),
            tensor: tensor.to_owned(),
            values: expected.len(),
            max_abs,
            relative,
            bound,
            verdict: if good { Verdict::Pass } else { Verdict::Fail },
            note,
        });
    }

    /// Integers, all equal.
    pub(super) fn identical(&mut self, tensor: &str, found: &[i64], expected: &[i64]) {
        let unequal = found.iter().zip(expected).filter(|(a, b)| a != b).count();
        let missing = found.len().abs_diff(expected.len());
        let wrong = unequal + missing;
        let note = (missing > 0).then(|| format!("{} values, expected {}", found.len(), expected.len()));
        self.push(Row {
            case: self.case.clone(),
            tensor: tensor.to_owned(),
            values: expected.len(),
            max_abs: wrong as f64,
            relative: wrong as f64 / expected.len().max(1) as f64,
            bound: Bound::Identical,
            verdict: if wrong == 0 { Verdict::Pass } else { Verdict::Fail },
            note,
        });
    }

    /// Figures with limits of their own.
    pub(super) fn figures(&mut self, of: &str, figures: &[Comparison]) {
        for figure in figures {
            self.push(Row {
                case: self.case.clone(),
                tensor: format!("{of}: {}", figure.what),
                values: figure.values,
                max_abs: figure.found,
                relative: figure.found / figure.allowed.max(f64::MIN_POSITIVE),
                bound: Bound::Absolute(figure.allowed),
                verdict: if figure.passed() { Verdict::Pass } else { Verdict::Fail },
                note: None,
            });
        }
    }

    /// Coordinates `[N, 4]`.
    pub(super) fn coords(&mut self, tensor: &str, found: &[[i32; 4]], expected: &[i64]) {
        let found: Vec<i64> = found.iter().flatten().map(|v| i64::from(*v)).collect();
        self.identical(tensor, &found, expected);
    }

    /// The case broke off.
    pub(super) fn error(&mut self, error: &VerifyError) {
        let row = Row {
            case: self.case.clone(),
            tensor: String::new(),
            values: 0,
            max_abs: f64::NAN,
            relative: f64::NAN,
            bound: Bound::Identical,
            verdict: Verdict::Error,
            note: Some(error.to_string()),
        };
        self.push(row);
    }
}

/// Largest absolute and relative Frobenius distance, over the common length.
pub(super) fn distance(found: &[f32], expected: &[f32]) -> (f64, f64) {
    let (mut worst, mut square, mut norm) = (0.0f64, 0.0f64, 0.0f64);
    for (a, b) in found.iter().zip(expected) {
        let difference = (f64::from(*a) - f64::from(*b)).abs();
        worst = if difference.is_nan() { f64::NAN } else { worst.max(difference) };
        square += difference * difference;
        norm += f64::from(*b) * f64::from(*b);
        if worst.is_nan() {
            return (f64::NAN, f64::NAN);
        }
    }
    (worst, if square == 0.0 { 0.0 } else { (square / norm).sqrt() })
}

/// A tensor's values, f32.
pub(super) async fn read_back<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let data =
        tensor.cast(FloatDType::F32).into_data_async().await.map_err(|e| VerifyError::ReadBack(e.to_string()))?;
    data.try_into_vec::<f32>().map_err(|e| VerifyError::ReadBack(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_a_number_fails_every_bound() {
        let mut seen = Vec::new();
        let mut observe = |row: &Row| seen.push(row.verdict);
        let mut checks = Checks::new("x".into(), Precision::F32, None, &mut observe);
        for bound in [Bound::Relative(1.0), Bound::Absolute(1.0), Bound::Identical] {
            checks.floats("t", &[1.0, f32::NAN], &[1.0, 2.0], bound);
            checks.floats("t", &[1.0], &[1.0, 2.0], bound);
        }
        assert_eq!(seen, [Verdict::Fail; 6]);
    }

    #[test]
    fn distances_are_those_of_the_definition() {
        assert_eq!(distance(&[3.0, 4.0], &[3.0, 0.0]), (4.0, 4.0 / 3.0));
        assert_eq!(distance(&[0.0], &[0.0]), (0.0, 0.0));
    }
}
