//! JSON from others, within bounds of memory.
//!
//! A value takes far more memory than its text: an object of one entry, eight bytes long, takes half a kilobyte, and the
//! judge's copy of it as much again. So what is counted is what values take, not how long they are.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Memory that parsed values may take, the judge's copy included. It is spent across all that it is given to.
#[derive(Debug)]
pub struct Budget {
    left: Cell<usize>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(20 << 20)
    }
}

impl Budget {
    /// So many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self {
            left: Cell::new(bytes),
        }
    }

    /// Pays for text that is kept as it is.
    ///
    /// # Errors
    ///
    /// When that is more than is left.
    pub fn keep(&mut self, text: &str) -> Result<(), serde_json::Error> {
        self.spend(VALUE + 2 * text.len())
    }

    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(bytes);
        self.left
            .set(left.ok_or_else(|| E::custom("it holds more than can be judged"))?);
        Ok(())
    }
}

/// Roughly, from above: a value in a list, twice; the first entry of an object, and each other one, likewise.
const VALUE: usize = 100;
const OBJECT: usize = 900;
const ENTRY: usize = 220;

/// Parses one value. Depth is bounded by serde_json, which follows 128 levels.
///
/// # Errors
///
/// When it is no JSON, or takes more memory than is left.
pub fn parse(text: &[u8], budget: &mut Budget) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Bounded(budget).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Bounded<'a>(&'a Budget);

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.0.spend(VALUE)?;
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.0.spend(VALUE)?;
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.0.spend(VALUE)?;
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.0.spend(VALUE)?;
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.0.spend(VALUE)?;
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.0.spend(VALUE + 2 * text.len())?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.0.spend(VALUE)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.0.spend(VALUE)?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let first = object.is_empty();
            self.0.spend(2 * key.len() + if first { OBJECT } else { ENTRY })?;
            object.insert(key, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parsed(text: &str, bytes: usize) -> Result<Value, String> {
        parse(text.as_bytes(), &mut Budget::of(bytes)).map_err(|error| error.to_string())
    }

    #[test]
    fn what_takes_too_much_memory_is_refused() {
        for (text, takes) in [
            ("[1,1,1]", 400),
            ("{\"a\":1,\"b\":2}", 1424),
            ("\"0123456789\"", 120),
        ] {
            assert!(parsed(text, takes).is_ok(), "{text}");
            assert!(
                parsed(text, takes - 1).is_err_and(|error| error.contains("more than can be judged")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_budget_is_spent_once() {
        let mut budget = Budget::of(250);
        assert!(parse(b"[1]", &mut budget).is_ok());
        assert!(parse(b"[1]", &mut budget).is_err());
        let mut budget = Budget::of(110);
        assert!(budget.keep("123456").is_err());
        assert!(budget.keep("12345").is_ok() && budget.keep("").is_err());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let deep = "[".repeat(100_000);
        for (text, said) in [
            ("", "EOF"),
            ("{\"a\": NaN}", "expected value"),
            ("[1e999]", "out of range"),
            ("[1] [2]", "trailing"),
            (&deep, "recursion limit"),
            ("\"\u{1}\"", "control character"),
        ] {
            let error = parsed(text, 1 << 20).expect_err(said);
            assert!(error.contains(said), "{error}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_as_serde_json_does(text in r#"[\[\]{},:0-9a-z"\\.e+ -]{0,40}"#) {
            let plain = serde_json::from_str::<Value>(&text).map_err(|error| error.to_string());
            prop_assert_eq!(parsed(&text, 1 << 20), plain);
        }

        #[test]
        fn every_value_survives(numbers in prop::collection::vec(any::<f64>(), 0..20), name in ".*", big in any::<u64>()) {
            let value = json!({"numbers": numbers, "name": name, "big": big, name: {"a": [null, true]}});
            let text = value.to_string();
            prop_assert_eq!(parsed(&text, 1 << 20), serde_json::from_str(&text).map_err(|error| error.to_string()));
        }
    }
}
