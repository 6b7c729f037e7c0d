//! Compiled pipelines from one device to the next. Runs where a Vulkan adapter is there; elsewhere nothing is kept, which is right, too.

use std::path::{Path, PathBuf};
use std::{fs, thread};

use burn::tensor::Tensor;
use maquette_gpu::{AdapterChoice, Gpu, GpuError, OpenOptions};

const DOUBLE: &str = "
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) { x[id.x] = x[id.x] * 2.0; }
";

fn open(folder: &Path) -> Option<Gpu> {
    let options = OpenOptions { pipelines: Some(folder.to_owned()), ..OpenOptions::default() };
    match pollster::block_on(Gpu::open(&AdapterChoice::default(), options)) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::NoAdapter { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("maquette-pipelines-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

fn computes(gpu: &Gpu) -> bool {
    let a = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0]], gpu.device());
    let b = Tensor::<2>::from_floats([[5.0, 6.0], [7.0, 8.0]], gpu.device());
    let product = a.matmul(b).into_data().try_to_vec::<f32>().expect("the product is f32");
    product == [19.0, 22.0, 43.0, 50.0] && gpu.check() == Ok(())
}

#[test]
fn what_one_device_compiled_the_next_one_has() {
    let folder = folder("next");
    let Some(gpu) = open(&folder) else { return };
    assert_eq!(gpu.kept_kernels(), Vec::<String>::new());
    assert!(computes(&gpu));
    // From several threads at once, and a text that is no WGSL among them: it is not this call that reports it.
    thread::scope(|scope| {
        for text in [DOUBLE, "no WGSL at all", DOUBLE] {
            let gpu = &gpu;
            scope.spawn(move || gpu.compile(text.to_owned()));
        }
    });
    assert_eq!(gpu.check(), Ok(()));
    assert_eq!(files(&folder), Vec::<PathBuf>::new(), "nothing is written before it is asked for");
    gpu.keep_pipelines(&["double", "matmul"]).expect("the folder can be made");
    if gpu.capabilities().backend != "vulkan" {
        assert_eq!(files(&folder), Vec::<PathBuf>::new());
        return;
    }
    let [file] = &files(&folder)[..] else { panic!("one file: {:?}", files(&folder)) };
    let first = fs::read(file).expect("it was written");
    assert_eq!(gpu.kept_kernels(), ["double", "matmul"]);

    let again = open(&folder).expect("it opened before");
    assert_eq!(again.kept_kernels(), ["double", "matmul"]);
    assert!(computes(&again));
    // A device that is gone can still be asked, and loses nothing that was kept.
    again.destroy_device();
    again.keep_pipelines(&["double", "matmul"]).expect("the folder is there");
    let [file] = &files(&folder)[..] else { panic!("one file: {:?}", files(&folder)) };
    assert!(fs::read(file).expect("it is there").len() >= first.len().min(20));

    // Damaged, it is as if there were none.
    let mut damaged = first.clone();
    damaged[30] ^= 1;
    fs::write(file, &damaged).expect("it can be written");
    let third = open(&folder).expect("it opened before");
    assert_eq!(third.kept_kernels(), Vec::<String>::new());
    assert!(computes(&third));
    fs::remove_dir_all(&folder).expect("it was there");
}

#[test]
fn a_folder_that_cannot_be_made_is_told_and_harms_nothing() {
    let file = folder("in-the-way");
    fs::write(&file, b"a file").expect("the system's folder for passing files can be written");
    let Some(gpu) = open(&file) else { return };
    assert!(computes(&gpu));
    if gpu.capabilities().backend == "vulkan" {
        let error = gpu.keep_pipelines(&[]).expect_err("a file is in the way");
        assert!(matches!(&error, GpuError::KeepPipelines { path, .. } if path.contains("in-the-way")), "{error}");
    }
    assert_eq!(fs::read(&file).expect("untouched"), b"a file");
    fs::remove_file(&file).expect("it was there");
}

#[test]
fn the_processor_keeps_nothing() {
    let gpu = Gpu::cpu();
    gpu.compile(DOUBLE.to_owned());
    assert_eq!(gpu.keep_pipelines(&["double"]), Ok(()));
    assert_eq!(gpu.kept_kernels(), Vec::<String>::new());
}
