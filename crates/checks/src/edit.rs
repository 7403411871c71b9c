//! A jq program that turns one JSON value into another.

use std::fmt;

use jaq_core::{Ctx, Vars, data::JustLut};
use jaq_json::Val;
use serde::Deserialize;
use serde_json::Value;

use crate::assertion::message;
use crate::compile::{self, CompileError, Filter};
use crate::json;

/// A compiled jq program that turns one JSON value into another.
pub struct Edit {
    name: String,
    filter: Filter,
}

/// Why a value could not be edited: the program's name, and what jq says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct EditError {
    name: String,
    message: String,
}

impl Edit {
    /// Compiles a program. The name is only for messages.
    ///
    /// # Errors
    /// [`CompileError`], as for an [`Assertion`](crate::Assertion).
    pub fn compile(name: impl Into<String>, source: &str) -> Result<Self, CompileError> {
        let name = name.into();
        let filter = compile::filter(&name, source)?;
        Ok(Self { name, filter })
    }

    /// What the program makes of a value.
    ///
    /// # Errors
    /// When it fails, or yields anything but one JSON value.
    pub fn apply(&self, value: &Value) -> Result<Value, EditError> {
        let error = |message: String| EditError {
            name: self.name.clone(),
            message,
        };
        let input = Val::deserialize(value).map_err(|why| error(why.to_string()))?;
        let context = Ctx::<JustLut<Val>>::new(&self.filter.lut, Vars::new([]));
        let mut outputs = self.filter.id.run((context, input));
        let output = outputs
            .next()
            .ok_or_else(|| error("it yields nothing".to_owned()))?;
        let output = output.map_err(|exception| error(message(exception)))?;
        if outputs.next().is_some() {
            return Err(error("it yields more than one value".to_owned()));
        }
        json::from_val(&output).map_err(|what| error(format!("it yields {what}")))
    }
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edit(source: &str) -> Result<Value, String> {
        let edit = Edit::compile("t", source).map_err(|error| error.to_string())?;
        edit.apply(&json!({"a": 1, "b": [1, 2]}))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_edit_goes_by_its_name() {
        let edit = Edit::compile("lie", ".").unwrap();
        assert_eq!(format!("{edit:?}"), r#"Edit { name: "lie", .. }"#);
    }

    #[test]
    fn one_value_comes_out_or_an_error_says_why() {
        assert_eq!(edit(".a *= 2 | del(.b)"), Ok(json!({"a": 2})));
        assert_eq!(edit("empty"), Err("t: it yields nothing".to_owned()));
        assert_eq!(edit(".b[]"), Err("t: it yields more than one value".to_owned()));
        assert_eq!(edit("error(\"no\")"), Err("t: no".to_owned()));
        assert_eq!(edit("now"), Err("t:1:1: undefined filter now/0".to_owned()));
        assert_eq!(
            edit("\"x\" | tobytes"),
            Err("t: it yields a byte string".to_owned())
        );
    }
}
