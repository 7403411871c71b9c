//! Text as it arrives: its encoding, what was put around the JSON, and files that are something else.

use std::borrow::Cow;

use serde_json::Value;

use crate::end_record::begins_as_zip;

/// The text of a file in UTF-8, or in UTF-16 of either byte order, with or without a byte order mark.
#[must_use]
pub fn decoded(mut bytes: Vec<u8>) -> Option<String> {
    match *bytes.as_slice() {
        [0xef, 0xbb, 0xbf, ..] => {
            bytes.drain(..3);
            String::from_utf8(bytes).ok()
        }
        [0xff, 0xfe, ..] => utf16(&bytes[2..], u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(&bytes[2..], u16::from_be_bytes),
        // JSON begins with an ASCII character.
        [1..=0x7f, 0, ..] => utf16(&bytes, u16::from_le_bytes),
        [0, 1..=0x7f, ..] => utf16(&bytes, u16::from_be_bytes),
        _ => String::from_utf8(bytes).ok(),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|pair| unit(*pair));
    let text: Result<String, _> = char::decode_utf16(units).collect();
    text.ok().filter(|_| rest.is_empty())
}

/// The JSON in a text: without blanks around it, without the Markdown code fence that it may stand in, and with spaces in the place
/// of the no-break spaces and the like that mail programs and chats indent with.
#[must_use]
pub fn json_part(text: &str) -> Cow<'_, str> {
    let text = text.trim_matches(is_blank);
    if text.starts_with(['{', '[']) {
        return with_spaces(text);
    }
    with_spaces(fenced(text).map_or(text, |inside| inside.trim_matches(is_blank)))
}

/// Blank to people; JSON itself knows only the space, the tab and the two line ends (RFC 8259, section 2).
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\0' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// JSON with a space for each blank between its tokens that JSON does not know.
fn with_spaces(json: &str) -> Cow<'_, str> {
    let is_foreign = |c: char| is_blank(c) && !matches!(c, ' ' | '\t' | '\n' | '\r');
    if !json.contains(is_foreign) {
        return json.into();
    }
    let (mut in_string, mut is_escaped) = (false, false);
    let spaced = json.chars().map(|c| {
        match c {
            '"' if !is_escaped => in_string = !in_string,
            c if !in_string && is_foreign(c) => return ' ',
            _ => {}
        }
        is_escaped = c == '\\' && !is_escaped;
        c
    });
    spaced.collect()
}

/// The lines between the first code fence and the next one.
fn fenced(text: &str) -> Option<&str> {
    let is_fence = |line: &str| {
        let line = line.trim_start();
        line.starts_with("```") || line.starts_with("~~~")
    };
    let mut begin = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        match begin {
            None if is_fence(line) => begin = Some(at + line.len()),
            Some(begin) if is_fence(line) => return Some(&text[begin..at]),
            // Behind a file without a newline at its end. No line of JSON ends so: a string is closed on its own line.
            Some(begin) => {
                if let Some(line) = line.trim_end().strip_suffix("```") {
                    return Some(&text[begin..at + line.len()]);
                }
            }
            None => {}
        }
        at += line.len();
    }
    begin.map(|begin| &text[begin..])
}

/// True if a text is a web page.
#[must_use]
pub fn is_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(200).collect();
    let start = start.to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<head")
}

/// True if a text is a zip as a mail carries it. A zip begins with `PK\x03\x04`.
pub(crate) fn is_base64_zip(text: &str) -> bool {
    text.starts_with("UEsDB")
}

/// The keys of a runtime-metrics.json.
const METRICS_KEYS: &[&str] = &["process", "threads", "platform", "available", "sample_window_ms"];

/// True if a text that is not JSON seems to be a runtime-metrics.json all the same.
pub(crate) fn mentions_metrics(text: &str) -> bool {
    METRICS_KEYS
        .iter()
        .any(|key| text.contains(&format!("\"{key}\"")))
}

/// True if a text has a value that some printers write for a number, and JSON does not have.
pub(crate) fn has_number_that_json_has_not(text: &str) -> bool {
    const NUMBERS: &[&str] = &["NaN", "nan", "Infinity", "inf"];
    text.match_indices(':').any(|(at, _)| {
        let value = text[at + 1..].trim_start().trim_start_matches(['-', '+']);
        NUMBERS.iter().any(|number| value.starts_with(number))
    })
}

/// What JSON is that is not a runtime-metrics.json.
pub(crate) fn other_json(value: &Value) -> Option<&'static str> {
    let has = |keys: &[&str]| keys.iter().all(|key| value.get(key).is_some());
    if has(&["schema", "verdict", "checks"]) {
        Some("this is truegauge's own results.json, not a report: give the report's zip")
    } else if has(&["reports", "thresholds"]) {
        Some("this is truegauge's own evidence.json, not a report: give the report's zip")
    } else if METRICS_KEYS.iter().any(|key| value.get(key).is_some()) {
        None
    } else if has(&["report_type"]) || has(&["platform_os"]) {
        Some("this is a report's metadata.json: give the report's zip, or its runtime-metrics.json")
    } else if has(&["connected", "surfaces"]) {
        Some("this is a report's session.json: give the report's zip, or its runtime-metrics.json")
    } else {
        Some("this is JSON, but not a runtime-metrics.json: it has neither process nor threads nor platform")
    }
}

/// True if a file that begins so may be text.
#[must_use]
pub fn is_text(start: &[u8]) -> bool {
    match start {
        _ if begins_as_zip(start) => false,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=0x7f, 0, ..] | [0, 1..=0x7f, ..] => true,
        _ => std::str::from_utf8(start).map_or_else(|error| error.error_len().is_none(), |_| true),
    }
}

