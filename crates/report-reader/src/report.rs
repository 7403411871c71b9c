//! The files of one report, from a zip or from a directory, and what they say.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::{Value, json};

use crate::bounded_json::{self, Budget, ParseError};
use crate::error::{ensure, quoted};
use crate::{Archive, LIMITS, Limits, OpenError, ReadError, names, text};

/// The metrics' member.
pub const METRICS: &str = "runtime-metrics.json";

/// A report's members by name.
#[derive(Debug, Default)]
pub struct ReportFiles {
    members: BTreeMap<String, Content>,
}

/// What a member holds.
#[derive(Debug)]
pub(crate) struct Content {
    /// Its size.
    pub(crate) bytes: usize,
    /// Its text; no check reads anything else.
    pub(crate) text: Option<String>,
}

/// What may still be read of a member.
#[derive(Debug)]
pub(crate) struct Left {
    /// In all.
    pub(crate) bytes: u64,
    /// Of text.
    pub(crate) kept: usize,
}

impl ReportFiles {
    /// Reads the one report of a zip, within [`LIMITS`]. A zip without metrics is read as a report without metrics.
    ///
    /// # Errors
    /// If there is no such file, if it cannot be read as a report, or if it holds several.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let read = || {
            let mut archive = Archive::open(File::open(path)?, LIMITS)?;
            match archive.len() {
                0 => archive.read_top(),
                1 => archive.read(0),
                several => Err(ReadError::Refused(format!("{several} reports in one zip"))),
            }
        };
        read().map_err(|source| OpenError {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads the files of a directory as those of a report. Links, subdirectories and what tools add are left out.
    ///
    /// # Errors
    /// If a file cannot be read, or breaks a limit.
    pub fn read_dir(dir: &Path, limits: &Limits) -> Result<Self, ReadError> {
        let mut files = Self::default();
        let (mut left, mut kept) = (limits.total_bytes, limits.kept_bytes);
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(Some(path)) = names::normalized(&name) else {
                continue;
            };
            if !entry.file_type()?.is_file() {
                ensure!(
                    !names::is_metrics(&path),
                    "{} is a link or no file, which is not followed",
                    quoted(&path)
                );
                continue;
            }
            let most = limits.members;
            ensure!(
                files.members.len() < most,
                "more than {most} files in one directory"
            );
            let name = names::canonical(&path);
            let mut room = Left {
                bytes: limits.member_bytes.min(left),
                kept: limits.text_bytes.min(kept),
            };
            let content = scan(File::open(entry.path())?, name, &path, &mut room)?;
            left -= content.bytes as u64;
            kept -= content.text.as_ref().map_or(0, String::len).min(kept);
            let repeated = files.insert(name, content);
            ensure!(repeated.is_none(), "two files have one name: {}", quoted(name));
        }
        Ok(files)
    }

    pub(crate) fn insert(&mut self, name: &str, content: Content) -> Option<Content> {
        self.members.insert(name.to_owned(), content)
    }

    /// The evidence's `metrics` and `members` of this report.
    ///
    /// # Errors
    /// If it has no metrics, or if a member is not what its name says, or holds more than the budget pays for.
    pub fn into_evidence(self, budget: &mut Budget) -> Result<(Value, Value), ReadError> {
        let mut metrics = None;
        let mut members = serde_json::Map::new();
        for (name, Content { bytes, text }) in self.members {
            let mut entry = json!({"bytes": bytes});
            // Other files of JSON may have been put next to the client's: a log of one object a line is no fault of the client.
            let is_json = is_json(&name) && names::is_canonical(&name);
            match text {
                None if is_json => {
                    return Err(ReadError::Invalid(format!("{} is not text", quoted(&name))));
                }
                None => {}
                Some(text) if is_json => {
                    let value = json_member(&name, &text, budget)?;
                    if name == METRICS {
                        metrics = Some(value);
                    } else {
                        entry["json"] = value;
                    }
                }
                Some(text) => match bounded_json::parse(text.as_bytes(), budget) {
                    Ok(value) => entry["json"] = value,
                    Err(_) => {
                        let kept = budget.keep(&text);
                        kept.map_err(|error| ReadError::Refused(format!("{}: {error}", quoted(&name))))?;
                        entry["text"] = text.into();
                    }
                },
            }
            members.insert(name, entry);
        }
        let metrics = metrics.ok_or_else(|| ReadError::Invalid(format!("the report has no {METRICS}")))?;
        bound_figures(&metrics)?;
        Ok((metrics, Value::Object(members)))
    }
}

fn is_json(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".json")
}

