//! The living threads: id, name and CPU clock.
//!
//! A thread costs two messages to the kernel at the start of a window, for its clock and its id, and one at its end:
//! the rights of the start are held until then, so that a name which is listed again denotes the same thread and its
//! id is known. Two system calls give the rights back.

use super::kernel::{KernReturn, Kernel, Name as PortName, ThreadExtendedInfo};
use super::rights::{SendRight, task_threads};
use super::stamped;
use crate::name::Name;
use crate::snapshot::{CpuReading, ThreadReading};

/// The threads of a listing, by port: what holds as long as their rights are held. Ascending by port name.
pub(super) struct Listed<'k>(Vec<(SendRight<'k>, Option<u64>)>);

impl<'k> Listed<'k> {
    /// No listing.
    pub(super) fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Reads every thread that can be told apart from a dead one. The ids of those that are listed in `earlier` too
    /// are known from there.
    pub(super) fn read(
        kernel: &'k dyn Kernel,
        earlier: &Listed<'_>,
        threads: &mut Vec<ThreadReading>,
    ) -> Result<Self, String> {
        threads.clear();
        let rights = task_threads(kernel).map_err(|why| format!("task_threads: {why}"))?;
        let mut listed = Vec::with_capacity(rights.len());
        let mut nameless = None;
        for right in rights {
            let read = read_one(kernel, &right, earlier.tid_of(right.name()));
            let tid = read.as_ref().ok().map(|thread| thread.tid);
            match read {
                Ok(thread) => threads.push(thread),
                Err(why) => nameless = Some(why),
            }
            listed.push((right, tid));
        }
        // The calling thread is alive and must be among them.
        if threads.is_empty() {
            let why = nameless.map_or("the list is empty".to_owned(), |why| {
                format!("THREAD_IDENTIFIER_INFO: {why}")
            });
            return Err(format!("task_threads lists no living thread: {why}"));
        }
        listed.sort_unstable_by_key(|(right, _)| right.name());
        Ok(Self(listed))
    }

    fn tid_of(&self, port: PortName) -> Option<u64> {
        let index = self
            .0
            .binary_search_by_key(&port, |(right, _)| right.name())
            .ok()?;
        self.0[index].1
    }
}

/// Fails for a thread that has no id to report it under, which in practice is one that is ending: depending
/// on how far it is, the kernel answers KERN_TERMINATED, KERN_INVALID_ARGUMENT or MACH_SEND_INVALID_DEST.
///
/// The clock comes first and the id second. An id proves that the thread was alive all the while, and that a
/// clock which could not be read is worth reporting. A clock that was read proves as much of a thread whose id is
/// known.
fn read_one(
    kernel: &dyn Kernel,
    right: &SendRight<'_>,
    known: Option<u64>,
) -> Result<ThreadReading, KernReturn> {
    let (info, stamp) = stamped(kernel, || kernel.thread_extended_info(right.name()));
    let tid = match known.filter(|_| info.is_ok()) {
        Some(tid) => tid,
        None => kernel.thread_identifier_info(right.name())?,
    };
    let info = info.map_err(|why| format!("THREAD_EXTENDED_INFO: {why}"));
    Ok(ThreadReading {
        tid,
        name: Some(info.as_ref().map(name).map_err(Clone::clone)),
        cpu: info.map(|info| CpuReading {
            cpu_ns: info.user_time.saturating_add(info.system_time),
            at_ns: stamp.middle_ns(),
        }),
    })
}

fn name(info: &ThreadExtendedInfo) -> Name {
    let ends = info.name.iter().position(|byte| *byte == 0);
    Name::new(&info.name[..ends.unwrap_or(info.name.len())])
}
