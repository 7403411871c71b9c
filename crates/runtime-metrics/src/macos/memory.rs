//! Memory of the process, in KiB.

use super::kernel::{Kernel, VmInfo};
use crate::snapshot::Reading;

pub(super) struct Memory {
    /// Activity Monitor's "Real Memory", and `ps -o rss=`.
    pub(super) rss_kb: Reading<u64>,
    /// `ps -o vsz=`.
    pub(super) vm_size_kb: Reading<u64>,
    /// Activity Monitor's "Memory", and MEM of `top`.
    pub(super) footprint_kb: Reading<u64>,
}

pub(super) fn read(kernel: &dyn Kernel) -> Memory {
    let basic = kernel
        .mach_task_basic_info()
        .map_err(|why| format!("MACH_TASK_BASIC_INFO: {why}"));
    Memory {
        rss_kb: basic
            .clone()
            .and_then(|info| kib(info.resident_size, "MACH_TASK_BASIC_INFO.resident_size")),
        vm_size_kb: basic.and_then(|info| kib(info.virtual_size, "MACH_TASK_BASIC_INFO.virtual_size")),
        footprint_kb: footprint(kernel),
    }
}

fn footprint(kernel: &dyn Kernel) -> Reading<u64> {
    let info = kernel
        .task_vm_info()
        .map_err(|why| format!("TASK_VM_INFO: {why}"))?;
    if info.count < VmInfo::COUNT_WITH_FOOTPRINT {
        return Err(format!(
            "TASK_VM_INFO: this kernel fills {} words, too few for phys_footprint",
            info.count
        ));
    }
    kib(info.phys_footprint, "TASK_VM_INFO.phys_footprint")
}

/// No running process has 0 bytes: that is a field which the system does not fill.
fn kib(bytes: u64, field: &str) -> Reading<u64> {
    if bytes == 0 {
        return Err(format!("{field} is 0"));
    }
    Ok(bytes / 1024)
}
