//! How much memory a piece of work takes, counted by the allocator: what is read within bounds must stay within them.
#![allow(unsafe_code, reason = "an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// What this thread has allocated and not freed. Below zero where it frees what another one allocated.
    static HELD: Cell<isize> = const { Cell::new(0) };
    /// The most of it since [`most_held`] began.
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The most bytes that this thread held at once while it worked, beyond what it held before.
pub(crate) fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let done = work();
    (done, usize::try_from(MOST.get() - before).unwrap_or(0))
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn took(bytes: usize) {
    HELD.set(HELD.get() + bytes as isize);
    MOST.set(MOST.get().max(HELD.get()));
}

fn gave_back(bytes: usize) {
    HELD.set(HELD.get() - bytes as isize);
}

// SAFETY: the system's allocator does the work; the counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as this was called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as this was called.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // Where it moves, both are there for a while.
        took(new_size);
        gave_back(layout.size());
        // SAFETY: as this was called.
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        gave_back(layout.size());
        // SAFETY: as this was called.
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_that_was_held_at_once_counts() {
        let ((), most) = most_held(|| {
            for _ in 0..10 {
                drop(std::hint::black_box(vec![1_u8; 1000]));
            }
        });
        assert!((1000..2000).contains(&most), "{most}");
        let (kept, most) = most_held(|| std::hint::black_box(vec![1_u8; 5000]));
        assert!((5000..6000).contains(&most), "{most}");
        let ((), most) = most_held(|| drop(kept));
        assert_eq!(most, 0);
    }
}
