//! Leaks on request, so that a detector of leaks can be shown to find them. **Never ship a program built with this.**
//!
//! [`sample`](crate::sample) leaks what the environment variable `RUNTIME_METRICS_FAULT` names; without it, nothing.
//!
//! ```text
//! RUNTIME_METRICS_FAULT=descriptor                        one descriptor each sample
//! RUNTIME_METRICS_FAULT=thread,every=100                  one thread every hundredth sample
//! RUNTIME_METRICS_FAULT=descriptor,until=50               one a sample, the first 50 samples only
//! RUNTIME_METRICS_FAULT=descriptor,units=8,from=300,until=301     a pool that grows once
//! RUNTIME_METRICS_FAULT=descriptor,trim_ms=20             a cache that is emptied every 20 ms
//! ```
//!
//! | resource | one unit is | on |
//! |---|---|---|
//! | `descriptor` | a descriptor | all |
//! | `thread` | a parked thread | all |
//! | `memory` | a byte, written to | all |
//! | `mapping` | a mapping of one page | Linux |
//! | `user_reference` | a user reference on the sampling thread's port | macOS |
//! | `port_name` | a port | macOS |
//! | `dead_name` | a dead name | macOS |
//! | `array` | an array of threads, its rights released, its memory not | macOS |
//! | `plain_array` | an array of names, its memory not released | macOS |
//!
//! A resource that the system refuses is not leaked any further: the process stands at its limit.

use std::fs::File;
use std::mem;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

const VARIABLE: &str = "RUNTIME_METRICS_FAULT";

/// Called once a sample.
///
/// # Panics
///
/// When the variable is no fault: a misspelt one must not pass for a healthy process.
pub(crate) fn on_sample() {
    static INJECTOR: OnceLock<Option<Injector>> = OnceLock::new();
    let start = || {
        let fault = std::env::var(VARIABLE).ok()?;
        let fault = fault
            .parse()
            .unwrap_or_else(|why| panic!("{VARIABLE}={fault}: {why}"));
        Some(Injector::start(fault))
    };
    if let Some(injector) = INJECTOR.get_or_init(start) {
        injector.on_sample();
    }
}

/// The resource to leak, and the samples that leak it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    resource: Resource,
    /// Units a leaking sample.
    units: usize,
    /// Leaks once in this many samples.
    every: u64,
    /// From this sample, counted from 0, to before that.
    from: u64,
    until: u64,
    /// Gives everything back so often: a cache, not a leak.
    trim: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource {
    Descriptor,
    Thread,
    Memory,
    #[cfg(target_os = "linux")]
    Mapping,
    #[cfg(target_os = "macos")]
    UserReference,
    #[cfg(target_os = "macos")]
    PortName,
    #[cfg(target_os = "macos")]
    DeadName,
    #[cfg(target_os = "macos")]
    Array,
    #[cfg(target_os = "macos")]
    PlainArray,
}

impl FromStr for Resource {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "descriptor" => Self::Descriptor,
            "thread" => Self::Thread,
            "memory" => Self::Memory,
            #[cfg(target_os = "linux")]
            "mapping" => Self::Mapping,
            #[cfg(target_os = "macos")]
            "user_reference" => Self::UserReference,
            #[cfg(target_os = "macos")]
            "port_name" => Self::PortName,
            #[cfg(target_os = "macos")]
            "dead_name" => Self::DeadName,
            #[cfg(target_os = "macos")]
            "array" => Self::Array,
            #[cfg(target_os = "macos")]
            "plain_array" => Self::PlainArray,
            _ => return Err(format!("nothing of the name {name:?} can be leaked here")),
        })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(',');
        let mut fault = Self {
            resource: parts.next().unwrap_or_default().parse()?,
            units: 1,
            every: 1,
            from: 0,
            until: u64::MAX,
            trim: None,
        };
        for part in parts {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is not KEY=NUMBER"))?;
            let number: u64 = value.parse().map_err(|_| format!("{part:?} is not KEY=NUMBER"))?;
            match key {
                "units" => fault.units = number as usize,
                "every" if number > 0 => fault.every = number,
                "from" => fault.from = number,
                "until" => fault.until = number,
                "trim_ms" if fault.resource.can_be_given_back() => {
                    fault.trim = Some(Duration::from_millis(number));
                }
                _ => return Err(format!("{part:?} cannot be")),
            }
        }
        Ok(fault)
    }
}

