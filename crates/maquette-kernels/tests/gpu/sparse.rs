use std::collections::{BTreeSet, HashMap};

use burn::tensor::{Device, Int, Tensor, TensorData};
use maquette_kernels::{
    Activation, Conv3, Grid, PackedLinear, Packing, RowGroups, Voxels, conv3_dense, conv3_sparse, downsample,
    gather_rows, group_norm, linear_packed, scatter_rows, softmax,
};

use crate::support::*;

fn convolved(x: &[f64], w: &[f64], b: &[f64], voxels: &Voxels, [inputs, outputs]: [usize; 2]) -> Vec<f64> {
    let mut y = Vec::with_capacity(voxels.len() * outputs);
    for row in 0..voxels.len() {
        for o in 0..outputs {
            let mut sum = b[o];
            for tap in 0..27 {
                let neighbour = voxels.neighbours().tap(tap)[row];
                if neighbour >= 0 {
                    let w = &w[(o * 27 + tap) * inputs..][..inputs];
                    sum += x[neighbour as usize * inputs..][..inputs].iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
                }
            }
            y.push(sum);
        }
    }
    y
}

#[test]
fn convolutions_over_any_voxel_set_equal_f64() {
    let mut random = Random(6);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            for case in 0..SHAPES {
                let size = [1, 2, 3].map(|_| 1 + random.below(5));
                let grid = Grid { batch: 1 + random.below(2), size };
                let dense = case % 3 == 0;
                let occupied: Vec<bool> = (0..grid.rows()).map(|_| dense || random.below(3) > 0).collect();
                let voxels = Voxels::from_occupancy(&occupied, [grid.batch, size[0], size[1], size[2]]).expect("valid");
                if voxels.is_empty() {
                    continue;
                }
                let channels = [random.pick(&[1, 3, 4, 8, 12, 40, 64]), random.pick(&[1, 4, 7, 8, 32, 64])];
                let x = random.values(voxels.len() * channels[0], 1.0, dtype);
                let w = random.values(channels[1] * 27 * channels[0], 0.2, dtype);
                let b = random.values(channels[1], 1.0, dtype);
                let expected = convolved(&x, &w, &b, &voxels, channels);
                let layer = Conv3 {
                    weight: upload(&w, [channels[1], 27 * channels[0]], dtype, &device),
                    bias: upload(&b, [channels[1]], dtype, &device),
                };
                let x = upload(&x, [voxels.len(), channels[0]], dtype, &device);
                let error = relative_error(&download(conv3_sparse(x.clone(), &layer, voxels.neighbours())), &expected);
                assert!(
                    error <= allowed(&expected, dtype, bound),
                    "{tier} {dtype:?} sparse {grid:?} {channels:?}: {error:.2e}"
                );
                if dense {
                    let error = relative_error(&download(conv3_dense(x, &layer, grid)), &expected);
                    assert!(
                        error <= allowed(&expected, dtype, bound),
                        "{tier} {dtype:?} dense {grid:?} {channels:?}: {error:.2e}"
                    );
                }
            }
        }
    }
}

/// Rows by coordinate, the plain way.
fn neighbour_rows(voxels: &Voxels) -> Vec<i32> {
    let rows: HashMap<[i32; 4], i32> = voxels.coords().iter().copied().zip(0..).collect();
    let mut table = Vec::with_capacity(27 * voxels.len());
    for tap in 0..27 {
        let step = [tap / 9, tap / 3 % 3, tap % 3].map(|t| t - 1);
        table.extend(
            voxels
                .coords()
                .iter()
                .map(|&[b, x, y, z]| rows.get(&[b, x + step[0], y + step[1], z + step[2]]).copied().unwrap_or(-1)),
        );
    }
    table
}

#[test]
fn neighbours_made_on_a_device_are_those_of_the_coordinates() {
    let mut random = Random(12);
    for (tier, device, _) in devices() {
        for case in 0..SHAPES {
            let (count, edge) = (random.below(300), random.pick(&[1, 2, 5, 9, 40, 1 << 14]));
            // Some sets lie at the far end of what coordinates may be.
            let first = if case % 4 == 0 { (1 << 15) - edge } else { 0 };
            let mut coords = BTreeSet::new();
            for _ in 0..count {
                let [x, y, z] = [0; 3].map(|_: i32| (first + random.below(edge)) as i32);
                coords.insert([random.below(3) as i32, x, y, z]);
            }
            let set = Voxels::with_batches(coords.into_iter().collect(), 3).expect("valid");
            for voxels in [set.clone(), set.subdivided(), set.subdivided().subdivided()] {
                let table = voxels.neighbours().table(&device).into_data();
                let found = table.try_to_vec_as::<i32>().expect("integers");
                assert_eq!(found, neighbour_rows(&voxels), "{tier} {count} in {edge} from {first}");
            }
        }
    }
}

