//! The clocks that the measurements are made with, in ns.

use nix::time::{ClockId, clock_gettime};

/// Shared by all processes of the machine.
pub(crate) fn monotonic_ns() -> u64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// User and system time of the calling thread.
pub(crate) fn own_cpu_ns() -> u64 {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// User and system time of a thread of this process, or 0 when it has ended. The clock's id is kernel ABI
/// (`include/linux/posix-timers_types.h`).
pub(crate) fn thread_cpu_ns(tid: u32) -> u64 {
    clock_gettime(ClockId::from_raw((!tid.cast_signed() << 3) | 6)).map_or(0, nanoseconds)
}

fn read(clock: ClockId) -> u64 {
    clock_gettime(clock)
        .map(nanoseconds)
        .expect("a clock that every Linux has")
}

fn nanoseconds(time: nix::sys::time::TimeSpec) -> u64 {
    std::time::Duration::from(time).as_nanos() as u64
}