impl Fault {
    fn strikes(&self, sample: u64) -> bool {
        (self.from..self.until).contains(&sample) && (sample - self.from + 1).is_multiple_of(self.every)
    }
}

struct Injector {
    fault: Fault,
    samples: AtomicU64,
    /// Leaked resources that are released at the next trim.
    cache: Arc<Mutex<Vec<Held>>>,
}

/// A resource that is released when this is dropped.
#[expect(dead_code, reason = "held, not read")]
enum Held {
    Descriptor(File),
    Memory(Vec<u8>),
}

impl Injector {
    fn start(fault: Fault) -> Self {
        // Once, and to standard error: nobody should run this without knowing.
        eprintln!("runtime-metrics: built with fault injection: every sample may leak ({fault:?})");
        let cache = Arc::default();
        if let Some(interval) = fault.trim {
            let cache: Arc<Mutex<Vec<Held>>> = Arc::clone(&cache);
            thread::spawn(move || {
                loop {
                    thread::sleep(interval);
                    cache.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
            });
        }
        Self {
            fault,
            samples: AtomicU64::new(0),
            cache,
        }
    }

    fn on_sample(&self) {
        if !self.fault.strikes(self.samples.fetch_add(1, Ordering::Relaxed)) {
            return;
        }
        let held = self.fault.resource.leak(self.fault.units);
        if self.fault.trim.is_some() {
            self.cache
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(held);
        } else {
            mem::forget(held);
        }
    }
}

impl Resource {
    fn can_be_given_back(self) -> bool {
        matches!(self, Self::Descriptor | Self::Memory)
    }

    /// Takes so many units; those that dropping gives back are returned, the rest is gone.
    fn leak(self, units: usize) -> Vec<Held> {
        match self {
            Self::Memory => return vec![Held::Memory(vec![1; units])],
            Self::Descriptor => {
                let open = (0..units).map_while(|_| File::open("/dev/null").ok());
                return open.map(Held::Descriptor).collect();
            }
            _ => {}
        }
        for _ in 0..units {
            match self {
                Self::Thread => drop(thread::Builder::new().stack_size(1 << 16).spawn(park)),
                #[cfg(target_os = "linux")]
                Self::Mapping => system::leak_mapping(),
                #[cfg(target_os = "macos")]
                Self::UserReference => system::leak_user_reference(),
                #[cfg(target_os = "macos")]
                Self::PortName => system::leak_name(mach2::port::MACH_PORT_RIGHT_RECEIVE),
                #[cfg(target_os = "macos")]
                Self::DeadName => system::leak_name(mach2::port::MACH_PORT_RIGHT_DEAD_NAME),
                #[cfg(target_os = "macos")]
                Self::Array => system::leak_array(),
                #[cfg(target_os = "macos")]
                Self::PlainArray => system::leak_plain_array(),
                Self::Memory | Self::Descriptor => unreachable!("returned above"),
            }
        }
        Vec::new()
    }
}

fn park() {
    loop {
        thread::park();
    }
}

#[cfg(target_os = "linux")]
mod system {
    #![allow(unsafe_code)]

    use std::fs::File;
    use std::num::NonZeroUsize;

    use nix::sys::mman::{MapFlags, ProtFlags, mmap};

    /// Always the same page of one file: neighbours of the same content at the same offset do not merge.
    pub(super) fn leak_mapping() {
        const ONE: NonZeroUsize = NonZeroUsize::MIN;
        let Ok(file) = File::open("/proc/self/exe") else {
            return;
        };
        // SAFETY: a new private mapping, whose address nobody learns.
        let _ = unsafe { mmap(None, ONE, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) };
    }
}

#[cfg(target_os = "macos")]
mod system {
    #![allow(unsafe_code)]

