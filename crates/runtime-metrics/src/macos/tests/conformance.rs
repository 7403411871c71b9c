//! The rules that the backend relies on and the model follows, as cases that run on any kernel: here on the
//! model, and unchanged on the real one where the tests run on macOS (see `xnu`). A case that fails there
//! says that the model, and with it every other test, is wrong about the system.

use std::collections::HashSet;

use mach_model::{Config, Cpu, Model};

use crate::macos::kernel::{
    KernReturn, Kernel, MACH_PORT_DEAD, MACH_PORT_NULL, Name, OutOfLine, TAG_MACH_MSG, TAG_NONE, UREFS_MAX,
    port_type,
};
use crate::macos::rights::{self, SendRight};

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

pub(super) const CASES: &[(&str, Case)] = &[
    ("a thread owns one reference on its port", owns_one_reference),
    ("task_threads adds one reference and no name", adds_one_reference),
    ("1,000 lists add 1,000 references", adds_a_thousand_references),
    ("references stop at 65,535", references_stop_at_the_maximum),
    ("task_threads lists the oldest first", oldest_is_listed_first),
    (
        "a thread that lists with one reference is terminated",
        one_reference_is_a_terminated_thread,
    ),
    ("a right outlives its thread as a dead name", becomes_a_dead_name),
    ("a held name is given to nobody else", held_names_are_not_reused),
    ("names step by 4 and repeat", names_repeat),
    ("thread_info on a dead name", thread_info_of_the_dead),
    ("thread_info on a receive right", thread_info_of_a_receive_right),
    ("no name counts as one send reference", no_name_has_one_reference),
    ("releasing what is no send right", refused_releases),
    ("arrays are tagged memory until freed", arrays_are_tagged_memory),
    (
        "arrays of rights are tagged, arrays of data are not",
        arrays_of_data_are_untagged,
    ),
    (
        "freeing 0 bytes frees nothing and succeeds",
        freeing_nothing_succeeds,
    ),
    ("names and types come in pairs", names_come_with_types),
    ("THREAD_*_INFO tells id, name and time", thread_info_tells),
    ("regions ascend and end", regions_ascend),
    ("the clock does not go back", the_clock_advances),
];

/// The rights of one list, the parked thread's among them.
fn listed<'k>(kernel: &'k dyn Kernel, thread: &dyn Parked) -> Result<Vec<SendRight<'k>>, String> {
    let rights = rights::task_threads(kernel).map_err(|why| why.to_string())?;
    if rights.iter().any(|right| right.name() == thread.port()) {
        Ok(rights)
    } else {
        Err(format!("task_threads does not list {:#x}", thread.port()))
    }
}

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

fn tagged_bytes(kernel: &dyn Kernel) -> u64 {
    let (mut address, mut bytes) = (0, 0);
    while let Ok(region) = kernel.mach_vm_region_recurse(address) {
        bytes += if region.user_tag == TAG_MACH_MSG {
            region.size
        } else {
            0
        };
        address = region.address + region.size;
    }
    bytes
}

fn owns_one_reference(world: &dyn World) -> Outcome {
    let thread = world.spawn("conformance");
    ensure_eq!(world.kernel().mach_port_get_refs(thread.port()), Ok(1));
    ensure_eq!(type_of(world.kernel(), thread.port()), Ok(Some(port_type::SEND)));
    thread.end();
    Ok(())
}

fn adds_one_reference(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let thread = world.spawn("conformance");
    let rights = listed(kernel, &*thread)?;
    let same = rights
        .iter()
        .filter(|right| right.name() == thread.port())
        .count();
    ensure_eq!(same, 1);
    ensure_eq!(kernel.mach_port_get_refs(thread.port()), Ok(2));
    drop(rights);
    ensure_eq!(kernel.mach_port_get_refs(thread.port()), Ok(1));
    thread.end();
    Ok(())
}

fn adds_a_thousand_references(world: &dyn World) -> Outcome {
    let lists = if cfg!(miri) { 20 } else { 1000 };
    let kernel = world.kernel();
    let thread = world.spawn("conformance");
    let mut rights = Vec::new();
    for _ in 0..lists {
        rights.push(listed(kernel, &*thread)?);
    }
    ensure_eq!(kernel.mach_port_get_refs(thread.port()), Ok(1 + lists));
    drop(rights);
    ensure_eq!(kernel.mach_port_get_refs(thread.port()), Ok(1));
    thread.end();
    Ok(())
}

fn references_stop_at_the_maximum(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let almost = world.send_right(UREFS_MAX - 1);
    ensure_eq!(kernel.mach_port_deallocate(almost), Ok(()));
    ensure_eq!(kernel.mach_port_get_refs(almost), Ok(UREFS_MAX - 2));
    world.destroy(almost);
    let pegged = world.send_right(UREFS_MAX);
    for _ in 0..10 {
        ensure_eq!(kernel.mach_port_deallocate(pegged), Ok(()));
    }
    ensure_eq!(kernel.mach_port_get_refs(pegged), Ok(UREFS_MAX));
    world.destroy(pegged);
    Ok(())
}

