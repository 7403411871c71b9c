//! JSON that anybody may have written.

use report_reader::bare_metrics;
use report_reader::bounded_json::{Budget, ParseError, parse};
use serde_json::{Number, Value};

use crate::memory::most_held;

/// What reading takes beside the values: the reader itself, and an error.
const MAX_OVERHEAD_BYTES: usize = 4096;

/// Reads a JSON text within budgets of several sizes.
///
/// # Panics
///
/// When it is read as something else than serde_json reads it as, when that takes more memory than the budget, or when what was read
/// reads differently once it is written again.
pub fn bounded_json(text: &[u8]) {
    let plainly = serde_json::from_slice::<Value>(text);
    for bytes in [300, 4 << 10, 64 << 10, 20 << 20] {
        // Text with escapes is put together beside the values; a buffer that grows is there twice meanwhile.
        let allowed = bytes + 3 * text.len() + MAX_OVERHEAD_BYTES;
        let (read, most) = most_held(|| parse(text, &mut Budget::of(bytes)));
        assert!(most <= allowed, "{most} bytes taken, {bytes} were to be spent");
        match (&plainly, read) {
            (Ok(plainly), Ok(read)) => {
                assert_eq!(*plainly, read);
                let again = parse(read.to_string().as_bytes(), &mut Budget::of(2 * bytes));
                let again = again.unwrap_or_else(|error| panic!("{error}: {read}"));
                assert!(same(&read, &again), "{read} and {again}");
            }
            (_, Err(ParseError::TooMuch | ParseError::DuplicateKey(_))) => {}
            (Err(plainly), Err(read)) => {
                let plainly = plainly.to_string();
                let agree = match &read {
                    ParseError::TooDeep => plainly.contains("recursion limit exceeded"),
                    ParseError::TextBehind => plainly.contains("trailing characters"),
                    _ => read.to_string() == plainly,
                };
                assert!(agree, "{plainly}: {read}");
            }
            (Ok(_), Err(read)) => panic!("{read}"),
            (Err(plainly), Ok(read)) => panic!("{plainly}, and yet {read}"),
        }
        // As a file that was pasted: decoded first, and without what was put around it.
        let given = text.to_vec();
        let (_, most) = most_held(|| bare_metrics(given, &mut Budget::of(bytes)));
        assert!(
            most <= allowed + 3 * text.len(),
            "{most} bytes taken, {bytes} were to be spent"
        );
    }
}

/// How many representable fractions off a fraction may be when it is read again: serde_json does not promise its last digit.
const NEIGHBOURS: u64 = 4;

/// But for the last digit of a fraction.
pub(crate) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::Number(one), Value::Number(other)) if one.is_f64() => {
            let bits = |number: &Number| number.as_f64().unwrap_or(f64::NAN).to_bits();
            bits(one).abs_diff(bits(other)) <= NEIGHBOURS
        }
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_that_differ_are_not_the_same() {
        let value = json!({"a": [1, 0.1, "x"], "b": null});
        assert!(same(&value, &value));
        for other in [
            json!({"a": [1, 0.1, "x"]}),
            json!({"a": [1, 0.1, "x"], "c": null}),
            json!({"a": [1, 0.1], "b": null}),
            json!({"a": [1, 0.100_001, "x"], "b": null}),
            json!({"a": [1, -0.1, "x"], "b": null}),
            json!({"a": [2, 0.1, "x"], "b": null}),
        ] {
            assert!(!same(&value, &other), "{other}");
        }
    }
}
