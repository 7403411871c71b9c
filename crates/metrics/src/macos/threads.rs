//! The living threads: id, name and CPU clock.

use super::kernel::{KernReturn, Kernel, ThreadExtendedInfo};
use super::rights::{SendRight, task_threads};
use super::stamped;
use crate::snapshot::{CpuReading, ThreadReading};

/// Every thread that can be told apart from a dead one. Each right is released as soon as its thread has been
/// read.
pub(super) fn read(kernel: &dyn Kernel) -> Result<Vec<ThreadReading>, String> {
    let rights = task_threads(kernel).map_err(|why| format!("task_threads: {why}"))?;
    let mut threads = Vec::with_capacity(rights.len());
    let mut nameless = None;
    for right in rights {
        match read_one(kernel, &right) {
            Ok(thread) => threads.push(thread),
            Err(why) => nameless = Some(why),
        }
    }
    // The calling thread is alive and must be among them.
    if threads.is_empty() {
        let why = nameless.map_or("the list is empty".to_owned(), |why| {
            format!("THREAD_IDENTIFIER_INFO: {why}")
        });
        return Err(format!("task_threads lists no living thread: {why}"));
    }
    Ok(threads)
}

/// Fails for a thread that has no id to report it under, which in practice is one that is ending: depending
/// on how far it is, the kernel answers KERN_TERMINATED, KERN_INVALID_ARGUMENT or MACH_SEND_INVALID_DEST.
///
/// The clock comes first and the id second. An id proves that the thread was alive all the while, and that a
/// clock which could not be read is worth reporting.
fn read_one(kernel: &dyn Kernel, right: &SendRight<'_>) -> Result<ThreadReading, KernReturn> {
    let (info, at_ns) = stamped(kernel, || kernel.thread_extended_info(right.name()));
    let tid = kernel.thread_identifier_info(right.name())?;
    let info = info.map_err(|why| format!("THREAD_EXTENDED_INFO: {why}"));
    Ok(ThreadReading {
        tid,
        name: info.as_ref().map(name).map_err(Clone::clone),
        cpu: info.map(|info| CpuReading {
            cpu_ns: info.user_time.saturating_add(info.system_time),
            at_ns,
        }),
    })
}

fn name(info: &ThreadExtendedInfo) -> String {
    let length = info
        .name
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(info.name.len());
    String::from_utf8_lossy(&info.name[..length]).into_owned()
}
