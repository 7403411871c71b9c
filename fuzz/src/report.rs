//! A zip that anybody may have made.

use std::io::Cursor;

use report_reader::bounded_json::Budget;
use report_reader::{Archive, LIMITS, Limits, METRICS, ReadError};
use serde_json::Value;

use crate::memory::most_held;

/// Limits that an input of a few kilobytes can reach.
const SMALL: Limits = Limits {
    file_bytes: 16 << 10,
    members: 8,
    nested_members: 16,
    member_bytes: 4 << 10,
    total_bytes: 6 << 10,
    text_bytes: 2 << 10,
    kept_bytes: 3 << 10,
    ratio: 200,
    directory_bytes: 64 << 10,
    reports: 4,
};
const SMALL_BUDGET: usize = 64 << 10;
/// What reading takes beside what it keeps: a piece of the file, the unpacker's window, the zip's directory.
const MAX_OVERHEAD_BYTES: usize = 1 << 20;
/// An error is for a terminal: a member's name, escaped, and a sentence about it.
const MAX_ERROR_BYTES: usize = 4 << 10;

/// Reads a zip as a report, within small limits and those of a report that is judged.
///
/// # Panics
///
/// When a limit is broken, by what was kept or by the memory that it took; when names lead astray; when an error is no line for a
/// terminal; or when what passes the small limits does not pass the large ones.
pub fn report_zip(bytes: &[u8]) {
    let within_small = read(bytes, SMALL, SMALL_BUDGET, 4 * SMALL.kept_bytes);
    let within_large = read(bytes, LIMITS, 20 << 20, 4 * LIMITS.kept_bytes);
    if let Some(small) = within_small {
        assert_eq!(Some(small), within_large);
    }
}

/// The name and the evidence of each report, if all are good ones.
fn read(bytes: &[u8], limits: Limits, budget: usize, kept: usize) -> Option<Vec<(String, Value, Value)>> {
    let directories = 4 * limits.directory_bytes as usize;
    let allowed = 2 * bytes.len() + kept + budget + directories + MAX_OVERHEAD_BYTES;
    let (evidence, most) = most_held(|| {
        let mut archive = Archive::open(Cursor::new(bytes), limits)?;
        let mut budget = Budget::of(budget);
        let reports = (0..archive.len()).map(|report| {
            let (metrics, members) = archive.read(report)?.into_evidence(&mut budget)?;
            Ok((archive.name(report).to_owned(), metrics, members))
        });
        reports.collect::<Result<Vec<_>, ReadError>>()
    });
    assert!(most <= allowed, "{most} bytes taken, {allowed} are allowed");
    match evidence {
        Ok(reports) => {
            assert!(reports.len() <= limits.reports);
            for (_, _, members) in &reports {
                assert_within(members, &limits);
            }
            Some(reports)
        }
        Err(error) => {
            let error = described(&error);
            assert!(error.len() <= MAX_ERROR_BYTES, "{} bytes: {error}", error.len());
            assert!(!error.contains(char::is_control), "{error:?}");
            None
        }
    }
}

/// The error and its causes in one line.
fn described(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", described(source)),
        None => error.to_string(),
    }
}

fn assert_within(members: &Value, limits: &Limits) {
    let members = members.as_object().expect("members are an object");
    assert!(members.contains_key(METRICS) && members.len() <= limits.members);
    let (mut total, mut kept) = (0, 0);
    for (name, member) in members {
        let astray = name.starts_with('/') || name.split('/').any(|part| matches!(part, "" | "." | ".."));
        assert!(!astray && !name.contains(['\\', '\0', '\n']), "{name:?}");
        let bytes = member["bytes"].as_u64().expect("every member has a size");
        assert!(bytes <= limits.member_bytes);
        total += bytes;
        if let Some(text) = member["text"].as_str() {
            // JSON may have been in UTF-16.
            assert!(text.len() as u64 == bytes || name.to_lowercase().ends_with(".json"));
            kept += text.len();
        }
    }
    assert!(total <= limits.total_bytes && kept <= 2 * limits.kept_bytes);
}
