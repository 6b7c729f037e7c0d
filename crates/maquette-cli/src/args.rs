//! The command line. Names follow the originals' vocabulary; what those and hosted services call an option is an alias.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default());

/// Pictures to textured 3D models, on any GPU or none.
#[derive(Debug, Parser)]
#[command(
    name = "maquette",
    version,
    styles = STYLES,
    max_term_width = 80,
    args_override_self = true,
    after_help = "Exit status 0 means that it worked; docs/errors.md lists all others.\nEnvironment: MAQUETTE_MODELS (folders of models), NO_COLOR; for `models fetch` also\nHF_ENDPOINT, HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_HUB_OFFLINE."
)]
pub struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a 3D model of a picture
    Generate(Box<Generate>),
    /// Say what this machine offers, what will run and what is missing
    Doctor(Doctor),
    /// Check that this GPU and driver compute the reference's numbers
    Verify(Verify),
    /// Time the stages, or each kernel, on this machine
    Bench(Bench),
    /// Draw four views (.png) or a turntable (.webp) of a .glb or .ply
    Preview(Preview),
    /// Say what a .glb holds and whether it is sound
    Info(Info),
    /// List models: what is installed, where, how large, under which licence
    Models(Models),
    /// Print the table of errors and exit statuses
    Errors(Errors),
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page (roff)
    Man,
}

/// Where work runs.
#[derive(Clone, Debug, Args)]
pub struct DeviceArgs {
    /// Kind of kernels: auto, cpu, web, base, subgroup or matrix
    #[arg(long, default_value = "auto", value_name = "TIER", help_heading = "Device")]
    pub tier: String,
    /// Graphics adapter, by number or part of its name (see `doctor`)
    #[arg(long, value_name = "ADAPTER", help_heading = "Device")]
    pub adapter: Option<String>,
    /// Most GPU memory to use, such as 6GB
    #[arg(long, value_name = "SIZE", help_heading = "Device", alias = "vram_budget")]
    pub vram_budget: Option<String>,
}

/// Which model runs, and how.
#[derive(Clone, Debug, Args)]
pub struct ModelArgs {
    /// Model name or folder; default: the best one installed
    #[arg(long, value_name = "NAME|FOLDER", help_heading = "Model")]
    pub model: Option<String>,
    /// Numbers in the networks' torsos
    #[arg(long, value_enum, default_value_t = PrecisionArg::Auto, help_heading = "Model")]
    pub precision: PrecisionArg,
}

/// Element type of the networks' torsos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// f16 where the adapter has it, else f32
    Auto,
    /// The definition
    F32,
    /// Half the memory
    F16,
    /// Weights of linear layers in 8 bits: a quarter of f32's memory
    Q8,
}

/// What `verify` computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DtypeArg {
    /// The definition
    F32,
    /// Half the memory
    F16,
}

/// How several pictures of one object are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MultiArg {
    /// One picture a step, in turn
    Stochastic,
    /// The mean of all pictures at every step
    Multidiffusion,
}

/// How texture coordinates are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UnwrapArg {
    /// Charts with little distortion
    Charts,
    /// Box projection: fast, for previews
    Boxes,
}

/// What a preview shows of a mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShowArg {
    /// Its colours, a little shaded
    Texture,
    /// The directions of its faces as colours
    Normals,
}

/// How a texture gets its colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BakeArg {
    /// `solve` on graphics cards, `fast` elsewhere
    Auto,
    /// The texture that fits the pictures best, by the device
    Solve,
    /// Back-projection on the processor
    Fast,
}

/// How a GLB stores its texture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TextureFormatArg {
    /// Lossless
    Png,
    /// Small and lossy
    Jpeg,
    /// Lossless and smaller; not every viewer reads it
    Webp,
}

