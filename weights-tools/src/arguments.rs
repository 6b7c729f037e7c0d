//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Inspect, verify, repair, convert and pack model weights.
#[derive(Debug, Parser)]
#[command(name = "maquette-weights", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands. Exit status: 0 in order, 1 not in order (verify, diff, repair with open questions), 2 could not run.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List tensors, types and sizes of a checkpoint, or the models of a folder
    Inspect(Inspect),
    /// Check every model of a folder against its manifest
    Verify(Verify),
    /// Rewrite bad references and hub ids of a folder's pipeline.json to local ones
    Repair(Repair),
    /// Convert a checkpoint or a whole folder to another precision
    Convert(Convert),
    /// Cut a folder into shards for the browser
    Pack(Pack),
    /// Turn a browser pack back into a folder
    Unpack(Unpack),
    /// Compare two checkpoints tensor by tensor
    Diff(Diff),
    /// Download a model from the hub into the cache shared with the Python tools
    Fetch(Fetch),
    /// Write checkpoints of the published sizes with seeded random values
    Synthesize(Synthesize),
}

/// `inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// A checkpoint file, or a folder with a pipeline.json
    pub path: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

/// `verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// A folder with a pipeline.json, or SyncHuman's with OneStage and SecondStage
    pub folder: PathBuf,
    /// Other model folders to look in for references to other repositories
    #[arg(long, value_name = "FOLDER")]
    pub sibling: Vec<PathBuf>,
}

/// `repair`
#[derive(Debug, Args)]
pub struct Repair {
    /// The folder to repair
    pub folder: PathBuf,
    /// Show the change and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write without asking
    #[arg(long, short)]
    pub yes: bool,
    /// Choose a checkpoint where several fit, as KEY=REFERENCE
    #[arg(long, value_name = "KEY=REFERENCE")]
    pub choose: Vec<String>,
}

/// `convert`
#[derive(Debug, Args)]
pub struct Convert {
    /// A checkpoint file of any format, or a folder with a pipeline.json
    pub input: PathBuf,
    /// The safetensors file, or the folder, to write
    pub output: PathBuf,
    /// f32, f16, bf16, q8, q4 (groups of 32) or q4g64
    #[arg(long, value_parser = precision)]
    pub dtype: maquette_weights::Precision,
    /// Overwrite what is there
    #[arg(long)]
    pub force: bool,
}

/// `pack`
#[derive(Debug, Args)]
pub struct Pack {
    /// A folder with a pipeline.json
    pub folder: PathBuf,
    /// The pack's folder
    pub output: PathBuf,
    /// f32, f16, bf16, q8, q4 (groups of 32) or q4g64
    #[arg(long, value_parser = precision)]
    pub precision: maquette_weights::Precision,
    /// File with the licence text of the weights; otherwise LICENSE or LICENSE.md of the folder
    #[arg(long, value_name = "FILE")]
    pub license: Option<PathBuf>,
    /// Name of the model; otherwise the folder's name
    #[arg(long)]
    pub name: Option<String>,
    /// Leave out a model, by its key
    #[arg(long, value_name = "KEY")]
    pub without: Vec<String>,
    /// Overwrite what is there
    #[arg(long)]
    pub force: bool,
}

/// `unpack`
#[derive(Debug, Args)]
pub struct Unpack {
    /// A folder with a pack.json
    pub pack: PathBuf,
    /// The folder to write
    pub output: PathBuf,
    /// Overwrite what is there
    #[arg(long)]
    pub force: bool,
}

/// `diff`
#[derive(Debug, Args)]
pub struct Diff {
    /// A checkpoint
    pub a: PathBuf,
    /// The checkpoint to compare with
    pub b: PathBuf,
    /// Relative error up to which a tensor counts as equal
    #[arg(long, default_value_t = 0.0)]
    pub tolerance: f64,
}

/// `fetch`
#[derive(Debug, Args)]
pub struct Fetch {
    /// The repository, as owner/name
    pub model: String,
    /// Branch, tag or commit
    #[arg(long, default_value = "main")]
    pub revision: String,
    /// Only this file of the repository; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub file: Vec<String>,
}

/// `synthesize`
#[derive(Debug, Args)]
pub struct Synthesize {
    /// Names of manifests (`trellis` stands for the whole image model with its encoder) or manifest files, and at the end the
    /// folder to write
    #[arg(required = true, num_args = 2.., value_names = ["MANIFEST", "OUT"])]
    pub manifests_and_output: Vec<PathBuf>,
    /// Seed of the values
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Overwrite what is there
    #[arg(long)]
    pub force: bool,
}

fn precision(name: &str) -> Result<maquette_weights::Precision, String> {
    maquette_weights::Precision::from_name(name).ok_or_else(|| "expected f32, f16, bf16, q8, q4 or q4g64".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
