//! The calls that the model answers.

use std::cell::RefMut;
use std::panic::resume_unwind;

use crate::memory::{Region, TAG_MACH_MSG, TAG_NONE};
use crate::names::{Name, Right};
use crate::schedule::{Call, Event};
use crate::state::{Stage, State};
use crate::{Cpu, KernResult, MACH_PORT_DEAD, MACH_PORT_NULL, Model, ScheduledPanic, Tid, kern};

impl Model {
    /// `task_threads`: address and length of an array of names.
    pub fn task_threads(&self) -> KernResult<(u64, u32)> {
        let mut state = self.enter(Call::TaskThreads)?;
        let threads: Vec<_> = state
            .threads
            .iter()
            .map(|thread| (thread.port, thread.tid, thread.stage))
            .collect();
        let names: Vec<Name> = threads
            .into_iter()
            .map(|(port, tid, stage)| match stage {
                Stage::Alive | Stage::Terminated => state.names.copy_out_send(port),
                Stage::Disabled if tid % 2 == 0 => MACH_PORT_NULL,
                Stage::Disabled => MACH_PORT_DEAD,
            })
            .collect();
        Ok(state.array(&names, TAG_MACH_MSG))
    }

    /// `mach_port_names`: an array of names and one of types, each by address and length.
    #[allow(clippy::type_complexity, reason = "two arrays")]
    pub fn mach_port_names(&self) -> KernResult<((u64, u32), (u64, u32))> {
        let mut state = self.enter(Call::MachPortNames)?;
        let (names, types): (Vec<Name>, Vec<u32>) = state
            .names
            .iter()
            .map(|(name, right)| (name, type_of(right)))
            .unzip();
        Ok((state.array(&names, TAG_NONE), state.array(&types, TAG_NONE)))
    }

    /// `mach_port_get_refs` for `MACH_PORT_RIGHT_SEND`. For the two values that are no names it answers 1.
    pub fn send_refs(&self, name: Name) -> KernResult<u32> {
        let state = self.enter(Call::MachPortGetRefs)?;
        if [MACH_PORT_NULL, MACH_PORT_DEAD].contains(&name) {
            return Ok(1);
        }
        match state.names.get(name) {
            Some(Right::Send { urefs }) => Ok(urefs),
            // Not an error: the name denotes something, if no send right.
            Some(Right::Receive | Right::DeadName { .. }) => Ok(0),
            None => Err(kern::INVALID_NAME),
        }
    }

    /// `mach_port_deallocate`. For the two values that are no names it succeeds; the audit takes note.
    pub fn mach_port_deallocate(&self, name: Name) -> KernResult<()> {
        let mut state = match self.enter(Call::MachPortDeallocate) {
            Ok(mut state) if [MACH_PORT_NULL, MACH_PORT_DEAD].contains(&name) => {
                state.releases_of_nothing += 1;
                return Ok(());
            }
            Ok(state) => state,
            Err(code) => {
                let mut state = self.0.borrow_mut();
                let port = state.names.port(name);
                state.refused_references.entry(name).or_insert((0, port)).0 += 1;
                return Err(code);
            }
        };
        let is_last = state.names.get(name) == Some(Right::Send { urefs: 1 });
        if is_last && state.config.hardened && state.is_living_thread(name) {
            // The process ends here. What unwinding still does to the model is no second death.
            if !std::mem::replace(&mut state.killed, true) {
                drop(state);
                panic!("EXC_GUARD: the last reference on the port {name:#x} of a living thread was released");
            }
            return Err(kern::INVALID_CAPABILITY);
        }
        state.names.deallocate(name)
    }

    /// `mach_vm_deallocate`.
    pub fn mach_vm_deallocate(&self, address: u64, size: u64) -> KernResult<()> {
        match self.enter(Call::MachVmDeallocate) {
            Ok(mut state) => {
                state.memory.deallocate(address, size);
                Ok(())
            }
            Err(code) => {
                let mut state = self.0.borrow_mut();
                state.refused_bytes += state.memory.array_bytes(size as usize / 4);
                Err(code)
            }
        }
    }

    /// A word of memory. Not a call.
    #[must_use]
    pub fn word(&self, address: u64) -> u32 {
        self.0.borrow().memory.word(address)
    }

    /// `THREAD_EXTENDED_INFO`: CPU time in ns, and the name.
    pub fn thread_extended_info(&self, thread: Name) -> KernResult<(Cpu, String)> {
        let state = self.enter(Call::ThreadExtendedInfo)?;
        let thread = state.thread(thread)?;
        Ok((state.shown(thread.cpu), thread.name.clone()))
    }

    /// `THREAD_IDENTIFIER_INFO`: the thread's id.
    pub fn thread_identifier_info(&self, thread: Name) -> KernResult<Tid> {
        let state = self.enter(Call::ThreadIdentifierInfo)?;
        Ok(state.thread(thread)?.tid)
    }

    /// `MACH_TASK_BASIC_INFO`: the CPU time of **ended** threads in whole µs, and resident and virtual size
    /// in bytes.
    pub fn mach_task_basic_info(&self) -> KernResult<(Cpu, u64, u64)> {
        const SHARED: u64 = 1 << 30;
        let state = self.enter(Call::MachTaskBasicInfo)?;
        let size = state.memory.size();
        Ok((microseconds(state.ended), size, size + SHARED))
    }

