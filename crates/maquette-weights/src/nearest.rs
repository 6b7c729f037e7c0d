//! The most similar name, for messages about names that are not there.

/// The candidate with the smallest edit distance, if it is near enough to be a likely slip (at most a third of the length).
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = (name.chars().count() / 3 + 2, None);
    for candidate in candidates {
        let distance = distance_below(name, candidate, best.0);
        if let Some(d) = distance {
            best = (d, Some(candidate));
        }
    }
    best.1
}

/// Edit distance if it is below `limit`.
fn distance_below(a: &str, b: &str, limit: usize) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) >= limit {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
        if row.iter().all(|d| *d >= limit) {
            return None;
        }
    }
    row.last().copied().filter(|d| *d < limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["blocks.0.attn.to_qkv.weight", "blocks.0.attn.to_out.weight", "input_layer.bias"];
        assert_eq!(nearest("blocks.0.attn.qkv.weight", names), Some(names[0]));
        assert_eq!(nearest("completely.other", names), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance_below("kitten", "sitting", 9), Some(3));
        assert_eq!(distance_below("kitten", "sitting", 3), None);
    }
}
