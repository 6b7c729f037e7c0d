//! The permutation table, `shaders/permutations.txt`.
//!
//! ```text
//! kernel linear_simt dense/linear_simt.wgsl
//!   tier base                    # the smallest tier that must be able to run it: base, subgroup or matrix
//!   param T f32 f16              # every combination of the parameters' values is a permutation …
//!   only W == T                  # … for which all `only` expressions hold
//!   needs f16 if T == "f16"      # features: f16, subgroups, matrix
//! ```

use crate::expression::{Scope, Value, evaluate_int};

/// A kernel as the table states it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Unique name.
    pub name: String,
    /// Template path below `shaders/`.
    pub source: String,
    /// `base`, `subgroup` or `matrix`.
    pub tier: String,
    /// Parameter names with their values.
    pub params: Vec<(String, Vec<String>)>,
    only: Vec<String>,
    needs: Vec<(String, String)>,
}

/// One combination of parameter values.
#[derive(Clone, Debug)]
pub struct Combination {
    /// Parameter names and values, in the table's order.
    pub values: Vec<(String, String)>,
    /// Names of the features that it needs.
    pub needs: Vec<String>,
}

impl Combination {
    /// The values as template constants.
    pub fn scope(&self) -> Scope {
        self.values.iter().map(|(name, value)| (name.clone(), Value::parse(value))).collect()
    }
}

/// Reads the table.
pub fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut entries: Vec<Entry> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split(" #").next().unwrap_or("").trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fail = |message: &str| format!("permutations.txt:{}: {message}: `{line}`", number + 1);
        let (word, rest) = line.split_once(' ').ok_or_else(|| fail("expected a keyword and its value"))?;
        let rest = rest.trim();
        if word == "kernel" {
            let (name, source) = rest.split_once(' ').ok_or_else(|| fail("expected `kernel NAME FILE`"))?;
            if entries.iter().any(|e| e.name == name) {
                return Err(fail("this name is taken"));
            }
            entries.push(Entry {
                name: name.into(),
                source: source.trim().into(),
                tier: "base".into(),
                params: Vec::new(),
                only: Vec::new(),
                needs: Vec::new(),
            });
            continue;
        }
        let entry = entries.last_mut().ok_or_else(|| fail("expected a `kernel` line first"))?;
        match word {
            "tier" if ["base", "subgroup", "matrix"].contains(&rest) => entry.tier = rest.into(),
            "param" => {
                let mut words = rest.split_whitespace().map(String::from);
                let name = words.next().ok_or_else(|| fail("expected `param NAME VALUES`"))?;
                entry.params.push((name, words.collect()));
            }
            "only" => entry.only.push(rest.into()),
            "needs" => {
                let (feature, condition) = rest.split_once(" if ").unwrap_or((rest, "1"));
                if !["f16", "subgroups", "matrix"].contains(&feature.trim()) {
                    return Err(fail("features are f16, subgroups and matrix"));
                }
                entry.needs.push((feature.trim().into(), condition.into()));
            }
            _ => return Err(fail("unknown keyword or value")),
        }
    }
    Ok(entries)
}

impl Entry {
    /// All combinations that the table allows, the last parameter running fastest.
    pub fn combinations(&self) -> Result<Vec<Combination>, String> {
        let mut all: Vec<Vec<(String, String)>> = vec![Vec::new()];
        for (name, values) in &self.params {
            all = all
                .into_iter()
                .flat_map(|head| {
                    values.iter().map(move |value| {
                        let mut next = head.clone();
                        next.push((name.clone(), value.clone()));
                        next
                    })
                })
                .collect();
        }
        let mut out = Vec::new();
        for values in all {
            let mut combination = Combination { values, needs: Vec::new() };
            let scope = combination.scope();
            let holds =
                |text: &str| evaluate_int(text, &scope).map(|v| v != 0).map_err(|e| format!("{}: {e}", self.name));
            let mut keep = true;
            for only in &self.only {
                keep &= holds(only)?;
            }
            if !keep {
                continue;
            }
            for (feature, condition) in &self.needs {
                if holds(condition)? && !combination.needs.contains(feature) {
                    combination.needs.push(feature.clone());
                }
            }
            out.push(combination);
        }
        if out.is_empty() {
            return Err(format!("kernel `{}` has no permutation", self.name));
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_the_allowed_products() {
        let text = "kernel a d/a.wgsl # first\n tier subgroup\n param T f32 f16\n param W f32 f16\n only T == W\n needs f16 if T == \"f16\"\n";
        let entries = parse(text).expect("valid");
        let entry = &entries[0];
        assert_eq!((entry.name.as_str(), entry.source.as_str(), entry.tier.as_str()), ("a", "d/a.wgsl", "subgroup"));
        let combinations = entries[0].combinations().expect("valid");
        let needs: Vec<_> = combinations.iter().map(|c| c.needs.join(" ")).collect();
        assert_eq!(needs, ["", "f16"]);
    }

    #[test]
    fn mistakes_are_errors() {
        for text in [
            "tier base",
            "kernel a",
            "kernel a b\n tier big",
            "kernel a b\n needs magic",
            "kernel a b\nkernel a b",
            "kernel a b\n odd x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let empty = parse("kernel a b\n param T 1\n only T == 2").expect("valid");
        assert!(empty[0].combinations().is_err());
    }
}
