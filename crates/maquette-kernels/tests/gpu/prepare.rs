use std::path::{Path, PathBuf};
use std::thread;

use burn::tensor::DType;
use maquette_gpu::{AdapterChoice, Gpu, OpenOptions};
use maquette_kernels::prepare::{Preparation, keep, launched_kernels};
use maquette_kernels::{layer_norm, softmax};

use crate::support::*;

fn open(folder: &Path) -> Option<Gpu> {
    let options = OpenOptions { pipelines: Some(folder.to_owned()), ..OpenOptions::default() };
    pollster::block_on(Gpu::open(&AdapterChoice::default(), options)).ok()
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("maquette-prepare-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

/// Launches two kernels and says whether what they compute is right.
fn computes(gpu: &Gpu) -> bool {
    let x = upload(&[1.0, 2.0, 3.0, 4.0], [1, 4], DType::F32, gpu.device());
    let norm = download(layer_norm(x.clone(), None, 0.0));
    let rows = download(softmax(x));
    let (root, sum) = (1.25f64.sqrt(), (1..=4).map(|i| f64::from(i).exp()).sum::<f64>());
    relative_error(&norm, &[-1.5 / root, -0.5 / root, 0.5 / root, 1.5 / root]) < 2e-6
        && relative_error(&rows, &[1.0, 2.0, 3.0, 4.0].map(|v: f64| v.exp() / sum)) < 2e-6
        && gpu.check() == Ok(())
}

#[test]
fn what_ran_is_known_by_name_and_kept_with_what_ran_before() {
    let folder = folder("ran");
    let Some(gpu) = open(&folder) else { return };
    let before = "linear_simt T=f32";
    let earlier = maquette_shaders::kernels().iter().flat_map(|k| k.permutations).find(|p| p.name.starts_with(before));
    let earlier = earlier.expect("the table has linear layers").name;
    gpu.keep_pipelines(&[earlier, "a kernel that this build does not have"]).expect("the folder can be made");
    assert!(computes(&gpu));
    let ran = launched_kernels();
    let place = |kernel: &str| ran.iter().position(|name| name.starts_with(kernel));
    assert!(place("layer_norm").is_some() && place("softmax").is_some(), "{ran:?}");
    keep(&gpu).expect("the folder is there");
    if gpu.capabilities().backend == "vulkan" {
        let kept = gpu.kept_kernels();
        assert_eq!(kept[..ran.len()], ran);
        assert!(kept.iter().any(|name| name == earlier));
        assert!(!kept.iter().any(|name| name.starts_with("a kernel")));
        std::fs::remove_dir_all(&folder).expect("it was there");
    }
}

#[test]
fn what_was_kept_is_compiled_by_several_threads_and_then_runs() {
    let folder = folder("threads");
    let Some(gpu) = open(&folder) else { return };
    assert!(Preparation::new(&Gpu::cpu()).is_none());
    if gpu.capabilities().backend != "vulkan" {
        return;
    }
    let all = maquette_shaders::kernels().iter().flat_map(|kernel| kernel.permutations);
    let names: Vec<_> =
        all.map(|p| p.name).filter(|n| n.starts_with("layer_norm") || n.starts_with("softmax")).collect();
    gpu.keep_pipelines(&[&names[..], &["a kernel that this build does not have"]].concat()).expect("it can be made");
    let gpu = open(&folder).expect("it opened before");
    let preparation = Preparation::new(&gpu).expect("names were kept");
    let known: Vec<_> = preparation.names().collect();
    assert!(known.len() > 4 && known.iter().all(|name| names.contains(name)), "{known:?}");
    if !gpu.capabilities().f16 {
        assert!(!known.iter().any(|name| name.contains("f16")), "{known:?}");
    }
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| preparation.work());
        }
    });
    assert_eq!(gpu.check(), Ok(()));
    assert!(computes(&gpu));
    preparation.stop();
    preparation.work();
    std::fs::remove_dir_all(&folder).expect("it was there");
}
