//! An in-memory Mach kernel, for tests of code that calls the real one where there is none.
//!
//! A [`Model`] is one task: its port name space, its memory and its threads, in virtual time. It follows XNU
//! where it matters to code that samples its own task:
//!
//! - Send rights to one port gather on **one name**, as user references. They stop at 65,535 and then never
//!   come down.
//! - Every thread owns one reference on its own port. Releasing it once too often frees the name, or, in a
//!   [hardened process](Config::hardened), ends the process (here: panics).
//! - An ending thread is terminated and releases its own reference first. Until its port is disabled, a listing
//!   gives it a **new name with 1 reference**. After that it is listed without a name, and then not at all.
//! - When a thread ends, references that somebody else holds stay, on a **dead name**.
//! - A listing has the oldest thread first. A freed entry of the name space is the next to be used; its names
//!   step by 4 and **repeat** after 15, 31, 47 or 63 uses.
//! - Arrays arrive as whole pages: arrays of rights tagged [`TAG_MACH_MSG`], arrays of plain data untagged
//!   ([`TAG_NONE`]). Deallocating rounds outwards to pages: too small a size leaves pages, a size of 0 leaves
//!   all, too large a size takes the neighbour's.
//! - `MACH_TASK_BASIC_INFO` knows the CPU time of ended threads alone, `TASK_THREAD_TIMES_INFO` that of
//!   living ones alone.
//! - A Mach tick is 125/3 ns, and under Rosetta `mach_timebase_info` says otherwise.
//!
//! Calls are numbered from 0. Before any of them threads can be born and end, time can pass, and the call
//! itself can fail or panic: see [`Model::before`].
//!
//! The model keeps book of what each call handed out and got back: [`Model::audit`] says what is out of
//! balance.
//!
//! The model has no other tasks, messages, receiving on receive rights, memory protection or concurrency.

mod calls;
mod memory;
mod names;
mod schedule;
mod state;

use std::cell::RefCell;
use std::collections::BTreeMap;

use memory::Memory;
use names::Names;
use schedule::Schedule;
use state::{Stage, State};

pub use memory::{Region, TAG_MACH_MSG, TAG_MALLOC, TAG_NONE};
pub use names::{Name, Right, UREFS_MAX};
pub use schedule::{Call, Event};

/// `kern_return_t` values that the model answers with.
pub mod kern {
    /// `KERN_INVALID_ADDRESS`.
    pub const INVALID_ADDRESS: i32 = 1;
    /// `KERN_INVALID_ARGUMENT`.
    pub const INVALID_ARGUMENT: i32 = 4;
    /// `KERN_INVALID_NAME`.
    pub const INVALID_NAME: i32 = 15;
    /// `KERN_INVALID_RIGHT`.
    pub const INVALID_RIGHT: i32 = 17;
    /// `KERN_INVALID_CAPABILITY`.
    pub const INVALID_CAPABILITY: i32 = 20;
    /// `KERN_TERMINATED`.
    pub const TERMINATED: i32 = 37;
    /// `KERN_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: i32 = 46;
    /// `MACH_SEND_INVALID_DEST`.
    pub const SEND_INVALID_DEST: i32 = 0x1000_0003;
}

/// `MACH_PORT_NULL`.
pub const MACH_PORT_NULL: Name = 0;
/// `MACH_PORT_DEAD`.
pub const MACH_PORT_DEAD: Name = !0;

/// The payload of [`Event::Panic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScheduledPanic(pub Call);

/// A call's answer, or a `kern_return_t`.
pub type KernResult<T> = Result<T, i32>;

/// The 64-bit id of a thread.
pub type Tid = u64;

/// User and system time, in ns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cpu {
    /// In ns.
    pub user: u64,
    /// In ns.
    pub system: u64,
}

impl Cpu {
    /// User and system time together, in ns.
    #[must_use]
    pub fn total(self) -> u64 {
        self.user + self.system
    }

    fn plus(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
        }
    }
}

/// The machine and the process.
#[derive(Debug, Clone)]
pub struct Config {
    /// 4096 on Intel, 16384 on Apple Silicon; any power of two.
    pub page_size: u64,
    /// Whether the kernel takes the process for a hardened one: releasing a thread's own reference is fatal then. XNU does so for
    /// platform binaries and, from macOS 26 on, for the entitlements of a hardened process (`osfmk/kern/task.c`,
    /// `task_set_exc_guard_ctrl_port_default`); `codesign --options runtime` alone does not set it.
    pub hardened: bool,
    /// A Mach tick in ns, as a fraction.
    pub tick: (u32, u32),
    /// Rosetta runs the process.
    pub translated: bool,
    /// Granularity of the CPU counters of living threads, in ns: they show whole multiples of it. 0: exact.
    pub lag_ns: u64,
    /// Duration of a call, in ns.
    pub call_ns: u64,
    /// Open descriptors.
    pub descriptors: usize,
    /// Number of words of `TASK_VM_INFO` that this kernel knows.
    pub vm_info_count: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            page_size: 16_384,
            hardened: false,
            tick: (125, 3),
            translated: false,
            lag_ns: 0,
            call_ns: 1_000,
            descriptors: 5,
            vm_info_count: 93,
        }
    }
}

