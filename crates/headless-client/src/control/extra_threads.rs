//! Idle threads that start and end on request.
//!
//! An unreleased right to a thread becomes a dead name when that thread ends. A session's own threads may live for hours, so
//! a soak starts and ends extra ones in every block, in control blocks too.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The extra threads, parked. Dropping this ends them.
#[derive(Debug, Default)]
pub struct ExtraThreads(Mutex<Vec<ExtraThread>>);

#[derive(Debug)]
struct ExtraThread {
    /// Nothing is ever sent: the thread waits until the sender is dropped.
    stay: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ExtraThreads {
    /// Spawns or ends threads until there are `count`. Threads that it ends are joined.
    ///
    /// # Errors
    ///
    /// The system refuses another thread; those spawned before stay.
    pub fn set(&self, count: usize) -> io::Result<()> {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.truncate(count);
        while threads.len() < count {
            threads.push(ExtraThread::spawn()?);
        }
        Ok(())
    }
}

impl ExtraThread {
    fn spawn() -> io::Result<Self> {
        let (stay, stayed) = channel::<()>();
        let (begun, begins) = channel();
        let thread = Builder::new().name("extra-thread".to_owned()).spawn(move || {
            let _ = begun.send(());
            let _ = stayed.recv();
        })?;
        // A thread maps memory when it starts: that happens before the caller counts.
        let _ = begins.recv();
        Ok(Self {
            stay: Some(stay),
            thread: Some(thread),
        })
    }
}

impl Drop for ExtraThread {
    fn drop(&mut self) {
        self.stay.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_spawns_and_joins_threads_until_the_count_is_right() {
        let extra_threads = ExtraThreads::default();
        for count in [3, 1, 1, 5, 0] {
            extra_threads.set(count).expect("threads");
            let threads = extra_threads.0.lock().expect("nobody panicked");
            let alive = threads
                .iter()
                .filter(|thread| thread.thread.as_ref().is_some_and(|thread| !thread.is_finished()));
            assert_eq!((threads.len(), alive.count()), (count, count));
        }
    }
}
