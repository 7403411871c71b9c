//! The counts follow real resources. The file has one test, because the counts cover the whole process.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "mmap")]

use std::fs::File;
use std::num::NonZeroUsize;
use std::sync::mpsc::channel;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use runtime_metrics::{ResourceCounts, resource_counts};

const MANY: u64 = 7;

fn count() -> ResourceCounts {
    let counts = resource_counts();
    assert!(counts.missing.is_empty(), "{:?}", counts.missing);
    counts
}

#[test]
fn what_is_opened_mapped_or_spawned_is_counted_and_the_count_itself_is_not() {
    drop(count());
    let before = count();
    let again = count();
    assert_eq!(
        (again.descriptors, again.threads, again.mappings),
        (before.descriptors, before.threads, before.mappings),
        "counting leaves nothing behind"
    );
    let listed = std::fs::read_dir("/proc/self/fd").expect("/proc/self/fd").count() as u64;
    assert_eq!(
        before.descriptors,
        Some(listed - 1),
        "all but the one that listing them takes"
    );

    let files: Vec<_> = (0..MANY)
        .map(|_| File::open("/proc/self/exe").expect("the program"))
        .collect();
    assert_eq!(count().descriptors, before.descriptors.map(|count| count + MANY));

    // The same page of one file again and again: neighbours that cannot merge.
    let page = NonZeroUsize::new(4096).expect("not 0");
    let map = |_| {
        // SAFETY: a new mapping, which nothing else uses.
        unsafe {
            mmap(
                None,
                page,
                ProtFlags::PROT_READ,
                MapFlags::MAP_PRIVATE,
                &files[0],
                0,
            )
        }
        .expect("a mapping")
    };
    let mappings: Vec<_> = (0..MANY).map(map).collect();
    assert_eq!(count().mappings, before.mappings.map(|count| count + MANY));
    for mapping in mappings {
        // SAFETY: mapped above, and used by nothing.
        unsafe { munmap(mapping, page.get()) }.expect("mapped above");
    }
    drop(files);
    let back = count();
    assert_eq!(
        (back.descriptors, back.mappings),
        (before.descriptors, before.mappings)
    );

    let parked: Vec<_> = (0..MANY)
        .map(|_| {
            let (park, unpark) = channel::<()>();
            (park, std::thread::spawn(move || unpark.recv().is_err()))
        })
        .collect();
    assert_eq!(count().threads, before.threads.map(|count| count + MANY));
    for (park, handle) in parked {
        drop(park);
        assert!(handle.join().expect("it only waits"));
    }

    // A big allocation is virtual at once, and resident once it has been written to.
    let megabytes = 64;
    let big = vec![1_u8; megabytes << 20];
    let grown = count();
    let kb = megabytes as u64 * 1024;
    assert!(
        grown.vm_size_kb >= before.vm_size_kb.map(|was| was + kb),
        "{grown:?}"
    );
    assert!(grown.rss_kb >= before.rss_kb.map(|was| was + kb / 2), "{grown:?}");
    drop(big);

    let json = serde_json::to_value(&before).expect("JSON");
    let mut fields: Vec<_> = json
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "descriptors",
            "mappings",
            "platform",
            "rss_kb",
            "threads",
            "vm_size_kb"
        ]
    );
}
