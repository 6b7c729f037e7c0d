//! The library as its users meet it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use maquette::{
    CancelToken, Control, Cutout, Error, Event, FolderModel, GenerateOptions, Gpu, Matting, PipelineOptions, Sampling,
    TrellisImageTo3d,
};

fn goldens() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/trellis")
}

fn sendable<T: Send>(value: T) -> T {
    value
}

#[test]
fn everything_can_move_to_another_thread_while_it_runs() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<TrellisImageTo3d>();
    shared::<Gpu>();
    shared::<Matting>();
    shared::<Control>();
    shared::<Error>();
    let model = FolderModel::open(goldens().join("model"), Default::default()).unwrap();
    let pipeline = TrellisImageTo3d::new(Arc::new(model), Gpu::cpu(), PipelineOptions::default()).unwrap();
    let picture = std::fs::read(goldens().join("e2e/input.png")).unwrap();
    let cutout = Cutout::with_alpha(&picture, &Default::default()).unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let (seen, cancel) = (events.clone(), CancelToken::default());
    let control = Control::new(cancel.clone(), move |event: &Event| seen.lock().unwrap().push(event.clone()));
    let one = Sampling { steps: Some(1), ..Default::default() };
    let options = GenerateOptions { structure: one, latent: one, ..Default::default() };
    // The future itself is sent: a server's runtime moves it from thread to thread.
    let cutouts = [cutout];
    let outcome = std::thread::scope(|scope| {
        let work = sendable(pipeline.generate(&cutouts, &options, &control));
        scope.spawn(|| pollster::block_on(work).unwrap().gaussians.len()).join()
    });
    assert!(outcome.unwrap() > 0);
    assert!(events.lock().unwrap().iter().any(|event| matches!(event, Event::Finished { .. })));
    cancel.cancel();
    let stopped = pollster::block_on(pipeline.structure(
        &maquette::pipeline::Condition {
            tokens: maquette::pipeline::Array { shape: vec![1, 1, 1], values: vec![0.0] },
        },
        &options,
        &control,
    ));
    assert!(matches!(stopped, Err(Error::Cancelled)));
}