#[test]
fn group_norms_of_any_layout_equal_f64() {
    let mut random = Random(7);
    let f32 = burn::tensor::DType::F32;
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            for _ in 0..SHAPES {
                let items = random.lengths(3, 300);
                let batches = RowGroups::from_lengths(items);
                let groups = random.pick(&[1, 2, 8]);
                let share = if groups == 1 { random.pick(&[3, 300]) } else { random.pick(&[1, 2, 3, 8, 70]) };
                let channels = groups * share;
                if batches.rows() == 0 {
                    continue;
                }
                let x: Vec<f64> = random
                    .values(batches.rows() * channels, 1.0, dtype)
                    .iter()
                    .map(|v| round(v + 2.0, dtype))
                    .collect();
                let (w, b) = (random.values(channels, 1.0, f32), random.values(channels, 1.0, f32));
                let mut expected = vec![0.0; x.len()];
                for item in 0..batches.len() {
                    for g in 0..groups {
                        let places: Vec<usize> = batches
                            .range(item)
                            .flat_map(|row| (0..share).map(move |c| row * channels + g * share + c))
                            .collect();
                        let count = places.len() as f64;
                        let mean = places.iter().map(|p| x[*p]).sum::<f64>() / count;
                        let variance = places.iter().map(|p| (x[*p] - mean) * (x[*p] - mean)).sum::<f64>() / count;
                        for p in places {
                            let c = p % channels;
                            expected[p] = (x[p] - mean) / (variance + 1e-5).sqrt() * w[c] + b[c];
                        }
                    }
                }
                let (weight, bias) = (upload(&w, [channels], f32, &device), upload(&b, [channels], f32, &device));
                let input = upload(&x, [batches.rows(), channels], dtype, &device);
                let y = download(group_norm(input, &batches, groups, (&weight, &bias), 1e-5));
                let error = relative_error(&y, &expected);
                assert!(
                    error <= allowed(&expected, dtype, bound),
                    "{tier} {dtype:?} {batches:?} {groups} groups of {share}: {error:.2e}"
                );
            }
        }
    }
}

#[test]
fn softmax_of_any_shape_equals_f64_and_keeps_nan_in_its_row() {
    let mut random = Random(8);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            for _ in 0..SHAPES {
                let (rows, width) = (1 + random.below(9), 1 + random.below(300));
                let x = random.values(rows * width, 3.0, dtype);
                let expected: Vec<f64> = x
                    .chunks(width)
                    .flat_map(|row| {
                        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        let sum: f64 = row.iter().map(|v| (v - top).exp()).sum();
                        row.iter().map(move |v| (v - top).exp() / sum).collect::<Vec<_>>()
                    })
                    .collect();
                let error = relative_error(&download(softmax(upload(&x, [rows, width], dtype, &device))), &expected);
                assert!(error <= allowed(&expected, dtype, bound), "{tier} {dtype:?} [{rows}, {width}]: {error:.2e}");
            }
            let y = download(softmax(upload(&[0.0, f64::NAN, 1.0, 2.0], [2, 2], dtype, &device)));
            assert!(y[0].is_nan() && y[1].is_nan() && !y[2].is_nan() && !y[3].is_nan(), "{tier} {dtype:?} {y:?}");
        }
    }
}

fn ints(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let shape = [values.len()];
    Tensor::from_data(TensorData::new(values, shape), (device, burn::tensor::DType::I32))
}

#[test]
fn rows_move_to_where_the_index_says() {
    let mut random = Random(9);
    for (tier, device, f16) in devices() {
        for (dtype, _) in dtypes(f16) {
            for _ in 0..SHAPES {
                let (rows, width) = (1 + random.below(60), random.pick(&[1, 2, 3, 4, 8, 16, 33]));
                let x = random.values(rows * width, 1.0, dtype);
                let mut order: Vec<i32> = (0..rows as i32).collect();
                for i in (1..rows).rev() {
                    order.swap(i, random.below(i + 1));
                }
                order.truncate(1 + random.below(rows));
                let gathered: Vec<f64> =
                    order.iter().flat_map(|row| x[*row as usize * width..][..width].to_vec()).collect();
                let y = gather_rows(upload(&x, [rows, width], dtype, &device), ints(order.clone(), &device));
                assert_eq!(download(y.clone()), gathered, "{tier} {dtype:?}");
                let mut scattered = vec![0.0; rows * width];
                for (row, values) in order.iter().zip(gathered.chunks(width)) {
                    scattered[*row as usize * width..][..width].copy_from_slice(values);
                }
                assert_eq!(download(scatter_rows(y, ints(order, &device), rows)), scattered, "{tier} {dtype:?}");
            }
        }
    }
}

