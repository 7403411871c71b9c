//! Arrays and regions.

use super::{Outcome, World};
use crate::macos::kernel::{KernReturn, Kernel, OutOfLine, TAG_MACH_MSG, TAG_NONE};

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

pub(super) fn arrays_are_tagged_memory(world: &dyn World) -> Outcome {
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
pub(super) fn arrays_of_data_are_untagged(world: &dyn World) -> Outcome {
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

pub(super) fn freeing_nothing_succeeds(world: &dyn World) -> Outcome {
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

pub(super) fn regions_ascend(world: &dyn World) -> Outcome {
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
