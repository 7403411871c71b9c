//! The end of a zip (APPNOTE 4.3.14 to 4.3.16), read before the library does: the numbers in it decide what the library allocates.

use std::io::{Read, Seek, SeekFrom};

use memchr::memmem;

use crate::ReadError;
use crate::error::ensure;

const END: &[u8] = b"PK\x05\x06";
const END_BYTES: usize = 22;
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";
const ZIP64_LOCATOR_BYTES: usize = 20;
const ZIP64_END: &[u8] = b"PK\x06\x06";
const ZIP64_END_BYTES: usize = 56;
const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
/// The first part of a zip that was split begins with it.
const SPLIT: &[u8] = b"PK\x07\x08";

/// The library searches this far from the end of the file: the end record, the longest comment, and as many bytes behind it.
const TAIL_BYTES: u64 = 128 << 10;

/// Checks that the file ends as a zip does, and that no end record that the library may take declares too many members.
///
/// Bytes behind the end record are allowed, as `unzip` allows them (a newline, a mail's footer), unless they belong to another zip:
/// then the file is the first part of a zip that holds a zip.
pub(crate) fn check(
    file: &mut (impl Read + Seek),
    start: &[u8],
    max_members: usize,
) -> Result<(), ReadError> {
    let one_part = "it is one part of a zip that was split: join the parts, and give the whole";
    ensure!(start != SPLIT, "{one_part}");
    let file_bytes = file.seek(SeekFrom::End(0))?;
    let tail_start = file.seek(SeekFrom::Start(file_bytes.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    let mut last = None;
    for at in memmem::find_iter(&tail, END) {
        if at + END_BYTES > tail.len() {
            continue;
        }
        let locator = at.checked_sub(ZIP64_LOCATOR_BYTES);
        let members = match locator.filter(|locator| tail[*locator..].starts_with(ZIP64_LOCATOR)) {
            Some(locator) => zip64_members(&tail, tail_start, locator)?,
            None => u64::from(u16::from_le_bytes([tail[at + 10], tail[at + 11]])),
        };
        ensure!(
            members <= max_members as u64,
            "{members} members, at most {max_members} are read"
        );
        last = Some(at);
    }
    let Some(at) = last else {
        return Err(ReadError::Refused(
            "not a whole zip: it has no end record; was the download cut off?".to_owned(),
        ));
    };
    // 0xffff says: see the zip64 end record.
    ensure!(
        matches!(u16::from_le_bytes([tail[at + 4], tail[at + 5]]), 0 | 0xffff),
        "{one_part}"
    );
    let comment_bytes = usize::from(u16::from_le_bytes([tail[at + 20], tail[at + 21]]));
    let behind = tail.get(at + END_BYTES + comment_bytes..).unwrap_or_default();
    let is_part_of_a_zip = [b"PK\x01\x02", LOCAL_HEADER, END]
        .iter()
        .any(|signature| memmem::find(behind, signature).is_some());
    ensure!(
        !is_part_of_a_zip,
        "not a whole zip: the last end record is that of a zip inside it; was the download cut off?"
    );
    Ok(())
}

/// The number of members in the zip64 end record, which must stand before its locator: the library searches for it otherwise.
fn zip64_members(tail: &[u8], tail_start: u64, locator: usize) -> Result<u64, ReadError> {
    let word = |at: usize| {
        tail[at..at + 8]
            .try_into()
            .map(u64::from_le_bytes)
            .unwrap_or(u64::MAX)
    };
    let record = locator
        .checked_sub(ZIP64_END_BYTES)
        .filter(|record| tail[*record..].starts_with(ZIP64_END))
        .filter(|record| word(locator + 8) == tail_start + *record as u64);
    let record = record.ok_or_else(|| {
        ReadError::Refused("not a whole zip: its zip64 end record is not where it should be".to_owned())
    })?;
    Ok(word(record + 32))
}

/// True if a file begins as a zip does.
pub(crate) fn begins_as_zip(start: &[u8]) -> bool {
    start.starts_with(LOCAL_HEADER) || start.starts_with(END)
}
