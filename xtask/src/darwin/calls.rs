//! The kernel calls of the macOS backend, which its executables must import.

use std::collections::BTreeSet;

/// The functions and variables of libSystem that `crates/runtime-metrics/src/macos/xnu.rs` uses. One table of functions
/// (`impl Kernel for Xnu`) names them all, so a program that samples imports every one of them.
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

/// Prefixes of the names of Mach's calls, and of the calls on processes.
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

/// A program's imports, compared with the required ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) present: Vec<&'static str>,
    pub(crate) missing: Vec<&'static str>,
    /// Further calls to Mach: of tests, or missing in the table above.
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
        let (absent, rest) = REQUIRED.split_first().expect("calls");
        let calls = Calls::among(&imports(rest));
        assert_eq!((calls.missing, calls.present), (vec![*absent], rest.to_vec()));
        assert_eq!(Calls::among(&imports(REQUIRED)).missing, [""; 0]);
    }

    #[test]
    fn mach_calls_outside_the_table_are_others() {
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
