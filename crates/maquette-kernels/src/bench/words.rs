//! Prefix sums and sorting.

use burn::tensor::{DType, Int, Tensor, TensorData};
use maquette_gpu::GpuError;

use super::{Bench, Case, Limit, check::Sample, check::spread};
use crate::{scan::exclusive_sum, sort::sort_pairs};

/// Results that are compared.
const SAMPLES: usize = 1000;

impl Bench<'_> {
    fn words(&self, words: Vec<u32>) -> Tensor<1, Int> {
        let count = words.len();
        Tensor::from_data(TensorData::new(words, [count]), (self.device(), DType::U32))
    }

    /// Error of some of `found`; its values are exact in f32.
    async fn compare(&self, found: Tensor<1, Int>, expected: &[u32]) -> f64 {
        let rows = spread(expected.len(), SAMPLES);
        let values = rows.iter().filter_map(|row| expected.get(*row)).map(|value| f64::from(*value)).collect();
        let sample = Sample { rows, columns: vec![0], expected: values };
        sample.error(found.float().cast(DType::F32).reshape([expected.len(), 1])).await
    }

    pub(super) async fn prefix_sum(&mut self, count: usize) -> Result<(), GpuError> {
        let name = format!("prefix sum of {count} words");
        if !self.wanted(&name) {
            return Ok(());
        }
        let words: Vec<u32> = (0..count as u32).map(|i| i.wrapping_mul(2_654_435_761) >> 30).collect();
        let mut expected = vec![0u32];
        words.iter().for_each(|word| expected.push(expected[expected.len() - 1] + word));
        let x = self.words(words);
        let time = self.time_of(&|| exclusive_sum(&x), 4).await?;
        let error = match exclusive_sum(&x) {
            Ok(sums) => self.compare(sums, &expected).await,
            Err(_) => f64::INFINITY,
        };
        self.report(Case { name: &name, limit: Limit::Memory, work: 8.0 * count as f64 }, time, error);
        Ok(())
    }

    pub(super) async fn sort(&mut self, count: usize) -> Result<(), GpuError> {
        let name = format!("sort {count} pairs of words");
        if !self.wanted(&name) {
            return Ok(());
        }
        // All keys differ, and say which payload belongs to them.
        let keys: Vec<u32> = (0..count as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.sort_unstable_by_key(|i| i.wrapping_mul(2_654_435_761));
        let (keys, payload) = (self.words(keys), self.words((0..count as u32).collect()));
        // Eight digits: counts, their prefix sum (three dispatches), places.
        let time = self.time_of(&|| sort_pairs(&keys, &payload), 40).await?;
        let error = match sort_pairs(&keys, &payload) {
            Ok((_, sorted)) => self.compare(sorted, &order).await,
            Err(_) => f64::INFINITY,
        };
        self.report(Case { name: &name, limit: Limit::Memory, work: 16.0 * count as f64 }, time, error);
        Ok(())
    }
}
