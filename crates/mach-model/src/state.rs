//! The task: its threads, and the books on what was handed out and given back.

use std::collections::BTreeMap;

use crate::memory::Memory;
use crate::names::{Name, Names, Port, Right};
use crate::schedule::{Call, Schedule};
use crate::{Config, Cpu, KernResult, Tid, kern};

/// How far a thread's end has come (`bsdthread_terminate` of libpthread, then `thread_terminate_self`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Alive,
    /// It answers that it is terminated, and has released its own reference. Its port can still be sent.
    Terminated,
    /// Its port denotes no thread and cannot be sent (`ipc_thread_disable`).
    Disabled,
}

#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) tid: Tid,
    pub(crate) name: String,
    pub(crate) port: Port,
    /// Its name in its own task, as the thread library noted it when the thread was born.
    pub(crate) own_name: Name,
    pub(crate) cpu: Cpu,
    /// CPU use, in percent of a core.
    pub(crate) load: Cpu,
    pub(crate) stage: Stage,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: Config,
    pub(crate) now_ns: u64,
    pub(crate) calls: Vec<Call>,
    pub(crate) schedule: Schedule,
    pub(crate) refusals: BTreeMap<Call, i32>,
    pub(crate) failures: usize,
    pub(crate) panics: usize,
    pub(crate) names: Names,
    pub(crate) memory: Memory,
    /// As `task_threads` lists them: the oldest first (`queue_enter` of `kern/thread.c`), so that ids ascend.
    pub(crate) threads: Vec<Thread>,
    /// CPU time of threads that have ended.
    pub(crate) ended: Cpu,
    pub(crate) ports: u64,
    pub(crate) tids: u64,
    /// By the hardened runtime.
    pub(crate) killed: bool,
    /// Names that the test made itself.
    pub(crate) given: Vec<Name>,
    /// Releases that failed because the schedule said so: references by name, with the port that it denoted, and
    /// bytes of arrays.
    pub(crate) refused_references: BTreeMap<Name, (u32, Option<Port>)>,
    pub(crate) refused_bytes: u64,
    pub(crate) releases_of_nothing: usize,
}

impl State {
    pub(crate) fn new_port(&mut self) -> Port {
        self.ports += 1;
        Port(self.ports)
    }

    pub(crate) fn spawn(&mut self, name: &str, load: Cpu) -> Tid {
        let port = self.new_port();
        self.tids += 1;
        let own_name = self.names.insert_send(port, 1);
        let thread = Thread {
            tid: self.tids,
            name: name.to_owned(),
            port,
            own_name,
            cpu: Cpu::default(),
            load,
            stage: Stage::Alive,
        };
        self.threads.push(thread);
        self.tids
    }

    /// The nth thread that may end, the youngest first: all but the calling one, the oldest.
    pub(crate) fn mortal(&self, nth: usize) -> Option<Tid> {
        let mortals = self.threads.len() - 1;
        (mortals > 0).then(|| self.threads[mortals - nth % mortals].tid)
    }

    /// Brings the thread's end to this stage, unless it is there already.
    pub(crate) fn advance(&mut self, tid: Tid, stage: Stage) {
        let listed = self.threads.iter_mut().find(|thread| thread.tid == tid);
        let Some(thread) = listed.filter(|thread| thread.stage < stage) else {
            return;
        };
        let was_alive = thread.stage == Stage::Alive;
        thread.stage = stage;
        thread.load = Cpu::default();
        if was_alive {
            let own_name = thread.own_name;
            // If the name is gone already, the backend released it once too often, and the audit reports it.
            let _ = self.names.deallocate(own_name);
        }
    }

    /// The thread ends and leaves the list, its times go to those of ended threads, and its port dies.
    pub(crate) fn end(&mut self, tid: Tid) {
        self.advance(tid, Stage::Disabled);
        let Some(index) = self.threads.iter().position(|thread| thread.tid == tid) else {
            return;
        };
        let thread = self.threads.remove(index);
        self.ended = self.ended.plus(thread.cpu);
        self.names.port_died(thread.port);
    }

