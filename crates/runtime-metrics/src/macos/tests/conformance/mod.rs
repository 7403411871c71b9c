//! The rules that the backend relies on and the model follows, as cases that run on any kernel: here on the
//! model, and unchanged on the real one where the tests run on macOS (see `xnu`). A case that fails there
//! says that the model, and with it every other test, is wrong about the system.

use mach_model::{Config, Cpu, Model};

use crate::macos::kernel::{KernReturn, Kernel, Name, port_type};

/// What a case needs besides the kernel.
pub(super) trait World {
    fn kernel(&self) -> &dyn Kernel;
    /// A thread that does nothing until it is to end.
    fn spawn(&self, name: &str) -> Box<dyn Parked + '_>;
    /// A receive right and nothing else.
    fn receive_right(&self) -> Name;
    /// A send right with so many references.
    fn send_right(&self, references: u32) -> Name;
    /// Takes away a name that was made here.
    fn destroy(&self, name: Name);
    /// Whether the condition comes true, if need be after a while: threads end in their own time.
    fn eventually(&self, condition: &dyn Fn() -> bool) -> bool;
    /// Whether a thread that [begins to end](Parked::begin_to_end) is terminated and still listed until it is to end.
    fn keeps_terminated_threads(&self) -> bool;
}

/// A thread that does nothing.
pub(super) trait Parked {
    fn tid(&self) -> u64;
    /// Its name, as it knows it itself.
    fn port(&self) -> Name;
    /// Uses a few ms of CPU time.
    fn work(&self);
    /// Begins to end, and does not wait for the end.
    fn begin_to_end(&self);
    fn end(self: Box<Self>);
}

pub(super) type Outcome = Result<(), String>;
pub(super) type Case = fn(&dyn World) -> Outcome;

macro_rules! ensure_eq {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) if left == right => {}
            (left, right) => return Err(format!("{} is {left:?}, not {right:?}", stringify!($left))),
        }
    };
}

mod memory;
mod names;
mod threads;

pub(super) const CASES: &[(&str, Case)] = &[
    (
        "a thread owns one reference on its port",
        threads::owns_one_reference,
    ),
    (
        "task_threads adds one reference and no name",
        threads::adds_one_reference,
    ),
    (
        "1,000 lists add 1,000 references",
        threads::adds_a_thousand_references,
    ),
    ("references stop at 65,535", names::references_stop_at_the_maximum),
    (
        "task_threads lists the oldest first",
        threads::oldest_is_listed_first,
    ),
    (
        "a thread that lists with one reference is terminated",
        threads::one_reference_is_a_terminated_thread,
    ),
    (
        "a right outlives its thread as a dead name",
        threads::becomes_a_dead_name,
    ),
    (
        "a held name is given to nobody else",
        threads::held_names_are_not_reused,
    ),
    ("names step by 4 and repeat", names::names_repeat),
    ("thread_info on a dead name", threads::thread_info_of_the_dead),
    (
        "thread_info on a receive right",
        threads::thread_info_of_a_receive_right,
    ),
    (
        "no name counts as one send reference",
        names::no_name_has_one_reference,
    ),
    ("releasing what is no send right", names::refused_releases),
    (
        "arrays are tagged memory until freed",
        memory::arrays_are_tagged_memory,
    ),
    (
        "arrays of rights are tagged, arrays of data are not",
        memory::arrays_of_data_are_untagged,
    ),
    (
        "freeing 0 bytes frees nothing and succeeds",
        memory::freeing_nothing_succeeds,
    ),
    ("names and types come in pairs", names::names_come_with_types),
    (
        "THREAD_*_INFO tells id, name and time",
        threads::thread_info_tells,
    ),
    ("regions ascend and end", memory::regions_ascend),
    ("the clock does not go back", names::the_clock_advances),
];

fn type_of(kernel: &dyn Kernel, wanted: Name) -> Result<Option<u32>, KernReturn> {
    let (names, types) = kernel.mach_port_names()?;
    let mut found = None;
    for index in 0..names.count() {
        if kernel.item(&names, index) == wanted {
            found = Some(kernel.item(&types, index) & port_type::RIGHTS);
        }
    }
    kernel.mach_vm_deallocate(names)?;
    kernel.mach_vm_deallocate(types)?;
    Ok(found)
}

impl World for Model {
    fn kernel(&self) -> &dyn Kernel {
        self
    }

    fn spawn(&self, name: &str) -> Box<dyn Parked + '_> {
        let tid = self.spawn(name, Cpu { user: 100, system: 0 });
        let port = self.port_of(tid).expect("just born");
        Box::new(ModelThread {
            model: self,
            tid,
            port,
        })
    }

    fn receive_right(&self) -> Name {
        self.allocate_receive()
    }

    fn send_right(&self, references: u32) -> Name {
        self.insert_send(references)
    }

    fn destroy(&self, name: Name) {
        self.destroy(name);
    }

    fn eventually(&self, condition: &dyn Fn() -> bool) -> bool {
        condition()
    }

    fn keeps_terminated_threads(&self) -> bool {
        true
    }
}

struct ModelThread<'m> {
    model: &'m Model,
    tid: u64,
    port: Name,
}

impl Parked for ModelThread<'_> {
    fn tid(&self) -> u64 {
        self.tid
    }

    fn port(&self) -> Name {
        self.port
    }

    fn work(&self) {
        self.model.pass(3_000_000);
    }

    fn begin_to_end(&self) {
        self.model.terminate(self.tid);
    }

    fn end(self: Box<Self>) {
        self.model.exit(self.tid);
    }
}

#[test]
fn the_model_conforms() {
    for page_size in [4096, 16_384] {
        for hardened in [false, true] {
            let model = Model::new(Config {
                page_size,
                hardened,
                ..Config::default()
            });
            for (title, case) in CASES {
                assert_eq!(case(&model), Ok(()), "{title}");
                assert_eq!(model.audit(), [""; 0], "{title}");
            }
        }
    }
}
