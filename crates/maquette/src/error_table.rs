//! Codes, exit statuses, causes and help of all errors: one table, from which the reports and `docs/errors.md` are made.

use std::fmt::Write as _;
use std::io::ErrorKind;

use maquette_gpu::GpuError;
use maquette_image::ImageError;
use maquette_mesh::MeshError;
use maquette_models::Error as NetworkError;
use maquette_weights::Error as WeightsError;

use crate::Error;

/// A kind of error, as users meet it.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorClass {
    /// Stable name.
    pub code: &'static str,
    /// Exit status of the program. Each kind has its own.
    pub exit: u8,
    /// What happened.
    pub cause: &'static str,
    /// What to do.
    pub help: &'static str,
}

macro_rules! classes {
    ($($name:ident = $exit:literal $code:literal, $cause:literal, $help:literal;)*) => {
        $(const $name: ErrorClass = ErrorClass { code: $code, exit: $exit, cause: $cause, help: $help };)*
        /// Every kind of error, by exit status.
        pub const ERROR_CLASSES: &[ErrorClass] = &[$($name),*];
    };
}

classes! {
    INPUT_MISSING = 10 "maquette::input::missing", "A file that was named does not exist.", "Check the path; quote it if it has spaces.";
    INPUT_FOLDER = 11 "maquette::input::folder", "A picture was expected and a folder came.", "Name a file, or add `--each` to make one object of every picture in the folder.";
    INPUT_UNREADABLE = 12 "maquette::input::unreadable", "The system does not let this program read the file.", "Check its permissions (`ls -l`) or copy it somewhere readable.";
    INPUT_EMPTY = 13 "maquette::input::empty", "The file has 0 bytes.", "Export or download it again.";
    NOT_AN_IMAGE = 14 "maquette::picture::format", "The content is no picture in a known format; the name's ending does not matter.", "Use PNG, JPEG, WebP, TIFF, BMP or GIF.";
    PICTURE_DAMAGED = 15 "maquette::picture::damaged", "The picture's content contradicts itself or uses a rare variant.", "Open it in an image program and save it again as PNG or JPEG.";
    PICTURE_TRUNCATED = 16 "maquette::picture::truncated", "The file stops before its end.", "Copy it again, or use what is there with `--accept-truncated`.";
    PICTURE_TOO_LARGE = 17 "maquette::picture::too_large", "The picture has more pixels than allowed; it was not decoded.", "Scale it down (1024 pixels are enough) or raise `--max-pixels`.";
    NO_SUBJECT = 18 "maquette::picture::no_subject", "There is nothing in the picture to reconstruct.", "Look at the cut-out (`--save-cutout FILE`); give a mask (`--mask FILE`) or keep the background (`--keep-background`).";
    MASK_REFUSED = 19 "maquette::picture::mask", "The cut-out would probably give a poor object.", "Do what the message says, or go on with `--force`.";
    OUTPUT_FOLDER = 20 "maquette::output::folder", "The folder to write into does not exist.", "Create it (`mkdir -p`) or choose another with `-o`.";
    OUTPUT_EXISTS = 21 "maquette::output::exists", "A file of that name exists and is not overwritten unasked.", "Choose another name with `-o`, or add `--overwrite`.";
    DISK_FULL = 22 "maquette::output::full", "The disk, a quota or the system's limit for a file has no room for the result. Nothing partial was left behind.", "Free space or write elsewhere; with `--dump DIR` on another disk the computed stages are kept for `--resume DIR`.";
    OUTPUT_REFUSED = 23 "maquette::output::refused", "The system does not let this program write there.", "Check the permissions of the folder or choose another with `-o`.";
    OUTPUT_FORMAT = 24 "maquette::output::format", "The file's ending names no format that can be written.", "Use .glb, .ply (Gaussians), .mesh.ply, .obj or .stl.";
    USAGE = 2 "maquette::usage", "An option has a value it cannot take, or is missing.", "See `maquette help COMMAND`.";
    MODEL_NOT_FOUND = 30 "maquette::model::not_found", "No model of that name is installed, and no folder has that path.", "`maquette models` lists what is there and says how to get more.";
    MODEL_INCOMPLETE = 31 "maquette::model::incomplete", "The model folder lacks a file or a tensor.", "Fetch the model again; the message names what is missing.";
    MODEL_DAMAGED = 32 "maquette::model::damaged", "A model file is not valid, or its weights do not belong to its description.", "Fetch the file again; `maquette models` shows sizes to compare.";
    MODEL_UNSUPPORTED = 33 "maquette::model::unsupported", "The model is of a kind that this program does not run.", "Choose another model with `--model`.";
    FETCH_FAILED = 34 "maquette::model::fetch", "The hub, or the way to it, refused a download.", "Check the network, `HF_ENDPOINT` and `HF_TOKEN`, and fetch again: what arrived is kept and taken up.";
    NO_ADAPTER = 40 "maquette::gpu::no_adapter", "No graphics adapter answers the choice.", "`maquette doctor` lists the adapters; `--tier cpu` works without any.";
    GPU_LOST = 41 "maquette::gpu::lost", "The graphics device went away (driver reset, sleep, unplugged).", "Start again; with `--dump DIR` before and `--resume DIR` after, finished stages are not repeated.";
    GPU_MEMORY = 42 "maquette::gpu::memory", "The GPU or its budget has too little memory.", "Close other programs, lower `--precision` to f16 or q8, raise `--vram-budget`, or run with `--tier cpu`.";
    GPU_REFUSED = 43 "maquette::gpu::refused", "The adapter refused a device, a tier or a command.", "Update the driver; try `--tier base` or `--tier cpu`; report it with `maquette doctor`'s output.";
    NOTHING_GENERATED = 50 "maquette::result::empty", "The network produced no object.", "Try another `--seed`, or a picture in which the object is clearer.";
    MESH_FAILED = 51 "maquette::result::mesh", "Processing the mesh failed.", "Try other `--faces` or `--texture-size`, or `--texture-size 0` for vertex colours.";
    STAGE_FILE = 60 "maquette::resume::stage", "A saved stage is missing something, or belongs to another run.", "Give the folder that `--dump` wrote, or run without `--resume`.";
    SYSTEM = 70 "maquette::system", "The operating system refused something else.", "The message holds the system's own words.";
    VERIFY_FAILED = 71 "maquette::verify", "The numbers computed here differ from the reference.", "Update the driver, or use `--tier base` or `--tier cpu`; report it with `maquette doctor`'s output.";
    CANCELLED = 130 "maquette::cancelled", "The run was stopped (Ctrl-C).", "No partial result was left behind; start again when you like. A download is taken up where it stopped.";
}

