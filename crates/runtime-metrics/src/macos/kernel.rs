//! The kernel as this backend sees it: the calls that it makes, and nothing else.
//!
//! [`Xnu`](super::xnu::Xnu) makes them for real; in tests a model kernel answers. Every method is one kernel
//! call and gives what that call gives, undecoded: whatever can go wrong above it goes wrong in code that the
//! tests run.

use std::fmt;

/// `mach_port_name_t`: a task's own number for a right.
pub(super) type Name = u32;

/// Not a name. An array of threads holds it for a thread that was ending (`osfmk/mach/port.h`).
pub(super) const MACH_PORT_NULL: Name = 0;
/// Not a name either: the thread's port died on the way to this task.
pub(super) const MACH_PORT_DEAD: Name = !0;

/// The most user references that a name counts. One that got there stays there for ever
/// (`MACH_PORT_UREFS_MAX`).
pub(super) const UREFS_MAX: u32 = 65_535;

/// `VM_MEMORY_MACH_MSG`: the tag of an array of rights that arrived in a message.
pub(super) const TAG_MACH_MSG: u32 = 20;

/// Memory without a tag: that of an array of plain data that arrived in a message, unless it is larger than 16 or
/// 32 KiB (`osfmk/vm/vm_map.c`, `vm_map_copyout_kernel_buffer`).
pub(super) const TAG_NONE: u32 = 0;

/// Bits of `mach_port_type_t`.
pub(super) mod port_type {
    pub(in crate::macos) const SEND: u32 = 1 << 16;
    pub(in crate::macos) const RECEIVE: u32 = 1 << 17;
    pub(in crate::macos) const SEND_ONCE: u32 = 1 << 18;
    pub(in crate::macos) const PORT_SET: u32 = 1 << 19;
    pub(in crate::macos) const DEAD_NAME: u32 = 1 << 20;
    /// The rights themselves, without the bits for notifications asked for.
    pub(in crate::macos) const RIGHTS: u32 = SEND | RECEIVE | SEND_ONCE | PORT_SET | DEAD_NAME;
}

/// A `kern_return_t` other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KernReturn(pub(super) i32);

impl KernReturn {
    /// Past the end of the address space (`mach_vm_region_recurse`).
    pub(super) const INVALID_ADDRESS: Self = Self(1);
    pub(super) const INVALID_ARGUMENT: Self = Self(4);
    pub(super) const FAILURE: Self = Self(5);
    /// The name denotes nothing.
    pub(super) const INVALID_NAME: Self = Self(15);
    /// The name denotes another kind of right.
    pub(super) const INVALID_RIGHT: Self = Self(17);
    /// The thread is ending.
    pub(super) const TERMINATED: Self = Self(37);
    pub(super) const NOT_SUPPORTED: Self = Self(46);
    /// The thread's port is dead: the message that asks cannot be sent.
    pub(super) const SEND_INVALID_DEST: Self = Self(0x1000_0003);
}

impl fmt::Display for KernReturn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::INVALID_ADDRESS => "KERN_INVALID_ADDRESS",
            Self::INVALID_ARGUMENT => "KERN_INVALID_ARGUMENT",
            Self::FAILURE => "KERN_FAILURE",
            Self::INVALID_NAME => "KERN_INVALID_NAME",
            Self::INVALID_RIGHT => "KERN_INVALID_RIGHT",
            Self::TERMINATED => "KERN_TERMINATED",
            Self::NOT_SUPPORTED => "KERN_NOT_SUPPORTED",
            Self::SEND_INVALID_DEST => "MACH_SEND_INVALID_DEST",
            Self(code) => return write!(f, "kern_return_t {code:#x}"),
        };
        write!(f, "{name} ({:#x})", self.0)
    }
}

pub(super) type KernResult<T> = Result<T, KernReturn>;

/// An array of 32-bit items that the kernel put into this task's memory, where it stays until it is
/// deallocated.
///
/// It is the only handle to that memory: there is no copying it, and deallocating consumes it.
#[derive(Debug, Default)]
pub(super) struct OutOfLine {
    address: u64,
    count: u32,
}

impl OutOfLine {
    /// `count` items at `address`. Whoever calls this vouches for them: only kernels do.
    pub(super) fn new(address: u64, count: u32) -> Self {
        Self { address, count }
    }

    pub(super) fn address(&self) -> u64 {
        self.address
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The size to pass to `mach_vm_deallocate`. The call rounds up to whole pages; a size that is too small leaks pages,
    /// and a size of 0 frees nothing.
    pub(super) fn size_in_bytes(&self) -> u64 {
        u64::from(self.count) * size_of::<u32>() as u64
    }
}

/// `THREAD_EXTENDED_INFO`, as much as is used of it.
#[derive(Debug, Clone)]
pub(super) struct ThreadExtendedInfo {
    /// In ns.
    pub(super) user_time: u64,
    /// In ns.
    pub(super) system_time: u64,
    /// Ends at the first NUL.
    pub(super) name: [u8; 64],
}

/// User and system time, in whatever unit the flavor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CpuTimes<T> {
    pub(super) user: T,
    pub(super) system: T,
}