    use mach2::kern_return::KERN_SUCCESS;
    use mach2::mach_port::{mach_port_allocate, mach_port_deallocate};
    use mach2::port::{mach_port_right_t, mach_port_type_t};
    use mach2::traps::mach_task_self;
    use mach2::vm::mach_vm_deallocate;

    use crate::macos::mach_port_names;

    /// `mach_thread_self` gives a reference with each call (`osfmk/kern/ipc_tt.c`, `thread_self_trap`).
    pub(super) fn leak_user_reference() {
        // SAFETY: takes nothing; what it gives is not used.
        let _ = unsafe { mach2::mach_init::mach_thread_self() };
    }

    pub(super) fn leak_name(right: mach_port_right_t) {
        let mut name = 0;
        // SAFETY: the pointer is to a variable of the right type.
        let _ = unsafe { mach_port_allocate(mach_task_self(), right, &raw mut name) };
    }

    /// `task_threads`, of which the rights are released, and the array that they came in is not.
    pub(super) fn leak_array() {
        let (mut list, mut count) = (std::ptr::null_mut(), 0);
        // SAFETY: both pointers are to variables of the right types.
        let code = unsafe { mach2::task::task_threads(mach_task_self(), &raw mut list, &raw mut count) };
        if code != KERN_SUCCESS {
            return;
        }
        for index in 0..count as usize {
            // SAFETY: the list has `count` names, each with a reference of this function's own.
            let _ = unsafe { mach_port_deallocate(mach_task_self(), *list.add(index)) };
        }
    }

    /// `mach_port_names`, of which the array of types is released, and the array of names is not: one array is one unit.
    pub(super) fn leak_plain_array() {
        let (mut names, mut types) = (std::ptr::null_mut(), std::ptr::null_mut());
        let (mut name_count, mut type_count) = (0, 0);
        // SAFETY: the four pointers are to variables of the right types.
        let code = unsafe {
            mach_port_names(
                mach_task_self(),
                &raw mut names,
                &raw mut name_count,
                &raw mut types,
                &raw mut type_count,
            )
        };
        if code == KERN_SUCCESS {
            let size = u64::from(type_count) * size_of::<mach_port_type_t>() as u64;
            // SAFETY: the array is this function's own and is not used any more.
            let _ = unsafe { mach_vm_deallocate(mach_task_self(), types.addr() as u64, size) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        text.parse().expect(text)
    }

    #[test]
    fn a_fault_strikes_when_it_is_told_to() {
        for (text, expected) in [
            ("descriptor", "0 1 2 3 4 5 6 7 8 9"),
            ("descriptor,every=3", "2 5 8"),
            ("descriptor,until=2", "0 1"),
            ("descriptor,from=4,until=5", "4"),
            ("descriptor,from=4,every=2", "5 7 9"),
        ] {
            let fault = fault(text);
            let struck: Vec<String> = (0..10)
                .filter(|sample| fault.strikes(*sample))
                .map(|s| s.to_string())
                .collect();
            assert_eq!(struck.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn a_misspelt_fault_is_refused() {
        for text in [
            "",
            "descriptors",
            "descriptor,every=0",
            "descriptor,every",
            "descriptor,every=x",
            "descriptor,often=1",
            "thread,trim_ms=5",
        ] {
            assert!(text.parse::<Fault>().is_err(), "{text:?}");
        }
        let here = cfg!(target_os = "macos");
        for text in ["user_reference", "plain_array"] {
            assert_eq!(text.parse::<Fault>().is_ok(), here, "{text:?}");
        }
        assert_eq!("mapping".parse::<Fault>().is_ok(), !here);
    }

    #[test]
    fn what_a_cache_holds_is_given_back() {
        let descriptors = || crate::resource_counts().descriptors.expect("counted");
        let before = descriptors();
        let injector = Injector::start(fault("descriptor,units=50,trim_ms=1"));
        injector.on_sample();
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        // Other tests open a few themselves.
        while descriptors() > before + 25 {
            assert!(std::time::Instant::now() < deadline, "never trimmed");
            thread::yield_now();
        }
    }
}
