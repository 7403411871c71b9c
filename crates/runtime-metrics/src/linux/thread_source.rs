//! The list of living threads, refreshed with as few system calls as certainty takes.

/// The threads of a process, as the kernel reports them.
pub(super) trait ThreadSource {
    /// The number of threads, if the kernel tells it.
    fn count(&self) -> Option<usize>;

    /// Adds the tids of a directory listing, which may skip a living thread.
    fn list(&mut self, known: &mut Vec<u32>) -> Result<(), String>;

    /// Removes the tids of threads that have ended.
    fn keep_living(&mut self, known: &mut Vec<u32>) -> Result<(), String>;
}

/// Refreshes `known`, the tids found earlier, in ascending order.
///
/// If the kernel's thread count equals the number of known tids, and every known thread still answers *afterwards*, the
/// list is complete. A directory listing alone cannot prove that, because the kernel may skip a living thread. Threads
/// may come and go too fast for the proof; then two listings are merged, as both rarely skip the same thread.
pub(super) fn refresh(source: &mut impl ThreadSource, known: &mut Vec<u32>) -> Result<(), String> {
    const MAX_LISTINGS: u32 = 2;
    let mut listings = 0;
    loop {
        let count = source.count();
        if count.is_some_and(|count| count <= known.len()) || listings == MAX_LISTINGS {
            source.keep_living(known)?;
            if count == Some(known.len()) || listings == MAX_LISTINGS {
                return Ok(());
            }
        }
        source.list(known)?;
        known.sort_unstable();
        known.dedup();
        listings += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads that start and end by a script: each query sees the next entry of `there`.
    struct Scripted {
        there: &'static [&'static [u32]],
        /// Passed over by the listings, in turn.
        passed_over: &'static [u32],
        counts: bool,
        asked: std::cell::Cell<usize>,
        listings: usize,
    }

    impl Scripted {
        fn there(&self) -> &'static [u32] {
            let asked = self.asked.replace(self.asked.get() + 1);
            self.there[asked.min(self.there.len() - 1)]
        }
    }

    impl ThreadSource for Scripted {
        fn count(&self) -> Option<usize> {
            let count = self.there().len();
            self.counts.then_some(count)
        }

        fn list(&mut self, known: &mut Vec<u32>) -> Result<(), String> {
            let passed_over = self.passed_over.get(self.listings);
            self.listings += 1;
            known.extend(self.there().iter().filter(|tid| Some(*tid) != passed_over));
            Ok(())
        }

        fn keep_living(&mut self, known: &mut Vec<u32>) -> Result<(), String> {
            let there = self.there();
            known.retain(|tid| there.contains(tid));
            Ok(())
        }
    }

    /// The tids known in the end, and the number of listings that it took.
    fn known_after(
        known: &[u32],
        there: &'static [&'static [u32]],
        passed_over: &'static [u32],
        counts: bool,
    ) -> (Vec<u32>, usize) {
        let mut source = Scripted {
            there,
            passed_over,
            counts,
            asked: 0.into(),
            listings: 0,
        };
        let mut known = known.to_vec();
        refresh(&mut source, &mut known).expect("nothing fails");
        (known, source.listings)
    }

    #[test]
    fn no_thread_that_stays_is_lost_and_no_listing_is_made_in_vain() {
        const STAY: &[&[u32]] = &[&[1, 2, 3]];
        for (case, known, there, passed_over, expected) in [
            (
                "nothing changed",
                &[1, 2, 3][..],
                STAY,
                &[][..],
                (&[1, 2, 3][..], 0),
            ),
            ("a new sampler", &[], STAY, &[], (&[1, 2, 3], 1)),
            ("one was born", &[1, 2], STAY, &[], (&[1, 2, 3], 1)),
            ("one has ended", &[1, 2, 3, 4], STAY, &[], (&[1, 2, 3], 0)),
            (
                "one ended and one was born: the count agrees",
                &[1, 2, 4],
                STAY,
                &[],
                (&[1, 2, 3], 1),
            ),
            ("a listing passes over a thread", &[], STAY, &[2], (&[1, 2, 3], 2)),
            ("over one that was known", &[1, 2], STAY, &[2], (&[1, 2, 3], 1)),
            // 4 ends between the listing and the count, so that the count agrees with a listing without 2.
            (
                "it passes over one while another is born",
                &[],
                &[&[1, 2, 3], &[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 3]],
                &[2],
                (&[1, 2, 3], 2),
            ),
        ] {
            let (tids, listings) = expected;
            assert_eq!(
                known_after(known, there, passed_over, true),
                (tids.to_vec(), listings),
                "{case}"
            );
        }
    }

    #[test]
    fn without_a_count_two_listings_are_united() {
        assert_eq!(
            known_after(&[1, 9], &[&[1, 2, 3]], &[2, 3], false),
            (vec![1, 2, 3], 2)
        );
    }

    #[test]
    fn where_threads_come_and_go_all_the_time_it_ends() {
        const NEVER_THE_SAME: &[&[u32]] = &[
            &[1, 2],
            &[1, 3],
            &[1, 4, 5],
            &[1, 6],
            &[1, 7, 8],
            &[1, 8, 9],
            &[1, 8],
        ];
        let (known, listings) = known_after(&[1, 2], NEVER_THE_SAME, &[], true);
        assert!(known.contains(&1) && listings == 2, "{known:?}");
    }
}
