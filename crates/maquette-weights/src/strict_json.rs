//! JSON without the two liberties that hide a hostile or broken file: repeated keys, and trailing text.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::{Error, Format, Result};

/// A map that refuses repeated keys.
pub(crate) struct UniqueMap<V>(pub(crate) BTreeMap<String, V>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for MapVisitor<V> {
            type Value = UniqueMap<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some(key) = access.next_key::<String>()? {
                    if map.contains_key(&key) {
                        return Err(serde::de::Error::custom(format_args!("key `{key}` stands twice")));
                    }
                    let value = access.next_value()?;
                    map.insert(key, value);
                }
                Ok(UniqueMap(map))
            }
        }
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

/// A [`Value`] whose objects had no repeated keys. Depth is bounded by serde_json's own limit of 128.
struct UniqueValue(Value);

impl<'de> Deserialize<'de> for UniqueValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = UniqueValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
                Ok(UniqueValue(v.into()))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
                Ok(UniqueValue(v.into()))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
                Ok(UniqueValue(v.into()))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
                Ok(UniqueValue(v.into()))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(UniqueValue(v.into()))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(UniqueValue(Value::Null))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(UniqueValue(item)) = access.next_element()? {
                    items.push(item);
                }
                Ok(UniqueValue(Value::Array(items)))
            }
            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
                let map = UniqueMap::<UniqueValue>::deserialize(serde::de::value::MapAccessDeserializer::new(access))?;
                Ok(UniqueValue(Value::Object(map.0.into_iter().map(|(k, v)| (k, v.0)).collect())))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Parses `text` into `T`; the error names the byte at which it went wrong, `base` being the text's own place in the file.
pub(crate) fn parse<T: DeserializeOwned>(origin: &str, format: Format, base: u64, text: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(text).map_err(|e| {
        Error::malformed(origin, format, base + e.valid_up_to() as u64, "the JSON text is not valid UTF-8")
    })?;
    serde_json::from_str(text).map_err(|e| {
        let line_start: usize = text.split_inclusive('\n').take(e.line().saturating_sub(1)).map(str::len).sum();
        Error::malformed(origin, format, base + (line_start + e.column().saturating_sub(1)) as u64, e.to_string())
    })
}

/// Parses any JSON value, refusing repeated keys.
pub(crate) fn parse_value(origin: &str, text: &[u8]) -> Result<Value> {
    parse::<UniqueValue>(origin, Format::Json, 0, text).map(|v| v.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_key_is_refused_at_its_place() {
        let error = parse_value("p.json", b"{\"a\": {\n\"b\": 1, \"b\": 2}}").unwrap_err().to_string();
        assert!(error.contains("`b` stands twice"), "{error}");
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_stack_overflow() {
        let bomb = "[".repeat(1_000_000);
        assert!(parse_value("p.json", bomb.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn error_offset_counts_from_the_file_start() {
        let error = parse::<Value>("x", Format::Safetensors, 8, b"{\n\"a\": ?}").unwrap_err();
        assert!(matches!(error, Error::Malformed { offset: 15, .. }), "{error}");
    }

    #[test]
    fn values_of_every_kind_survive() {
        let text = r#"{"a":[1,-2,0.5,true,null,"s"],"b":{"c":{}}}"#;
        assert_eq!(parse_value("x", text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }
}
