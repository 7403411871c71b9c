//! The names of threads, kept while they cannot have changed.

use crate::name::Name;
use crate::snapshot::{Reading, ThreadReading};

/// Names by tid, each with what the thread's CPU clock showed before the name was read.
///
/// A thread cannot rename itself, nor a tid go to another thread, without that clock moving. So a name holds as long
/// as the clock stands still. What is missed is a thread that *another* one renames, until it next runs.
#[derive(Default)]
pub(super) struct Names {
    /// Ascending by tid.
    kept: Vec<Kept>,
    /// Emptied; its memory is used again.
    spare: Vec<Kept>,
}

struct Kept {
    tid: u64,
    cpu_ns: u64,
    name: Name,
}

impl Names {
    /// Names the threads, which ascend by tid, and drops those that `read` finds to have ended.
    ///
    /// `exact` tells whether their clocks move whenever they run. Where they do not, every name is read.
    pub(super) fn fill_in(
        &mut self,
        threads: &mut Vec<ThreadReading>,
        exact: bool,
        mut read: impl FnMut(u64) -> Option<Reading<Name>>,
    ) {
        let mut kept = self.kept.drain(..).peekable();
        let mut named = std::mem::take(&mut self.spare);
        threads.retain_mut(|thread| {
            while kept.next_if(|kept| kept.tid < thread.tid).is_some() {}
            let kept = kept.next_if(|kept| kept.tid == thread.tid);
            let cpu_ns = thread.cpu.as_ref().ok().map(|cpu| cpu.cpu_ns);
            let same = kept.filter(|kept| exact && Some(kept.cpu_ns) == cpu_ns);
            let Some(name) = same.map_or_else(|| read(thread.tid), |same| Some(Ok(same.name))) else {
                return false;
            };
            if let (Ok(name), Some(cpu_ns)) = (&name, cpu_ns) {
                named.push(Kept {
                    tid: thread.tid,
                    cpu_ns,
                    name: *name,
                });
            }
            thread.name = Some(name);
            true
        });
        drop(kept);
        self.spare = std::mem::replace(&mut self.kept, named);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::CpuReading;

    fn thread(tid: u64, cpu: Reading<u64>) -> ThreadReading {
        ThreadReading {
            tid,
            cpu: cpu.map(|cpu_ns| CpuReading { cpu_ns, at_ns: 0 }),
            name: None,
        }
    }

    /// The tids whose names were read when these threads were named.
    fn read_for(names: &mut Names, threads: &[(u64, Reading<u64>)], exact: bool) -> Vec<u64> {
        let mut threads: Vec<_> = threads
            .iter()
            .map(|(tid, cpu)| thread(*tid, cpu.clone()))
            .collect();
        let mut read = Vec::new();
        names.fill_in(&mut threads, exact, |tid| {
            read.push(tid);
            Some(Ok(Name::new(format!("t{tid}").as_bytes())))
        });
        for thread in &threads {
            let expected = Name::new(format!("t{}", thread.tid).as_bytes());
            assert_eq!(thread.name, Some(Ok(expected)), "{thread:?}");
        }
        read
    }

    #[test]
    fn a_name_is_read_again_when_the_threads_clock_has_moved() {
        let mut names = Names::default();
        let mut read = |threads: &[(u64, u64)]| {
            let threads: Vec<_> = threads.iter().map(|(tid, cpu_ns)| (*tid, Ok(*cpu_ns))).collect();
            read_for(&mut names, &threads, true)
        };
        assert_eq!(read(&[(3, 10), (5, 10), (9, 10)]), [3, 5, 9], "never seen");
        assert_eq!(read(&[(3, 10), (5, 10), (9, 10)]), [0; 0]);
        assert_eq!(read(&[(3, 10), (5, 11), (9, 10)]), [5], "it has run");
        assert_eq!(
            read(&[(3, 10), (5, 2), (9, 10)]),
            [5],
            "its tid went to another thread"
        );
        assert_eq!(
            read(&[(1, 0), (5, 2), (7, 3), (9, 10)]),
            [1, 7],
            "3 has ended, 1 and 7 are new"
        );
        assert_eq!(read(&[(3, 10)]), [3], "forgotten when it ended");
    }

    #[test]
    fn without_an_exact_clock_every_name_is_read() {
        let mut names = Names::default();
        assert_eq!(read_for(&mut names, &[(3, Ok(10))], true), [3]);
        assert_eq!(read_for(&mut names, &[(3, Ok(10))], false), [3]);
        for _ in 0..2 {
            assert_eq!(read_for(&mut names, &[(3, Err("refused".to_owned()))], true), [3]);
        }
    }

    #[test]
    fn a_thread_found_to_have_ended_is_dropped_and_one_without_a_name_is_not() {
        let mut threads: Vec<_> = (1..=3).map(|tid| thread(tid, Ok(1))).collect();
        let refused = || Err("refused".to_owned());
        let mut names = Names::default();
        names.fill_in(&mut threads, true, |tid| (tid != 2).then(refused));
        let left: Vec<_> = threads
            .iter()
            .map(|thread| (thread.tid, thread.name.clone()))
            .collect();
        assert_eq!(left, [(1, Some(refused())), (3, Some(refused()))]);
        assert_eq!(read_for(&mut names, &[(1, Ok(1))], true), [1], "no name was kept");
    }
}
