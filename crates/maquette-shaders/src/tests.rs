use std::process::Command;

use super::*;

fn needs_of(permutation: &Permutation) -> Vec<String> {
    let needs = permutation.needs;
    let all = [("f16", needs.f16), ("subgroups", needs.subgroups), ("matrix", needs.matrix)];
    all.iter().filter(|need| need.1).map(|need| need.0.to_string()).collect()
}

#[test]
fn every_permutation_passes_naga_as_it_is_handed_out() {
    for kernel in kernels() {
        let tier = format!("{:?}", kernel.tier).to_lowercase();
        for permutation in kernel.permutations {
            let wgsl = permutation.wgsl(Dialect::Native).expect(permutation.name);
            let facts = check::check(&wgsl, &needs_of(permutation), &tier).expect(permutation.name);
            assert_eq!(facts.workgroup_size, permutation.workgroup_size, "{}", permutation.name);
            assert_eq!(facts.workgroup_memory, permutation.workgroup_memory, "{}", permutation.name);
            let found = facts.buffers.iter().map(|b| (b.name.as_str(), b.written, b.min_bytes));
            let stated = permutation.buffers.iter().map(|b| (b.name, b.written, b.min_bytes));
            assert!(found.eq(stated), "{}", permutation.name);
        }
    }
}

/// Chromium's compiler is stricter than naga about uniform control flow. It is not part of the toolchain, so this says
/// nothing on a machine without it.
#[test]
fn every_permutation_for_browsers_passes_tint_where_it_is_installed() {
    if Command::new("tint").arg("--help").output().is_err() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    for permutation in kernels().iter().flat_map(|k| k.permutations).filter(|p| !p.needs.matrix) {
        let wgsl = permutation.wgsl(Dialect::Browser).expect(permutation.name);
        let path = folder.path().join("kernel.wgsl");
        std::fs::write(&path, wgsl).expect("write");
        let run = Command::new("tint").args(["--format", "wgsl"]).arg(&path).output();
        let run = run.expect("tint runs");
        assert!(run.status.success(), "{}: {}", permutation.name, String::from_utf8_lossy(&run.stderr));
    }
}

#[test]
fn browsers_are_told_about_subgroups_and_naga_is_not() {
    for permutation in kernels().iter().flat_map(|k| k.permutations) {
        let told = |dialect| permutation.wgsl(dialect).expect(permutation.name).contains("enable subgroups;");
        assert!(!told(Dialect::Native), "{}", permutation.name);
        assert_eq!(told(Dialect::Browser), permutation.needs.subgroups, "{}", permutation.name);
    }
}

#[test]
fn permutations_are_found_by_their_values_and_nothing_else() {
    for kernel in kernels() {
        for permutation in kernel.permutations {
            let found = kernel.permutation(permutation.values).expect(permutation.name);
            assert_eq!(found.id, permutation.id);
        }
        assert!(kernel.permutation(&[("NO_SUCH", "1")]).is_none());
    }
}

#[test]
fn ids_are_unique() {
    let mut ids: Vec<u32> = kernels().iter().flat_map(|k| k.permutations).map(|p| p.id).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}