/// `generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// Pictures of one object (with --each: of one object each, or folders)
    #[arg(value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// Result: .glb, .ply (Gaussians), .mesh.ply, .obj, .stl; with --each a folder
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write this file as well; may be repeated
    #[arg(long, value_name = "FILE")]
    pub also: Vec<PathBuf>,
    /// Overwrite files that exist
    #[arg(long)]
    pub overwrite: bool,
    /// Make one object of each picture
    #[arg(long)]
    pub each: bool,
    /// Draw the result: four views (.png) or a turntable (.webp)
    #[arg(long, value_name = "FILE")]
    pub preview: Option<PathBuf>,

    /// Seed of the noise
    #[arg(long, default_value_t = 42, help_heading = "Sampling")]
    pub seed: u64,
    /// Make this many objects with consecutive seeds
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Sampling")]
    pub variants: u32,
    /// How several pictures are combined
    #[arg(long, value_enum, default_value_t = MultiArg::Stochastic, help_heading = "Sampling")]
    pub multi: MultiArg,
    /// Steps of both samplers; default: the model's
    #[arg(long, value_name = "N", alias = "num-inference-steps", value_parser = clap::value_parser!(u32).range(1..=10000), help_heading = "Sampling")]
    pub steps: Option<u32>,
    /// Steps of the structure sampler
    #[arg(long, value_name = "N", alias = "ss_sampling_steps", alias = "structure-steps", value_parser = clap::value_parser!(u32).range(1..=10000), help_heading = "Sampling")]
    pub ss_sampling_steps: Option<u32>,
    /// Steps of the latent sampler
    #[arg(long, value_name = "N", alias = "slat_sampling_steps", alias = "latent-steps", alias = "shape_slat_sampling_steps", value_parser = clap::value_parser!(u32).range(1..=10000), help_heading = "Sampling")]
    pub slat_sampling_steps: Option<u32>,
    /// Guidance of both samplers; 0 turns it off
    #[arg(long, value_name = "W", alias = "guidance-scale", help_heading = "Sampling")]
    pub guidance: Option<f64>,
    /// Guidance of the structure sampler
    #[arg(long, value_name = "W", alias = "ss_guidance_strength", help_heading = "Sampling")]
    pub ss_guidance_strength: Option<f64>,
    /// Guidance of the latent sampler
    #[arg(
        long,
        value_name = "W",
        alias = "slat_guidance_strength",
        alias = "shape_slat_guidance_strength",
        help_heading = "Sampling"
    )]
    pub slat_guidance_strength: Option<f64>,
    /// Times at which guidance acts
    #[arg(long, value_name = "LOW,HIGH", alias = "cfg_interval", help_heading = "Sampling")]
    pub interval: Option<String>,
    /// Time shift of both samplers
    #[arg(long, value_name = "R", alias = "rescale_t", help_heading = "Sampling")]
    pub rescale_t: Option<f64>,
    /// Noise from a file (`ss_noise`, `slat_noise`) in place of a seed
    #[arg(long, value_name = "FILE", help_heading = "Sampling", conflicts_with = "variants")]
    pub noise: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,

    /// Mask picture: white is the subject
    #[arg(long, value_name = "FILE", help_heading = "Picture", conflicts_with = "keep_background")]
    pub mask: Option<PathBuf>,
    /// Take the picture as it is, background and all
    #[arg(long, help_heading = "Picture")]
    pub keep_background: bool,
    /// Save the subject as it was cut out
    #[arg(long, value_name = "FILE", help_heading = "Picture")]
    pub save_cutout: Option<PathBuf>,
    /// Weights of U²-Net or U²-Netp; default: u2net.* beside the models, else
    /// the U²-Netp inside the program
    #[arg(long, value_name = "FILE", help_heading = "Picture")]
    pub matting: Option<PathBuf>,
    /// Go on although the cut-out looks wrong
    #[arg(long, help_heading = "Picture")]
    pub force: bool,
    /// Use what is there of a picture file that is cut off
    #[arg(long, help_heading = "Picture")]
    pub accept_truncated: bool,
    /// Most pixels a picture may have
    #[arg(long, value_name = "N", default_value_t = 120_000_000, help_heading = "Picture")]
    pub max_pixels: u64,

    /// Faces of the result; 0 keeps all
    #[arg(long, value_name = "N", default_value_t = 20_000, alias = "target-faces", help_heading = "Surface")]
    pub faces: usize,
    /// Share of faces to remove, as the original counts, in place of --faces
    #[arg(long, value_name = "SHARE", alias = "mesh_simplify", conflicts_with = "faces", help_heading = "Surface")]
    pub simplify: Option<f64>,
    /// Texture side, a power of two; 0 keeps colours on the vertices
    #[arg(long, value_name = "N", default_value_t = 1024, alias = "texture_size", help_heading = "Surface")]
    pub texture_size: u32,
    /// How texture coordinates are made
    #[arg(long, value_enum, default_value_t = UnwrapArg::Charts, help_heading = "Surface")]
    pub unwrap: UnwrapArg,
    /// How the texture is coloured
    #[arg(long, value_enum, default_value_t = BakeArg::Auto, help_heading = "Surface")]
    pub bake: BakeArg,
    /// Leave holes open
    #[arg(long, help_heading = "Surface")]
    pub keep_holes: bool,
    /// Leave faces that no view sees
    #[arg(long, help_heading = "Surface")]
    pub keep_hidden: bool,
    /// Texture encoding in a GLB
    #[arg(long, value_enum, default_value_t = TextureFormatArg::Png, help_heading = "Surface")]
    pub texture_format: TextureFormatArg,
    /// Store GLB vertices in 8 and 16 bits
    #[arg(long, help_heading = "Surface")]
    pub quantize: bool,
    /// Compress GLB geometry (meshopt)
    #[arg(long, help_heading = "Surface")]
    pub meshopt: bool,
    /// The original's material, which viewers show as metallic
    #[arg(long, help_heading = "Surface")]
    pub reference_material: bool,

    #[command(flatten)]
    pub device: DeviceArgs,

    /// Save what each stage made
    #[arg(long, value_name = "DIR", help_heading = "Stages")]
    pub dump: Option<PathBuf>,
    /// Take stages from here that are there, compute the others
    #[arg(long, value_name = "DIR", help_heading = "Stages")]
    pub resume: Option<PathBuf>,

    /// Say nothing but errors
    #[arg(short, long, help_heading = "Output")]
    pub quiet: bool,
    /// Events as JSON lines on standard output
    #[arg(long, help_heading = "Output")]
    pub json: bool,

    /// Lose the device when this stage begins, to see what happens
    #[arg(long, value_name = "STAGE", hide = true)]
    pub simulate_device_loss: Option<String>,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Folder of reference numbers; default: the small built-in set
    #[arg(long, value_name = "DIR")]
    pub goldens: Option<PathBuf>,
    /// Numbers in the networks' torsos
    #[arg(long, value_enum, default_value_t = DtypeArg::F32, alias = "precision")]
    pub dtype: DtypeArg,
    /// f32: what a single module's relative error may be; default 1e-5. Networks of the published sizes need 1e-4
    #[arg(long, value_name = "ERROR")]
    pub bound: Option<f64>,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `bench kernels`.