impl Error {
    /// The kind of this error.
    #[must_use]
    pub fn class(&self) -> &'static ErrorClass {
        match self {
            Self::Image(e) => image(e),
            Self::Weights(e) => weights(e),
            Self::Network(e) => network(e),
            Self::Mesh(MeshError::Cancelled { .. }) | Self::Cancelled => &CANCELLED,
            Self::Mesh(_) => &MESH_FAILED,
            Self::Gpu(e) => gpu(e),
            Self::Mask { .. } => &MASK_REFUSED,
            Self::NoMatting => &NO_SUBJECT,
            Self::ModelNotFound { .. } => &MODEL_NOT_FOUND,
            Self::WrongPipeline { .. } => &MODEL_UNSUPPORTED,
            Self::EncoderMissing { .. } => &MODEL_INCOMPLETE,
            Self::Option { option: "output format", .. } => &OUTPUT_FORMAT,
            Self::Option { .. } => &USAGE,
            Self::StageFile { .. } => &STAGE_FILE,
            Self::NumbersDiffer { .. } => &VERIFY_FAILED,
            Self::NoSurface => &NOTHING_GENERATED,
            Self::OutputExists { .. } => &OUTPUT_EXISTS,
            Self::OutputFolderMissing { .. } => &OUTPUT_FOLDER,
            Self::Io { action, source, .. } => io(action, source),
        }
    }
}

fn image(error: &ImageError) -> &'static ErrorClass {
    match error {
        ImageError::Empty => &INPUT_EMPTY,
        ImageError::NotAnImage { .. } | ImageError::UnsupportedFormat { .. } => &NOT_AN_IMAGE,
        ImageError::Truncated { .. } => &PICTURE_TRUNCATED,
        ImageError::TooManyPixels { .. } | ImageError::TooManyBytes { .. } => &PICTURE_TOO_LARGE,
        ImageError::NoObject { .. } | ImageError::ObjectTooSmall { .. } => &NO_SUBJECT,
        ImageError::OutOfMemory { .. } => &SYSTEM,
        _ => &PICTURE_DAMAGED,
    }
}

