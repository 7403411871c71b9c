//! Reports in zips, made by the library and by byte edits.

mod archive;
mod report;

use std::io::{Cursor, Write};

use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::bounded_json::Budget;
use crate::{Archive, Limits, METRICS, ReadError, ReportFiles};

const SMALL: Limits = Limits {
    file_bytes: 8 << 20,
    members: 4,
    nested_members: 6,
    member_bytes: 3 << 20,
    total_bytes: 4 << 20,
    text_bytes: 1 << 20,
    kept_bytes: 3 << 19,
    ratio: 200,
    directory_bytes: 1 << 20,
    reports: 2,
};

const GOOD: &[(&str, &[u8])] = &[(METRICS, b"{}")];

/// The names of a zip's reports, and the members of each.
type Found = Vec<(String, Value)>;

fn read(bytes: &[u8]) -> Result<Found, ReadError> {
    let mut archive = Archive::open(Cursor::new(bytes), SMALL)?;
    let reports = (0..archive.len()).map(|report| {
        let (_, members) = archive.read(report)?.into_evidence(&mut Budget::default())?;
        Ok((archive.name(report).to_owned(), members))
    });
    reports.collect()
}

fn names(bytes: &[u8]) -> Vec<String> {
    let found = read(bytes).unwrap_or_else(|error| panic!("{}", described(&error)));
    found.into_iter().map(|(name, _)| name).collect()
}

/// The error and its causes in one line.
fn described(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", described(source)),
        None => error.to_string(),
    }
}

fn refusal(bytes: &[u8]) -> String {
    described(&read(bytes).expect_err("refused"))
}

fn zipped(members: &[(&str, &[u8])]) -> Vec<u8> {
    zipped_by(CompressionMethod::Deflated, members)
}

fn zipped_by(method: CompressionMethod, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, content) in members {
        zip.start_file(*name, options).expect("a member");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}

/// Overwrites every occurrence of `from`, as an attacker would after zipping.
fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let found: Vec<usize> = memchr::memmem::find_iter(&bytes, from).collect();
    assert!(!found.is_empty() && from.len() == to.len());
    for at in found {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}
