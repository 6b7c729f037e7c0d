//! Resolves and validates every permutation of `shaders/permutations.txt` and writes the tables that the library hands out.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

#[path = "src/check.rs"]
mod check;
#[allow(dead_code)]
#[path = "src/expression.rs"]
mod expression;
#[path = "src/table.rs"]
mod table;
#[path = "src/template.rs"]
mod template;

fn gather(root: &Path, folder: &Path, files: &mut BTreeMap<String, String>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(root, &path, files)?;
        } else if path.extension().is_some_and(|e| e == "wgsl") {
            let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The text without comments, indentation and empty lines: what the binary carries.
fn compact(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or("").trim());
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// Written as the library's own `Param`.
struct Param<'a> {
    name: &'a str,
    values: &'a [String],
}

impl std::fmt::Debug for Param<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Param {{ name: {:?}, values: &{:?} }}", self.name, self.values)
    }
}

fn tier_name(tier: &str) -> &'static str {
    match tier {
        "base" => "Base",
        "subgroup" => "Subgroup",
        _ => "Matrix",
    }
}

fn main() {
    if let Err(error) = build() {
        // Not returned: `Error`'s debug form would hide the line breaks.
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../shaders");
    println!("cargo::rerun-if-changed={}", root.display());
    println!("cargo::rerun-if-changed=build.rs");
    for file in ["check", "expression", "table", "template"] {
        println!("cargo::rerun-if-changed=src/{file}.rs");
    }
    let mut files = BTreeMap::new();
    gather(&root, &root, &mut files)?;
    let table = table::parse(&fs::read_to_string(root.join("permutations.txt"))?)?;

    let mut out = String::from("pub(crate) static FILES: &[(&str, &str)] = &[\n");
    for (name, text) in &files {
        writeln!(out, "({name:?}, {:?}),", compact(text))?;
    }
    out.push_str("];\npub(crate) static KERNELS: &[Kernel] = &[\n");
    let mut id = 0;
    let mut failures = Vec::new();
    for (index, entry) in table.iter().enumerate() {
        writeln!(
            out,
            "Kernel {{ name: {:?}, source: {:?}, tier: Tier::{}, params: &{:?}, permutations: &[",
            entry.name,
            entry.source,
            tier_name(&entry.tier),
            entry.params.iter().map(|(name, values)| Param { name, values }).collect::<Vec<_>>(),
        )?;
        // Where each product of parameter values stands among the permutations.
        let mut places = vec![u16::MAX; entry.params.iter().map(|param| param.1.len()).product()];
        for (place, combination) in entry.combinations()?.into_iter().enumerate() {
            let product =
                entry.params.iter().zip(&combination.values).try_fold(0, |product, ((_, values), (_, value))| {
                    values.iter().position(|known| known == value).map(|at| product * values.len() + at)
                });
            places[product.ok_or("a combination's values are those of its parameters")?] = u16::try_from(place)?;
            let mut name = entry.name.clone();
            for (param, value) in &combination.values {
                write!(name, " {param}={value}")?;
            }
            let header =
                if combination.needs.iter().any(|n| n == "f16" || n == "matrix") { "enable f16;\n" } else { "" };
            let coop =
                if combination.needs.iter().any(|n| n == "matrix") { "enable wgpu_cooperative_matrix;\n" } else { "" };
            let checked = template::resolve(&entry.source, combination.scope(), &|path| files.get(path).cloned())
                .map_err(|e| e.to_string())
                .and_then(|body| {
                    let mut needs = combination.needs.clone();
                    if !coop.is_empty() {
                        needs.push("f16".into());
                    }
                    check::check(&format!("{header}{coop}{body}"), &needs, &entry.tier)
                });
            let facts = match checked {
                Ok(facts) => facts,
                Err(message) => {
                    failures.push(format!("{name}: {message}"));
                    continue;
                }
            };
            let has = |feature: &str| combination.needs.iter().any(|n| n == feature);
            writeln!(
                out,
                "Permutation {{ id: {id}, kernel: {index}, name: {name:?}, values: &{:?}, needs: Needs {{ f16: {}, subgroups: {}, matrix: {} }}, \
                 workgroup_size: {:?}, workgroup_memory: {}, buffers: &[{}] }},",
                combination.values,
                has("f16") || has("matrix"),
                has("subgroups") || has("matrix"),
                has("matrix"),
                facts.workgroup_size,
                facts.workgroup_memory,
                facts
                    .buffers
                    .iter()
                    .map(|b| format!(
                        "Buffer {{ name: {:?}, written: {}, min_bytes: {} }}",
                        b.name, b.written, b.min_bytes
                    ))
                    .collect::<Vec<_>>()
                    .join(", "),
            )?;
            id += 1;
        }
        writeln!(out, "], places: &{places:?} }},")?;
    }
    out.push_str("];\n");
    if !failures.is_empty() {
        // They tend to fail for the same reason: a few are enough.
        return Err(format!(
            "{} shader permutations are wrong:\n\n{}",
            failures.len(),
            failures[..failures.len().min(3)].join("\n\n")
        )
        .into());
    }
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("kernels.rs"), out)?;
    Ok(())
}
