//! Puts the small default model into the program, where the checkout has it, and keeps the linker from dropping parts of the program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|e| e.ok().map(|e| e.path())) {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "json" || e == "safetensors") {
            found.push(path);
        }
    }
}

/// The tensor library's operations are listed in sections to which nothing refers. For Windows, GNU's linker drops those, and the first
/// kernel would fail ("Expected type … to implement dyn MaybeVectorizedType").
fn keep_listed_operations() {
    let target = |part: &str| std::env::var(format!("CARGO_CFG_TARGET_{part}")).unwrap_or_default();
    if target("OS") == "windows" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg=-Wl,--no-gc-sections");
    }
}

fn main() {
    keep_listed_operations();
    // Not `env!`: a build folder that clones share keeps this script, compiled where another clone stood.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let root = Path::new(&here).join("../../models/mini");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut found = Vec::new();
    if root.join("pipeline.json").is_file() {
        files(&root, &mut found);
    }
    found.sort();
    let mut code = String::from(
        "/// Files of the model inside the program, by path.\npub static EMBEDDED_FILES: &[(&str, &[u8])] = &[\n",
    );
    for path in &found {
        let name = path.strip_prefix(&root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        let absolute = path.canonicalize().unwrap_or_else(|_| path.clone());
        let _ = writeln!(code, "    ({name:?}, include_bytes!({:?})),", absolute.display().to_string());
    }
    code.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("embedded_model.rs");
    std::fs::write(&out, code).expect("the build folder takes a file");
}
