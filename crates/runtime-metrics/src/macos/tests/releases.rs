//! A release that the kernel refuses is logged and counted.

use std::cell::RefCell;
use std::sync::Once;

use mach_model::{Call, Model, kern};

use crate::macos::{resource_counts, rights};

thread_local! {
    static LOGGED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what each thread logs, so that tests do not see each other's lines.
struct PerThread;

impl log::Log for PerThread {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOGGED.with_borrow_mut(|logged| logged.push(format!("{}: {}", record.level(), record.args())));
    }

    fn flush(&self) {}
}

fn logged_by(work: impl FnOnce()) -> Vec<String> {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        log::set_logger(&PerThread).expect("no other logger in the tests");
        log::set_max_level(log::LevelFilter::Error);
    });
    LOGGED.take();
    work();
    LOGGED.take()
}

#[test]
fn what_could_not_be_released_is_logged_and_counted() {
    for (call, line) in [
        (
            Call::MachPortDeallocate,
            "ERROR: a reference on port 0x103 could not be released and has leaked",
        ),
        (
            Call::MachVmDeallocate,
            "ERROR: 4 bytes of memory at 0x100004000 could not be released and has leaked",
        ),
    ] {
        let model = Model::new(mach_model::Config::default());
        model.refuse(call, kern::NOT_SUPPORTED);
        let counted = rights::release_failures();
        let lines = logged_by(|| drop(rights::task_threads(&model)));
        assert_eq!(lines, [format!("{line}: KERN_NOT_SUPPORTED (0x2e)")]);
        assert!(rights::release_failures() > counted);
        assert!(resource_counts::count(&model).release_failures > Some(counted));
    }
}

#[test]
fn releases_that_succeed_are_not_mentioned() {
    let model = Model::new(mach_model::Config::default());
    assert_eq!(logged_by(|| drop(resource_counts::count(&model))), [""; 0]);
    assert_eq!(model.audit(), [""; 0]);
}