fn weights(error: &WeightsError) -> &'static ErrorClass {
    match error {
        WeightsError::NotAModelFolder { .. } | WeightsError::Unresolved { .. } | WeightsError::MissingTensor { .. } => {
            &MODEL_INCOMPLETE
        }
        WeightsError::Hub { .. } | WeightsError::Offline { .. } => &FETCH_FAILED,
        WeightsError::Unsupported { .. } => &MODEL_UNSUPPORTED,
        WeightsError::Io { source, .. } if source.kind() == ErrorKind::NotFound => &MODEL_INCOMPLETE,
        WeightsError::Io { source, .. } => io("read", source),
        _ => &MODEL_DAMAGED,
    }
}

fn network(error: &NetworkError) -> &'static ErrorClass {
    match error {
        NetworkError::Weights(e) => weights(e),
        NetworkError::EmptyStructure => &NOTHING_GENERATED,
        NetworkError::Sampler { .. } => &USAGE,
        NetworkError::Cancelled { .. } => &CANCELLED,
        NetworkError::ReadBack(_) => &GPU_REFUSED,
        NetworkError::Config { .. } => &MODEL_UNSUPPORTED,
        _ => &MODEL_DAMAGED,
    }
}

fn gpu(error: &GpuError) -> &'static ErrorClass {
    match error {
        GpuError::NoAdapter { .. } => &NO_ADAPTER,
        GpuError::Lost { .. } => &GPU_LOST,
        GpuError::OutOfMemory { .. } | GpuError::OverBudget { .. } | GpuError::BudgetExceeded { .. } => &GPU_MEMORY,
        GpuError::UnknownTier { .. } => &USAGE,
        _ => &GPU_REFUSED,
    }
}

fn io(action: &str, source: &std::io::Error) -> &'static ErrorClass {
    let reading = action == "read";
    match source.kind() {
        ErrorKind::NotFound if reading => &INPUT_MISSING,
        ErrorKind::IsADirectory if reading => &INPUT_FOLDER,
        ErrorKind::PermissionDenied if reading => &INPUT_UNREADABLE,
        ErrorKind::NotFound => &OUTPUT_FOLDER,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge | ErrorKind::WriteZero => {
            &DISK_FULL
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => &OUTPUT_REFUSED,
        _ => &SYSTEM,
    }
}

/// `docs/errors.md`.
#[must_use]
pub fn error_table_markdown() -> String {
    let mut out = String::from(
        "# Errors and exit statuses\n\nMade from the code (`maquette errors --markdown`); a test keeps it current. A run that \
         worked ends with status 0, an internal fault with 1.\n\n| status | code | what happened | what to do |\n| --- | --- | --- | --- |\n",
    );
    let mut rows: Vec<_> = ERROR_CLASSES.iter().collect();
    rows.sort_by_key(|c| c.exit);
    for c in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} | `{}` | {} | {} |", c.exit, c.code, c.cause, c.help.replace('|', "\\|"));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_its_own_code_and_exit_status() {
        let codes: BTreeSet<_> = ERROR_CLASSES.iter().map(|c| c.code).collect();
        let exits: BTreeSet<_> = ERROR_CLASSES.iter().map(|c| c.exit).collect();
        assert_eq!((codes.len(), exits.len()), (ERROR_CLASSES.len(), ERROR_CLASSES.len()));
        assert!(!exits.contains(&0) && !exits.contains(&1));
    }

    #[test]
    fn the_table_in_the_docs_is_the_one_in_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors.md");
        let stored = std::fs::read_to_string(path).unwrap();
        assert_eq!(stored, error_table_markdown(), "write `maquette errors --markdown` to docs/errors.md");
    }

    #[test]
    fn a_full_disk_and_a_missing_folder_are_told_apart() {
        let full = Error::io("write", "a", std::io::Error::from(ErrorKind::StorageFull));
        let missing = Error::io("write", "a", std::io::Error::from(ErrorKind::NotFound));
        assert_eq!((full.class().exit, missing.class().exit), (22, 20));
    }
}
