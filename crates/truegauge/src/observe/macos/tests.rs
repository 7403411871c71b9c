//! The macOS observer on a model of libproc, in which each call is refused in turn.

use std::sync::OnceLock;
use std::time::Instant;

use super::libproc::{TaskInfo, ThreadInfo, Usage};
use super::*;
use crate::observe::Watch;

/// Libproc with one process, which refuses the call of this index in [`CALLS`].
struct Refusing<const CALL: usize>;

const CALLS: [&str; 8] = [
    call::TIMEBASE,
    call::USAGE,
    call::TASK_INFO,
    call::THREAD_IDS,
    call::THREAD_INFO,
    call::BSD_INFO,
    call::DESCRIPTORS,
    call::IPC_TABLE,
];

/// The index of no call.
const NOTHING: usize = CALLS.len();

fn answer<T, const REFUSED: usize>(call: &str, answer: T) -> io::Result<T> {
    if CALLS.get(REFUSED) == Some(&call) {
        return Err(io::Error::from_raw_os_error(1));
    }
    Ok(answer)
}

impl<const CALL: usize> Libproc for Refusing<CALL> {
    fn task_info(_pid: i32) -> io::Result<TaskInfo> {
        let info = TaskInfo {
            resident_bytes: 40 << 20,
            virtual_bytes: 400 << 20,
            threads: 2,
        };
        answer::<_, CALL>(call::TASK_INFO, info)
    }

    fn parent(_pid: i32) -> io::Result<u32> {
        answer::<_, CALL>(call::BSD_INFO, 1)
    }

    fn thread_ids(_pid: i32) -> io::Result<Vec<u64>> {
        answer::<_, CALL>(call::THREAD_IDS, vec![7, 8])
    }

    fn thread_info(_pid: i32, tid: u64) -> io::Result<ThreadInfo> {
        let info = ThreadInfo {
            name: format!("thread-{tid}"),
            cpu_ns: 5,
        };
        answer::<_, CALL>(call::THREAD_INFO, info)
    }

    fn ipc_table(_pid: i32) -> io::Result<IpcTable> {
        answer::<_, CALL>(call::IPC_TABLE, IpcTable { size: 64, free: 20 })
    }

    fn descriptors(_pid: i32) -> io::Result<usize> {
        answer::<_, CALL>(call::DESCRIPTORS, 9)
    }

    fn usage(_pid: i32) -> io::Result<Usage> {
        let usage = Usage {
            cpu_ticks: 3_000,
            runnable_ticks: 9_000,
            started_ticks: 24,
            footprint_bytes: 30 << 20,
        };
        answer::<_, CALL>(call::USAGE, usage)
    }

    fn timebase() -> io::Result<(u32, u32)> {
        answer::<_, CALL>(call::TIMEBASE, (125, 3))
    }

    fn is_translated() -> bool {
        false
    }

    fn uptime_ns() -> u64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        u64::try_from(ORIGIN.get_or_init(Instant::now).elapsed().as_nanos()).expect("not for centuries")
    }
}

/// One refused call: the observer that begins, the preflight table, and the counts from outside.
type Refusal = (
    fn(u32) -> Result<Watch>,
    fn(u32) -> Vec<Probe>,
    fn(u32) -> ResourceCounts,
);

fn refusal<const CALL: usize>() -> Refusal {
    (
        Watch::begin_with::<Observed<Refusing<CALL>>>,
        Observed::<Refusing<CALL>>::preflight,
        Observed::<Refusing<CALL>>::resource_counts,
    )
}

#[test]
fn a_run_begins_without_an_optional_call_and_names_a_required_one() {
    let refusals: [Refusal; NOTHING] = [
        refusal::<0>(),
        refusal::<1>(),
        refusal::<2>(),
        refusal::<3>(),
        refusal::<4>(),
        refusal::<5>(),
        refusal::<6>(),
        refusal::<7>(),
    ];
    for (call, (begin, preflight, resource_counts)) in CALLS.into_iter().zip(refusals) {
        let refused = preflight(7).into_iter().find(|probe| probe.refused.is_some());
        let refused = refused.unwrap_or_else(|| panic!("{call} is in the preflight table"));
        assert_eq!(refused.tried, call);
        let reason = refused.refused.unwrap_or_default();
        assert!(reason.contains("not permitted"), "{call}: {reason}");

        match (begin(7), call) {
            (Err(error), call::TIMEBASE | call::USAGE | call::TASK_INFO) => {
                let error = format!("{error:#}");
                assert!(error.contains(call) && error.contains("not permitted"), "{error}");
            }
            (Ok(watch), call::THREAD_IDS | call::THREAD_INFO) => {
                let errors = watch.errors().expect("kept");
                assert!(
                    errors.contains(call) && errors.contains("not permitted"),
                    "{errors}"
                );
            }
            (Ok(watch), call::BSD_INFO | call::DESCRIPTORS | call::IPC_TABLE) => {
                assert_eq!(watch.errors(), None, "{call}");
            }
            (begun, _) => panic!("{call}: {:?}", begun.map(|watch| watch.errors())),
        }

        let counts = resource_counts(7);
        let missing = [
            (call::DESCRIPTORS, &counts.descriptors),
            (call::IPC_TABLE, &counts.port_names),
            (call::TASK_INFO, &counts.threads),
            (call::TASK_INFO, &counts.rss_kb),
            (call::USAGE, &counts.footprint_kb),
        ];
        for (needs, count) in missing {
            assert_eq!(matches!(count, Some(Err(_))), needs == call, "{call}: {count:?}");
        }
    }
}

#[test]
fn readings_are_in_kib_and_ns() {
    let process = Observed::<Refusing<NOTHING>>::open(7).expect("observed");
    assert_eq!(process.started_ns(), 1_000, "24 ticks of 125/3 ns");
    assert_eq!(process.clock().expect("read").cpu_ns, 125_000);
    let memory = process.memory().expect("read");
    assert_eq!(
        (memory.resident_kb, memory.virtual_kb, memory.footprint_kb),
        (40 << 10, 400 << 10, Some(30 << 10))
    );
    let tasks = process.tasks().expect("read");
    assert_eq!(tasks.waited_ns, Some(250_000), "runnable, and not running");
    assert_eq!(tasks.port_names, Some(43), "the table's first entry is no name");
    let names: Vec<&str> = tasks.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["thread-7", "thread-8"]);
    assert!(
        Observed::<Refusing<NOTHING>>::preflight(7)
            .iter()
            .all(|probe| probe.refused.is_none())
    );
}