/// One task and its kernel. See the [module documentation](self).
#[derive(Debug)]
pub struct Model(RefCell<State>);

impl Model {
    /// A task with one thread, the calling one, which uses 10 % of a core and never ends.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let memory = Memory::new(config.page_size);
        let state = State {
            config,
            now_ns: 1_000_000_000,
            calls: Vec::new(),
            schedule: Schedule::default(),
            refusals: BTreeMap::new(),
            failures: 0,
            panics: 0,
            names: Names::default(),
            memory,
            threads: Vec::new(),
            ended: Cpu {
                user: 2_000_000,
                system: 1_000_000,
            },
            ports: 0,
            tids: 100,
            killed: false,
            given: Vec::new(),
            refused_references: BTreeMap::new(),
            refused_bytes: 0,
            releases_of_nothing: 0,
        };
        let model = Self(RefCell::new(state));
        let mut state = model.0.borrow_mut();
        state.spawn("main", Cpu { user: 7, system: 3 });
        state.pass(1_000_000_000);
        drop(state);
        model
    }

    /// A thread is born, using so many percent of a core from now on.
    pub fn spawn(&self, name: &str, load: Cpu) -> Tid {
        self.0.borrow_mut().spawn(name, load)
    }

    /// A thread ends.
    pub fn exit(&self, tid: Tid) {
        self.0.borrow_mut().end(tid);
    }

    /// A thread is terminated and has released its own reference, but is still listed: see [`Event::Terminated`].
    pub fn terminate(&self, tid: Tid) {
        self.0.borrow_mut().advance(tid, Stage::Terminated);
    }

    /// Time passes, in ns.
    pub fn pass(&self, ns: u64) {
        self.0.borrow_mut().pass(ns);
    }

    /// Has something happen before the call with this number, counting from [`Model::calls_made`].
    pub fn before(&self, call: usize, event: Event) {
        let mut state = self.0.borrow_mut();
        let call = state.calls.len() + call;
        state.schedule.add(call, event);
    }

    /// Has a call answer with this code from now on.
    pub fn refuse(&self, call: Call, code: i32) {
        self.0.borrow_mut().refusals.insert(call, code);
    }

    /// The calls made so far.
    #[must_use]
    pub fn calls_made(&self) -> Vec<Call> {
        self.0.borrow().calls.clone()
    }

    /// Number of calls that failed because of the schedule.
    #[must_use]
    pub fn failures(&self) -> usize {
        self.0.borrow().failures
    }

    /// Number of calls that panicked because of the schedule.
    #[must_use]
    pub fn panics(&self) -> usize {
        self.0.borrow().panics
    }

    /// The time, in ns.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.0.borrow().now_ns
    }

    /// The true CPU time of all threads, living and ended.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        let state = self.0.borrow();
        state.living().plus(state.ended)
    }

    /// The true CPU time of a living thread.
    #[must_use]
    pub fn cpu_of(&self, tid: Tid) -> Option<Cpu> {
        self.0
            .borrow()
            .threads
            .iter()
            .find(|thread| thread.tid == tid)
            .map(|thread| thread.cpu)
    }

    /// The listed threads, as `task_threads` lists them: the oldest first.
    #[must_use]
    pub fn tids(&self) -> Vec<Tid> {
        self.0.borrow().threads.iter().map(|thread| thread.tid).collect()
    }

    /// A thread's name in the name space, as the thread itself knows it.
    #[must_use]
    pub fn port_of(&self, tid: Tid) -> Option<Name> {
        self.0
            .borrow()
            .threads
            .iter()
            .find(|thread| thread.tid == tid)
            .map(|thread| thread.own_name)
    }

    /// Every name and what it denotes.
    #[must_use]
    pub fn names(&self) -> BTreeMap<Name, Right> {
        self.0.borrow().names.iter().collect()
    }

    /// A new port's receive right.
    pub fn allocate_receive(&self) -> Name {
        let mut state = self.0.borrow_mut();
        let port = state.new_port();
        let name = state.names.insert_receive(port);
        state.given.push(name);
        name
    }

    /// A send right to a port of somebody else's, with so many references.
    pub fn insert_send(&self, urefs: u32) -> Name {
        let mut state = self.0.borrow_mut();
        let port = state.new_port();
        let name = state.names.insert_send(port, urefs);
        state.given.push(name);
        name
    }

    /// Takes a name away, with all its references.
    pub fn destroy(&self, name: Name) {
        let mut state = self.0.borrow_mut();
        state.names.destroy(name);
        state.given.retain(|given| *given != name);
    }

    /// Lists the imbalances. The list is empty if every right and array that calls handed out was released once.
    ///
    /// A release that failed because the schedule said so is no imbalance: what it did not release is
    /// expected.
    #[must_use]
    pub fn audit(&self) -> Vec<String> {
        self.0.borrow().audit()
    }
}

#[cfg(test)]
mod tests;
