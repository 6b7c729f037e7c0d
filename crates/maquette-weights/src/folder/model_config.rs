//! A model's class and arguments, from the file beside its weights.

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::{Result, strict_json};

/// A model's class and constructor arguments, from the file beside its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelConfig {
    /// Class name as written. See [`ModelConfig::class`].
    pub name: String,
    /// Constructor arguments.
    pub args: Map<String, Value>,
    /// The file, for messages.
    pub origin: String,
}

impl ModelConfig {
    /// Parses `{name, args}`. A diffusers or transformers `config.json` (no `args`) is taken as arguments, with the name from
    /// `_class_name` or `architectures`.
    ///
    /// # Errors
    /// [`Malformed`](crate::Error::Malformed) where it is not JSON, [`Field`](crate::Error::Field) where a field is absent or of another type.
    pub fn parse(origin: &str, text: &[u8]) -> Result<Self> {
        let value = strict_json::parse_value(origin, text)?;
        let plain = value.get("args").is_none().then(|| {
            let named = value.get("_class_name").or_else(|| value.get("architectures").and_then(|a| a.get(0)));
            named.and_then(Value::as_str).map(str::to_owned)
        });
        if let (Some(Some(name)), Value::Object(args)) = (plain, &value) {
            return Ok(Self { name, args: args.clone(), origin: origin.into() });
        }
        let mut fields = Fields::new(origin, "", value)?;
        Ok(Self { name: fields.string("name")?, args: fields.object("args")?, origin: origin.into() })
    }

    /// The class without the `Elastic` prefix, which changes nothing in the numbers.
    pub fn class(&self) -> &str {
        self.name.strip_prefix("Elastic").unwrap_or(&self.name)
    }
}
