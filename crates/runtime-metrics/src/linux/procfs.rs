//! The files of `/proc/self` that a snapshot needs, and their formats (proc(5)).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use nix::unistd::{SysconfVar, sysconf};

use crate::name::Name;
use crate::snapshot::Reading;

pub(super) struct Memory {
    pub(super) resident_kb: u64,
    pub(super) virtual_kb: u64,
}

/// `/proc/self/statm`, open.
pub(super) struct Statm {
    proc: PathBuf,
    path: PathBuf,
    file: File,
}

impl Statm {
    pub(super) fn open(proc: &Path) -> Reading<Self> {
        let path = proc.join("self/statm");
        match File::open(&path) {
            Ok(file) => Ok(Self {
                proc: proc.to_owned(),
                path,
                file,
            }),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }

    pub(super) fn memory(&self) -> Reading<Memory> {
        let mut pages = read_statm(&self.file, &self.path)?;
        if !are_of_the_living(pages) {
            // The main thread has ended: `self` is that zombie, which has no memory, and the calling thread lives
            // (fs/proc/array.c, `proc_pid_statm`).
            let path = self.proc.join("thread-self/statm");
            let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            pages = read_statm(&file, &path)?;
            if !are_of_the_living(pages) {
                return Err(format!(
                    "{}: 0 pages, which no living process has",
                    path.display()
                ));
            }
        }
        let (virtual_pages, resident_pages) = pages;
        let page_size = system_constant(SysconfVar::PAGE_SIZE).map_err(|e| format!("the page size: {e}"))?;
        Ok(Memory {
            resident_kb: resident_pages.saturating_mul(page_size) / 1024,
            virtual_kb: virtual_pages.saturating_mul(page_size) / 1024,
        })
    }
}

/// Whoever asks has code in memory. A resident size of 0 is also what a small process gets from kernels that add up
/// approximate counters of each processor (include/linux/mm.h, `get_mm_counter`).
fn are_of_the_living((virtual_pages, resident_pages): (u64, u64)) -> bool {
    virtual_pages > 0 && resident_pages > 0
}

/// Virtual and resident size in pages.
fn read_statm(file: &File, path: &Path) -> Reading<(u64, u64)> {
    // Seven numbers.
    let mut text = [0; 256];
    retrying(|| file.read_at(&mut text, 0))
        .and_then(|length| parse_statm(&text[..length]))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads again when a signal came between.
pub(super) fn retrying<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A positive value of sysconf(3).
pub(super) fn system_constant(variable: SysconfVar) -> io::Result<u64> {
    sysconf(variable)?
        .and_then(|value| u64::try_from(value).ok())
        .filter(|value| *value > 0)
        .ok_or_else(|| malformed("sysconf does not tell"))
}

/// Virtual and resident size in pages.
fn parse_statm(text: &[u8]) -> io::Result<(u64, u64)> {
    let mut fields = numbers(text);
    fields
        .next()
        .flatten()
        .zip(fields.next().flatten())
        .ok_or_else(|| malformed("not in the form of statm"))
}

/// `task/<tid>/schedstat`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Schedstat {
    pub(super) cpu_ns: u64,
    /// Times that the thread was put on a CPU. 0 for one that runs means that this kernel does not count.
    pub(super) timeslices: u64,
}

pub(super) fn parse_schedstat(text: &[u8]) -> io::Result<Schedstat> {
    let mut fields = numbers(text);
    let mut next = || fields.next().flatten();
    match (next(), next(), next(), fields.next()) {
        (Some(cpu_ns), Some(_waited_ns), Some(timeslices), None) => Ok(Schedstat { cpu_ns, timeslices }),
        _ => Err(malformed("not in the form of schedstat")),
    }
}

/// User and system time in clock ticks, from `task/<tid>/stat`. The name, its second field, stands in parentheses
/// and can hold anything, parentheses included: what counts follows the last one.
pub(super) fn parse_stat_ticks(text: &[u8]) -> io::Result<u64> {
    const UTIME: usize = 14 - 3; // Fields count from 1, and the first after the name is the third.
    let ticks = || {
        let name_end = text.iter().rposition(|byte| *byte == b')')?;
        let mut times = fields(&text[name_end + 1..]).skip(UTIME).map(number);
        times.next()??.checked_add(times.next()??)
    };
    ticks().ok_or_else(|| malformed("not in the form of stat"))
}

/// A thread's name, from `task/<tid>/comm`: the kernel ends it with one newline. It can hold any bytes but NUL.
pub(super) fn parse_comm(text: &[u8]) -> Name {
    Name::new(text.strip_suffix(b"\n").unwrap_or(text))
}

fn numbers(text: &[u8]) -> impl Iterator<Item = Option<u64>> {
    fields(text).map(number)
}

fn fields(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
}

fn number(field: &[u8]) -> Option<u64> {
    str::from_utf8(field).ok()?.parse().ok()
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The fields after the name: utime 1500, stime 250.
    const AFTER_NAME: &str = "S 1 77 77 0 -1 4194560 5104 0 12 0 1500 250 3 4 20 0 9 0 8312 61 0\n";

    #[test]
    fn statm_begins_with_the_virtual_and_the_resident_size() {
        assert_eq!(
            parse_statm(b"5000 700 300 20 0 900 0\n").expect("statm"),
            (5000, 700)
        );
        for hostile in ["", "5000", "5000 \n", "-1 700", "a b", "99999999999999999999 1"] {
            parse_statm(hostile.as_bytes()).expect_err(hostile);
        }
    }

    #[test]
    fn schedstat_is_three_numbers() {
        let expected = Schedstat {
            cpu_ns: 123_456_789,
            timeslices: 42,
        };
        assert_eq!(
            parse_schedstat(b"123456789 1000 42\n").expect("schedstat"),
            expected
        );
        for hostile in ["", "1 2", "1 2 3 4", "1 x 3", "-1 2 3"] {
            parse_schedstat(hostile.as_bytes()).expect_err(hostile);
        }
    }

    #[test]
    fn stat_without_its_times_is_refused() {
        for hostile in [
            "",
            "7 (a",
            "7 (a) S 1 2",
            "7 (a) S 1 77 77 0 -1 4194560 5104 0 12 0 1500",
            "7 (a) ",
        ] {
            parse_stat_ticks(hostile.as_bytes()).expect_err(hostile);
        }
        let overflow = format!("7 (a) S 1 77 77 0 -1 4194560 5104 0 12 0 {} 1 3", u64::MAX);
        parse_stat_ticks(overflow.as_bytes()).expect_err("the sum overflows");
    }

    #[test]
    fn a_name_loses_one_newline_and_nothing_else() {
        for (comm, name) in [
            (&b"tokio-rt-worker\n"[..], &b"tokio-rt-worker"[..]),
            (b"two\nlines\n\n", b"two\nlines\n"),
            (b"a) (b\n", b"a) (b"),
            (b"\xffbad\n", b"\xffbad"),
            (b"\n", b""),
            (b"", b""),
        ] {
            assert_eq!(parse_comm(comm), Name::new(name));
        }
    }

    #[test]
    fn memory_is_pages_in_kib() {
        let proc = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(proc.path().join("self")).expect("self");
        std::fs::write(proc.path().join("self/statm"), "5000 700 300 20 0 900 0\n").expect("statm");
        let memory = Statm::open(proc.path()).expect("statm").memory().expect("memory");
        let page_kb = system_constant(SysconfVar::PAGE_SIZE).expect("a page size") / 1024;
        assert_eq!(
            (memory.virtual_kb, memory.resident_kb),
            (5000 * page_kb, 700 * page_kb)
        );
    }

    #[test]
    fn a_main_thread_that_has_ended_leaves_the_memory_of_the_calling_thread() {
        let proc = tempfile::tempdir().expect("a directory");
        for (task, text) in [
            ("self", "0 0 0 0 0 0 0\n"),
            ("thread-self", "5000 700 300 20 0 900 0\n"),
        ] {
            std::fs::create_dir(proc.path().join(task)).expect("created");
            std::fs::write(proc.path().join(task).join("statm"), text).expect("statm");
        }
        let memory = || Statm::open(proc.path()).expect("statm").memory();
        let page_kb = system_constant(SysconfVar::PAGE_SIZE).expect("a page size") / 1024;
        let living = memory().expect("memory");
        assert_eq!(
            (living.virtual_kb, living.resident_kb),
            (5000 * page_kb, 700 * page_kb)
        );

        for unread in ["0 0 0 0 0 0 0\n", "5000 0 0 20 0 900 0\n"] {
            std::fs::write(proc.path().join("thread-self/statm"), unread).expect("statm");
            let reason = memory().err().expect("0 is no figure");
            assert!(reason.contains("0 pages"), "{reason}");
        }
    }

    #[test]
    fn missing_statm_is_named() {
        let reason = Statm::open(Path::new("/nowhere")).err().expect("no such file");
        assert!(
            reason.contains("/nowhere/self/statm") && reason.contains("No such file"),
            "{reason}"
        );
    }

    proptest! {
        #[test]
        fn stat_ticks_are_found_behind_any_name(name in prop::collection::vec(1u8.., 0..16)) {
            let text = [b"77 (", &name[..], b") ", AFTER_NAME.as_bytes()].concat();
            prop_assert_eq!(parse_stat_ticks(&text).expect("stat"), 1750);
        }

        #[test]
        fn no_bytes_make_a_parser_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_statm(&text), parse_schedstat(&text), parse_stat_ticks(&text), parse_comm(&text));
        }
    }
}
