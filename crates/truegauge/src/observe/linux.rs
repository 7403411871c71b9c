//! A process seen through `/proc` and its CPU clock, by somebody else.

use std::io::{BufRead, BufReader, Read};

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;
use procfs::process::LimitValue;
use procfs::{Current, ProcResult, Uptime};
use rustix::process::Signal;

use super::resource_counts::{Count, ResourceCounts};
use super::series::{ClockReading, MemoryReading, TaskReading, TasksReading};
use super::{Observer, SignalHandlers, is_descendant};
use crate::preflight::Probe;

/// The observed process.
pub(super) struct Process {
    process: procfs::process::Process,
    cpu_clock: ClockId,
    started_ns: u64,
    page_kb: u64,
    /// The pid in a pid namespace of the process's own.
    namespaced_pid: Option<u32>,
}

impl Observer for Process {
    /// `clock_gettime(CLOCK_MONOTONIC)`.
    fn monotonic_ns() -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
    }

    /// What a process holds.
    fn resource_counts(pid: u32) -> ResourceCounts {
        let opened = i32::try_from(pid)
            .map_err(|error| error.to_string())
            .and_then(|pid| procfs::process::Process::new(pid).map_err(|error| error.to_string()));
        let process = match &opened {
            Ok(process) => Ok(process),
            Err(why) => Err(why),
        };
        let count = |read: fn(&procfs::process::Process) -> ProcResult<u64>| -> Option<Count> {
            Some(match process {
                Ok(process) => read(process).map_err(|error| error.to_string()),
                Err(why) => Err(why.clone()),
            })
        };
        ResourceCounts {
            descriptors: count(descriptors),
            descriptor_limit: count(|process| {
                Ok(match process.limits()?.max_open_files.soft_limit {
                    LimitValue::Value(limit) => limit,
                    LimitValue::Unlimited => u64::MAX,
                })
            }),
            threads: count(|process| {
                u64::try_from(process.stat()?.num_threads)
                    .map_err(|error| procfs::ProcError::Other(error.to_string()))
            }),
            mappings: count(|process| {
                // One a line.
                let lines = |path: &str| -> ProcResult<u64> {
                    let maps = BufReader::new(process.open_relative(path)?);
                    Ok(maps
                        .split(b'\n')
                        .try_fold(0, |count, line| line.map(|_| count + 1))?)
                };
                of_a_living_task(process, lines, |lines| *lines > 0, "maps")
            }),
            port_names: None,
            rss_kb: count(|process| Ok(memory_pages(process)?.1 * procfs::page_size() / 1024)),
            vm_size_kb: count(|process| Ok(memory_pages(process)?.0 * procfs::page_size() / 1024)),
            footprint_kb: None,
        }
    }

    fn parent(pid: u32) -> Option<u32> {
        let process = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
        u32::try_from(process.stat().ok()?.ppid).ok()
    }

    fn calling_itself(own_pid: u32) -> Vec<u32> {
        let Ok(processes) = procfs::process::all_processes() else {
            return Vec::new();
        };
        let pids = processes.flatten().filter_map(|process| {
            let pid = process.pid().unsigned_abs();
            let matches = pid == own_pid || innermost_id(process.status().ok()) == Some(own_pid);
            matches.then_some(pid)
        });
        pids.collect()
    }

    /// `SigCgt` of a status has the signals that the process catches, `SigBlk` those that it may await instead, as with
    /// signalfd(2), and `SigIgn` those that it ignores (proc_pid_status(5)).
    fn handlers(pid: u32, signal: Signal) -> Option<SignalHandlers> {
        let bit = 1_u64 << (signal.as_raw() - 1);
        let handles = |process: &procfs::process::Process| {
            let status = process.status().ok()?;
            Some((status.sigcgt | status.sigblk | status.sigign) & bit != 0)
        };
        let own = procfs::process::Process::new(i32::try_from(pid).ok()?).ok()?;
        let mut handlers = SignalHandlers {
            process: handles(&own)?,
            descendants: Vec::new(),
            other_descendants: Vec::new(),
        };
        for process in procfs::process::all_processes().ok()?.flatten() {
            let other = process.pid().unsigned_abs();
            if is_descendant(other, pid) {
                match handles(&process) {
                    Some(true) => handlers.descendants.push(other),
                    _ => handlers.other_descendants.push(other),
                }
            }
        }
        Some(handlers)
    }

    /// /proc may be that of another pid namespace, as under `unshare --pid` without `--mount-proc`: then its numbers belong to
    /// other processes (pid_namespaces(7)).
    fn check() -> Result<(), String> {
        check_proc(std::fs::read_link("/proc/self"), std::process::id())
    }

    fn preflight(pid: u32) -> Vec<Probe> {
        const DECIDES: &str = "every run: the CPU, memory and start of the client";
        let process = i32::try_from(pid)
            .map_err(anyhow::Error::from)
            .and_then(|pid| Ok(procfs::process::Process::new(pid)?));
        let process = match process {
            Ok(process) => process,
            Err(error) => return vec![Probe::of("/proc/PID", DECIDES, Err::<(), _>(error))],
        };
        let clock = clock_getcpuclockid(Pid::from_raw(process.pid())).and_then(ClockId::now);
        let schedstat = || -> ProcResult<()> {
            let task = process.tasks()?.next().transpose()?;
            task.map_or(Ok(()), |task| task.schedstat().map(drop))
        };
        vec![
            Probe::of("/proc/PID/stat", DECIDES, process.stat()),
            Probe::of("clock_getcpuclockid(3)", DECIDES, clock),
            Probe::of("/proc/PID/statm", DECIDES, memory_pages(&process)),
            Probe::of(
                "/proc/PID/task/TID/schedstat",
                "the checks that compare the client's threads one by one",
                schedstat(),
            ),
            Probe::of(
                "/proc/PID/status",
                "following the client of a wrapper that forks",
                process.status(),
            ),
            Probe::of(
                "/proc/PID/fd",
                "the soak's count of descriptors from outside",
                descriptors(&process),
            ),
            Probe::of(
                "/proc/PID/maps",
                "the soak's count of mappings from outside",
                process.maps(),
            ),
        ]
    }

    fn open(pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid)?;
        let process = procfs::process::Process::new(pid).context("/proc/PID")?;
        // Start times count ticks since boot, time in suspend included (proc_pid_stat(5), field 22); /proc/uptime runs
        // on that clock as well. What is wanted is the same moment on the monotonic clock.
        let ticks = process.stat().context("/proc/PID/stat")?.starttime;
        let since_boot_ns = ticks.saturating_mul(1_000_000_000) / procfs::ticks_per_second();
        let booted_ns = i128::from(Self::monotonic_ns()) - (Uptime::current()?.uptime * 1e9) as i128;
        let started_ns = u64::try_from(booted_ns + i128::from(since_boot_ns)).unwrap_or(0);
        // Any process may read any other's CPU clock (clock_getcpuclockid(3)): ns, living and ended threads.
        let cpu_clock = clock_getcpuclockid(Pid::from_raw(pid)).context("clock_getcpuclockid(3)")?;
        Ok(Self {
            namespaced_pid: innermost_id(process.status().ok()),
            process,
            cpu_clock,
            started_ns,
            page_kb: procfs::page_size() / 1024,
        })
    }

    fn started_ns(&self) -> u64 {
        self.started_ns
    }

    fn cpu_source(&self) -> &'static str {
        "clock_gettime(clock_getcpuclockid(pid)); tasks: /proc/PID/task/TID/schedstat"
    }

    /// The process's CPU clock.
    fn clock(&self) -> Result<ClockReading> {
        let cpu = self
            .cpu_clock
            .now()
            .context("clock_gettime(clock_getcpuclockid(pid))")?;
        let cpu_ns = u64::try_from(cpu.tv_sec())? * 1_000_000_000 + u64::try_from(cpu.tv_nsec())?;
        Ok(ClockReading {
            at_ns: Self::monotonic_ns(),
            cpu_ns,
        })
    }

    fn memory(&self) -> Result<MemoryReading> {
        let (virtual_pages, resident_pages) = memory_pages(&self.process).context("/proc/PID/statm")?;
        Ok(MemoryReading {
            resident_kb: resident_pages * self.page_kb,
            virtual_kb: virtual_pages * self.page_kb,
            footprint_kb: None,
            at_ns: Self::monotonic_ns(),
        })
    }

    fn tasks(&self) -> Result<TasksReading> {
        let tasks = self.process.tasks().context("/proc/PID/task")?;
        let tasks = tasks.flatten().filter_map(|task| {
            // A task may end between any two reads: then it is not there.
            let name = task.stat().ok()?.comm;
            let times = task.schedstat().ok();
            let tid = match self.namespaced_pid {
                Some(_) => innermost_id(task.status().ok())?,
                None => u32::try_from(task.tid).ok()?,
            };
            Some(TaskReading {
                tid: u64::from(tid),
                name,
                cpu_ns: times.as_ref().map(|times| times.sum_exec_runtime),
                waited_ns: times.as_ref().map(|times| times.run_delay),
            })
        });
        Ok(TasksReading {
            tasks: tasks.collect(),
            waited_ns: None,
            port_names: None,
            at_ns: Self::monotonic_ns(),
        })
    }

    fn own_pid(&self) -> u32 {
        self.namespaced_pid
            .unwrap_or_else(|| self.process.pid().unsigned_abs())
    }
}

