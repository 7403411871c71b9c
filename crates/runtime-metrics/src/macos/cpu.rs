//! CPU time of the process: all of its threads, living and ended.
//!
//! macOS has no one obvious source, and the obvious one is wrong: `MACH_TASK_BASIC_INFO` counts **ended
//! threads only** (`osfmk/kern/task.c`, `_task_fill_times`). These cover both, in order of preference:
//!
//! 1. `TASK_ABSOLUTETIME_INFO`: one call under one lock, so that a thread that ends meanwhile is counted
//!    once; in Mach ticks, the finest unit there is.
//! 2. `TASK_POWER_INFO`: the same sums from another call.
//! 3. `TASK_THREAD_TIMES_INFO` (living threads) plus `MACH_TASK_BASIC_INFO` (ended ones): two calls, which
//!    count a thread that ends between them twice or not at all, unless one looks again; in µs.
//!
//! A flavor that the system refuses passes the turn to the next, and so does one that answers 0: no process
//! that can ask has used no CPU time, so that is how an unimplemented flavor looks. The first that answers is
//! kept for good: counters of two sources do not agree to the microsecond, and their difference would be
//! reported as load.
//!
//! A tick is a nanosecond on Intel and 125/3 ns on Apple Silicon. `mach_timebase_info` knows, except under
//! Rosetta, where it tells an Intel program the Intel figure while the kernel goes on counting the
//! processor's ticks. There `hw.tbfrequency` has the truth.

use std::sync::OnceLock;

use super::kernel::{CpuTimes, KernReturn, Kernel, TimeValue};

/// The source of the process's CPU time. All variants count living and ended threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    AbsoluteTime,
    Power,
    ThreadTimesAndBasic,
}

/// Attempts at two readings that belong together, in case a thread ends between them.
const MAX_ATTEMPTS: usize = 16;

/// Process CPU time in ns, from the source in `chosen`; the first call chooses.
pub(super) fn process_cpu_ns(kernel: &dyn Kernel, chosen: &OnceLock<Source>) -> Result<u64, String> {
    let source = match chosen.get() {
        Some(source) => *source,
        None => {
            let answering = first_that_answers(kernel)?;
            *chosen.get_or_init(|| answering)
        }
    };
    source.read(kernel)
}

fn first_that_answers(kernel: &dyn Kernel) -> Result<Source, String> {
    let mut refusals = Vec::new();
    for source in [Source::AbsoluteTime, Source::Power, Source::ThreadTimesAndBasic] {
        match source.read(kernel) {
            Ok(_) => return Ok(source),
            Err(refusal) => refusals.push(refusal),
        }
    }
    Err(refusals.join("; "))
}

impl Source {
    fn read(self, kernel: &dyn Kernel) -> Result<u64, String> {
        let (flavor, reading) = match self {
            Self::AbsoluteTime => (
                "TASK_ABSOLUTETIME_INFO",
                in_ticks(kernel, kernel.task_absolutetime_info()),
            ),
            Self::Power => ("TASK_POWER_INFO", in_ticks(kernel, kernel.task_power_info())),
            Self::ThreadTimesAndBasic => (
                "TASK_THREAD_TIMES_INFO with MACH_TASK_BASIC_INFO",
                living_and_ended(kernel),
            ),
        };
        match reading {
            Ok(0) => Err(format!("{flavor}: answers 0, which no process can have used")),
            Ok(ns) => Ok(ns),
            Err(why) => Err(format!("{flavor}: {why}")),
        }
    }
}

fn in_ticks(kernel: &dyn Kernel, times: Result<CpuTimes<u64>, KernReturn>) -> Result<u64, String> {
    let CpuTimes { user, system } = times.map_err(|why| why.to_string())?;
    let (numer, denom) = timebase(kernel)?;
    let ticks = u128::from(user) + u128::from(system);
    u64::try_from(ticks * u128::from(numer) / u128::from(denom)).map_err(|_| format!("absurd: {ticks} ticks"))
}

/// Nanoseconds of one tick of the kernel's counters, as a fraction without zeros.
fn timebase(kernel: &dyn Kernel) -> Result<(u64, u64), String> {
    let (numer, denom) = if kernel.is_translated() {
        const NS_PER_SECOND: u64 = 1_000_000_000;
        (
            NS_PER_SECOND,
            kernel
                .ticks_per_second()
                .ok_or("under Rosetta, and hw.tbfrequency cannot be read")?,
        )
    } else {
        let (numer, denom) = kernel
            .mach_timebase_info()
            .map_err(|why| format!("mach_timebase_info: {why}"))?;
        (u64::from(numer), u64::from(denom))
    };
    if numer == 0 || denom == 0 {
        return Err(format!("absurd timebase {numer}/{denom}"));
    }
    Ok((numer, denom))
}

/// The sum over living and ended threads, taken while no thread ended.
fn living_and_ended(kernel: &dyn Kernel) -> Result<u64, String> {
    let ended = || {
        kernel
            .mach_task_basic_info()
            .map(|info| info.ended_threads)
            .map_err(|why| why.to_string())
    };
    let mut before = ended()?;
    for _ in 0..MAX_ATTEMPTS {
        let living = kernel.task_thread_times_info().map_err(|why| why.to_string())?;
        let after = ended()?;
        if before == after {
            return Ok(nanoseconds(living)? + nanoseconds(after)?);
        }
        before = after;
    }
    Err(format!("threads ended during each of {MAX_ATTEMPTS} attempts"))
}

fn nanoseconds(times: CpuTimes<TimeValue>) -> Result<u64, String> {
    let one = |time: TimeValue| {
        let seconds = u64::try_from(time.seconds).ok()?;
        let microseconds = u64::try_from(time.microseconds).ok()?;
        Some(seconds * 1_000_000_000 + microseconds * 1_000)
    };
    let sum = one(times.user)
        .zip(one(times.system))
        .map(|(user, system)| user + system);
    sum.ok_or_else(|| format!("absurd times {times:?}"))
}
