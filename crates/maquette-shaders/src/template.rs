//! The template language of `shaders/`: plain WGSL with line directives.
//!
//! | directive | meaning |
//! | --- | --- |
//! | `#import name` | paste `shared/name.wgsl` here, once a permutation |
//! | `#let NAME = expression` | a constant of this permutation |
//! | `#if expression`, `#elif expression`, `#else`, `#end` | keep one branch |
//! | `#for NAME in a..b`, `#end` | repeat the lines (unrolled loop) |
//! | `#error words` | refuse this permutation |
//! | `${expression}` | paste the value |
//!
//! Comments and indentation are dropped, so the resolved text is small.

use std::collections::BTreeSet;

use crate::expression::{Scope, Value, evaluate, evaluate_int};

/// What can go wrong in a template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A directive or expression is wrong.
    #[error("{file}:{line}: {message}")]
    Line {
        /// Path below `shaders/`.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A file is not there.
    #[error("no shader file `{0}`: expected it below `shaders/`")]
    Missing(String),
}

/// Resolves the template `path` with the constants of `scope`; `read` gives the text of a file below `shaders/`.
pub fn resolve(path: &str, scope: Scope, read: &dyn Fn(&str) -> Option<String>) -> Result<String, TemplateError> {
    let mut resolver = Resolver { scope, read, imported: BTreeSet::new(), out: String::new() };
    resolver.file(path)?;
    Ok(resolver.out)
}

struct Resolver<'a> {
    scope: Scope,
    read: &'a dyn Fn(&str) -> Option<String>,
    imported: BTreeSet<String>,
    out: String,
}

/// A line without its comment and indentation. Block comments are not part of the language.
fn bare(line: &str) -> &str {
    line.split("//").next().unwrap_or("").trim()
}

fn directive(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix('#')?;
    let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    Some((&rest[..end], rest[end..].trim()))
}

