//! A kernel in front of the model's that drops, doubles or distorts calls. To the model it is as if the
//! backend had done so; to the backend, as if the system were a strange one.

use std::cell::{Cell, RefCell};

use mach_model::Model;

use crate::macos::kernel::{
    BasicInfo, CpuTimes, KernResult, Kernel, Name, OutOfLine, Region, ThreadExtendedInfo, TimeValue, VmInfo,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    ReleaseSkipped,
    ReleasedTwice,
    ArrayNotFreed,
    /// As many bytes as there are items.
    FreedItemsForBytes,
    FreedZeroBytes,
    FreedTwiceTheSize,
    /// The rights of threads whose clock could not be read are kept.
    ReleaseSkippedOnTheErrorPath,
    BasicInfoAloneAsCpu,
    TicksReadAsNanoseconds,
    SecondsDropped,
    /// The clock stands still for so many ns: a window of nominal length.
    WindowAssumed(u64),
    /// Flavors that are not on every system answer with success and zeros.
    Zeros,
    Timebase(u32, u32),
    /// No name is a send right: as if every listed thread had ended.
    NoReferences,
    /// The name space is empty.
    NoNames,
    /// A fault that is not in the calls.
    Elsewhere,
}

pub(super) struct Faulty<'m> {
    model: &'m Model,
    fault: Fault,
    /// Threads whose clock could not be read.
    failed: RefCell<Vec<Name>>,
    /// How far the clock is behind.
    behind_ns: Cell<u64>,
}

impl<'m> Faulty<'m> {
    pub(super) fn new(model: &'m Model, fault: Fault) -> Self {
        Self {
            model,
            fault,
            failed: RefCell::default(),
            behind_ns: Cell::new(0),
        }
    }

    /// The caller sleeps.
    pub(super) fn pause(&self) {
        if let Fault::WindowAssumed(ns) = self.fault {
            self.behind_ns.set(ns);
        }
    }
}

macro_rules! pass_on {
    ($($call:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $call(&self, $($arg: $type),*) -> $result {
            Kernel::$call(self.model, $($arg),*)
        })*
    };
}

impl Kernel for Faulty<'_> {
    pass_on! {
        task_threads() -> KernResult<OutOfLine>;
        item(array: &OutOfLine, index: u32) -> u32;
        thread_identifier_info(thread: Name) -> KernResult<u64>;
        mach_vm_region_recurse(address: u64) -> KernResult<Region>;
        is_translated() -> bool;
        ticks_per_second() -> Option<u64>;
        list_descriptors(capacity: usize) -> Result<usize, i32>;
    }

    fn mach_port_names(&self) -> KernResult<(OutOfLine, OutOfLine)> {
        if self.fault == Fault::NoNames {
            return Ok((OutOfLine::default(), OutOfLine::default()));
        }
        Kernel::mach_port_names(self.model)
    }

    fn mach_port_get_refs(&self, name: Name) -> KernResult<u32> {
        let references = Kernel::mach_port_get_refs(self.model, name)?;
        Ok(match self.fault {
            Fault::NoReferences => 0,
            _ => references,
        })
    }

    fn mach_port_deallocate(&self, name: Name) -> KernResult<()> {
        let release = || Kernel::mach_port_deallocate(self.model, name);
        match self.fault {
            Fault::ReleaseSkipped => Ok(()),
            Fault::ReleaseSkippedOnTheErrorPath if self.failed.borrow().contains(&name) => Ok(()),
            Fault::ReleasedTwice => release().and_then(|()| release()),
            _ => release(),
        }
    }

    fn mach_vm_deallocate(&self, array: OutOfLine) -> KernResult<()> {
        let items = match self.fault {
            Fault::ArrayNotFreed => return Ok(()),
            Fault::FreedItemsForBytes => array.count() / 4,
            Fault::FreedZeroBytes => 0,
            Fault::FreedTwiceTheSize => array.count() * 2,
            _ => array.count(),
        };
        Kernel::mach_vm_deallocate(self.model, OutOfLine::new(array.address(), items))
    }

    fn thread_extended_info(&self, thread: Name) -> KernResult<ThreadExtendedInfo> {
        let info = Kernel::thread_extended_info(self.model, thread);
        info.inspect_err(|_| self.failed.borrow_mut().push(thread))
    }

    fn mach_task_basic_info(&self) -> KernResult<BasicInfo> {
        let mut info = Kernel::mach_task_basic_info(self.model)?;
        match self.fault {
            Fault::SecondsDropped => info.ended_threads = without_seconds(info.ended_threads),
            Fault::Zeros => (info.resident_size, info.virtual_size) = (0, 0),
            _ => {}
        }
        Ok(info)
    }

    fn task_thread_times_info(&self) -> KernResult<CpuTimes<TimeValue>> {
        const NOTHING: TimeValue = TimeValue {
            seconds: 0,
            microseconds: 0,
        };
        let times = Kernel::task_thread_times_info(self.model)?;
        Ok(match self.fault {
            Fault::BasicInfoAloneAsCpu => CpuTimes {
                user: NOTHING,
                system: NOTHING,
            },
            Fault::SecondsDropped => without_seconds(times),
            _ => times,
        })
    }

    fn task_absolutetime_info(&self) -> KernResult<CpuTimes<u64>> {
        let times = Kernel::task_absolutetime_info(self.model)?;
        Ok(if self.fault == Fault::Zeros {
            CpuTimes { user: 0, system: 0 }
        } else {
            times
        })
    }

    fn task_power_info(&self) -> KernResult<CpuTimes<u64>> {
        let times = Kernel::task_power_info(self.model)?;
        Ok(if self.fault == Fault::Zeros {
            CpuTimes { user: 0, system: 0 }
        } else {
            times
        })
    }

    fn task_vm_info(&self) -> KernResult<VmInfo> {
        let info = Kernel::task_vm_info(self.model)?;
        Ok(if self.fault == Fault::Zeros {
            VmInfo {
                phys_footprint: 0,
                ..info
            }
        } else {
            info
        })
    }

    fn mach_timebase_info(&self) -> KernResult<(u32, u32)> {
        match self.fault {
            Fault::TicksReadAsNanoseconds => Ok((1, 1)),
            Fault::Timebase(numer, denom) => Ok((numer, denom)),
            _ => Kernel::mach_timebase_info(self.model),
        }
    }

    fn monotonic_ns(&self) -> u64 {
        Kernel::monotonic_ns(self.model) - self.behind_ns.get()
    }
}

fn without_seconds(times: CpuTimes<TimeValue>) -> CpuTimes<TimeValue> {
    let cut = |time: TimeValue| TimeValue { seconds: 0, ..time };
    CpuTimes {
        user: cut(times.user),
        system: cut(times.system),
    }
}
