//! The resource counts on Linux, from `/proc/self` (proc(5)).

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use super::procfs;
use crate::resource_counts::ResourceCounts;
use crate::snapshot::Reading;

pub(super) fn count() -> ResourceCounts {
    let mut counts = ResourceCounts::empty();
    // The mappings first, while nothing that is needed for the rest has been allocated.
    counts.mappings = counts.note("mappings", mappings());
    counts.descriptors = counts.note("descriptors", descriptors());
    counts.threads = counts.note("threads", entries("/proc/self/task"));
    let memory = procfs::Statm::open(Path::new("/proc")).and_then(|statm| statm.memory());
    let rss_kb = memory
        .as_ref()
        .map(|memory| memory.resident_kb)
        .map_err(Clone::clone);
    counts.rss_kb = counts.note("rss_kb", rss_kb);
    counts.vm_size_kb = counts.note("vm_size_kb", memory.map(|memory| memory.virtual_kb));
    counts
}

/// The lines of `maps`, counted through a buffer on the stack: one on the heap could be a mapping itself. `self` would be the
/// main thread, which has none once it has ended.
fn mappings() -> Reading<u64> {
    let why = |error| format!("/proc/thread-self/maps: {error}");
    let mut maps = File::open("/proc/thread-self/maps").map_err(why)?;
    let mut buffer = [0; 4096];
    let mut lines = 0;
    loop {
        match maps.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => lines += buffer[..length].iter().filter(|byte| **byte == b'\n').count() as u64,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(why(error)),
        }
    }
    if lines == 0 {
        return Err("/proc/thread-self/maps is empty".to_owned());
    }
    Ok(lines)
}

/// Listing the directory takes a descriptor, which lists itself.
fn descriptors() -> Reading<u64> {
    let listed = entries("/proc/thread-self/fd")?;
    listed
        .checked_sub(1)
        .ok_or_else(|| "/proc/thread-self/fd is empty".to_owned())
}

fn entries(directory: &str) -> Reading<u64> {
    let mut count = 0;
    for entry in fs::read_dir(directory).map_err(|error| format!("{directory}: {error}"))? {
        entry.map_err(|error| format!("{directory}: {error}"))?;
        count += 1;
    }
    Ok(count)
}
