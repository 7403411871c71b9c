//! The real kernel: every unsafe line of this backend, and no decision.
//!
//! Functions, constants and structures are those of `mach2` and, where it has none, of `libc`; the two
//! functions that neither has are declared here, from `<mach/mach_port.h>`. The structures of `task_info` are
//! packed: fields are copied out of them, never referenced.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::mem::{offset_of, size_of};
use std::sync::OnceLock;
use std::time::Instant;

use mach2::kern_return::{KERN_SUCCESS, kern_return_t};
use mach2::mach_types::ipc_space_t;
use mach2::message::mach_msg_type_number_t;
use mach2::port::{
    MACH_PORT_RIGHT_SEND, mach_port_name_t, mach_port_right_t, mach_port_t, mach_port_type_t,
    mach_port_urefs_t,
};
use mach2::task_info::{
    MACH_TASK_BASIC_INFO, TASK_ABSOLUTETIME_INFO, TASK_POWER_INFO, TASK_THREAD_TIMES_INFO, TASK_VM_INFO,
    mach_task_basic_info, task_absolutetime_info, task_flavor_t, task_power_info, task_thread_times_info,
    task_vm_info,
};
use mach2::time_value::time_value_t;
use mach2::traps::mach_task_self;
use mach2::vm_region::{VM_REGION_SUBMAP_SHORT_INFO_COUNT_64, vm_region_submap_short_info_64};
use mach2::vm_types::integer_t;

use super::kernel::{
    BasicInfo, CpuTimes, KernResult, KernReturn, Kernel, Name, OutOfLine, Region, ThreadExtendedInfo,
    TimeValue, VmInfo,
};

unsafe extern "C" {
    pub(crate) fn mach_port_names(
        task: ipc_space_t,
        names: *mut *mut mach_port_name_t,
        names_count: *mut mach_msg_type_number_t,
        types: *mut *mut mach_port_type_t,
        types_count: *mut mach_msg_type_number_t,
    ) -> kern_return_t;

    fn mach_port_get_refs(
        task: ipc_space_t,
        name: mach_port_name_t,
        right: mach_port_right_t,
        refs: *mut mach_port_urefs_t,
    ) -> kern_return_t;
}

/// The sizes that the kernel knows these structures by (`<mach/task_info.h>`, `<mach/thread_info.h>`,
/// `<mach/vm_region.h>`, `<sys/proc_info.h>`), in bytes.
const _: () = {
    assert!(size_of::<mach_task_basic_info>() == 48);
    assert!(size_of::<task_thread_times_info>() == 16);
    assert!(size_of::<task_absolutetime_info>() == 32);
    assert!(size_of::<task_power_info>() == 48);
    assert!(size_of::<task_vm_info>() == 372);
    assert!(
        offset_of!(task_vm_info, phys_footprint) + 8 == VmInfo::COUNT_WITH_FOOTPRINT as usize * WORD_BYTES
    );
    assert!(size_of::<libc::thread_extended_info>() == 112);
    assert!(size_of::<libc::thread_identifier_info>() == 24);
    assert!(size_of::<vm_region_submap_short_info_64>() == 48);
    assert!(size_of::<libc::proc_fdinfo>() == 8);
    assert!(
        size_of::<mach_port_t>() == 4
            && size_of::<mach_port_name_t>() == 4
            && size_of::<mach_port_type_t>() == 4
    );
};

/// Mach counts a structure's size in words of `natural_t`.
const WORD_BYTES: usize = size_of::<integer_t>();

/// The running system.
pub(super) struct Xnu;

/// A structure that `task_info` or `thread_info` fills.
///
/// # Safety
///
/// The type must be the C structure of `FLAVOR`, and every bit pattern a value of it.
unsafe trait Info: Copy {
    const FLAVOR: u32;
}

// SAFETY: the structure of that flavor, of integers alone.
unsafe impl Info for mach_task_basic_info {
    const FLAVOR: u32 = MACH_TASK_BASIC_INFO;
}
// SAFETY: as above.
unsafe impl Info for task_thread_times_info {
    const FLAVOR: u32 = TASK_THREAD_TIMES_INFO;
}
// SAFETY: as above.
unsafe impl Info for task_absolutetime_info {
    const FLAVOR: u32 = TASK_ABSOLUTETIME_INFO;
}
// SAFETY: as above.
unsafe impl Info for task_power_info {
    const FLAVOR: u32 = TASK_POWER_INFO;
}
// SAFETY: as above.
unsafe impl Info for task_vm_info {
    const FLAVOR: u32 = TASK_VM_INFO;
}
// SAFETY: as above.
unsafe impl Info for libc::thread_extended_info {
    const FLAVOR: u32 = libc::THREAD_EXTENDED_INFO as u32;
}
// SAFETY: as above.
unsafe impl Info for libc::thread_identifier_info {
    const FLAVOR: u32 = libc::THREAD_IDENTIFIER_INFO as u32;
}

