//! A zip that anybody may have made.

use std::io::Cursor;

use report_reader::bounded_json::Budget;
use report_reader::{LIMITS, Limits, METRICS, ReportZip};
use serde_json::Value;

use crate::memory::most_held;

/// Limits that an input of a few kilobytes can reach.
const SMALL: Limits = Limits {
    file_bytes: 16 << 10,
    members: 8,
    member_bytes: 4 << 10,
    total_bytes: 6 << 10,
    text_bytes: 2 << 10,
    kept_bytes: 3 << 10,
    ratio: 200,
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

/// The evidence, where the report is a good one.
fn read(bytes: &[u8], limits: Limits, budget: usize, kept: usize) -> Option<(Value, Value)> {
    let allowed = 2 * bytes.len() + kept + budget + MAX_OVERHEAD_BYTES;
    let (evidence, most) = most_held(|| {
        let report = ReportZip::read(Cursor::new(bytes), limits).map_err(|error| {
            let source = std::error::Error::source(&error);
            source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
        })?;
        let evidence = report.into_evidence(&mut Budget::of(budget));
        evidence.map_err(|error| error.to_string())
    });
    assert!(most <= allowed, "{most} bytes taken, {allowed} are allowed");
    match evidence {
        Ok((metrics, members)) => {
            assert_within(&members, &limits);
            Some((metrics, members))
        }
        Err(error) => {
            assert!(error.len() <= MAX_ERROR_BYTES, "{} bytes: {error}", error.len());
            assert!(!error.contains(char::is_control), "{error:?}");
            None
        }
    }
}

fn assert_within(members: &Value, limits: &Limits) {
    let members = members.as_object().expect("members are an object");
    assert!(members.contains_key(METRICS) && members.len() <= limits.members);
    let (mut total, mut kept) = (0, 0);
    for (name, member) in members {
        let astray = name.starts_with('/') || name.split('/').any(|part| matches!(part, "" | "." | ".."));
        assert!(!astray && !name.contains(['\\', '\0', ':', '\n']), "{name:?}");
        let bytes = member["bytes"].as_u64().expect("every member has a size");
        assert!(bytes <= limits.member_bytes);
        total += bytes;
        if let Some(text) = member["text"].as_str() {
            assert_eq!(text.len() as u64, bytes);
            kept += text.len();
        }
    }
    assert!(total <= limits.total_bytes && kept <= limits.kept_bytes);
}