    /// `TASK_THREAD_TIMES_INFO`: the CPU time of **living** threads in whole µs.
    pub fn task_thread_times_info(&self) -> KernResult<Cpu> {
        let state = self.enter(Call::TaskThreadTimesInfo)?;
        Ok(microseconds(state.shown_living()))
    }

    /// `TASK_ABSOLUTETIME_INFO.total_*`: the CPU time of all threads, in ticks.
    pub fn task_absolutetime_info(&self) -> KernResult<Cpu> {
        let state = self.enter(Call::TaskAbsolutetimeInfo)?;
        Ok(state.ticks(state.shown_living().plus(state.ended)))
    }

    /// `TASK_POWER_INFO.total_*`: the CPU time of all threads, in ticks.
    pub fn task_power_info(&self) -> KernResult<Cpu> {
        let state = self.enter(Call::TaskPowerInfo)?;
        Ok(state.ticks(state.shown_living().plus(state.ended)))
    }

    /// `TASK_VM_INFO`: how many words of it are filled, and the footprint in bytes if it is among them (else
    /// 0).
    pub fn task_vm_info(&self) -> KernResult<(u32, u64)> {
        const COUNT_WITH_FOOTPRINT: u32 = 38;
        let state = self.enter(Call::TaskVmInfo)?;
        let count = state.config.vm_info_count;
        Ok((
            count,
            if count < COUNT_WITH_FOOTPRINT {
                0
            } else {
                state.memory.size() + 4096
            },
        ))
    }

    /// `mach_vm_region_recurse`: the first region that ends above `address`.
    pub fn mach_vm_region_recurse(&self, address: u64) -> KernResult<Region> {
        let state = self.enter(Call::MachVmRegionRecurse)?;
        let regions = state.memory.regions();
        regions
            .into_iter()
            .find(|region| region.address + region.size > address)
            .ok_or(kern::INVALID_ADDRESS)
    }

    /// `mach_timebase_info`.
    pub fn mach_timebase_info(&self) -> KernResult<(u32, u32)> {
        let state = self.enter(Call::MachTimebaseInfo)?;
        Ok(if state.config.translated {
            (1, 1)
        } else {
            state.config.tick
        })
    }

    /// `sysctl.proc_translated`.
    #[must_use]
    pub fn is_translated(&self) -> bool {
        self.enter(Call::Sysctl)
            .is_ok_and(|state| state.config.translated)
    }

    /// `hw.tbfrequency`.
    #[must_use]
    pub fn ticks_per_second(&self) -> Option<u64> {
        let state = self.enter(Call::Sysctl).ok()?;
        let (numer, denom) = state.config.tick;
        Some(1_000_000_000 * u64::from(denom) / u64::from(numer))
    }

    /// `proc_pidinfo(PROC_PIDLISTFDS)`: how many descriptors it wrote.
    pub fn list_descriptors(&self, capacity: usize) -> KernResult<usize> {
        let state = self.enter(Call::ProcPidinfo)?;
        Ok(state.config.descriptors.min(capacity))
    }

    /// The monotonic clock, in ns.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        match self.enter(Call::MonotonicClock) {
            Ok(state) => state.now_ns,
            Err(code) => unreachable!("a clock that answers {code}"),
        }
    }

    /// Begins a call: scheduled events happen first, and time passes.
    fn enter(&self, call: Call) -> KernResult<RefMut<'_, State>> {
        let mut state = self.0.borrow_mut();
        let number = state.calls.len();
        state.calls.push(call);
        let call_ns = state.config.call_ns;
        state.pass(call_ns);
        let mut failure = None;
        let mut panics = false;
        for event in state.schedule.take(number) {
            match event {
                Event::Birth => drop(state.spawn("born", Cpu { user: 60, system: 40 })),
                Event::Terminated(nth) | Event::Dying(nth) | Event::Death(nth) => {
                    let Some(tid) = state.mortal(nth) else { continue };
                    match event {
                        Event::Terminated(_) => state.advance(tid, Stage::Terminated),
                        Event::Dying(_) => state.advance(tid, Stage::Disabled),
                        _ => state.end(tid),
                    }
                }
                Event::Time(ns) => state.pass(ns),
                Event::Fail(code) if call.can_fail() => failure = Some(code),
                Event::Panic if !call.is_release() => panics = true,
                Event::Fail(_) | Event::Panic => {}
            }
        }
        if panics {
            state.panics += 1;
            drop(state);
            // Not `panic!`: what was asked for needs no message.
            resume_unwind(Box::new(ScheduledPanic(call)));
        }
        if let Some(code) = failure {
            state.failures += 1;
            return Err(code);
        }
        match state.refusals.get(&call) {
            Some(code) => Err(*code),
            None => Ok(state),
        }
    }
}

fn type_of(right: Right) -> u32 {
    match right {
        Right::Send { .. } => 1 << 16,
        Right::Receive => 1 << 17,
        Right::DeadName { .. } => 1 << 20,
    }
}

fn microseconds(cpu: Cpu) -> Cpu {
    Cpu {
        user: cpu.user / 1000,
        system: cpu.system / 1000,
    }
}