/// The id of a process or task in its own pid namespace, where that is another one than the observer's (the last of `NSpid` or
/// `NStgid`, proc_pid_status(5)).
fn innermost_id(status: Option<procfs::process::Status>) -> Option<u32> {
    match status?.nspid?.as_slice() {
        [_, .., innermost] => u32::try_from(*innermost).ok(),
        _ => None,
    }
}

/// Reads a file of the process, or of a living task where the main thread has ended: that zombie's own files say 0, which is
/// no figure of a living process (fs/proc/array.c, `proc_pid_statm`).
fn of_a_living_task<T>(
    process: &procfs::process::Process,
    read: impl Fn(&str) -> ProcResult<T>,
    is_living: impl Fn(&T) -> bool,
    file: &str,
) -> ProcResult<T> {
    let value = read(file)?;
    if is_living(&value) {
        return Ok(value);
    }
    process
        .tasks()?
        .flatten()
        .filter_map(|task| read(&format!("task/{}/{file}", task.tid)).ok())
        .find(is_living)
        .ok_or_else(|| procfs::ProcError::Other(format!("{file} is empty for every thread")))
}

/// Open descriptors. A main thread that has ended lists none (fs/proc/fd.c, `proc_readfd_common`), and a process may well have
/// none.
fn descriptors(process: &procfs::process::Process) -> ProcResult<u64> {
    let ended = |state| matches!(state, Ok('Z' | 'X'));
    if !ended(process.stat().map(|stat| stat.state)) {
        return Ok(process.fd_count()? as u64);
    }
    let living = process
        .tasks()?
        .flatten()
        .find(|task| !ended(task.stat().map(|stat| stat.state)))
        .ok_or_else(|| procfs::ProcError::Other("every thread has ended".to_owned()))?;
    let listed = std::fs::read_dir(format!("/proc/{}/task/{}/fd", living.pid, living.tid))?;
    Ok(listed.count() as u64)
}

