//! The calls that show one process to another of the same user, without root: libproc(3) and the clock they stamp with.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};

use super::libproc::{IpcTable, Libproc, TaskInfo, ThreadInfo, Usage};

/// `bsd/sys/proc_info.h` (XNU); libc has only some of the flavors.
const PROC_PIDTHREADID64INFO: c_int = 15;
const PROC_PIDLISTTHREADIDS: c_int = 28;
const PROC_PIDIPCTABLEINFO: c_int = 32;

/// This system's libproc.
pub(in crate::observe) struct System;

impl Libproc for System {
    fn task_info(pid: i32) -> io::Result<TaskInfo> {
        // SAFETY: the flavor fills this structure of integers.
        let info: libc::proc_taskinfo = unsafe { pidinfo(pid, libc::PROC_PIDTASKINFO, 0) }?;
        Ok(TaskInfo {
            resident_bytes: info.pti_resident_size,
            virtual_bytes: info.pti_virtual_size,
            threads: info.pti_threadnum,
        })
    }

    fn parent(pid: i32) -> io::Result<u32> {
        // SAFETY: the flavor fills this structure of integers and characters.
        let info: libc::proc_bsdinfo = unsafe { pidinfo(pid, libc::PROC_PIDTBSDINFO, 0) }?;
        Ok(info.pbi_ppid)
    }

    fn thread_ids(pid: i32) -> io::Result<Vec<u64>> {
        // SAFETY: the flavor fills the buffer with ids.
        unsafe { pidlist(pid, PROC_PIDLISTTHREADIDS, 0) }
    }

    fn thread_info(pid: i32, tid: u64) -> io::Result<ThreadInfo> {
        // SAFETY: the flavor fills this structure of integers and characters.
        let info: libc::proc_threadinfo = unsafe { pidinfo(pid, PROC_PIDTHREADID64INFO, tid) }?;
        let name = info.pth_name.iter().map(|c| c.cast_unsigned());
        let name: Vec<u8> = name.take_while(|byte| *byte != 0).collect();
        Ok(ThreadInfo {
            name: String::from_utf8_lossy(&name).into_owned(),
            cpu_ns: info.pth_user_time + info.pth_system_time,
        })
    }

    fn ipc_table(pid: i32) -> io::Result<IpcTable> {
        // SAFETY: the flavor fills this structure of integers.
        unsafe { pidinfo(pid, PROC_PIDIPCTABLEINFO, 0) }
    }

    fn descriptors(pid: i32) -> io::Result<usize> {
        let none = libc::proc_fdinfo {
            proc_fd: 0,
            proc_fdtype: 0,
        };
        // SAFETY: the flavor fills the buffer with these structures.
        Ok(unsafe { pidlist(pid, libc::PROC_PIDLISTFDS, none) }?.len())
    }

    fn usage(pid: i32) -> io::Result<Usage> {
        let mut info = MaybeUninit::<libc::rusage_info_v4>::uninit();
        // SAFETY: the flavor names the structure that the pointer is to; the parameter's type is the header's own oddity.
        let result = unsafe { libc::proc_pid_rusage(pid, libc::RUSAGE_INFO_V4, info.as_mut_ptr().cast()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: filled on success.
        let info = unsafe { info.assume_init() };
        Ok(Usage {
            cpu_ticks: info.ri_user_time + info.ri_system_time,
            runnable_ticks: info.ri_runnable_time,
            started_ticks: info.ri_proc_start_abstime,
            footprint_bytes: info.ri_phys_footprint,
        })
    }

    fn timebase() -> io::Result<(u32, u32)> {
        let mut info = mach2::mach_time::mach_timebase_info { numer: 0, denom: 0 };
        // SAFETY: the pointer is to that structure.
        let result = unsafe { mach2::mach_time::mach_timebase_info(&raw mut info) };
        if result == 0 && info.denom != 0 {
            Ok((info.numer, info.denom))
        } else {
            Err(io::Error::other(format!("mach_timebase_info returned {result}")))
        }
    }

    fn is_translated() -> bool {
        let mut translated: c_int = 0;
        let mut size = size_of::<c_int>();
        // SAFETY: the buffer has `size` bytes, and the name ends with a NUL.
        let result = unsafe {
            libc::sysctlbyname(
                c"sysctl.proc_translated".as_ptr(),
                (&raw mut translated).cast(),
                &raw mut size,
                std::ptr::null_mut(),
                0,
            )
        };
        result == 0 && translated == 1
    }

    fn uptime_ns() -> u64 {
        let mut now = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: the pointer is to a timespec; the clock is always there (Libc, gen/clock_gettime.c).
        let result = unsafe { libc::clock_gettime(libc::CLOCK_UPTIME_RAW, now.as_mut_ptr()) };
        assert_eq!(result, 0, "CLOCK_UPTIME_RAW: {}", io::Error::last_os_error());
        // SAFETY: filled on success.
        let now = unsafe { now.assume_init() };
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    }
}

const _: () = {
    assert!(size_of::<libc::proc_taskinfo>() == 96);
    assert!(size_of::<libc::proc_threadinfo>() == 112);
    assert!(size_of::<libc::proc_bsdinfo>() == 136);
    assert!(size_of::<libc::rusage_info_v4>() == 296);
    assert!(size_of::<IpcTable>() == 8);
};

/// `proc_pidinfo` into one structure. A shorter answer is an error: the rest of it would be invented.
///
/// # Safety
///
/// `T` must be plain data that `flavor` fills.
unsafe fn pidinfo<T: Copy>(pid: c_int, flavor: c_int, arg: u64) -> io::Result<T> {
    let mut info = MaybeUninit::<T>::uninit();
    let size = size_of::<T>();
    // SAFETY: the buffer is as long as its size says.
    let filled = unsafe { libc::proc_pidinfo(pid, flavor, arg, info.as_mut_ptr().cast(), size as c_int) };
    if filled == size as c_int {
        // SAFETY: filled whole, with plain data.
        Ok(unsafe { info.assume_init() })
    } else if filled <= 0 {
        Err(io::Error::last_os_error())
    } else {
        Err(io::Error::other(format!(
            "proc_pidinfo flavor {flavor} filled {filled} of {size} bytes"
        )))
    }
}

/// `proc_pidinfo` into a list. The kernel truncates silently (`bsd/kern/proc_info.c`, `proc_pidinfo`): a full buffer is grown.
///
/// # Safety
///
/// `T` must be plain data that `flavor` fills a buffer with.
unsafe fn pidlist<T: Copy>(pid: c_int, flavor: c_int, blank: T) -> io::Result<Vec<T>> {
    let mut list = vec![blank; 64];
    loop {
        let size = list.len() * size_of::<T>();
        let buffer = list.as_mut_ptr().cast::<c_void>();
        // SAFETY: the buffer is as long as its size says.
        let filled = unsafe { libc::proc_pidinfo(pid, flavor, 0, buffer, size as c_int) };
        if filled <= 0 {
            return Err(io::Error::last_os_error());
        }
        let filled = filled as usize;
        if filled < size {
            list.truncate(filled / size_of::<T>());
            return Ok(list);
        }
        list.resize(list.len() * 2, blank);
    }
}
