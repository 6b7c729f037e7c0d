use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use maquette_kernels::scan::exclusive_sum;
use maquette_kernels::sort::{sort_pairs, sort_wide_pairs};

use crate::devices::{Random, all, subgroups, words};

fn upload(words: &[u32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(words.to_vec(), [words.len()]), (device, DType::U32))
}

/// Every body: with subgroups, without, and on the CPU tier.
fn bodies() -> Vec<Device> {
    subgroups().into_iter().chain(all()).collect()
}

/// Empty, one, around the sizes of workgroups and blocks, and more blocks than one block can hold.
const LENGTHS: [usize; 14] = [0, 1, 2, 3, 31, 255, 256, 257, 2047, 2048, 2049, 4099, 10_007, 70_001];

#[test]
fn sums_of_any_length_equal_a_loop() {
    let mut random = Random(1);
    for device in bodies() {
        for length in LENGTHS.into_iter().chain([2048 * 2048 + 5]) {
            let x: Vec<u32> = (0..length).map(|_| random.word() as u32 >> (random.below(32))).collect();
            let mut expected = vec![0u32];
            x.iter().for_each(|v| expected.push(expected[expected.len() - 1].wrapping_add(*v)));
            let sums = exclusive_sum(&upload(&x, &device)).expect("readable");
            assert_eq!(words(&sums), expected, "{length} words");
        }
    }
}

#[test]
fn equal_keys_keep_their_order() {
    let mut random = Random(2);
    for device in bodies() {
        for length in LENGTHS {
            for spread in [1, 2, 17, 1 << 20, 1 << 32] {
                let keys: Vec<u32> = (0..length).map(|_| random.below(spread) as u32).collect();
                let payload: Vec<u32> = (0..length as u32).map(|i| i.wrapping_mul(2_654_435_761)).collect();
                let mut expected: Vec<(u32, u32)> = keys.iter().copied().zip(payload.iter().copied()).collect();
                expected.sort_by_key(|pair| pair.0);
                let (k, p) = sort_pairs(&upload(&keys, &device), &upload(&payload, &device)).expect("equal lengths");
                let got: Vec<(u32, u32)> = words(&k).into_iter().zip(words(&p)).collect();
                assert_eq!(got, expected, "{length} keys below {spread}");
            }
        }
    }
}

#[test]
fn wide_keys_sort_by_both_words() {
    let mut random = Random(3);
    for device in bodies() {
        for length in LENGTHS {
            let high: Vec<u32> = (0..length).map(|_| random.below(5) as u32 * 0x3fff_ffff).collect();
            let low: Vec<u32> = (0..length).map(|_| random.below(200) as u32 * 20_000_003).collect();
            let payload: Vec<u32> = (0..length as u32).collect();
            let mut expected: Vec<[u32; 3]> = (0..length).map(|i| [high[i], low[i], payload[i]]).collect();
            expected.sort_by_key(|row| [row[0], row[1]]);
            let up = |x: &[u32]| upload(x, &device);
            let sorted = sort_wide_pairs(&up(&high), &up(&low), &up(&payload)).expect("equal lengths");
            for (k, column) in sorted.iter().enumerate() {
                let expected: Vec<u32> = expected.iter().map(|row| row[k]).collect();
                assert_eq!(words(column), expected, "{length} keys, column {k}");
            }
        }
    }
}

#[test]
fn payload_of_another_length_is_refused() {
    for device in bodies() {
        let (three, four) = (upload(&[1, 2, 3], &device), upload(&[1, 2, 3, 4], &device));
        assert!(sort_pairs(&three, &four).is_err());
        assert!(sort_wide_pairs(&three, &four, &three).is_err());
    }
}
