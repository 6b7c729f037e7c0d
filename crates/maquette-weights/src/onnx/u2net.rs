//! U²-Net's own names for the tensors of an exported graph.
//!
//! The exporter folds each batch norm into the convolution before it and gives the result a number for a name. The graph's
//! nodes still stand in the order in which the network runs, so the n-th convolution is known by n; shapes and dilations are
//! compared with the architecture to be sure. Names follow the authors' state dictionary (`stage1.rebnconvin.conv_s1.weight`).

use std::collections::HashMap;

use super::model::{Convolution, Model};

/// The stages in the order in which they run, with their kind (`4` with `true` is the dilated form without pooling).
const STAGES: [(&str, usize, bool); 11] = [
    ("stage1", 7, false),
    ("stage2", 6, false),
    ("stage3", 5, false),
    ("stage4", 4, false),
    ("stage5", 4, true),
    ("stage6", 4, true),
    ("stage5d", 4, true),
    ("stage4d", 4, false),
    ("stage3d", 5, false),
    ("stage2d", 6, false),
    ("stage1d", 7, false),
];

/// Names and dilations of a stage's convolutions, in the order in which they run.
fn stage(kind: usize, dilated: bool) -> Vec<(String, u64)> {
    let depth = |level: usize| if dilated { 1 << (level - 1) } else { 1 };
    let bottom = if dilated { depth(kind) } else { 2 };
    let mut names = vec![("rebnconvin".to_owned(), 1)];
    names.extend((1..kind).map(|level| (format!("rebnconv{level}"), depth(level))));
    names.push((format!("rebnconv{kind}"), bottom));
    names.extend((1..kind).rev().map(|level| (format!("rebnconv{level}d"), depth(level))));
    names
}

/// Old name → state-dict name for every initialiser, if the graph is a U²-Net; `None` if it is another network.
pub(crate) fn names(model: &Model) -> Option<HashMap<String, String>> {
    let mut expected: Vec<(String, u64)> = Vec::new();
    for (name, kind, dilated) in STAGES {
        expected.extend(stage(kind, dilated).into_iter().map(|(block, d)| (format!("{name}.{block}.conv_s1"), d)));
    }
    expected.extend((1..=6).map(|i| (format!("side{i}"), 1)));
    expected.push(("outconv".to_owned(), 1));
    if model.convolutions.len() != expected.len() {
        return None;
    }
    let mut renamed = HashMap::new();
    for (Convolution { weight, bias, dilation }, (name, wanted)) in model.convolutions.iter().zip(expected) {
        let shape = &model.initialisers.iter().find(|i| i.info.name == *weight)?.info.shape;
        if *dilation != wanted || shape.len() != 4 {
            return None;
        }
        renamed.insert(weight.clone(), format!("{name}.weight"));
        renamed.insert(bias.clone()?, format!("{name}.bias"));
    }
    (renamed.len() == model.initialisers.len()).then_some(renamed)
}
