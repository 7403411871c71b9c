//! Names that are not those of threads, and the clock.

use std::collections::HashSet;

use super::{Outcome, World, type_of};
use crate::macos::kernel::{KernReturn, MACH_PORT_DEAD, MACH_PORT_NULL, UREFS_MAX, port_type};

pub(super) fn references_stop_at_the_maximum(world: &dyn World) -> Outcome {
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

/// A name alone does not tell what it denoted before.
pub(super) fn names_repeat(world: &dyn World) -> Outcome {
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

pub(super) fn no_name_has_one_reference(world: &dyn World) -> Outcome {
    for name in [MACH_PORT_NULL, MACH_PORT_DEAD] {
        ensure_eq!(world.kernel().mach_port_get_refs(name), Ok(1));
    }
    Ok(())
}

pub(super) fn refused_releases(world: &dyn World) -> Outcome {
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

pub(super) fn names_come_with_types(world: &dyn World) -> Outcome {
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

pub(super) fn the_clock_advances(world: &dyn World) -> Outcome {
    let kernel = world.kernel();
    let start = kernel.monotonic_ns();
    ensure_eq!(kernel.monotonic_ns() >= start, true);
    ensure_eq!(world.eventually(&|| kernel.monotonic_ns() > start), true);
    Ok(())
}