fn json_member(name: &str, text: &str, budget: &mut Budget) -> Result<Value, ReadError> {
    let shown = if name == METRICS {
        name.to_owned()
    } else {
        quoted(name)
    };
    ensure!(!text::is_html(text), "{shown} is HTML, not the report");
    // Strictly: what people put around JSON is forgiven to text that they pasted, not to a client.
    let text = text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    bounded_json::parse(text.as_bytes(), budget).map_err(|error| {
        let message = format!("{shown} cannot be read as JSON: {error}");
        match error {
            ParseError::Syntax(_) | ParseError::TextBehind => ReadError::Invalid(message),
            ParseError::TooMuch | ParseError::TooDeep | ParseError::DuplicateKey(_) => {
                ReadError::Refused(message)
            }
        }
    })
}

/// Reads a runtime-metrics.json that is not in a report: a file of its own, or text that was pasted.
///
/// # Errors
/// If it is not such a file. What the client must have written so is its fault; anything else is the file's.
pub fn bare_metrics(bytes: Vec<u8>, budget: &mut Budget) -> Result<Value, ReadError> {
    let refused = |message: &str| Err(ReadError::Refused(message.to_owned()));
    let Some(text) = text::decoded(bytes) else {
        return refused("it is neither a zip nor text");
    };
    if text::is_html(&text) {
        return refused(
            "this is HTML: the download page, not the report. Sign in there, and save the attachment",
        );
    }
    let json = text::json_part(&text);
    if text::is_base64_zip(&json) {
        return refused("this is a zip in Base64, as in a mail's source: save the attachment, and give that");
    }
    if !json.starts_with(['{', '[']) {
        return refused(
            "this is text, neither a zip nor JSON: give the report's zip, or its runtime-metrics.json",
        );
    }
    let value = match bounded_json::parse(json.as_bytes(), budget) {
        Ok(value) => value,
        // A client's printer writes such numbers. Anything else may have been changed where the text was copied.
        Err(ParseError::Syntax(error))
            if text::has_number_that_json_has_not(&json)
                || error.to_string().starts_with("number out of range") =>
        {
            return Err(ReadError::Invalid(format!("it cannot be read as JSON: {error}")));
        }
        Err(ParseError::Syntax(error)) if error.is_eof() => {
            return Err(ReadError::Refused(format!(
                "it is JSON that was cut off: {error}"
            )));
        }
        Err(ParseError::Syntax(error)) if text::mentions_metrics(&json) => {
            return Err(ReadError::Refused(format!(
                "it cannot be read as JSON: {error}; was it changed where it was copied? Give the report's zip"
            )));
        }
        Err(error) => return Err(ReadError::Refused(format!("it cannot be read as JSON: {error}"))),
    };
    match text::other_json(&value) {
        Some(other) => refused(other),
        None => {
            bound_figures(&value)?;
            Ok(value)
        }
    }
}

/// Refuses figures of more threads than judging takes in bounded time. No system runs as many in one process by default.
fn bound_figures(metrics: &Value) -> Result<(), ReadError> {
    const MOST: usize = 20_000;
    let threads = metrics["threads"].as_array().map_or(0, Vec::len);
    let missing = metrics["missing"].as_object().map_or(0, serde_json::Map::len);
    let figures = threads.max(missing);
    ensure!(
        figures <= MOST,
        "{figures} figures in one list, at most {MOST} are judged"
    );
    Ok(())
}

/// Reads to the end, and keeps text. The declared size may lie: one byte more than allowed is enough to know. What was read is
/// taken from what is left, whether or not it can be used.
pub(crate) fn scan(file: impl Read, name: &str, path: &str, left: &mut Left) -> Result<Content, ReadError> {
    let (mut kept, mut bytes, mut is_kept) = (Vec::new(), 0, true);
    // JSON may be in another encoding; of other members, the bytes up to here are known to be UTF-8.
    let (is_json, mut known) = (is_json(name), 0);
    let mut chunk = [0; 16 << 10];
    let allowed = left.bytes;
    let mut file = file.take(allowed + 1);
    loop {
        let read = file
            .read(&mut chunk)
            .map_err(|error| ReadError::damaged(path, error))?;
        if read == 0 {
            break;
        }
        bytes += read;
        left.bytes = allowed.saturating_sub(bytes as u64);
        if !is_kept {
            continue;
        }
        if kept.len() <= left.kept {
            kept.extend_from_slice(&chunk[..read]);
        }
        if is_json {
            continue;
        }
        match std::str::from_utf8(&kept[known..]) {
            Ok(_) => known = kept.len(),
            // A character is cut at the end of the chunk; what follows completes it.
            Err(error) if error.error_len().is_none() => known += error.valid_up_to(),
            Err(_) => (is_kept, kept) = (false, Vec::new()),
        }
    }
    let shown = quoted(path);
    ensure!(
        bytes as u64 <= allowed,
        "{shown} has more than {allowed} bytes, or than it declares"
    );
    let text = match is_json {
        _ if !is_kept => None,
        _ if bytes > left.kept => {
            return Err(ReadError::Refused(format!(
                "{shown} is text of {bytes} bytes: too long to be judged"
            )));
        }
        true => text::decoded(kept),
        false => String::from_utf8(kept).ok(),
    };
    Ok(Content { bytes, text })
}