fn oldest_is_listed_first(world: &dyn World) -> Outcome {
    let born: Vec<_> = (0..3).map(|_| world.spawn("conformance")).collect();
    let listed = rights::task_threads(world.kernel()).map_err(|why| why.to_string())?;
    let position =
        |thread: &Box<dyn Parked + '_>| listed.iter().position(|right| right.name() == thread.port());
    let positions: Vec<_> = born.iter().map(position).collect();
    drop(listed);
    born.into_iter().for_each(Parked::end);
    let are_listed = positions.iter().all(Option::is_some);
    ensure_eq!((are_listed, positions.is_sorted()), (true, true));
    Ok(())
}

/// The resource counts take such a thread for ended. A living one has a second reference, its own; a thread that was
/// just born gets it in a moment.
fn one_reference_is_a_terminated_thread(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let thread = world.spawn("conformance");
    thread.begin_to_end();
    let mut terminated = 0;
    // On a system the moment is short, and may be over.
    for _ in 0..100 {
        for right in rights::task_threads(kernel).map_err(|why| why.to_string())? {
            let has_one_reference = || kernel.mach_port_get_refs(right.name()) == Ok(1);
            if !has_one_reference() {
                continue;
            }
            match kernel.thread_identifier_info(right.name()) {
                Err(_) => terminated += 1,
                Ok(_) => ensure_eq!(world.eventually(&|| !has_one_reference()), true),
            }
        }
    }
    ensure_eq!(terminated > 0 || !world.keeps_terminated_threads(), true);
    thread.end();
    Ok(())
}

fn becomes_a_dead_name(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let thread = world.spawn("conformance");
    let port = thread.port();
    let rights = listed(kernel, &*thread)?;
    thread.end();
    let is_dead = || type_of(kernel, port) == Ok(Some(port_type::DEAD_NAME));
    ensure_eq!(world.eventually(&is_dead), true);
    ensure_eq!(kernel.mach_port_get_refs(port), Ok(0));
    drop(rights);
    ensure_eq!(type_of(kernel, port), Ok(None));
    Ok(())
}

/// What makes a name that is held through a window tell the thread.
fn held_names_are_not_reused(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let thread = world.spawn("conformance");
    let port = thread.port();
    let rights = listed(kernel, &*thread)?;
    thread.end();
    let is_dead = || type_of(kernel, port) == Ok(Some(port_type::DEAD_NAME));
    ensure_eq!(world.eventually(&is_dead), true);
    let others: Vec<_> = (0..8).map(|_| world.spawn("conformance")).collect();
    let has_it = others.iter().any(|other| other.port() == port);
    others.into_iter().for_each(Parked::end);
    ensure_eq!(has_it, false);
    drop(rights);
    Ok(())
}

/// A name alone does not tell what it denoted before.
fn names_repeat(world: &dyn World) -> Outcome {
    let mut names = HashSet::new();
    // An entry's names repeat after 63 uses at most. Other tests may take the entry meanwhile.
    for _ in 0..1024 {
        let name = world.receive_right();
        world.destroy(name);
        ensure_eq!(name & 3, 3);
        names.insert(name);
    }
    ensure_eq!(names.len() < 1024, true);
    Ok(())
}

fn thread_info_of_a_receive_right(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let receive = world.receive_right();
    let answers = (
        kernel.thread_identifier_info(receive),
        kernel.thread_extended_info(receive).map(|_| ()),
    );
    world.destroy(receive);
    let refused = KernReturn::SEND_INVALID_DEST;
    ensure_eq!(answers, (Err(refused), Err(refused)));
    Ok(())
}

fn no_name_has_one_reference(world: &dyn World) -> Outcome {
    for name in [MACH_PORT_NULL, MACH_PORT_DEAD] {
        ensure_eq!(world.kernel().mach_port_get_refs(name), Ok(1));
    }
    Ok(())
}

fn thread_info_of_the_dead(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let thread = world.spawn("conformance");
    let port = thread.port();
    let rights = listed(kernel, &*thread)?;
    thread.end();
    let is_unreachable = || kernel.thread_identifier_info(port) == Err(KernReturn::SEND_INVALID_DEST);
    ensure_eq!(world.eventually(&is_unreachable), true);
    ensure_eq!(
        kernel.thread_extended_info(port).map(|_| ()),
        Err(KernReturn::SEND_INVALID_DEST)
    );
    drop(rights);
    Ok(())
}

fn refused_releases(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let receive = world.receive_right();
    ensure_eq!(
        kernel.mach_port_deallocate(receive),
        Err(KernReturn::INVALID_RIGHT)
    );
    ensure_eq!(kernel.mach_port_get_refs(receive), Ok(0));
    ensure_eq!(type_of(kernel, receive), Ok(Some(port_type::RECEIVE)));
    world.destroy(receive);
    let bogus = 0x00ff_ff03;
    ensure_eq!(type_of(kernel, bogus), Ok(None));
    ensure_eq!(kernel.mach_port_deallocate(bogus), Err(KernReturn::INVALID_NAME));
    ensure_eq!(kernel.mach_port_get_refs(bogus), Err(KernReturn::INVALID_NAME));
    Ok(())
}