/// Virtual and resident size.
fn memory_pages(process: &procfs::process::Process) -> ProcResult<(u64, u64)> {
    let pages = |path: &str| -> ProcResult<(u64, u64)> {
        let mut text = String::new();
        process.open_relative(path)?.read_to_string(&mut text)?;
        let mut numbers = text
            .split_ascii_whitespace()
            .map_while(|number| number.parse().ok());
        numbers
            .next()
            .zip(numbers.next())
            .ok_or_else(|| procfs::ProcError::Other(format!("{path} is not in the form of statm")))
    };
    of_a_living_task(
        process,
        pages,
        |(size, resident)| *size > 0 && *resident > 0,
        "statm",
    )
}

/// Compares the process that /proc takes this one for with this one.
fn check_proc(own: std::io::Result<std::path::PathBuf>, pid: u32) -> Result<(), String> {
    let own = own.map_err(|error| {
        format!("/proc/self cannot be read ({error}), and the observer reads /proc: mount it with `mount -t proc proc /proc`")
    })?;
    if own.to_str() == Some(&pid.to_string()) {
        return Ok(());
    }
    Err(format!(
        "/proc is that of another pid namespace: it calls this process {}, and its pid is {pid}; mount this namespace's own \
         /proc (`unshare --mount-proc`, `mount -t proc proc /proc`), or run outside of the namespace",
        own.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_proc_of_another_pid_namespace_is_refused() {
        assert_eq!(check_proc(Ok(PathBuf::from("17")), 17), Ok(()));
        assert_eq!(Process::check(), Ok(()), "this test sees its own /proc");
        let error = check_proc(Ok(PathBuf::from("4242")), 17).expect_err("another namespace");
        assert!(
            error.contains("4242") && error.contains("17") && error.contains("--mount-proc"),
            "{error}"
        );
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let error = check_proc(Err(missing), 17).expect_err("no /proc");
        assert!(error.contains("mount -t proc"), "{error}");
    }

    #[test]
    fn a_child_of_a_child_is_a_descendant() {
        use std::io::BufRead;
        let mut shell = std::process::Command::new("/bin/sh")
            .args(["-c", "sh -c 'echo $$; cat >/dev/null'; true"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("/bin/sh starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(shell.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("a line");
        let grandchild: u32 = line.trim().parse().expect("a pid");
        let own = std::process::id();
        let descendant = super::super::descendant;
        assert_eq!(descendant(shell.id(), grandchild), Some(grandchild));
        assert_eq!(descendant(own, grandchild), Some(grandchild));
        assert_eq!(descendant(shell.id(), own), None);
        assert_eq!(descendant(own, own), None, "not its own parent");
        drop(shell.stdin.take());
        assert!(shell.wait().expect("waited").success());
    }

    /// A C program whose main thread ends at once, and whose other thread waits for the end of its standard input.
    const MAIN_THREAD_ENDS: &str = "#include <pthread.h>\n#include <unistd.h>\n\
        static void *wait_for_end(void *p) { char c; while (read(0, &c, 1) > 0); _exit(0); }\n\
        int main(void) { pthread_t t; pthread_create(&t, 0, wait_for_end, 0); pthread_exit(0); }\n";

    #[test]
    fn a_process_whose_main_thread_has_ended_has_memory_mappings_and_descriptors() {
        let dir = tempfile::tempdir().expect("a directory");
        let (source, program) = (dir.path().join("main.c"), dir.path().join("main"));
        std::fs::write(&source, MAIN_THREAD_ENDS).expect("written");
        let mut compiler = std::process::Command::new("cc");
        compiler.arg("-pthread").arg("-o").arg(&program).arg(&source);
        assert!(compiler.status().expect("cc, as building needs it").success());
        let mut child = std::process::Command::new(&program)
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        let pid = child.id();
        let process = Process::open(pid).expect("observed");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while process.process.statm().expect("statm").size > 0 {
            assert!(
                std::time::Instant::now() < deadline,
                "the main thread does not end"
            );
            std::thread::yield_now();
        }
        let memory = process.memory().expect("read");
        assert!(memory.resident_kb > 0 && memory.virtual_kb > memory.resident_kb);
        let counts = Process::resource_counts(pid);
        for (name, count) in [
            ("descriptors", counts.descriptors),
            ("threads", counts.threads),
            ("mappings", counts.mappings),
            ("rss", counts.rss_kb),
            ("virtual size", counts.vm_size_kb),
        ] {
            assert!(matches!(count, Some(Ok(1..))), "{name}: {count:?}");
        }
        drop(child.stdin.take());
        assert!(child.wait().expect("waited").success());
    }
}