#[test]
fn packed_weights_multiply_as_their_values_do() {
    let mut random = Random(10);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            for case in 0..SHAPES {
                let (m, n) = (random.pick(&[1, 5, 16, 33, 130]), random.pick(&[4, 8, 24, 64, 7]));
                let packing = [Packing::Int8, Packing::Int4 { group: 32 }, Packing::Int4 { group: 64 }][case % 3];
                let (bits, group) = match packing {
                    Packing::Int8 => (8, usize::MAX),
                    Packing::Int4 { group } => (4, group),
                };
                let k = random.pick(&[4, 8, 32, 72, 96, 160]);
                let group = group.min(k);
                let shares = k.div_ceil(group);
                let levels: Vec<i32> = (0..n * k)
                    .map(|_| random.below(if bits == 8 { 255 } else { 15 }) as i32 - if bits == 8 { 127 } else { 7 })
                    .collect();
                let scales: Vec<f64> = (0..n * shares)
                    .map(|_| round(0.001 + random.below(100) as f64 * 1e-4, burn::tensor::DType::F16))
                    .collect();
                let mut words = vec![0u32; (n * k * bits).div_ceil(32)];
                for (i, level) in levels.iter().enumerate() {
                    let field = if bits == 8 { *level as u32 & 255 } else { (*level + 8) as u32 };
                    words[i * bits / 32] |= field << (i * bits % 32);
                }
                let mut scale_words = vec![0u32; scales.len().div_ceil(2)];
                for (i, scale) in scales.iter().enumerate() {
                    scale_words[i / 2] |= u32::from(half::f16::from_f64(*scale).to_bits()) << (i % 2 * 16);
                }
                let to_ints = |words: Vec<u32>| ints(words.into_iter().map(|w| w as i32).collect(), &device);
                let w: Vec<f64> = (0..n * k)
                    .map(|i| round(f64::from(levels[i]) * scales[i / k * shares + i % k / group], dtype))
                    .collect();
                let b = random.values(n, 1.0, dtype);
                let x = random.values(m * k, 1.0, dtype);
                let mut expected = vec![0.0; m * n];
                for (i, y) in expected.iter_mut().enumerate() {
                    let (x, w) = (&x[i / n * k..][..k], &w[i % n * k..][..k]);
                    *y = b[i % n] + x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>();
                }
                let layer = PackedLinear {
                    words: to_ints(words),
                    scales: to_ints(scale_words),
                    packing,
                    bias: Some(upload(&b, [n], dtype, &device)),
                    inputs: k,
                    outputs: n,
                };
                let y = download(linear_packed(upload(&x, [m, k], dtype, &device), &layer, Activation::None));
                // The body without matrix units does not round the unpacked weights.
                let bound = if dtype == burn::tensor::DType::F16 { 2.0 * bound } else { bound };
                let error = relative_error(&y, &expected);
                assert!(
                    error <= allowed(&expected, dtype, bound),
                    "{tier} {dtype:?} {packing:?} {m}×{n}×{k}: {error:.2e}"
                );
            }
        }
    }
}

#[test]
fn the_self_check_passes_on_every_device() {
    for (tier, device, _) in devices() {
        let lines = pollster::block_on(maquette_kernels::selfcheck(&device));
        let failed: Vec<_> = lines.iter().filter(|line| !line.ok).collect();
        assert!(lines.len() > 20 && failed.is_empty(), "{tier}: {failed:#?}");
    }
}

#[test]
fn kernels_on_random_shapes_equal_their_definitions_as_browsers_check_it() {
    for (tier, device, _) in devices() {
        let lines = pollster::block_on(maquette_kernels::random_shapes(&device, 12));
        let failed: Vec<_> = lines.iter().filter(|line| !line.ok).collect();
        assert!(lines.len() > 10 && failed.is_empty(), "{tier}: {failed:#?}");
    }
}

#[test]
fn means_over_children_equal_f64_for_any_voxel_set() {
    let mut random = Random(32);
    for (tier, device, f16) in devices() {
        for (dtype, bound) in dtypes(f16) {
            for _ in 0..SHAPES {
                let size = [1, 2, 3].map(|_| 1 + random.below(6));
                let grid = Grid { batch: 1 + random.below(2), size };
                let occupied: Vec<bool> = (0..grid.rows()).map(|_| random.below(3) > 0).collect();
                let fine = Voxels::from_occupancy(&occupied, [grid.batch, size[0], size[1], size[2]]).expect("valid");
                let width = random.pick(&[1, 3, 4, 7, 64, 132]);
                let to = fine.coarsened();
                let x = random.values(fine.len() * width, 1.0, dtype);
                let mut sums = vec![vec![0.0; width]; to.coarse.len()];
                let mut members = vec![1.0; to.coarse.len()];
                for (row, &parent) in to.parents().iter().enumerate() {
                    members[parent as usize] += 1.0;
                    let sum = sums[parent as usize].iter_mut();
                    sum.zip(&x[row * width..]).for_each(|(sum, x)| *sum += x);
                }
                let expected: Vec<f64> =
                    sums.iter().zip(&members).flat_map(|(sum, n)| sum.iter().map(move |sum| sum / n)).collect();
                let y = downsample(upload(&x, [fine.len(), width], dtype, &device), to);
                assert_eq!((y.dims(), y.dtype()), ([to.coarse.len(), width], dtype));
                let error = relative_error(&download(y), &expected);
                assert!(error <= allowed(&expected, dtype, bound), "{tier} {dtype:?} {grid:?} {width}: {error:.2e}");
            }
        }
    }
}