#[derive(Debug, Args)]
pub struct BenchKernels {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Numbers in activations and weights; default: f16 where the adapter has it
    #[arg(long, value_enum)]
    pub precision: Option<DtypeArg>,
    /// Only kernels whose line contains this; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Problems of a sixteenth of the size, as software adapters get
    #[arg(long)]
    pub small: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `bench networks`.
#[derive(Debug, Args)]
pub struct BenchNetworks {
    /// Model name or folder; default: networks of the published sizes with random weights
    #[arg(long, value_name = "NAME|FOLDER")]
    pub model: Option<String>,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Numbers in the networks
    #[arg(long, value_enum, default_value_t = PrecisionArg::Auto)]
    pub precision: PrecisionArg,
    /// Tokens of the sparse transformer block
    #[arg(long, default_value_t = 5000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=262_144))]
    pub tokens: u32,
    /// Voxels of the latent flow and the decoders
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=262_144))]
    pub voxels: u32,
    /// Only lines whose label contains this; may be repeated
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// What `bench` measures.
#[derive(Debug, Subcommand)]
pub enum BenchAction {
    /// Time and check each kernel, beside what the device reaches at most
    Kernels(BenchKernels),
    /// Time each network and its parts without loading: the device, the host's enqueueing, and both together
    Networks(BenchNetworks),
}

/// `bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Bench {
    /// What to time; without: the stages
    #[command(subcommand)]
    pub action: Option<BenchAction>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Picture with a transparent background; default: a drawn one
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<PathBuf>,
    /// Repetitions; the fastest counts. From eleven on, memory after the tenth and the last is shown
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Only the networks' stages, without surface, unwrapping and texture
    #[arg(long)]
    pub networks_only: bool,
    /// Steps of both samplers
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub steps: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `preview`.
#[derive(Debug, Args)]
pub struct Preview {
    /// A .glb, a .ply of Gaussians, or the gaussians.safetensors of a dump
    pub file: PathBuf,
    /// .png for four views, .webp for a turntable; default: FILE with .png
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Side of one view in pixels
    #[arg(long, default_value_t = 512, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=2048))]
    pub size: u32,
    /// What to show of a mesh
    #[arg(long, value_enum, default_value_t = ShowArg::Texture)]
    pub show: ShowArg,
    /// Frames of a turntable
    #[arg(long, default_value_t = 36, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=240))]
    pub frames: u32,
    /// Overwrite a file that exists
    #[arg(long)]
    pub overwrite: bool,
}

/// `info`.
#[derive(Debug, Args)]
pub struct Info {
    /// The .glb
    pub file: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// `models`.
#[derive(Debug, Args)]
pub struct Models {
    /// What to do; without: list
    #[command(subcommand)]
    pub action: Option<ModelsAction>,
    /// As JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// `models …`.
#[derive(Debug, Subcommand)]
pub enum ModelsAction {
    /// Download a model into the cache shared with the Python tools
    Fetch {
        /// The model's name, or OWNER/REPOSITORY of a model on the hub
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// `errors`.
#[derive(Debug, Args)]
pub struct Errors {
    /// As the page docs/errors.md
    #[arg(long)]
    pub markdown: bool,
}
