//! Where in a checkpoint's dictionaries the weights are.

use std::collections::HashSet;

use super::arena::{Arena, Node, TensorRef, Value};
use crate::{Error, Format, Result};

/// Keys under which training code keeps its weights, the most wanted first.
const NESTS: [&str; 8] =
    ["state_dict", "model_state_dict", "params_ema", "model", "module", "params", "net", "network"];

/// Prefixes that wrappers put before every key.
const WRAPPERS: [&str; 2] = ["module.", "_orig_mod."];

/// Levels of nesting that are looked through.
const MAX_NESTING: usize = 4;

/// The tensors of the state dictionary in `root`, wrapper prefixes removed.
pub(super) fn find(origin: &str, arena: &Arena, root: Value) -> Result<Vec<(String, TensorRef)>> {
    let mut at = root;
    for _ in 0..=MAX_NESTING {
        let Some(entries) = arena.dict(at) else { break };
        let tensors = tensors(arena, entries);
        if !tensors.is_empty() {
            return finish(origin, tensors);
        }
        let dicts: Vec<(&str, Value)> = entries
            .iter()
            .filter_map(|(k, v)| Some((arena.text(*k)?, *v)))
            .filter(|(_, v)| arena.dict(*v).is_some())
            .collect();
        let nested = NESTS.iter().find_map(|n| dicts.iter().find(|(k, _)| k == n));
        match (nested, dicts.as_slice()) {
            (Some((_, value)), _) | (None, [(_, value)]) => at = *value,
            (None, []) if at == root && entries.is_empty() => return Ok(Vec::new()),
            _ => {
                let keys: Vec<&str> = dicts.iter().map(|(k, _)| *k).take(12).collect();
                return Err(Error::unsupported(
                    origin,
                    format!(
                        "no dictionary of tensors found; looked for {}, and the file has {keys:?}",
                        NESTS.join(", ")
                    ),
                ));
            }
        }
    }
    Err(Error::unsupported(origin, format!("no dictionary of tensors found: the file holds {}", arena.kind(at))))
}

fn tensors(arena: &Arena, entries: &[(Value, Value)]) -> Vec<(String, TensorRef)> {
    let named = entries.iter().filter_map(|(key, value)| match (arena.text(*key), arena.node(*value)) {
        (Some(name), Some(Node::Tensor(tensor))) => Some((name.to_owned(), TensorRef::clone(tensor))),
        _ => None,
    });
    named.collect()
}

fn finish(origin: &str, mut tensors: Vec<(String, TensorRef)>) -> Result<Vec<(String, TensorRef)>> {
    for wrapper in WRAPPERS {
        if tensors.iter().all(|(name, _)| name.starts_with(wrapper)) {
            for (name, _) in &mut tensors {
                name.drain(..wrapper.len());
            }
        }
    }
    let mut seen = HashSet::new();
    if let Some((name, _)) = tensors.iter().find(|(name, _)| !seen.insert(name.as_str())) {
        return Err(Error::malformed(
            origin,
            Format::Pickle,
            0,
            format!("tensor `{name}` stands twice in the state dictionary"),
        ));
    }
    Ok(tensors)
}