/// `time_value_t`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeValue {
    pub(super) seconds: i32,
    pub(super) microseconds: i32,
}

/// `MACH_TASK_BASIC_INFO`, as much as is used of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct BasicInfo {
    /// In bytes.
    pub(super) resident_size: u64,
    /// In bytes.
    pub(super) virtual_size: u64,
    /// Time of **ended** threads; living ones are not in it (`osfmk/kern/task.c`, `_task_fill_times`).
    pub(super) ended_threads: CpuTimes<TimeValue>,
}

/// `TASK_VM_INFO`, as much as is used of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct VmInfo {
    /// Number of 32-bit words of the structure that the kernel filled; older kernels know fewer fields.
    pub(super) count: u32,
    /// In bytes; filled if `count` is at least [`Self::COUNT_WITH_FOOTPRINT`].
    pub(super) phys_footprint: u64,
}

impl VmInfo {
    /// `TASK_VM_INFO_REV1_COUNT`: up to and including `phys_footprint`.
    pub(super) const COUNT_WITH_FOOTPRINT: u32 = 38;
}

/// An entry of the task's memory map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) address: u64,
    /// In bytes.
    pub(super) size: u64,
    pub(super) user_tag: u32,
    /// The memory is that of a file, also where the process has written to its own copy.
    pub(super) external_pager: bool,
    /// Another map, which processes share.
    pub(super) is_submap: bool,
}

/// The calls. All concern the calling task.
pub(super) trait Kernel {
    /// A send right for every thread, as one more user reference on the thread's name. Both the rights and
    /// the array are the caller's to release.
    fn task_threads(&self) -> KernResult<OutOfLine>;

    /// Every name and, in the same order, its type. Both arrays are the caller's to release.
    fn mach_port_names(&self) -> KernResult<(OutOfLine, OutOfLine)>;

    /// An item of an array; `index` is below its count. A memory access, not a call: it cannot fail.
    fn item(&self, array: &OutOfLine, index: u32) -> u32;

    /// User references on the send right that `name` denotes; 0 if it denotes something else, such as a dead
    /// name; 1 for the two values that are not names.
    fn mach_port_get_refs(&self, name: Name) -> KernResult<u32>;

    /// Takes one user reference from `name`.
    fn mach_port_deallocate(&self, name: Name) -> KernResult<()>;

    /// Frees `array.size_in_bytes()` bytes from `array.address()` on.
    fn mach_vm_deallocate(&self, array: OutOfLine) -> KernResult<()>;

    fn thread_extended_info(&self, thread: Name) -> KernResult<ThreadExtendedInfo>;

    /// `THREAD_IDENTIFIER_INFO`: the 64-bit thread id.
    fn thread_identifier_info(&self, thread: Name) -> KernResult<u64>;

    fn mach_task_basic_info(&self) -> KernResult<BasicInfo>;

    /// `TASK_THREAD_TIMES_INFO`: the times of **living** threads.
    fn task_thread_times_info(&self) -> KernResult<CpuTimes<TimeValue>>;

    /// `TASK_ABSOLUTETIME_INFO`: the times of all threads, living and ended, in Mach ticks.
    fn task_absolutetime_info(&self) -> KernResult<CpuTimes<u64>>;

    /// `TASK_POWER_INFO`: the times of all threads, living and ended, in Mach ticks.
    fn task_power_info(&self) -> KernResult<CpuTimes<u64>>;

    fn task_vm_info(&self) -> KernResult<VmInfo>;

    /// The first region that ends above `address`. Submaps (libraries that processes share) are not entered.
    fn mach_vm_region_recurse(&self, address: u64) -> KernResult<Region>;

    /// Numerator and denominator of what a tick is in ns. Under Rosetta it says 1/1, whatever the processor
    /// does.
    fn mach_timebase_info(&self) -> KernResult<(u32, u32)>;

    /// `sysctl.proc_translated`: whether Rosetta runs this process. Where there is no such entry there is no
    /// Rosetta.
    fn is_translated(&self) -> bool;

    /// `hw.tbfrequency`: Mach ticks a second, of the processor itself; `None` where the entry cannot be read.
    fn ticks_per_second(&self) -> Option<u64>;

    /// `proc_pidinfo(PROC_PIDLISTFDS)` of this process with a buffer for `capacity` descriptors: how many it
    /// wrote, or the `errno`. A full buffer may have been too small. Opens no descriptor. None at all is how
    /// the call fails: that is an error too.
    fn list_descriptors(&self, capacity: usize) -> Result<usize, i32>;

    /// ns from an origin that is the same for the whole process.
    fn monotonic_ns(&self) -> u64;
}
