//! Opens what a path names: a zip, a bare runtime-metrics.json, or one of them on standard input.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use report_reader::bounded_json::{self, Budget};
use report_reader::{LIMITS, ReportZip};
use rustix::fs::OFlags;
use serde_json::Value;

use crate::error::RunError;

/// The metrics, and the members where there is a zip.
pub(super) fn report(path: &Path, budget: &mut Budget) -> Result<(Value, Option<Value>)> {
    let mut read = || {
        let file = if path == Path::new("-") {
            spooled(std::io::stdin().lock())?
        } else {
            opened(path)?
        };
        parse(file, budget)
    };
    read().with_context(|| shown(path))
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// Without waiting: opening a named pipe would wait for somebody to write to it.
fn opened(path: &Path) -> Result<File> {
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let kind = file.metadata()?.file_type();
    let other = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe (`-` reads from standard input)"
    } else if kind.is_file() {
        return Ok(file);
    } else {
        "no regular file"
    };
    bail!("it is {other}, and no report")
}

/// What comes through a pipe cannot be read twice: it goes to a file without a name.
fn spooled(mut input: impl Read) -> Result<File> {
    ensure!(
        !std::io::stdin().is_terminal(),
        "it is a terminal: give it a report, as in `cargo xtask verify-report - < A.zip`"
    );
    let mut file = tempfile::tempfile().context("cannot keep it")?;
    let limit = LIMITS.file_bytes;
    let copied = std::io::copy(&mut input.by_ref().take(limit + 1), &mut file)?;
    ensure!(copied <= limit, "more than {limit} bytes");
    file.flush()?;
    Ok(file)
}

fn parse(mut file: File, budget: &mut Budget) -> Result<(Value, Option<Value>)> {
    file.rewind()?;
    let mut start = [0; 64];
    let read = file.read(&mut start)?;
    ensure!(read > 0, "it is empty");
    file.rewind()?;
    let first = start[..read].iter().find(|byte| !byte.is_ascii_whitespace());
    if matches!(first, Some(b'{' | b'[')) {
        return Ok((bare(file, budget)?, None));
    }
    let report = ReportZip::read(file, LIMITS)?;
    let (metrics, members) = report.into_evidence(budget).map_err(RunError::from)?;
    Ok((metrics, Some(members)))
}

fn bare(file: File, budget: &mut Budget) -> Result<Value> {
    let limit = LIMITS.text_bytes;
    let mut text = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut text)?;
    ensure!(text.len() <= limit, "more than {limit} bytes of JSON");
    bounded_json::parse(&text, budget)
        .map_err(|error| RunError::Client(format!("it cannot be read as JSON: {error}")).into())
}
