//! CPU times and names of the threads, from the best source that answers.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{SysconfVar, getpid, gettid};

use super::clock::Clocks;
use super::folder::Folder;
use super::procfs;
use crate::name::Name;
use crate::snapshot::{CpuReading, Reading, ThreadReading};
use crate::stamp;

/// The threads as `/proc` numbers them.
pub(super) struct Tasks {
    pub(super) folder: Folder,
    clocks: Clocks,
    source: Reading<CpuSource>,
}

/// The source of a thread's CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CpuSource {
    /// Its CPU clock: exact to the ns.
    Clock,
    /// `schedstat`: in ns, but a running thread's is brought up to date only once a tick.
    Schedstat,
    /// `stat`: in ticks.
    Stat,
}

/// The most threads that are read between two stamps: enough for the stamps to cost little beside them, few enough to be
/// read in a few microseconds.
const BLOCK: usize = 16;

impl CpuSource {
    const BEST_FIRST: [Self; 3] = [Self::Clock, Self::Schedstat, Self::Stat];

    /// Threads to read between two stamps: reading a file takes as long as a block of clocks.
    fn block(self) -> usize {
        if self == Self::Clock { BLOCK } else { 1 }
    }
}

impl fmt::Display for CpuSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clock => "thread CPU clock",
            Self::Schedstat => "schedstat",
            Self::Stat => "stat",
        })
    }
}

impl Tasks {
    /// Finds the calling thread in `proc`, and with it the best source of CPU time that answers.
    pub(super) fn open(proc: &Path, clocks: Clocks) -> Result<Self, String> {
        let thread_self = proc.join("thread-self");
        let own = fs::read_link(&thread_self)
            .map_err(|e| format!("{}: {e}; is /proc mounted?", thread_self.display()))?;
        let tasks = Self {
            folder: Folder::open(proc)?,
            clocks,
            source: Ok(CpuSource::Clock),
        };
        Ok(Self {
            source: tasks.best_source(&own),
            ..tasks
        })
    }

    /// CPU time of those of these threads that have not ended.
    pub(super) fn read_clocks(&self, tids: &[u32], threads: &mut Vec<ThreadReading>) -> io::Result<()> {
        threads.clear();
        let mut push = |tid: u32, cpu| {
            threads.push(ThreadReading {
                tid: tid.into(),
                cpu,
                name: None,
            });
        };
        let source = match &self.source {
            Ok(source) => *source,
            Err(reason) => {
                tids.iter().for_each(|tid| push(*tid, Err(reason.clone())));
                return Ok(());
            }
        };
        for block in tids.chunks(source.block()) {
            let read = || {
                let mut readings = [const { None }; BLOCK];
                for (reading, tid) in readings.iter_mut().zip(block) {
                    *reading = alive(self.cpu_ns(source, *tid), &source);
                }
                Ok(readings)
            };
            let (readings, stamp) = stamp::stamped(self.clocks.monotonic_ns, read)?;
            for (index, (tid, reading)) in block.iter().zip(readings).enumerate() {
                if let Some(reading) = reading {
                    let at_ns = stamp.part_ns(index, block.len());
                    push(*tid, reading.map(|cpu_ns| CpuReading { cpu_ns, at_ns }));
                }
            }
        }
        Ok(())
    }

    /// Name of one thread; `None` when it has ended.
    pub(super) fn name(&self, tid: u32) -> Option<Reading<Name>> {
        let comm = self
            .folder
            .read(tid, "comm", &mut [0; 64])
            .map(procfs::parse_comm);
        alive(comm, &"comm")
    }

    /// True if a thread's CPU time moves whenever the thread runs.
    pub(super) fn is_exact(&self) -> bool {
        self.source == Ok(CpuSource::Clock)
    }

    /// Maximal lag of a running thread's CPU time: not at all, or by a tick of the slowest kernel (and of
    /// `stat`). Where nobody reads the threads' clocks, the process's lags as they do.
    pub(super) fn cpu_lag_ns(&self) -> u64 {
        const TICK_NS: u64 = 10_000_000;
        if self.is_exact() { 0 } else { TICK_NS }
    }

    /// `own` is where `/proc/thread-self` leads. The calling thread runs, so a source that does not answer for it
    /// answers for nobody.
    fn best_source(&self, own: &Path) -> Reading<CpuSource> {
        let mut refusals = Vec::new();
        for source in CpuSource::BEST_FIRST {
            match self.probe(source, own) {
                Ok(()) => return Ok(source),
                Err(error) => refusals.push(format!("{source}: {error}")),
            }
        }
        Err(refusals.join("; "))
    }

    fn probe(&self, source: CpuSource, own: &Path) -> io::Result<()> {
        let unusable = |why| Err(io::Error::other(why));
        let tid = own.file_name().and_then(|tid| tid.to_str()?.parse().ok());
        let Some(tid) = tid else {
            return unusable("/proc/thread-self leads to no thread");
        };
        match source {
            // The /proc of an outer pid namespace has other tids than the clocks.
            CpuSource::Clock if own != Path::new(&format!("{}/task/{}", getpid(), gettid())) => {
                unusable("/proc belongs to another pid namespace")
            }
            CpuSource::Schedstat if self.schedstat(tid)?.timeslices == 0 => {
                unusable("this kernel does not keep it")
            }
            _ => self.cpu_ns(source, tid).map(drop),
        }
    }

