//! Threads: their rights, their order, their end, and what they answer.

use super::{Outcome, Parked, World, type_of};
use crate::macos::kernel::{KernReturn, Kernel, Name, port_type};
use crate::macos::rights::{self, SendRight};

/// The rights of one list, the parked thread's among them.
fn listed<'k>(kernel: &'k dyn Kernel, thread: &dyn Parked) -> Result<Vec<SendRight<'k>>, String> {
    let rights = rights::task_threads(kernel).map_err(|why| why.to_string())?;
    if rights.iter().any(|right| right.name() == thread.port()) {
        Ok(rights)
    } else {
        Err(format!("task_threads does not list {:#x}", thread.port()))
    }
}

pub(super) fn owns_one_reference(world: &dyn World) -> Outcome {
    let thread = world.spawn("conformance");
    ensure_eq!(world.kernel().mach_port_get_refs(thread.port()), Ok(1));
    ensure_eq!(type_of(world.kernel(), thread.port()), Ok(Some(port_type::SEND)));
    thread.end();
    Ok(())
}

pub(super) fn adds_one_reference(world: &dyn World) -> Outcome {
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

pub(super) fn adds_a_thousand_references(world: &dyn World) -> Outcome {
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

pub(super) fn oldest_is_listed_first(world: &dyn World) -> Outcome {
    let born: Vec<_> = (0..3).map(|_| world.spawn("conformance")).collect();
    let listed = rights::task_threads(world.kernel()).map_err(|why| why.to_string())?;
    let positions: Vec<_> = born
        .iter()
        .map(|thread| listed.iter().position(|right| right.name() == thread.port()))
        .collect();
    drop(listed);
    born.into_iter().for_each(Parked::end);
    let are_listed = positions.iter().all(Option::is_some);
    ensure_eq!((are_listed, positions.is_sorted()), (true, true));
    Ok(())
}

/// The resource counts take such a thread for ended. A living one has a second reference, its own; a thread that was
/// just born gets it in a moment.
pub(super) fn one_reference_is_a_terminated_thread(world: &dyn World) -> Outcome {
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

/// The name of a thread that has ended while the rights of a list with it are held.
fn held_dead_name(world: &dyn World) -> Result<(Name, Vec<SendRight<'_>>), String> {
    let kernel = world.kernel();
    let thread = world.spawn("conformance");
    let port = thread.port();
    let rights = listed(kernel, &*thread)?;
    thread.end();
    let is_dead = || type_of(kernel, port) == Ok(Some(port_type::DEAD_NAME));
    ensure_eq!(world.eventually(&is_dead), true);
    Ok((port, rights))
}

pub(super) fn becomes_a_dead_name(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let (port, rights) = held_dead_name(world)?;
    ensure_eq!(kernel.mach_port_get_refs(port), Ok(0));
    drop(rights);
    ensure_eq!(type_of(kernel, port), Ok(None));
    Ok(())
}

/// What makes a name that is held through a window tell the thread.
pub(super) fn held_names_are_not_reused(world: &dyn World) -> Outcome {
    let (port, rights) = held_dead_name(world)?;
    let others: Vec<_> = (0..8).map(|_| world.spawn("conformance")).collect();
    let has_it = others.iter().any(|other| other.port() == port);
    others.into_iter().for_each(Parked::end);
    ensure_eq!(has_it, false);
    drop(rights);
    Ok(())
}

pub(super) fn thread_info_of_a_receive_right(world: &dyn World) -> Outcome {
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

pub(super) fn thread_info_of_the_dead(world: &dyn World) -> Outcome {
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

pub(super) fn thread_info_tells(world: &dyn World) -> Outcome {
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
