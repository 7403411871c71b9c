//! The resource counts on macOS. Every right and array that a call hands out is released before the next figure is counted.

use super::kernel::{KernReturn, Kernel, TAG_MACH_MSG, TAG_NONE, UREFS_MAX, port_type};
use super::{memory, rights};
use crate::resource_counts::{PortNames, ResourceCounts};
use crate::snapshot::Reading;

/// No process has this many descriptors.
const MAX_DESCRIPTORS: usize = 1 << 24;

pub(super) fn count(kernel: &dyn Kernel) -> ResourceCounts {
    let mut counts = ResourceCounts::empty();
    match thread_references(kernel) {
        Ok(threads) => {
            counts.threads = Some(threads.living);
            counts.excess_thread_references = Some(threads.excess);
            counts.pegged_threads = Some(threads.pegged);
        }
        Err(why) => {
            for field in ["threads", "excess_thread_references", "pegged_threads"] {
                counts.note::<u64>(field, Err(why.clone()));
            }
        }
    }
    counts.port_names = counts.note("port_names", port_names(kernel));
    counts.descriptors = counts.note("descriptors", descriptors(kernel));
    let memory = memory::read(kernel);
    counts.rss_kb = counts.note("rss_kb", memory.rss_kb);
    counts.vm_size_kb = counts.note("vm_size_kb", memory.vm_size_kb);
    counts.footprint_kb = counts.note("footprint_kb", memory.footprint_kb);
    match array_memory(kernel) {
        Ok(memory) => {
            counts.message_memory_bytes = Some(memory.message);
            counts.untagged_memory_bytes = Some(memory.untagged);
        }
        Err(why) => {
            for field in ["message_memory_bytes", "untagged_memory_bytes"] {
                counts.note::<u64>(field, Err(why.clone()));
            }
        }
    }
    counts.release_failures = Some(rights::release_failures());
    counts
}

#[derive(Default)]
struct ThreadReferences {
    living: u64,
    excess: i64,
    pegged: u64,
}

fn thread_references(kernel: &dyn Kernel) -> Reading<ThreadReferences> {
    /// The one that lists the thread here, and the thread's own.
    const EXPECTED: u32 = 2;
    let mut sum = ThreadReferences::default();
    for right in rights::task_threads(kernel).map_err(|why| format!("task_threads: {why}"))? {
        match kernel.mach_port_get_refs(right.name()) {
            // The thread has ended meanwhile: its name denotes something else than a send right now.
            Ok(0) => {}
            // A thread that was terminated releases its own reference and stays listed for a moment. A living thread
            // whose own reference was released has as few, and answers.
            Ok(references)
                if references < EXPECTED && kernel.thread_identifier_info(right.name()).is_err() => {}
            Ok(references) => {
                sum.living += 1;
                sum.excess += i64::from(references) - i64::from(EXPECTED);
                sum.pegged += u64::from(references >= UREFS_MAX);
            }
            Err(why) => return Err(format!("mach_port_get_refs: {why}")),
        }
    }
    if sum.living == 0 {
        return Err("task_threads lists no living thread, and the calling one lives".to_owned());
    }
    Ok(sum)
}

/// By `mach_port_names`, which looks whether each port is alive. `mach_port_space_info` does not: it goes on
/// calling a right to a dead port a send right until something uses it.
fn port_names(kernel: &dyn Kernel) -> Reading<PortNames> {
    const SEND_RECEIVE: u32 = port_type::SEND | port_type::RECEIVE;
    let types = rights::port_types(kernel).map_err(|why| format!("mach_port_names: {why}"))?;
    if types.is_empty() {
        return Err("mach_port_names lists nothing, and every task has names".to_owned());
    }
    let mut names = PortNames {
        total: types.len() as u64,
        ..PortNames::default()
    };
    for port_type in types {
        match port_type & port_type::RIGHTS {
            port_type::SEND => names.send += 1,
            port_type::RECEIVE => names.receive += 1,
            SEND_RECEIVE => names.send_receive += 1,
            port_type::SEND_ONCE => names.send_once += 1,
            port_type::PORT_SET => names.port_set += 1,
            port_type::DEAD_NAME => names.dead_names += 1,
            _ => {}
        }
    }
    Ok(names)
}

fn descriptors(kernel: &dyn Kernel) -> Reading<u64> {
    let mut capacity = 256;
    while capacity <= MAX_DESCRIPTORS {
        match kernel.list_descriptors(capacity) {
            Ok(count) if count < capacity => return Ok(count as u64),
            Ok(_) => capacity *= 2,
            Err(errno) => {
                let error = std::io::Error::from_raw_os_error(errno);
                return Err(format!("proc_pidinfo(PROC_PIDLISTFDS): {error}"));
            }
        }
    }
    Err(format!(
        "proc_pidinfo(PROC_PIDLISTFDS) fills every buffer up to {MAX_DESCRIPTORS} descriptors"
    ))
}

/// Memory in which arrays arrive, in bytes.
#[derive(Default)]
struct ArrayMemory {
    message: u64,
    untagged: u64,
}

/// Neighbouring regions merge, so that their number says nothing: what counts is the bytes.
fn array_memory(kernel: &dyn Kernel) -> Reading<ArrayMemory> {
    let (mut address, mut bytes) = (0, ArrayMemory::default());
    loop {
        let region = match kernel.mach_vm_region_recurse(address) {
            Ok(region) => region,
            Err(KernReturn::INVALID_ADDRESS) => return Ok(bytes),
            Err(why) => return Err(format!("mach_vm_region_recurse({address:#x}): {why}")),
        };
        match region.user_tag {
            TAG_MACH_MSG => bytes.message += region.size,
            // Mapped files and shared libraries are untagged as well.
            TAG_NONE if !region.external_pager && !region.is_submap => bytes.untagged += region.size,
            _ => {}
        }
        let end = region
            .address
            .checked_add(region.size)
            .filter(|end| *end > address);
        address =
            end.ok_or_else(|| format!("mach_vm_region_recurse({address:#x}) gives the absurd {region:?}"))?;
    }
}