    fn cpu_ns(&self, source: CpuSource, tid: u32) -> io::Result<u64> {
        match source {
            CpuSource::Clock => (self.clocks.thread_cpu_ns)(tid),
            CpuSource::Schedstat => Ok(self.schedstat(tid)?.cpu_ns),
            CpuSource::Stat => {
                let ticks = procfs::parse_stat_ticks(self.folder.read(tid, "stat", &mut [0; 1024])?)?;
                let ticks_per_second = procfs::system_constant(SysconfVar::CLK_TCK)?;
                Ok(ticks.saturating_mul(1_000_000_000 / ticks_per_second))
            }
        }
    }

    fn schedstat(&self, tid: u32) -> io::Result<procfs::Schedstat> {
        procfs::parse_schedstat(self.folder.read(tid, "schedstat", &mut [0; 128])?)
    }
}

/// Tells a thread that has ended (`None`) from one that lives and whose reading failed.
fn alive<T>(reading: io::Result<T>, what: &dyn fmt::Display) -> Option<Reading<T>> {
    match reading {
        Ok(value) => Some(Ok(value)),
        Err(error) if has_ended(&error) => None,
        Err(error) => Some(Err(format!("{what}: {error}"))),
    }
}

/// A clock of a thread that has ended answers `EINVAL`; opening its files, `ENOENT`; reading open ones, `ESRCH`.
fn has_ended(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EINVAL | Errno::ENOENT | Errno::ESRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    const STAT: &str = "S 1 77 77 0 -1 4194560 5104 0 12 0 1500 250 3 4 20 0 9 0 8312 61 0\n";

    /// A `/proc` of our making, in which the calling thread is called `own`.
    struct FakeProc(TempDir);

    impl FakeProc {
        fn new(own: &str) -> Self {
            let root = tempfile::tempdir().expect("a temporary directory");
            symlink(own, root.path().join("thread-self")).expect("thread-self");
            fs::create_dir_all(root.path().join("self/task")).expect("self/task");
            Self(root)
        }

        /// In our own pid namespace.
        fn inner() -> Self {
            Self::new(&format!("{}/task/{}", getpid(), gettid()))
        }

        /// In another one, where the calling thread is 77.
        fn outer() -> Self {
            Self::new("70/task/77")
        }

        fn with(self, tid: u32, file: &str, text: &str) -> Self {
            let folder = self.0.path().join("self/task").join(tid.to_string());
            fs::create_dir_all(&folder).expect("a thread's folder");
            fs::write(folder.join(file), text).expect("a thread's file");
            self
        }

        fn open(&self, thread_cpu_ns: fn(u32) -> io::Result<u64>) -> Tasks {
            let clocks = Clocks {
                thread_cpu_ns,
                ..Clocks::SYSTEM
            };
            Tasks::open(self.0.path(), clocks).expect("tasks")
        }
    }

    fn own_tid() -> u32 {
        gettid().as_raw().unsigned_abs()
    }

    fn answers(_: u32) -> io::Result<u64> {
        Ok(5)
    }

    fn refuses(_: u32) -> io::Result<u64> {
        Err(Errno::EPERM.into())
    }

    /// CPU time of one thread; `None` when it has ended.
    fn cpu(tasks: &Tasks, tid: u32) -> Option<Reading<u64>> {
        let mut threads = Vec::new();
        tasks.read_clocks(&[tid], &mut threads).expect("stamps");
        threads.pop().map(|thread| thread.cpu.map(|cpu| cpu.cpu_ns))
    }

    fn cpu_ns(tasks: &Tasks, tid: u32) -> u64 {
        cpu(tasks, tid).expect("alive").expect("a reading")
    }

    fn listed(tasks: &mut Tasks) -> Result<Vec<u32>, String> {
        let mut tids = Vec::new();
        tasks.folder.list(&mut tids)?;
        tids.sort_unstable();
        Ok(tids)
    }

    #[test]
    fn the_clock_is_used_where_it_answers() {
        let proc = FakeProc::inner().with(own_tid(), "schedstat", "9 9 9");
        let tasks = proc.open(answers);
        assert_eq!((cpu_ns(&tasks, own_tid()), tasks.cpu_lag_ns()), (5, 0));
    }

    #[test]
    fn schedstat_stands_in_for_a_clock_that_is_refused() {
        let proc = FakeProc::inner()
            .with(own_tid(), "schedstat", "1234 1 1")
            .with(own_tid(), "stat", STAT);
        let tasks = proc.open(refuses);
        assert_eq!(
            (cpu_ns(&tasks, own_tid()), tasks.cpu_lag_ns()),
            (1234, 10_000_000)
        );
    }

    #[test]
    fn another_pid_namespace_does_without_clocks_even_if_they_answer() {
        let proc = FakeProc::outer()
            .with(77, "schedstat", "1234 1 1")
            .with(78, "schedstat", "0 0 0");
        let tasks = proc.open(answers);
        assert_eq!(
            (cpu_ns(&tasks, 77), cpu_ns(&tasks, 78)),
            (1234, 0),
            "0: the thread has not run yet"
        );
    }

    #[test]
    fn ticks_stand_in_where_schedstat_is_absent_or_not_kept() {
        let ticks = || FakeProc::outer().with(77, "stat", &format!("77 (a) b) {STAT}"));
        for proc in [ticks(), ticks().with(77, "schedstat", "0 0 0\n")] {
            let tasks = proc.open(answers);
            let ticks_per_second = procfs::system_constant(SysconfVar::CLK_TCK).expect("CLK_TCK");
            assert_eq!(cpu_ns(&tasks, 77), 1750 * 1_000_000_000 / ticks_per_second);
            assert_eq!(tasks.cpu_lag_ns(), 10_000_000);
        }
    }

    #[test]
    fn where_nothing_answers_the_threads_are_there_without_figures() {
        let proc = FakeProc::outer()
            .with(77, "comm", "main\n")
            .with(77, "schedstat", "0 0 0");
        let mut tasks = proc.open(answers);
        assert_eq!(listed(&mut tasks), Ok(vec![77]));
        assert_eq!(tasks.name(77), Some(Ok(Name::new(b"main"))));
        let reason = cpu(&tasks, 77).expect("alive").expect_err("no source");
        for part in [
            "another pid namespace",
            "schedstat: this kernel does not keep it",
            "stat: No such file",
        ] {
            assert!(reason.contains(part), "{reason}");
        }
    }

    #[test]
    fn a_proc_that_is_not_there_or_knows_no_thread_self_is_named() {
        let reason = Tasks::open(Path::new("/nowhere"), Clocks::SYSTEM)
            .err()
            .expect("no /proc");
        assert!(
            reason.contains("/nowhere/thread-self") && reason.contains("is /proc mounted?"),
            "{reason}"
        );
        let proc = FakeProc::new("..").with(77, "stat", STAT);
        let reason = cpu(&proc.open(answers), 77)
            .expect("alive")
            .expect_err("no source");
        assert!(reason.contains("leads to no thread"), "{reason}");
    }

    #[test]
    fn listings_can_be_repeated_and_counted_and_have_nothing_but_tids() {
        let proc = FakeProc::inner()
            .with(9, "comm", "")
            .with(10, "comm", "")
            .with(3, "comm", "");
        let mut tasks = proc.open(answers);
        for _ in 0..2 {
            assert_eq!(listed(&mut tasks), Ok(vec![3, 9, 10]));
        }
        fs::create_dir(proc.0.path().join("self/task/x1")).expect("a folder");
        assert_eq!(listed(&mut tasks), Ok(vec![3, 9, 10]));

        let proc = FakeProc::inner();
        fs::remove_dir(proc.0.path().join("self/task")).expect("an empty folder");
        let reason = Tasks::open(proc.0.path(), Clocks::SYSTEM)
            .err()
            .expect("no folder");
        assert!(
            reason.contains("self/task: No such file") || reason.contains("self/task: ENOENT"),
            "{reason}"
        );
    }

    #[test]
    fn more_threads_than_fit_between_two_stamps_are_read_in_order() {
        let proc = FakeProc::inner().with(own_tid(), "comm", "");
        let tasks = proc.open(|tid| Ok(u64::from(tid) * 10));
        let tids: Vec<u32> = (1..=BLOCK as u32 * 2 + 3).collect();
        let mut threads = Vec::new();
        tasks.read_clocks(&tids, &mut threads).expect("stamps");
        let read: Vec<_> = threads
            .iter()
            .map(|thread| (thread.tid, thread.cpu.clone()))
            .collect();
        assert_eq!(read.len(), tids.len());
        for (tid, cpu) in &read {
            assert_eq!(cpu.as_ref().expect("read").cpu_ns, tid * 10);
        }
        assert!(read.is_sorted_by_key(|(_, cpu)| cpu.as_ref().expect("read").at_ns));
    }

    #[test]
    fn threads_that_ended_are_told_from_readings_that_failed() {
        fn by_tid(tid: u32) -> io::Result<u64> {
            match tid {
                1 => Err(Errno::EINVAL.into()),
                2 => Err(Errno::ESRCH.into()),
                3 => Err(Errno::EPERM.into()),
                _ => Ok(1),
            }
        }
        let proc = FakeProc::inner();
        let tasks = proc.open(by_tid);
        assert!(cpu(&tasks, 1).is_none() && cpu(&tasks, 2).is_none());
        let reason = cpu(&tasks, 3).expect("alive").expect_err("refused");
        assert!(
            reason.starts_with("thread CPU clock: Operation not permitted"),
            "{reason}"
        );
        assert_eq!(tasks.name(4), None, "no comm: ended");
    }
}
