//! The model as a kernel: the shapes of the one in those of the other.

use mach_model::{Cpu, Model};

use crate::macos::kernel::{
    BasicInfo, CpuTimes, KernResult, KernReturn, Kernel, Name, OutOfLine, Region, ThreadExtendedInfo,
    TimeValue, VmInfo,
};

fn array((address, count): (u64, u32)) -> OutOfLine {
    OutOfLine::new(address, count)
}

fn times(cpu: Cpu) -> CpuTimes<u64> {
    CpuTimes {
        user: cpu.user,
        system: cpu.system,
    }
}

fn time_values(microseconds: Cpu) -> CpuTimes<TimeValue> {
    let value = |us: u64| TimeValue {
        seconds: (us / 1_000_000) as i32,
        microseconds: (us % 1_000_000) as i32,
    };
    CpuTimes {
        user: value(microseconds.user),
        system: value(microseconds.system),
    }
}

impl Kernel for Model {
    fn task_threads(&self) -> KernResult<OutOfLine> {
        self.task_threads().map(array).map_err(KernReturn)
    }

    fn mach_port_names(&self) -> KernResult<(OutOfLine, OutOfLine)> {
        self.mach_port_names()
            .map(|(names, types)| (array(names), array(types)))
            .map_err(KernReturn)
    }

    fn item(&self, array: &OutOfLine, index: u32) -> u32 {
        self.word(array.address() + u64::from(index) * 4)
    }

    fn mach_port_get_refs(&self, name: Name) -> KernResult<u32> {
        self.send_refs(name).map_err(KernReturn)
    }

    fn mach_port_deallocate(&self, name: Name) -> KernResult<()> {
        self.mach_port_deallocate(name).map_err(KernReturn)
    }

    fn mach_vm_deallocate(&self, array: OutOfLine) -> KernResult<()> {
        self.mach_vm_deallocate(array.address(), array.size_in_bytes())
            .map_err(KernReturn)
    }

    fn thread_extended_info(&self, thread: Name) -> KernResult<ThreadExtendedInfo> {
        let (cpu, text) = self.thread_extended_info(thread).map_err(KernReturn)?;
        let mut name = [0; 64];
        let length = text.len().min(name.len());
        name[..length].copy_from_slice(&text.as_bytes()[..length]);
        Ok(ThreadExtendedInfo {
            user_time: cpu.user,
            system_time: cpu.system,
            name,
        })
    }

    fn thread_identifier_info(&self, thread: Name) -> KernResult<u64> {
        self.thread_identifier_info(thread).map_err(KernReturn)
    }

    fn mach_task_basic_info(&self) -> KernResult<BasicInfo> {
        let (ended, resident_size, virtual_size) = self.mach_task_basic_info().map_err(KernReturn)?;
        Ok(BasicInfo {
            resident_size,
            virtual_size,
            ended_threads: time_values(ended),
        })
    }

    fn task_thread_times_info(&self) -> KernResult<CpuTimes<TimeValue>> {
        self.task_thread_times_info().map(time_values).map_err(KernReturn)
    }

    fn task_absolutetime_info(&self) -> KernResult<CpuTimes<u64>> {
        self.task_absolutetime_info().map(times).map_err(KernReturn)
    }

    fn task_power_info(&self) -> KernResult<CpuTimes<u64>> {
        self.task_power_info().map(times).map_err(KernReturn)
    }

    fn task_vm_info(&self) -> KernResult<VmInfo> {
        let (count, phys_footprint) = self.task_vm_info().map_err(KernReturn)?;
        Ok(VmInfo {
            count,
            phys_footprint,
        })
    }

    fn mach_vm_region_recurse(&self, address: u64) -> KernResult<Region> {
        let region = self.mach_vm_region_recurse(address).map_err(KernReturn)?;
        Ok(Region {
            address: region.address,
            size: region.size,
            user_tag: region.tag,
            external_pager: region.external_pager,
            is_submap: region.is_submap,
        })
    }

    fn mach_timebase_info(&self) -> KernResult<(u32, u32)> {
        self.mach_timebase_info().map_err(KernReturn)
    }

    fn is_translated(&self) -> bool {
        self.is_translated()
    }

    fn ticks_per_second(&self) -> Option<u64> {
        self.ticks_per_second()
    }

    fn list_descriptors(&self, capacity: usize) -> Result<usize, i32> {
        self.list_descriptors(capacity)
    }

    fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns()
    }
}
