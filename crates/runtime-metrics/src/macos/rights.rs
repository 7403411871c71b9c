//! Rights and memory that the kernel hands out, each in a type that releases it exactly once.
//!
//! A release that the kernel refuses is a leak that cannot be mended here. It is never passed over: it goes
//! to the [`log`] (the facade that a library can use without choosing its user's logger) and is counted in
//! [`ResourceCounts::release_failures`](crate::ResourceCounts::release_failures).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kernel::{KernReturn, Kernel, MACH_PORT_DEAD, MACH_PORT_NULL, Name, OutOfLine};

static RELEASE_FAILURES: AtomicU64 = AtomicU64::new(0);

/// Number of releases that the kernel has refused in this process.
pub(super) fn release_failures() -> u64 {
    RELEASE_FAILURES.load(Ordering::Relaxed)
}

fn refused(what: fmt::Arguments<'_>, why: KernReturn) {
    RELEASE_FAILURES.fetch_add(1, Ordering::Relaxed);
    log::error!("{what} could not be released and has leaked: {why}");
}

/// One user reference on a name.
///
/// Should the port die, the name becomes a dead name that keeps the reference: it is released all the same.
pub(super) struct SendRight<'k> {
    kernel: &'k dyn Kernel,
    name: Name,
}

impl<'k> SendRight<'k> {
    /// Takes over a reference that a call has returned; `None` for the two values that are no names.
    fn adopt(kernel: &'k dyn Kernel, name: Name) -> Option<Self> {
        // Not `then_some`: that would make a right of any value, to be released at once.
        (name != MACH_PORT_NULL && name != MACH_PORT_DEAD).then(|| Self { kernel, name })
    }

    pub(super) fn name(&self) -> Name {
        self.name
    }
}

impl Drop for SendRight<'_> {
    fn drop(&mut self) {
        if let Err(why) = self.kernel.mach_port_deallocate(self.name) {
            refused(format_args!("a reference on port {:#x}", self.name), why);
        }
    }
}

/// An array in memory that the kernel has given to this task.
pub(super) struct OutOfLineArray<'k> {
    kernel: &'k dyn Kernel,
    array: OutOfLine,
}

impl<'k> OutOfLineArray<'k> {
    fn adopt(kernel: &'k dyn Kernel, array: OutOfLine) -> Self {
        Self { kernel, array }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.array.count()).map(|index| self.kernel.item(&self.array, index))
    }
}

impl Drop for OutOfLineArray<'_> {
    fn drop(&mut self) {
        let array = std::mem::take(&mut self.array);
        let (address, size) = (array.address(), array.size_in_bytes());
        if let Err(why) = self.kernel.mach_vm_deallocate(array) {
            refused(format_args!("{size} bytes of memory at {address:#x}"), why);
        }
    }
}

/// A right for each thread of this task that is not already ending. The array they came in is freed here.
pub(super) fn task_threads(kernel: &dyn Kernel) -> Result<Vec<SendRight<'_>>, KernReturn> {
    let array = OutOfLineArray::adopt(kernel, kernel.task_threads()?);
    Ok(array
        .iter()
        .filter_map(|name| SendRight::adopt(kernel, name))
        .collect())
}

/// The type of every name of this task.
pub(super) fn port_types(kernel: &dyn Kernel) -> Result<Vec<u32>, KernReturn> {
    let (names, types) = kernel.mach_port_names()?;
    let _names = OutOfLineArray::adopt(kernel, names);
    let types = OutOfLineArray::adopt(kernel, types);
    Ok(types.iter().collect())
}
