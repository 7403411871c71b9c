//! The rules on the system that runs these tests.
//!
//! Other tests of this process sample at the same time: a reference can be one too many for a moment, and
//! memory come and go. A case has failed when it fails again and again.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mach2::kern_return::KERN_SUCCESS;
use mach2::mach_port::{mach_port_allocate, mach_port_destroy, mach_port_insert_right, mach_port_mod_refs};
use mach2::message::MACH_MSG_TYPE_MAKE_SEND;
use mach2::port::{MACH_PORT_RIGHT_RECEIVE, MACH_PORT_RIGHT_SEND};
use mach2::traps::mach_task_self;

use super::conformance::{CASES, Parked, World};
use crate::macos::cpu::{self, Source};
use crate::macos::kernel::{KernReturn, Kernel, Name};
use crate::macos::xnu::Xnu;

const TIMEOUT: Duration = Duration::from_secs(20);

struct System;

impl World for System {
    fn kernel(&self) -> &dyn Kernel {
        &Xnu
    }

    fn spawn(&self, name: &str) -> Box<dyn Parked + '_> {
        Box::new(ParkedThread::new(name))
    }

    fn receive_right(&self) -> Name {
        let mut name = 0;
        // SAFETY: the pointer is to a variable of the right type.
        let code = unsafe { mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &raw mut name) };
        assert_eq!(code, KERN_SUCCESS);
        name
    }

    /// To a port of its own: the name is a receive right as well.
    fn send_right(&self, references: u32) -> Name {
        let name = self.receive_right();
        let delta = i32::try_from(references).expect("a count of references") - 1;
        // SAFETY: takes no pointers; the port is this function's own.
        let codes = unsafe {
            let task = mach_task_self();
            [
                mach_port_insert_right(task, name, name, MACH_MSG_TYPE_MAKE_SEND),
                mach_port_mod_refs(task, name, MACH_PORT_RIGHT_SEND, delta),
            ]
        };
        assert_eq!(codes, [KERN_SUCCESS; 2]);
        name
    }

    fn destroy(&self, name: Name) {
        // SAFETY: takes no pointers; the port is a test's own.
        assert_eq!(unsafe { mach_port_destroy(mach_task_self(), name) }, KERN_SUCCESS);
    }

    fn eventually(&self, condition: &dyn Fn() -> bool) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if condition() {
                return true;
            }
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn keeps_terminated_threads(&self) -> bool {
        false
    }
}

/// Ends when it is dropped.
struct ParkedThread {
    tid: u64,
    port: Name,
    /// A message: work. None any more: end.
    orders: RefCell<Option<Sender<()>>>,
    done: Receiver<()>,
    handle: Option<JoinHandle<()>>,
}

impl ParkedThread {
    fn new(name: &str) -> Self {
        let (tell, told) = channel();
        let (orders, inbox) = channel();
        let (finish, done) = channel();
        let run = move || {
            let mut tid = 0;
            // SAFETY: concerns the calling thread; the pointer is to a variable of the right type.
            let port = unsafe {
                assert_eq!(libc::pthread_threadid_np(0, &raw mut tid), 0);
                libc::pthread_mach_thread_np(libc::pthread_self())
            };
            tell.send((tid, port)).expect("the parent waits");
            while let Ok(()) = inbox.recv() {
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(30) {
                    std::hint::spin_loop();
                }
                finish.send(()).expect("the parent waits");
            }
        };
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .expect("a thread");
        let (tid, port) = told.recv().expect("the thread tells");
        Self {
            tid,
            port,
            orders: RefCell::new(Some(orders)),
            done,
            handle: Some(handle),
        }
    }
}

impl Drop for ParkedThread {
    fn drop(&mut self) {
        self.begin_to_end();
        let joined = self.handle.take().expect("dropped once").join();
        assert!(joined.is_ok() || std::thread::panicking());
    }
}

impl Parked for ParkedThread {
    fn tid(&self) -> u64 {
        self.tid
    }

    fn port(&self) -> Name {
        self.port
    }

    fn work(&self) {
        let orders = self.orders.borrow();
        let waits = orders.as_ref().expect("alive").send(());
        waits.expect("the thread waits");
        self.done.recv().expect("the thread works");
    }

    fn begin_to_end(&self) {
        self.orders.replace(None);
    }

    fn end(self: Box<Self>) {}
}

#[test]
fn the_system_conforms() {
    let mut failures = Vec::new();
    for (title, case) in CASES {
        let mut attempts = (0..20).map(|_| case(&System));
        match attempts.find_map(|outcome| outcome.is_ok().then_some(())) {
            Some(()) => println!("conforms: {title}"),
            None => failures.push(format!("{title}: {:?}", case(&System))),
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// On a system that has all of them. One that is only compatible may lack some, but must say so.
#[test]
fn sources_of_process_cpu_agree() {
    let worker = ParkedThread::new("worker");
    worker.work();
    let sources = [Source::AbsoluteTime, Source::Power, Source::ThreadTimesAndBasic];
    let read = |source| cpu::process_cpu_ns(&Xnu, &OnceLock::from(source));
    let answers: Vec<(Source, u64)> = sources
        .into_iter()
        .filter_map(|source| Some((source, read(source).ok()?)))
        .collect();
    println!("{answers:?}");
    assert!(!answers.is_empty(), "{:?}", sources.map(read));
    // Each is read after the one before it, while other tests run.
    let spread = answers
        .iter()
        .map(|answer| answer.1)
        .max()
        .zip(answers.iter().map(|answer| answer.1).min());
    assert!(
        spread.is_some_and(|(most, least)| most - least < 2_000_000_000),
        "{answers:?}"
    );
}

/// The reason that this backend exists. Where TASK_ABSOLUTETIME_INFO is missing, the system is not XNU
/// throughout.
#[test]
fn basic_info_is_blind_to_living_threads() {
    if let Err(why) = Xnu.task_absolutetime_info() {
        assert!(
            [
                KernReturn::INVALID_ARGUMENT,
                KernReturn::NOT_SUPPORTED,
                KernReturn::FAILURE
            ]
            .contains(&why),
            "{why}"
        );
        println!("not judged: TASK_ABSOLUTETIME_INFO: {why}");
        return;
    }
    let worker = ParkedThread::new("worker");
    let clock = || {
        Xnu.thread_extended_info(worker.port())
            .map(|info| info.user_time + info.system_time)
    };
    let ended_ms = || {
        let times = Xnu
            .mach_task_basic_info()
            .expect("MACH_TASK_BASIC_INFO")
            .ended_threads;
        let ms = |time: crate::macos::kernel::TimeValue| {
            i64::from(time.seconds) * 1000 + i64::from(time.microseconds) / 1000
        };
        ms(times.user) + ms(times.system)
    };
    // Threads of other tests may end meanwhile: the quietest of a few attempts counts.
    let mut least = i64::MAX;
    for _ in 0..50 {
        let (clock_before, ended_before) = (clock().expect("alive"), ended_ms());
        while clock().expect("alive") < clock_before + 60_000_000 {
            worker.work();
        }
        least = least.min(ended_ms() - ended_before);
        if least < 30 {
            break;
        }
    }
    assert!(
        least < 30,
        "60 ms of a living thread's CPU time moved MACH_TASK_BASIC_INFO by {least} ms"
    );
}