    pub(crate) fn pass(&mut self, ns: u64) {
        self.now_ns += ns;
        for thread in &mut self.threads {
            thread.cpu.user += ns * thread.load.user / 100;
            thread.cpu.system += ns * thread.load.system / 100;
        }
    }

    /// The thread of a control port, as `thread_info` finds it.
    pub(crate) fn thread(&self, name: Name) -> KernResult<&Thread> {
        let port = match self.names.get(name) {
            Some(Right::Send { .. }) => self.names.port(name),
            // The message that asks cannot be sent without a send right.
            Some(Right::Receive | Right::DeadName { .. }) | None => return Err(kern::SEND_INVALID_DEST),
        };
        let thread = self
            .threads
            .iter()
            .find(|thread| Some(thread.port) == port && thread.stage < Stage::Disabled)
            .ok_or(kern::INVALID_ARGUMENT)?;
        match thread.stage {
            Stage::Alive => Ok(thread),
            Stage::Terminated | Stage::Disabled => Err(kern::TERMINATED),
        }
    }

    pub(crate) fn is_living_thread(&self, name: Name) -> bool {
        self.thread(name).is_ok()
    }

    pub(crate) fn living(&self) -> Cpu {
        self.threads
            .iter()
            .fold(Cpu::default(), |sum, thread| sum.plus(thread.cpu))
    }

    /// A counter as far as it has been brought up to date.
    pub(crate) fn shown(&self, cpu: Cpu) -> Cpu {
        let lag_ns = self.config.lag_ns.max(1);
        Cpu {
            user: cpu.user - cpu.user % lag_ns,
            system: cpu.system - cpu.system % lag_ns,
        }
    }

    pub(crate) fn shown_living(&self) -> Cpu {
        self.threads
            .iter()
            .fold(Cpu::default(), |sum, thread| sum.plus(self.shown(thread.cpu)))
    }

    pub(crate) fn ticks(&self, cpu: Cpu) -> Cpu {
        let (numer, denom) = self.config.tick;
        let ticks = |ns: u64| ns * u64::from(denom) / u64::from(numer);
        Cpu {
            user: ticks(cpu.user),
            system: ticks(cpu.system),
        }
    }

    pub(crate) fn array(&mut self, words: &[u32], tag: u32) -> (u64, u32) {
        (self.memory.allocate(words, tag), words.len() as u32)
    }

    pub(crate) fn audit(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut expected: BTreeMap<Name, Right> = BTreeMap::new();
        for (name, (urefs, port)) in &self.refused_references {
            let is_listed = self.threads.iter().any(|thread| Some(thread.port) == *port);
            let urefs = *urefs;
            let right = match is_listed {
                true => Right::Send { urefs },
                false => Right::DeadName { urefs },
            };
            expected.insert(*name, right);
        }
        let living = self.threads.iter().filter(|thread| thread.stage == Stage::Alive);
        for thread in living {
            let own = expected
                .entry(thread.own_name)
                .or_insert(Right::Send { urefs: 0 });
            if let Right::Send { urefs } = own {
                *urefs += 1;
            }
        }
        for (name, right) in self.names.iter().filter(|(name, _)| !self.given.contains(name)) {
            match expected.remove(&name) {
                Some(expected) if expected == right => {}
                Some(expected) => faults.push(format!("name {name:#x} is {right:?}, not {expected:?}")),
                None => faults.push(format!("name {name:#x} is {right:?} and should not be there")),
            }
        }
        for (name, right) in expected {
            faults.push(format!("name {name:#x} should be {right:?} and is not there"));
        }
        if self.releases_of_nothing > 0 {
            faults.push(format!(
                "MACH_PORT_NULL or _DEAD was released {} times",
                self.releases_of_nothing
            ));
        }
        let bytes = self.memory.array_bytes_held();
        if bytes != self.refused_bytes {
            faults.push(format!(
                "{bytes} bytes of arrays are there, not {}",
                self.refused_bytes
            ));
        }
        if self.memory.own_pages_lost() > 0 {
            faults.push(format!(
                "{} of the process's own pages were freed",
                self.memory.own_pages_lost()
            ));
        }
        faults
    }
}
