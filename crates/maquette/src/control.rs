//! Progress out, cancellation in.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use web_time::Instant;

use crate::{Error, Result};

/// A part of the work, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Cutting the subject out of its background.
    Matting,
    /// The image encoder.
    Encode,
    /// Sampling and decoding which voxels are occupied.
    Structure,
    /// Sampling what the voxels look like.
    Latent,
    /// Decoding Gaussians.
    Gaussians,
    /// Decoding and extracting the mesh.
    Mesh,
    /// Reducing, cleaning, closing.
    Surface,
    /// Laying the surface out in a texture.
    Unwrap,
    /// Colouring the texture.
    Bake,
}

impl Stage {
    /// Every stage in the order of the work.
    pub const ALL: [Self; 9] = [
        Self::Matting,
        Self::Encode,
        Self::Structure,
        Self::Latent,
        Self::Gaussians,
        Self::Mesh,
        Self::Surface,
        Self::Unwrap,
        Self::Bake,
    ];

    /// A stable name for machines.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Matting => "matting",
            Self::Encode => "encode",
            Self::Structure => "structure",
            Self::Latent => "latent",
            Self::Gaussians => "gaussians",
            Self::Mesh => "mesh",
            Self::Surface => "surface",
            Self::Unwrap => "unwrap",
            Self::Bake => "bake",
        }
    }

    /// What it does, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Matting => "cutting out the subject",
            Self::Encode => "looking at the picture",
            Self::Structure => "sampling the structure",
            Self::Latent => "sampling the surface",
            Self::Gaussians => "decoding Gaussians",
            Self::Mesh => "decoding the mesh",
            Self::Surface => "cleaning the mesh",
            Self::Unwrap => "unwrapping",
            Self::Bake => "baking the texture",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A stage began; `steps` is how many [`Event::Step`]s will come.
    Started {
        /// The stage.
        stage: Stage,
        /// Steps in all.
        steps: usize,
    },
    /// A step of a stage is done.
    Step {
        /// The stage.
        stage: Stage,
        /// Steps done, from 1.
        step: usize,
        /// Steps in all.
        steps: usize,
    },
    /// A stage is done.
    Finished {
        /// The stage.
        stage: Stage,
        /// How long it took.
        seconds: f64,
        /// Bytes of GPU memory in use at its end; 0 on the CPU tier.
        gpu_bytes: u64,
    },
    /// Something the user should know.
    Note {
        /// A sentence.
        text: String,
    },
}

/// Asks running work to stop. Clones ask for the same.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Work stops at the next step.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether someone asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A short wait between two pieces of work.
pub type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How work talks to its caller. The default is silent, never cancelled and never rests.
#[derive(Clone, Default)]
pub struct Control {
    cancel: CancelToken,
    observer: Option<Arc<dyn Fn(&Event) + Send + Sync>>,
    pause: Option<Arc<dyn Fn() -> Pause + Send + Sync>>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").field("cancel", &self.cancel).finish_non_exhaustive()
    }
}

impl Control {
    /// Reports to `observer` and listens to `cancel`.
    pub fn new(cancel: CancelToken, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self { cancel, observer: Some(Arc::new(observer)), pause: None }
    }

    /// Waits for `pause` between two pieces of work on the processor. Where there is one thread only, that is when messages
    /// such as the wish to stop can arrive.
    #[must_use]
    pub fn with_pauses(self, pause: impl Fn() -> Pause + Send + Sync + 'static) -> Self {
        Self { pause: Some(Arc::new(pause)), ..self }
    }

    /// The token that stops this work.
    #[must_use]
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// # Errors
    /// [`Error::Cancelled`] when asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Lets others have the thread, then looks whether to stop.
    pub(crate) async fn rest(&self) -> Result<()> {
        if let Some(pause) = &self.pause {
            pause().await;
        }
        self.check()
    }

    /// Tells the observer.
    pub fn emit(&self, event: &Event) {
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    /// Tells the user something.
    pub fn note(&self, text: impl Into<String>) {
        self.emit(&Event::Note { text: text.into() });
    }

    /// Begins a stage.
    pub(crate) fn start(&self, stage: Stage, steps: usize) -> Result<Running<'_>> {
        self.check()?;
        self.emit(&Event::Started { stage, steps });
        Ok(Running { control: self, stage, steps, begun: Instant::now() })
    }
}

/// A stage under way.
pub(crate) struct Running<'a> {
    control: &'a Control,
    stage: Stage,
    steps: usize,
    begun: Instant,
}

impl Running<'_> {
    /// Reports that `step` steps are done, then looks whether to stop.
    pub(crate) fn step(&self, step: usize) -> Result<()> {
        self.control.emit(&Event::Step { stage: self.stage, step, steps: self.steps });
        self.control.check()
    }

    /// As [`Running::step`], and lets others have the thread.
    pub(crate) async fn step_and_rest(&self, step: usize) -> Result<()> {
        self.step(step)?;
        self.control.rest().await
    }

    /// Reports the end.
    pub(crate) fn finish(self, gpu_bytes: u64) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.control.emit(&Event::Finished { stage: self.stage, seconds, gpu_bytes });
    }
}
