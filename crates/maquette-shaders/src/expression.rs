//! Integer and word expressions of the template language.
//!
//! `+ - * / %`, comparisons, `&& || !`, parentheses, `min(a, b)`, `max(a, b)`, `ceil_div(a, b)`, `select(condition, a, b)`,
//! names, integers and `"words"`. Truth is an integer other than 0.

use std::collections::BTreeMap;

/// A template value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A signed integer.
    Int(i64),
    /// A piece of text, pasted as it is.
    Word(String),
}

impl Value {
    /// An integer if `text` reads as one, a word otherwise.
    pub fn parse(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Word(text.to_string()), Self::Int)
    }

    fn int(self) -> Result<i64, String> {
        match self {
            Self::Int(value) => Ok(value),
            Self::Word(word) => Err(format!("expected a number, found the word \"{word}\"")),
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// Names known to an expression.
pub type Scope = BTreeMap<String, Value>;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Int(i64),
    Word(String),
    Name(String),
    Sign(&'static str),
}

const SIGNS: [&str; 18] =
    ["==", "!=", "<=", ">=", "&&", "||", "+", "-", "*", "/", "%", "(", ")", ",", "<", ">", "!", "?"];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let end = |keep: fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
        let taken = if first.is_ascii_digit() {
            let end = end(|c| c.is_ascii_digit());
            out.push(Token::Int(rest[..end].parse().map_err(|e| format!("{}: {e}", &rest[..end]))?));
            end
        } else if first.is_ascii_alphabetic() || first == '_' {
            let end = end(|c| c.is_ascii_alphanumeric() || c == '_');
            out.push(Token::Name(rest[..end].to_string()));
            end
        } else if first == '"' {
            let close = rest[1..].find('"').ok_or_else(|| format!("missing closing quote in `{text}`"))?;
            out.push(Token::Word(rest[1..=close].to_string()));
            close + 2
        } else {
            let sign = SIGNS.iter().find(|s| rest.starts_with(**s));
            let sign = sign.ok_or_else(|| format!("unexpected `{first}` in `{text}`"))?;
            out.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[taken..].trim_start();
    }
    Ok(out)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    scope: &'a Scope,
}

/// Evaluates `text` with the names of `scope`.
pub fn evaluate(text: &str, scope: &Scope) -> Result<Value, String> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, scope };
    let value = parser.binary(0).map_err(|e| format!("{e} in `{}`", text.trim()))?;
    match parser.tokens.get(parser.at) {
        None => Ok(value),
        Some(token) => Err(format!("unexpected {token:?} in `{}`", text.trim())),
    }
}

/// Evaluates `text` to an integer.
pub fn evaluate_int(text: &str, scope: &Scope) -> Result<i64, String> {
    evaluate(text, scope)?.int().map_err(|e| format!("{e} in `{}`", text.trim()))
}

const LEVELS: [&[&str]; 5] = [&["||"], &["&&"], &["==", "!=", "<", "<=", ">", ">="], &["+", "-"], &["*", "/", "%"]];