/// True if a file begins as JSON does, whatever encoding the rest is in.
#[must_use]
pub fn begins_as_json(start: &[u8]) -> bool {
    start.trim_ascii_start().starts_with(b"{")
}

/// What a file is that is neither a zip nor text, by its first bytes.
#[must_use]
pub fn other_format(start: &[u8]) -> Option<&'static str> {
    const FORMATS: &[(&[u8], &str)] = &[
        (b"\x1f\x8b", "a gzip file"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"BZh", "a bzip2 file"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"\x28\xb5\x2f\xfd", "a Zstandard file"),
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"\xff\xd8\xff", "a JPEG picture"),
        (b"%PDF-", "a PDF document"),
    ];
    const TAR_AT: usize = 257;
    let format = FORMATS.iter().find(|(magic, _)| start.starts_with(magic));
    let is_tar = || start.get(TAR_AT..).is_some_and(|rest| rest.starts_with(b"ustar"));
    format
        .map(|(_, name)| *name)
        .or_else(|| is_tar().then_some("a tar archive"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn utf16_bytes(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn every_encoding_is_decoded() {
        let json = "{\"name\": \"Zoë 🦀\"}";
        for bytes in [
            json.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", json.as_bytes()].concat(),
            utf16_bytes(json, u16::to_le_bytes),
            utf16_bytes(json, u16::to_be_bytes),
            utf16_bytes(&format!("\u{feff}{json}"), u16::to_le_bytes),
            utf16_bytes(&format!("\u{feff}{json}"), u16::to_be_bytes),
        ] {
            assert_eq!(decoded(bytes).as_deref(), Some(json));
        }
        for bytes in [
            b"{\"\xff\"}".to_vec(),
            b"\xff\xfe{".to_vec(),
            b"\xff\xfe\x00\xd8".to_vec(),
        ] {
            assert_eq!(decoded(bytes), None);
        }
    }

    #[test]
    fn json_is_found_in_what_was_put_around_it() {
        for text in [
            "{\"a\": 1}",
            " \r\n\t{\"a\": 1}\r\n",
            "\u{feff}{\"a\": 1}\0",
            "```json\n{\"a\": 1}\n```",
            "```\r\n{\"a\": 1}\r\n```\r\n",
            "~~~\n{\"a\": 1}\n~~~",
            "The file says:\n\n```json\n{\"a\": 1}\n```\nSent from a telephone",
            "```json\n{\"a\": 1}",
            "```json\n{\"a\": 1}```\n",
            "\u{200b}{\"a\":\u{a0}1}",
            "```\n{\"a\":\u{2003}1}\n```",
        ] {
            assert_eq!(json_part(text), "{\"a\": 1}", "{text:?}");
        }
        assert_eq!(json_part(" no JSON "), "no JSON");
        assert_eq!(json_part("{\"a\": \"\n```\n\"}"), "{\"a\": \"\n```\n\"}");
        // Blanks in strings stay what they are.
        assert_eq!(
            json_part("{\u{a0}\"a\\\"\u{a0}\\\\\":\u{a0}\"\u{a0}\"}"),
            "{ \"a\\\"\u{a0}\\\\\": \"\u{a0}\"}"
        );
    }

    #[test]
    fn files_that_are_something_else_are_named() {
        let mut tar = vec![0; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for (start, name) in [
            (b"\x1f\x8b\x08".as_slice(), Some("a gzip file")),
            (&tar, Some("a tar archive")),
            (b"PK\x03\x04", None),
            (b"{}", None),
            (b"", None),
        ] {
            assert_eq!(other_format(start), name);
        }
        for (start, text) in [
            (b"{}".as_slice(), true),
            (b"\xc3", true),
            (b"\xff\xfe{", true),
            (b"{\0}\0", true),
            (b"\xff\xff", false),
            (b"PK\x03\x04 all of it is ASCII", false),
        ] {
            assert_eq!(is_text(start), text, "{start:?}");
        }
        for (text, html) in [
            ("<!DOCTYPE html><html>", true),
            ("\n <HTML lang=en>", true),
            ("<svg/>", false),
            ("{\"a\": \"<html>\"}", false),
        ] {
            assert_eq!(is_html(text), html, "{text}");
        }
    }

    #[test]
    fn other_json_is_named() {
        for (value, said) in [
            (
                json!({"schema": 1, "verdict": "pass", "checks": [], "environment": {}}),
                "results.json",
            ),
            (
                json!({"schema": 1, "reports": [], "thresholds": {}}),
                "evidence.json",
            ),
            (json!({"report_type": "manual"}), "metadata.json"),
            (json!({"connected": true, "surfaces": []}), "session.json"),
            (json!([]), "not a runtime-metrics.json"),
        ] {
            assert!(
                other_json(&value).is_some_and(|other| other.contains(said)),
                "{said}"
            );
        }
        assert_eq!(
            other_json(&json!({"platform": "linux", "available": false})),
            None
        );
    }

    proptest! {
        #[test]
        fn any_text_is_decoded_from_its_own_bytes(text in "[ -~]\\PC*") {
            prop_assert_eq!(decoded(text.clone().into_bytes()), Some(text.clone()));
            let wide = utf16_bytes(&text, u16::to_le_bytes);
            prop_assert_eq!(decoded(wide), Some(text));
        }

        #[test]
        fn any_text_has_a_json_part(text in "[`~\\n {a]*") {
            prop_assert!(text.contains(&*json_part(&text)));
        }
    }
}