fn this_task() -> mach_port_t {
    // SAFETY: reads a variable that the C library sets before main() and never again.
    unsafe { mach_task_self() }
}

fn check(code: kern_return_t) -> KernResult<()> {
    if code == KERN_SUCCESS {
        Ok(())
    } else {
        Err(KernReturn(code))
    }
}

/// The structure, and how many words of it the kernel filled. The rest is 0.
fn info<I: Info>(
    call: impl FnOnce(*mut integer_t, &mut mach_msg_type_number_t) -> kern_return_t,
) -> KernResult<(I, u32)> {
    // SAFETY: by the contract of `Info`, zeros are a value of it.
    let mut info: I = unsafe { std::mem::zeroed() };
    let mut count = (size_of::<I>() / WORD_BYTES) as mach_msg_type_number_t;
    check(call((&raw mut info).cast(), &mut count))?;
    Ok((info, count))
}

/// Fails unless the kernel filled the whole structure.
fn whole<I: Info>((info, count): (I, u32)) -> KernResult<I> {
    if count as usize * WORD_BYTES < size_of::<I>() {
        Err(KernReturn::NOT_SUPPORTED)
    } else {
        Ok(info)
    }
}

fn task_info<I: Info>() -> KernResult<(I, u32)> {
    info(|out, count| {
        // SAFETY: `out` has room for `count` words.
        unsafe { mach2::task::task_info(this_task(), I::FLAVOR as task_flavor_t, out, count) }
    })
}

fn thread_info<I: Info>(thread: Name) -> KernResult<I> {
    whole(info(|out, count| {
        // SAFETY: `out` has room for `count` words.
        unsafe { libc::thread_info(thread, I::FLAVOR, out, count) }
    })?)
}

fn time(time: time_value_t) -> TimeValue {
    TimeValue {
        seconds: time.seconds,
        microseconds: time.microseconds,
    }
}

/// An integer of sysctl(3), of 4 or 8 bytes, if there is one of that name.
fn sysctl(name: &CStr) -> Option<i64> {
    let mut bytes = [0; 8];
    let mut size = bytes.len();
    // SAFETY: `bytes` has room for `size` bytes; nothing is set.
    let code = unsafe {
        libc::sysctlbyname(
            name.as_ptr(),
            (&raw mut bytes).cast(),
            &raw mut size,
            std::ptr::null_mut(),
            0,
        )
    };
    match (code, size) {
        (0, 8) => Some(i64::from_ne_bytes(bytes)),
        (0, 4) => bytes.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes).into()),
        _ => None,
    }
}

impl Kernel for Xnu {
    fn task_threads(&self) -> KernResult<OutOfLine> {
        let mut threads = std::ptr::null_mut();
        let mut count = 0;
        // SAFETY: both pointers are to variables of the right type.
        check(unsafe { mach2::task::task_threads(this_task(), &raw mut threads, &raw mut count) })?;
        Ok(OutOfLine::new(threads.expose_provenance() as u64, count))
    }

    fn mach_port_names(&self) -> KernResult<(OutOfLine, OutOfLine)> {
        let (mut names, mut types) = (std::ptr::null_mut(), std::ptr::null_mut());
        let (mut name_count, mut type_count) = (0, 0);
        // SAFETY: the four pointers are to variables of the right types.
        check(unsafe {
            mach_port_names(
                this_task(),
                &raw mut names,
                &raw mut name_count,
                &raw mut types,
                &raw mut type_count,
            )
        })?;
        Ok((
            OutOfLine::new(names.expose_provenance() as u64, name_count),
            OutOfLine::new(types.expose_provenance() as u64, type_count),
        ))
    }

    fn item(&self, array: &OutOfLine, index: u32) -> u32 {
        assert!(
            index < array.count(),
            "item {index} of an array of {}",
            array.count()
        );
        let items: *const u32 = std::ptr::with_exposed_provenance(array.address() as usize);
        // SAFETY: an `OutOfLine` comes from a call that put `count` items at its address, and deallocating it
        // consumes it: the memory is still there, and `index` is inside.
        unsafe { items.add(index as usize).read() }
    }

    fn mach_port_get_refs(&self, name: Name) -> KernResult<u32> {
        let mut refs = 0;
        // SAFETY: the pointer is to a variable of the right type.
        check(unsafe { mach_port_get_refs(this_task(), name, MACH_PORT_RIGHT_SEND, &raw mut refs) })?;
        Ok(refs)
    }