/// Arrays of names that nobody frees, for a while.
fn keep_arrays(kernel: &dyn Kernel, how_many: usize) -> Result<Vec<OutOfLine>, KernReturn> {
    let mut arrays = Vec::new();
    for _ in 0..how_many {
        let list = kernel.task_threads()?;
        for index in 0..list.count() {
            kernel.mach_port_deallocate(kernel.item(&list, index))?;
        }
        arrays.push(list);
    }
    Ok(arrays)
}

fn arrays_are_tagged_memory(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let before = tagged_bytes(kernel);
    let arrays = keep_arrays(kernel, 16).map_err(|why| why.to_string())?;
    let more = tagged_bytes(kernel).saturating_sub(before);
    let in_pages = more >= 16 * 4096 && more.is_multiple_of(4096);
    for array in arrays {
        ensure_eq!(kernel.mach_vm_deallocate(array), Ok(()));
    }
    ensure_eq!((in_pages, tagged_bytes(kernel)), (true, before));
    Ok(())
}

fn tag_at(kernel: &dyn Kernel, array: &OutOfLine) -> Result<u32, KernReturn> {
    let region = kernel.mach_vm_region_recurse(array.address())?;
    Ok(region.user_tag)
}

/// Why leaks of either are counted apart. The tag is that of the region around an array that is held: what other tests
/// map does not matter.
fn arrays_of_data_are_untagged(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let mut arrays = keep_arrays(kernel, 1).map_err(|why| why.to_string())?;
    let (names, types) = kernel.mach_port_names().map_err(|why| why.to_string())?;
    arrays.extend([names, types]);
    let tags: Vec<_> = arrays.iter().map(|array| tag_at(kernel, array)).collect();
    for array in arrays {
        ensure_eq!(kernel.mach_vm_deallocate(array), Ok(()));
    }
    ensure_eq!(tags, [Ok(TAG_MACH_MSG), Ok(TAG_NONE), Ok(TAG_NONE)]);
    Ok(())
}

fn freeing_nothing_succeeds(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let arrays = keep_arrays(kernel, 16).map_err(|why| why.to_string())?;
    let before = tagged_bytes(kernel);
    let freed: Vec<_> = arrays
        .iter()
        .map(|array| kernel.mach_vm_deallocate(OutOfLine::new(array.address(), 0)))
        .collect();
    let after = tagged_bytes(kernel);
    for array in arrays {
        ensure_eq!(kernel.mach_vm_deallocate(array), Ok(()));
    }
    ensure_eq!((freed, after), (vec![Ok(()); 16], before));
    Ok(())
}

fn names_come_with_types(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let receive = world.receive_right();
    let send = world.send_right(3);
    ensure_eq!(type_of(kernel, receive), Ok(Some(port_type::RECEIVE)));
    ensure_eq!(
        type_of(kernel, send).map(|found| found.map(|bits| bits & port_type::SEND)),
        Ok(Some(port_type::SEND))
    );
    ensure_eq!(kernel.mach_port_get_refs(send), Ok(3));
    let (names, types) = kernel.mach_port_names().map_err(|why| why.to_string())?;
    let counts = (names.count(), types.count());
    ensure_eq!(kernel.mach_vm_deallocate(names), Ok(()));
    ensure_eq!(kernel.mach_vm_deallocate(types), Ok(()));
    ensure_eq!(counts.0, counts.1);
    world.destroy(receive);
    world.destroy(send);
    Ok(())
}

fn thread_info_tells(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let thread = world.spawn("conformance");
    let info = || {
        kernel
            .thread_extended_info(thread.port())
            .map_err(|why| why.to_string())
    };
    ensure_eq!(kernel.thread_identifier_info(thread.port()), Ok(thread.tid()));
    ensure_eq!(&info()?.name[..12], b"conformance\0");
    let before = info()?;
    thread.work();
    let grown = || info().is_ok_and(|after| after.user_time >= before.user_time + 2_000_000);
    ensure_eq!(world.eventually(&grown), true);
    thread.end();
    Ok(())
}

fn regions_ascend(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let (mut address, mut regions) = (0, 0);
    let end = loop {
        match kernel.mach_vm_region_recurse(address) {
            Ok(region) if region.size > 0 && region.address >= address => {
                address = region.address + region.size
            }
            Ok(region) => return Err(format!("{region:?} after {address:#x}")),
            Err(why) => break why,
        }
        regions += 1;
    };
    ensure_eq!((end, regions > 1), (KernReturn::INVALID_ADDRESS, true));
    Ok(())
}

fn the_clock_advances(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let start = kernel.monotonic_ns();
    ensure_eq!(kernel.monotonic_ns() >= start, true);
    ensure_eq!(world.eventually(&|| kernel.monotonic_ns() > start), true);
    Ok(())
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
