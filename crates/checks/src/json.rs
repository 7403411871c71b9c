//! Values out of the interpreter.

use jaq_json::{Num, Val};
use serde_json::{Map, Number, Value};

/// Converts what a filter yielded. `Err` names what JSON cannot hold.
///
/// Numbers that JSON has no word for become what jq prints: the greatest finite number for infinity, `null` for NaN. A
/// hostile figure (1e308, twice) then fails its own check instead of ending the judgement.
pub(crate) fn from_val(val: &Val) -> Result<Value, &'static str> {
    Ok(match val {
        Val::Null => Value::Null,
        Val::Bool(bool) => Value::Bool(*bool),
        Val::Num(num) => from_num(num),
        Val::TStr(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        Val::BStr(_) => return Err("a byte string"),
        Val::Arr(values) => Value::Array(values.iter().map(from_val).collect::<Result<_, _>>()?),
        Val::Obj(entries) => {
            let mut object = Map::new();
            for (key, value) in entries.iter() {
                let Value::String(key) = from_val(key)? else {
                    return Err("an object with a key that is no text");
                };
                object.insert(key, from_val(value)?);
            }
            Value::Object(object)
        }
    })
}

fn from_num(num: &Num) -> Value {
    match num {
        Num::Int(int) => Value::from(*int),
        Num::Float(float) => from_float(*float),
        // Decimals and integers beyond a machine word print as their digits.
        Num::BigInt(_) | Num::Dec(_) => {
            let digits = num.to_string();
            digits.parse().map_or_else(
                |_| from_float(digits.parse().unwrap_or(f64::NAN)),
                |word: u64| Value::from(word),
            )
        }
    }
}

fn from_float(float: f64) -> Value {
    Number::from_f64(float.clamp(f64::MIN, f64::MAX)).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_survives_the_way_in_and_out() {
        let numbers = json!([1, -1, 0.5, 1e300, u64::MAX, i64::MIN]);
        let value = json!({"a": numbers, "b": ["ü\u{0}\n", null, true, {}, []], "": {"c": []}});
        let val: Val = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(from_val(&val), Ok(value));
    }

    #[test]
    fn numbers_that_json_cannot_hold_become_what_jq_prints() {
        let float = |float| from_val(&Val::from(float)).unwrap();
        assert_eq!(float(f64::INFINITY), json!(f64::MAX));
        assert_eq!(float(f64::NEG_INFINITY), json!(f64::MIN));
        assert_eq!(float(f64::NAN), json!(null));
        let huge = Val::Num(Num::from_str_radix(&"9".repeat(400), 10).unwrap());
        assert_eq!(from_val(&huge), Ok(json!(f64::MAX)));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert_eq!(from_val(&Val::byte_str("bytes")), Err("a byte string"));
        let object = Val::obj([(Val::from(1isize), Val::Null)].into_iter().collect());
        assert_eq!(from_val(&object), Err("an object with a key that is no text"));
    }
}
