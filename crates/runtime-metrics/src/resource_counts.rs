//! Counts of the operating system's resources that the process holds: a leak shows in them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::snapshot::Reading;

/// The resources that the process holds at one moment, as [`resource_counts()`](crate::resource_counts()) counted them.
///
/// A field that does not exist on a platform is absent; one that exists and could not be read is absent and
/// named in `missing`, with the reason. It is never 0.
///
/// Figures cover the whole process, not only what this crate holds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ResourceCounts {
    /// [`std::env::consts::OS`].
    pub platform: String,
    /// Open file descriptors, without any that counting them took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<u64>,
    /// Living threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// Linux: memory mappings, the lines of `/proc/self/maps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mappings: Option<u64>,
    /// Resident size in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rss_kb: Option<u64>,
    /// Virtual size in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_size_kb: Option<u64>,
    /// macOS: physical footprint in KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub footprint_kb: Option<u64>,
    /// macOS: names in the task's port name space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_names: Option<PortNames>,
    /// macOS: user references on the ports of living threads beyond the one that each thread owns itself; the
    /// sum over all threads of *references − 1*. A right that is not released adds 1 here while its thread
    /// lives, and turns into a dead name when the thread ends. A thread whose own reference was released
    /// takes 1 away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub excess_thread_references: Option<i64>,
    /// macOS: living threads whose port has 65,535 references. The kernel counts no further, so
    /// `excess_thread_references` is too low and will not move: the port has leaked, however still the
    /// figures are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pegged_threads: Option<u64>,
    /// macOS: bytes of memory in which port rights arrived in Mach messages (regions tagged `VM_MEMORY_MACH_MSG`):
    /// arrays of threads that are not deallocated stay here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_memory_bytes: Option<u64>,
    /// macOS: bytes of anonymous memory without a tag: arrays of plain data that arrived in Mach messages, such as
    /// those of `mach_port_names`, stay here if they are not deallocated. Other code maps untagged memory too: Rust's
    /// standard library gives each thread a signal stack. The figure is steady only while the threads are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub untagged_memory_bytes: Option<u64>,
    /// macOS: releases of this crate's that the kernel has refused since the process started. Each one is a
    /// leak, or the trace of a release too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_failures: Option<u64>,
    /// Figures that could not be read: the field (`descriptors`, `port_names`) and the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
}

/// Names in a task's port name space (`<mach/port.h>`), by the rights that they denote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PortNames {
    /// All names, of whatever type.
    pub total: u64,
    /// Send rights alone: the ports of threads are among these.
    pub send: u64,
    /// Receive rights alone.
    pub receive: u64,
    /// Receive rights with send rights to the same port.
    pub send_receive: u64,
    /// Send-once rights.
    pub send_once: u64,
    /// Port sets.
    pub port_set: u64,
    /// Names whose port has died. One stays behind for every thread that ended with a right on it unreleased.
    pub dead_names: u64,
}

impl ResourceCounts {
    pub(crate) fn empty() -> Self {
        Self {
            platform: std::env::consts::OS.to_owned(),
            ..Self::default()
        }
    }

    /// The figure, or nothing and a line in `missing`.
    pub(crate) fn note<T>(&mut self, field: &str, reading: Reading<T>) -> Option<T> {
        reading
            .map_err(|reason| drop(self.missing.insert(field.to_owned(), reason)))
            .ok()
    }
}
