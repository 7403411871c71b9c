//! Threads that come and go when they are told to.
//!
//! A right to a thread that is not released shows when that thread ends: as a dead name. In a session threads may stay for
//! hours; a soak has some come and go in every block, whether the block samples or not.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The threads that are there now, parked; they end with it.
#[derive(Debug, Default)]
pub struct Companions(Mutex<Vec<Companion>>);

#[derive(Debug)]
struct Companion {
    /// Nothing is ever sent: the end of the sender is what the thread waits for.
    stay: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Companions {
    /// Spawns or ends threads until so many are there. One that ended was joined.
    ///
    /// # Errors
    ///
    /// The system gives no more threads; those that it gave are there.
    pub fn set(&self, count: usize) -> io::Result<()> {
        let mut threads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        threads.truncate(count);
        while threads.len() < count {
            threads.push(Companion::spawn()?);
        }
        Ok(())
    }
}

impl Companion {
    fn spawn() -> io::Result<Self> {
        let (stay, stayed) = channel::<()>();
        let (begun, begins) = channel();
        let thread = Builder::new().name("companion".to_owned()).spawn(move || {
            let _ = begun.send(());
            let _ = stayed.recv();
        })?;
        // What a thread maps when it starts is there before anybody counts.
        let _ = begins.recv();
        Ok(Self {
            stay: Some(stay),
            thread: Some(thread),
        })
    }
}

impl Drop for Companion {
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
    fn as_many_as_asked_are_there() {
        let companions = Companions::default();
        for count in [3, 1, 1, 5, 0] {
            companions.set(count).expect("threads");
            let threads = companions.0.lock().expect("nobody panicked");
            let alive = threads.iter().filter(|companion| {
                companion
                    .thread
                    .as_ref()
                    .is_some_and(|thread| !thread.is_finished())
            });
            assert_eq!((threads.len(), alive.count()), (count, count));
        }
    }
}