impl Parser<'_> {
    fn sign(&mut self, choices: &[&'static str]) -> Option<&'static str> {
        match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) if choices.contains(sign) => {
                self.at += 1;
                Some(sign)
            }
            _ => None,
        }
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), String> {
        self.sign(&[sign]).map(|_| ()).ok_or_else(|| format!("expected `{sign}`"))
    }

    fn binary(&mut self, level: usize) -> Result<Value, String> {
        if level == LEVELS.len() {
            return self.atom();
        }
        let mut left = self.binary(level + 1)?;
        while let Some(sign) = self.sign(LEVELS[level]) {
            let right = self.binary(level + 1)?;
            left = Value::Int(match sign {
                "==" => i64::from(left == right),
                "!=" => i64::from(left != right),
                _ => Self::arithmetic(sign, left.int()?, right.int()?)?,
            });
        }
        Ok(left)
    }

    fn arithmetic(sign: &str, a: i64, b: i64) -> Result<i64, String> {
        if matches!(sign, "/" | "%") && b == 0 {
            return Err("division by zero".into());
        }
        let value = match sign {
            "+" => a.checked_add(b),
            "-" => a.checked_sub(b),
            "*" => a.checked_mul(b),
            "/" => a.checked_div(b),
            "%" => a.checked_rem(b),
            "<" => Some(i64::from(a < b)),
            "<=" => Some(i64::from(a <= b)),
            ">" => Some(i64::from(a > b)),
            ">=" => Some(i64::from(a >= b)),
            "&&" => Some(i64::from(a != 0 && b != 0)),
            _ => Some(i64::from(a != 0 || b != 0)),
        };
        value.ok_or_else(|| format!("{a} {sign} {b} overflows"))
    }

    fn atom(&mut self) -> Result<Value, String> {
        if self.sign(&["-"]).is_some() {
            return Ok(Value::Int(-self.atom()?.int()?));
        }
        if self.sign(&["!"]).is_some() {
            return Ok(Value::Int(i64::from(self.atom()?.int()? == 0)));
        }
        if self.sign(&["("]).is_some() {
            let value = self.binary(0)?;
            self.expect(")")?;
            return Ok(value);
        }
        let token = self.tokens.get(self.at).cloned().ok_or("expression ends too early")?;
        self.at += 1;
        match token {
            Token::Int(value) => Ok(Value::Int(value)),
            Token::Word(word) => Ok(Value::Word(word)),
            Token::Name(name) if self.sign(&["("]).is_some() => self.call(&name),
            Token::Name(name) => self.scope.get(&name).cloned().ok_or_else(|| format!("nothing is called `{name}`")),
            Token::Sign(sign) => Err(format!("unexpected `{sign}`")),
        }
    }

    fn call(&mut self, name: &str) -> Result<Value, String> {
        let mut arguments = vec![self.binary(0)?];
        while self.sign(&[","]).is_some() {
            arguments.push(self.binary(0)?);
        }
        self.expect(")")?;
        let count = arguments.len();
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().unwrap_or(Value::Int(0));
        match (name, count) {
            ("min", 2) => Ok(Value::Int(next().int()?.min(next().int()?))),
            ("max", 2) => Ok(Value::Int(next().int()?.max(next().int()?))),
            ("ceil_div", 2) => {
                let (a, b) = (next().int()?, next().int()?);
                Self::arithmetic("/", a + b - 1, b).map(Value::Int)
            }
            ("select", 3) => {
                let (condition, a, b) = (next().int()?, next(), next());
                Ok(if condition != 0 { a } else { b })
            }
            _ => Err(format!("no function `{name}` with {count} arguments")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_follow_precedence_and_compare_words() {
        let scope = Scope::from([("T".into(), Value::parse("f16")), ("N".into(), Value::parse("12"))]);
        let int = |text: &str| evaluate_int(text, &scope).expect("valid");
        assert_eq!(int("1 + 2 * 3 - 8 / 2 % 3"), 6);
        assert_eq!(int("(N + 1) * -2"), -26);
        assert_eq!(int(r#"T == "f16" && !(N < 12) || 0"#), 1);
        assert_eq!(int("ceil_div(N, 5) + min(N, 3) + max(1, 2) + select(N > 3, 100, 200)"), 108);
        assert_eq!(evaluate(r#"select(T == "f16", "a", "b")"#, &scope).expect("valid"), Value::Word("a".into()));
    }

    #[test]
    fn mistakes_are_errors() {
        for text in ["M", "1 +", "(1", "\"open", "1 / 0", "f(1)", "1 2", "\"a\" + 1", "$", "9223372036854775807 + 1"] {
            assert!(evaluate(text, &Scope::new()).is_err(), "{text}");
        }
    }
}
