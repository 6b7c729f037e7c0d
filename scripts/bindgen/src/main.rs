//! `maquette-bindgen <library.wasm> <folder>`: writes the WASM with its JavaScript and TypeScript bindings for browsers.

use std::error::Error;
use std::path::Path;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, folder] = arguments.as_slice() else {
        return Err("usage: maquette-bindgen <library.wasm> <folder>".into());
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(library).web(true)?.typescript(true).omit_default_module_path(false);
    // Names of functions are a third of what a visitor would download.
    bindgen.remove_name_section(true);
    bindgen.generate(Path::new(folder)).map_err(|error| format!("{library}: {error:#}").into())
}