    fn mach_port_deallocate(&self, name: Name) -> KernResult<()> {
        // SAFETY: takes no pointer.
        check(unsafe { mach2::mach_port::mach_port_deallocate(this_task(), name) })
    }

    fn mach_vm_deallocate(&self, array: OutOfLine) -> KernResult<()> {
        // SAFETY: the memory came from the kernel for this array alone, and nobody can read it afterwards
        // because the only handle to it ends here.
        check(unsafe { mach2::vm::mach_vm_deallocate(this_task(), array.address(), array.size_in_bytes()) })
    }

    fn thread_extended_info(&self, thread: Name) -> KernResult<ThreadExtendedInfo> {
        let info: libc::thread_extended_info = thread_info(thread)?;
        Ok(ThreadExtendedInfo {
            user_time: info.pth_user_time,
            system_time: info.pth_system_time,
            name: info.pth_name.map(|byte| byte as u8),
        })
    }

    fn thread_identifier_info(&self, thread: Name) -> KernResult<u64> {
        let info: libc::thread_identifier_info = thread_info(thread)?;
        Ok(info.thread_id)
    }

    fn mach_task_basic_info(&self) -> KernResult<BasicInfo> {
        let info: mach_task_basic_info = whole(task_info()?)?;
        Ok(BasicInfo {
            resident_size: info.resident_size,
            virtual_size: info.virtual_size,
            ended_threads: CpuTimes {
                user: time(info.user_time),
                system: time(info.system_time),
            },
        })
    }

    fn task_thread_times_info(&self) -> KernResult<CpuTimes<TimeValue>> {
        let info: task_thread_times_info = whole(task_info()?)?;
        Ok(CpuTimes {
            user: time(info.user_time),
            system: time(info.system_time),
        })
    }

    fn task_absolutetime_info(&self) -> KernResult<CpuTimes<u64>> {
        // Not `threads_system`: the kernel adds to that field without having set it.
        let info: task_absolutetime_info = whole(task_info()?)?;
        Ok(CpuTimes {
            user: info.total_user,
            system: info.total_system,
        })
    }

    fn task_power_info(&self) -> KernResult<CpuTimes<u64>> {
        let info: task_power_info = whole(task_info()?)?;
        Ok(CpuTimes {
            user: info.total_user,
            system: info.total_system,
        })
    }

    fn task_vm_info(&self) -> KernResult<VmInfo> {
        let (info, count): (task_vm_info, u32) = task_info()?;
        Ok(VmInfo {
            count,
            phys_footprint: info.phys_footprint,
        })
    }

    fn mach_vm_region_recurse(&self, address: u64) -> KernResult<Region> {
        let (mut address, mut size, mut depth) = (address, 0, 0);
        // The short form: without it the kernel walks every region's pages.
        let mut info = vm_region_submap_short_info_64::default();
        let mut count = VM_REGION_SUBMAP_SHORT_INFO_COUNT_64;
        // SAFETY: `info` has room for `count` words; the other pointers are to variables of the right types.
        check(unsafe {
            mach2::vm::mach_vm_region_recurse(
                this_task(),
                &raw mut address,
                &raw mut size,
                &raw mut depth,
                (&raw mut info).cast(),
                &raw mut count,
            )
        })?;
        Ok(Region {
            address,
            size,
            user_tag: info.user_tag,
            external_pager: info.external_pager != 0,
            is_submap: info.is_submap != 0,
        })
    }

    fn mach_timebase_info(&self) -> KernResult<(u32, u32)> {
        let mut info = mach2::mach_time::mach_timebase_info::default();
        // SAFETY: the pointer is to a variable of the right type.
        check(unsafe { mach2::mach_time::mach_timebase_info(&raw mut info) })?;
        Ok((info.numer, info.denom))
    }

    fn is_translated(&self) -> bool {
        sysctl(c"sysctl.proc_translated") == Some(1)
    }

    fn ticks_per_second(&self) -> Option<u64> {
        sysctl(c"hw.tbfrequency").and_then(|ticks| u64::try_from(ticks).ok())
    }

    fn list_descriptors(&self, capacity: usize) -> Result<usize, i32> {
        let mut buffer = vec![
            libc::proc_fdinfo {
                proc_fd: 0,
                proc_fdtype: 0
            };
            capacity
        ];
        let bytes = c_int::try_from(size_of_val(buffer.as_slice())).map_err(|_| libc::EINVAL)?;
        let pid = std::process::id() as c_int;
        let out: *mut c_void = buffer.as_mut_ptr().cast();
        // SAFETY: the buffer has room for `bytes` bytes.
        let written = unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDLISTFDS, 0, out, bytes) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => Ok(written / size_of::<libc::proc_fdinfo>()),
            _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)),
        }
    }

    fn monotonic_ns(&self) -> u64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        u64::try_from(ORIGIN.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
