//! JSON from others, within bounds of memory.
//!
//! A value takes far more memory than its text: an object of one entry, eight bytes long, takes half a kilobyte, and the
//! judge's copy of it as much again. So what is counted is what values take, not how long they are.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text is not read as JSON.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// Its values take more memory than the budget has left.
    #[error("it holds more than can be judged")]
    TooMuch,
    /// It is nested deeper than serde_json follows.
    #[error("recursion limit exceeded")]
    TooDeep,
    /// An object has a key twice: readers differ in which value they take.
    #[error("the key {} occurs twice in one object", crate::error::quoted(.0))]
    DuplicateKey(String),
    /// A whole value is there, and more than blanks behind it.
    #[error("text follows the JSON, such as a mail's footer (trailing characters)")]
    TextBehind,
    /// It is not JSON.
    #[error(transparent)]
    Syntax(serde_json::Error),
}

/// Memory that parsed values may take, the judge's copy included. It is spent across all that it is given to.
#[derive(Debug)]
pub struct Budget {
    left: Cell<usize>,
    /// Why the last parse ended, if serde_json was not the one to end it.
    refusal: RefCell<Option<ParseError>>,
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
            refusal: RefCell::new(None),
        }
    }

    /// Pays for text that is kept as it is.
    ///
    /// # Errors
    ///
    /// When that is more than is left.
    pub fn keep(&mut self, text: &str) -> Result<(), ParseError> {
        let spent: Result<(), serde_json::Error> = self.spend(VALUE + 2 * text.len());
        spent.map_err(|_| ParseError::TooMuch)
    }

    /// Reads something; if that is refused, what it cost is there again for others.
    ///
    /// # Errors
    ///
    /// Those of `read`.
    pub fn unless_refused<T, E>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let left = self.left.get();
        let read = read(self);
        if read.is_err() {
            self.left.set(left);
        }
        read
    }

    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => self.left.set(left),
            None => return Err(self.refuse(ParseError::TooMuch)),
        }
        Ok(())
    }

    /// Ends the parse; [`parse`] returns this reason.
    fn refuse<E: Error>(&self, why: ParseError) -> E {
        let error = E::custom(&why);
        self.refusal.replace(Some(why));
        error
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
/// When it is no JSON, has a key twice in one object, or takes more memory than is left.
pub fn parse(text: &[u8], budget: &mut Budget) -> Result<Value, ParseError> {
    budget.refusal.take();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Bounded(budget).deserialize(&mut deserializer);
    let value = value.map_err(|error| match budget.refusal.take() {
        Some(refusal) => refusal,
        None if error.to_string().starts_with("recursion limit exceeded") => ParseError::TooDeep,
        None => ParseError::Syntax(error),
    })?;
    deserializer.end().map_err(|_| ParseError::TextBehind)?;
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
            if object.contains_key(&key) {
                return Err(self.0.refuse(ParseError::DuplicateKey(key)));
            }
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
            (
                "{\"a\": {\"b\": 1, \"c\": 2, \"b\": 1}}",
                "the key \"b\" occurs twice",
            ),
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
            let read = parsed(&text, 1 << 20);
            let has_duplicates = read.as_ref().is_err_and(|error| error.contains("occurs twice"));
            let has_text_behind = |result: &Result<Value, String>| {
                result.as_ref().is_err_and(|error| error.contains("trailing characters"))
            };
            let agree = read == plain || has_text_behind(&read) && has_text_behind(&plain);
            prop_assert!(has_duplicates || agree, "{:?} and {:?}", read, plain);
        }

        #[test]
        fn every_value_survives(numbers in prop::collection::vec(any::<f64>(), 0..20), name in ".*", big in any::<u64>()) {
            let value = json!({"numbers": numbers, "name": name, "big": big, name: {"a": [null, true]}});
            let text = value.to_string();
            prop_assert_eq!(parsed(&text, 1 << 20), serde_json::from_str(&text).map_err(|error| error.to_string()));
        }
    }
}
