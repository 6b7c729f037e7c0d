//! Typed access to JSON objects: every refusal names the file, the field's dotted path, the type needed and what is there.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// An object being taken apart. Fields that nobody takes are left over and reported as unknown.
pub(crate) struct Fields<'o> {
    origin: &'o str,
    path: String,
    map: Map<String, Value>,
}

/// What a value is, in words.
fn kind(value: Option<&Value>) -> String {
    match value {
        None => "nothing".into(),
        Some(Value::Null) => "null".into(),
        Some(Value::Bool(b)) => format!("the boolean {b}"),
        Some(Value::Number(n)) => format!("the number {n}"),
        Some(Value::String(s)) => format!("the string {s:?}"),
        Some(Value::Array(a)) => format!("a list of {}", a.len()),
        Some(Value::Object(_)) => "an object".into(),
    }
}

impl<'o> Fields<'o> {
    /// Starts on the object `value` at the dotted path `path` (empty for the root).
    pub(crate) fn new(origin: &'o str, path: &str, value: Value) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self { origin, path: path.to_owned(), map }),
            other => Err(wrong(origin, if path.is_empty() { "(root)" } else { path }, "an object", Some(&other))),
        }
    }

    fn full(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Takes a field of any type; JSON null counts as absent.
    pub(crate) fn optional(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|v| !v.is_null())
    }

    /// Takes a field that must be there.
    fn required(&mut self, key: &str, expected: &str) -> Result<Value> {
        self.optional(key).ok_or_else(|| wrong(self.origin, &self.full(key), expected, None))
    }

    pub(crate) fn string(&mut self, key: &str) -> Result<String> {
        let value = self.required(key, "a string")?;
        as_string(self.origin, &self.full(key), value)
    }

    pub(crate) fn object(&mut self, key: &str) -> Result<Map<String, Value>> {
        match self.required(key, "an object")? {
            Value::Object(map) => Ok(map),
            other => Err(wrong(self.origin, &self.full(key), "an object", Some(&other))),
        }
    }

    pub(crate) fn object_or_empty(&mut self, key: &str) -> Result<Map<String, Value>> {
        if self.map.get(key).is_none_or(Value::is_null) { Ok(Map::new()) } else { self.object(key) }
    }

    pub(crate) fn inner(&mut self, key: &str) -> Result<Fields<'o>> {
        let path = self.full(key);
        Ok(Fields { origin: self.origin, path, map: self.object(key)? })
    }

    pub(crate) fn f64(&mut self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.optional(key) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| wrong(self.origin, &self.full(key), "a number", Some(&value)))
    }

    pub(crate) fn u32(&mut self, key: &str) -> Result<Option<u32>> {
        let Some(value) = self.optional(key) else { return Ok(None) };
        let number = value.as_u64().and_then(|n| u32::try_from(n).ok());
        number.map(Some).ok_or_else(|| wrong(self.origin, &self.full(key), "a whole number", Some(&value)))
    }

    pub(crate) fn numbers(&mut self, key: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.optional(key) else { return Ok(None) };
        let numbers = value.as_array().and_then(|a| a.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
        numbers.map(Some).ok_or_else(|| wrong(self.origin, &self.full(key), "a list of numbers", Some(&value)))
    }

    /// Keys that end in `suffix`, in order.
    pub(crate) fn keys_ending(&self, suffix: &str) -> Vec<String> {
        self.map.keys().filter(|k| k.ends_with(suffix)).cloned().collect()
    }

    /// What nobody took: dotted paths are added to `unknown`, the values are returned to be kept.
    pub(crate) fn leftovers(self, unknown: &mut Vec<String>) -> Map<String, Value> {
        unknown.extend(self.map.keys().map(|k| self.full(k)));
        self.map
    }

    pub(crate) fn error(&self, key: &str, expected: &str, found: impl Into<String>) -> Error {
        Error::Field {
            origin: self.origin.into(),
            field: self.full(key),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

pub(crate) fn as_string(origin: &str, field: &str, value: Value) -> Result<String> {
    match value {
        Value::String(s) => Ok(s),
        other => Err(wrong(origin, field, "a string", Some(&other))),
    }
}

fn wrong(origin: &str, field: &str, expected: &str, found: Option<&Value>) -> Error {
    Error::Field { origin: origin.into(), field: field.into(), expected: expected.into(), found: kind(found) }
}
