//! The kernel's clocks, in ns.

use std::io;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

use crate::snapshot::CpuReading;
use crate::stamp;

/// The clocks that readings of threads are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clocks {
    /// The origin of every stamp.
    pub(super) monotonic_ns: fn() -> io::Result<u64>,
    /// User and system time of one thread of this process. `EINVAL` when it has no such thread.
    pub(super) thread_cpu_ns: fn(u32) -> io::Result<u64>,
}

impl Clocks {
    /// The clocks of the running system.
    pub(super) const SYSTEM: Self = Self {
        monotonic_ns,
        thread_cpu_ns,
    };

    /// For systems on which asking for a thread's clock is fatal.
    pub(super) const WITHOUT_THREADS: Self = Self {
        monotonic_ns,
        thread_cpu_ns: |_| {
            Err(io::Error::other(
                "not asked, as the sampler was made to do without",
            ))
        },
    };

    /// User and system time of all threads of this process, living or ended, and the moment of the reading.
    pub(super) fn process_cpu(self) -> io::Result<CpuReading> {
        let (cpu_ns, stamp) = stamp::stamped(self.monotonic_ns, process_cpu_ns)?;
        Ok(CpuReading {
            cpu_ns,
            at_ns: stamp.middle_ns(),
        })
    }
}

fn monotonic_ns() -> io::Result<u64> {
    read(ClockId::CLOCK_MONOTONIC)
}

fn process_cpu_ns() -> io::Result<u64> {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

fn thread_cpu_ns(tid: u32) -> io::Result<u64> {
    read(thread_clock_id(tid))
}

/// The clock that `pthread_getcpuclockid` would name, which wants a `pthread_t` where we have a tid. The layout is
/// kernel ABI (`include/linux/posix-timers_types.h`, `make_thread_cpuclock`): the complement of the tid above
/// three bits, which say "of a thread" (4) and "as the scheduler counts it" (2).
fn thread_clock_id(tid: u32) -> ClockId {
    const CPUCLOCK_PERTHREAD: i32 = 4;
    const CPUCLOCK_SCHED: i32 = 2;
    ClockId::from_raw((!tid.cast_signed() << 3) | CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED)
}

fn read(clock: ClockId) -> io::Result<u64> {
    let out_of_range = |_| io::Error::new(io::ErrorKind::InvalidData, "a negative time");
    let time: TimeSpec = clock_gettime(clock)?;
    let secs = u64::try_from(time.tv_sec()).map_err(out_of_range)?;
    let nanos = u64::try_from(time.tv_nsec()).map_err(out_of_range)?;
    Ok(secs * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;
    use nix::unistd::gettid;

    fn own_tid() -> u32 {
        gettid().as_raw().unsigned_abs()
    }

    #[test]
    fn a_thread_clock_id_is_the_one_the_kernel_documents() {
        for (tid, raw) in [(1, -10), (1234, -9874), (4_194_304, -33_554_434)] {
            assert_eq!(thread_clock_id(tid).as_raw(), raw, "tid {tid}");
        }
    }

    #[test]
    fn the_own_thread_clock_by_tid_is_the_thread_clock() {
        let own = || read(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("own clock");
        let before = own();
        let by_tid = thread_cpu_ns(own_tid()).expect("own clock by tid");
        let after = own();
        assert!(
            before <= by_tid && by_tid <= after,
            "{before} <= {by_tid} <= {after}"
        );
    }

    #[test]
    fn no_such_thread_is_einval() {
        // Above the kernel's PID_MAX_LIMIT of 2^22, so nobody has it.
        let error = thread_cpu_ns((1 << 22) + 1).expect_err("no thread");
        assert_eq!(error.raw_os_error(), Some(Errno::EINVAL as i32));
    }
}