impl Resolver<'_> {
    fn file(&mut self, path: &str) -> Result<(), TemplateError> {
        let text = (self.read)(path).ok_or_else(|| TemplateError::Missing(path.to_string()))?;
        let lines: Vec<&str> = text.lines().map(bare).collect();
        self.block(path, &lines, 0, lines.len())
    }

    /// The line of the `#end` that closes the block opened before `from`, and the lines of its `#elif`s and `#else`.
    fn close(path: &str, lines: &[&str], from: usize, to: usize) -> Result<(usize, Vec<usize>), TemplateError> {
        let mut depth = 0;
        let mut branches = Vec::new();
        for (at, line) in lines.iter().enumerate().take(to).skip(from) {
            match directive(line).map(|d| d.0) {
                Some("if" | "for") => depth += 1,
                Some("end") if depth == 0 => return Ok((at, branches)),
                Some("end") => depth -= 1,
                Some("elif" | "else") if depth == 0 => branches.push(at),
                _ => {}
            }
        }
        Err(TemplateError::Line { file: path.into(), line: from, message: "this block has no `#end`".into() })
    }

    fn block(&mut self, path: &str, lines: &[&str], from: usize, to: usize) -> Result<(), TemplateError> {
        let fail = |at: usize, message: String| TemplateError::Line { file: path.into(), line: at + 1, message };
        let mut at = from;
        while at < to {
            let line = lines[at];
            let Some((name, rest)) = directive(line) else {
                if !line.is_empty() {
                    let pasted = self.paste(line).map_err(|e| fail(at, e))?;
                    self.out.push_str(&pasted);
                    self.out.push('\n');
                }
                at += 1;
                continue;
            };
            match name {
                "import" => {
                    if self.imported.insert(rest.to_string()) {
                        self.file(&format!("shared/{rest}.wgsl"))?;
                    }
                    at += 1;
                }
                "let" => {
                    let (name, value) =
                        rest.split_once('=').ok_or_else(|| fail(at, "expected `#let NAME = expression`".into()))?;
                    let value = evaluate(value, &self.scope).map_err(|e| fail(at, e))?;
                    self.scope.insert(name.trim().to_string(), value);
                    at += 1;
                }
                "if" => {
                    let (end, branches) = Self::close(path, lines, at + 1, to)?;
                    let mut starts = vec![at];
                    starts.extend(branches);
                    for (i, start) in starts.iter().enumerate() {
                        let condition = match directive(lines[*start]) {
                            Some(("else", _)) => 1,
                            Some((_, condition)) => {
                                evaluate_int(condition, &self.scope).map_err(|e| fail(*start, e))?
                            }
                            None => 0,
                        };
                        if condition != 0 {
                            let stop = starts.get(i + 1).copied().unwrap_or(end);
                            self.block(path, lines, start + 1, stop)?;
                            break;
                        }
                    }
                    at = end + 1;
                }
                "for" => {
                    let (end, _) = Self::close(path, lines, at + 1, to)?;
                    let (name, range) =
                        rest.split_once(" in ").ok_or_else(|| fail(at, "expected `#for NAME in a..b`".into()))?;
                    let (a, b) = range.split_once("..").ok_or_else(|| fail(at, "expected a range `a..b`".into()))?;
                    let a = evaluate_int(a, &self.scope).map_err(|e| fail(at, e))?;
                    let b = evaluate_int(b, &self.scope).map_err(|e| fail(at, e))?;
                    let name = name.trim().to_string();
                    let outer = self.scope.get(&name).cloned();
                    for i in a..b {
                        self.scope.insert(name.clone(), Value::Int(i));
                        self.block(path, lines, at + 1, end)?;
                    }
                    match outer {
                        Some(value) => self.scope.insert(name, value),
                        None => self.scope.remove(&name),
                    };
                    at = end + 1;
                }
                "error" => return Err(fail(at, rest.to_string())),
                other => return Err(fail(at, format!("unknown or misplaced directive `#{other}`"))),
            }
        }
        Ok(())
    }

    fn paste(&self, line: &str) -> Result<String, String> {
        let mut out = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(start) = rest.find("${") {
            out.push_str(&rest[..start]);
            let end = rest[start..].find('}').ok_or("missing `}` after `${`")? + start;
            out.push_str(&evaluate(&rest[start + 2..end], &self.scope)?.to_string());
            rest = &rest[end + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, TemplateError> {
        let files = |path: &str| match path {
            "main.wgsl" => Some(text.to_string()),
            "shared/one.wgsl" => Some("fn one() {} // said once\n".to_string()),
            _ => None,
        };
        let scope = Scope::from([("T".into(), Value::parse("f16")), ("N".into(), Value::parse("2"))]);
        resolve("main.wgsl", scope, &files)
    }

    #[test]
    fn directives_do_what_they_say() {
        let text = "#import one\n#import one\n#let M = N * 2\n#for i in 0..N\n#for j in i..N\nlet a${i}_${j} = ${i + j * M}u;\n#end\n#end\n\
                    #if T == \"f32\"\nno\n#elif N == 2\nx: ${T} // why\n#else\nno\n#end\n";
        let expected = "fn one() {}\nlet a0_0 = 0u;\nlet a0_1 = 4u;\nlet a1_1 = 5u;\nx: f16\n";
        assert_eq!(run(text).expect("valid"), expected);
    }

    #[test]
    fn mistakes_name_file_and_line() {
        for (text, place) in [
            ("a\n#if N", "main.wgsl:2"),
            ("#end", "main.wgsl:1"),
            ("#for i in 3", "main.wgsl:1"),
            ("\n${M}", "main.wgsl:2"),
            ("#let M", "main.wgsl:1"),
            ("#what", "main.wgsl:1"),
            ("${N", "main.wgsl:1"),
            ("#error not this one", "not this one"),
            ("#import two", "shared/two.wgsl"),
        ] {
            let message = run(text).expect_err(text).to_string();
            assert!(message.contains(place), "{text}: {message}");
        }
    }
}
