//! What the macOS backend asks of the kernel, as its executables must show it.

use std::collections::BTreeSet;

/// The functions and variables of libSystem that `crates/runtime-metrics/src/macos/xnu.rs` uses. All hang on one table of
/// functions (`impl Kernel for Xnu`): a program that samples imports every one of them.
pub(crate) const REQUIRED: &[&str] = &[
    "mach_port_deallocate",
    "mach_port_get_refs",
    "mach_port_names",
    "mach_task_self_",
    "mach_timebase_info",
    "mach_vm_deallocate",
    "mach_vm_region_recurse",
    "proc_pidinfo",
    "sysctlbyname",
    "task_info",
    "task_threads",
    "thread_info",
];

/// How the names of Mach's calls, and of the calls on processes beside them, begin.
const PREFIXES: &[&str] = &[
    "bootstrap_",
    "host_",
    "mach_",
    "proc_",
    "processor_",
    "semaphore_",
    "task_",
    "thread_",
    "vm_",
];

/// A program's imports beside what is required.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) present: Vec<&'static str>,
    pub(crate) missing: Vec<&'static str>,
    /// Calls to Mach that nobody requires: what tests use, or what the table above does not know yet.
    pub(crate) others: Vec<String>,
}

impl Calls {
    pub(crate) fn among(imports: &BTreeSet<String>) -> Self {
        let (present, missing) = REQUIRED.iter().partition(|name| imports.contains(**name));
        let is_other = |name: &&String| {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !REQUIRED.contains(&name.as_str())
        };
        let others = imports.iter().filter(is_other).cloned().collect();
        Self {
            present,
            missing,
            others,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_missing_call_is_named() {
        let without: Vec<&str> = REQUIRED
            .iter()
            .copied()
            .filter(|name| *name != "mach_vm_deallocate")
            .collect();
        let without = imports(&without);
        let calls = Calls::among(&without);
        assert_eq!(calls.missing, ["mach_vm_deallocate"]);
        assert_eq!(calls.present.len(), REQUIRED.len() - 1);
        assert_eq!(Calls::among(&imports(REQUIRED)).missing, [""; 0]);
    }

    #[test]
    fn only_mach_calls_that_nobody_requires_are_others() {
        let names = imports(&[
            "mach_port_insert_right",
            "malloc",
            "memchr",
            "task_info",
            "thread_policy_set",
        ]);
        assert_eq!(
            Calls::among(&names).others,
            ["mach_port_insert_right", "thread_policy_set"]
        );
    }
}
