//! `/proc/self/task` (proc(5)), kept open: looking it up again would cost as much as reading the clocks of ten threads.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, fstat};

use super::procfs::retrying;

/// The directory that has one folder for each thread, named like its tid.
pub(super) struct Folder {
    path: PathBuf,
    dir: Dir,
}

impl Folder {
    /// `self/task` of a `/proc`. It goes on listing the threads of the process that opened it, after a fork too.
    pub(super) fn open(proc: &Path) -> Result<Self, String> {
        let path = proc.join("self/task");
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        match Dir::open(&path, flags, Mode::empty()) {
            Ok(dir) => Ok(Self { path, dir }),
            Err(errno) => Err(named(&path, errno.into())),
        }
    }

    /// The number of threads, from the directory's link count: two, and one for each (`fs/proc/base.c`,
    /// `proc_task_getattr`). `None` where it cannot be read; it may be wrong on a system that only resembles Linux.
    pub(super) fn count(&self) -> Option<usize> {
        let links = fstat(&self.dir).ok()?.st_nlink;
        usize::try_from(links).ok()?.checked_sub(2)
    }

    /// Adds the tids of a listing.
    ///
    /// The kernel resumes a listing by position when the thread that it stood at has ended (`fs/proc/base.c`,
    /// `first_tid`), and then passes over a living one for each that ended before it.
    pub(super) fn list(&mut self, tids: &mut Vec<u32>) -> Result<(), String> {
        for entry in self.dir.iter() {
            let entry = entry.map_err(|errno| named(&self.path, errno.into()))?;
            tids.extend(parse_tid(entry.file_name()));
        }
        Ok(())
    }

    /// The contents of a file of a thread's, which the kernel gives in one piece.
    pub(super) fn read<'b>(&self, tid: u32, file: &str, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let mut path = [0; 32];
        write!(&mut path[..], "{tid}/{file}\0")?;
        let path = CStr::from_bytes_until_nul(&path).map_err(io::Error::other)?;
        let mut file = File::from(openat(
            &self.dir,
            path,
            OFlag::O_RDONLY | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?);
        let length = retrying(|| file.read(buffer))?;
        Ok(&buffer[..length])
    }
}

fn named(path: &Path, error: io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn parse_tid(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}
