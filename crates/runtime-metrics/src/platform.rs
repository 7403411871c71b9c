//! The platforms.
//!
//! To add a platform, write a folder with a type that implements [`Backend`], declare the folder's module in `lib.rs`, and
//! add a row below.
#![allow(dead_code, reason = "the fallback is used only where no row applies")]

use std::env::consts::OS;

use crate::backend::{Backend, Window};
use crate::resource_counts::ResourceCounts;

macro_rules! platforms {
    ($($os:literal => $module:ident::$backend:ident,)+) => {
        $(
            #[cfg(target_os = $os)]
            pub(crate) type Platform = crate::$module::$backend;
        )+
        #[cfg(not(any($(target_os = $os),+)))]
        pub(crate) type Platform = Unsupported;

        /// The platforms that have a backend.
        pub(crate) const SUPPORTED: &[&str] = &[$($os),+];
    };
}

platforms! {
    "linux" => linux::Linux,
    "macos" => macos::MacOs,
}

/// The backend of every other platform.
pub(crate) struct Unsupported;

impl Backend for Unsupported {
    fn new() -> Self {
        Self
    }

    fn read_window(&mut self, _pause: impl FnOnce()) -> Result<Window<'_>, String> {
        let supported = SUPPORTED.join(", ");
        Err(format!(
            "no backend for this platform ({OS}); supported: {supported}"
        ))
    }

    fn resource_counts() -> ResourceCounts {
        let mut counts = ResourceCounts::empty();
        let reason = format!("nothing is counted on this platform ({OS})");
        counts.note::<u64>("resource_counts", Err(reason));
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ProcessReport;

    #[test]
    fn sampling_fails_at_once_and_names_the_supported_platforms() {
        let expected = format!("no backend for this platform ({OS}); supported: linux, macos");
        for mut backend in [Unsupported::new(), Unsupported::without_thread_clocks()] {
            let pause = || unreachable!("the window is not waited for");
            let reason = backend.sample(Duration::MAX, pause, &mut ProcessReport::empty());
            assert_eq!(reason, Err(expected.clone()));
        }
    }

    #[test]
    fn resource_counts_are_missing_with_a_reason() {
        let counts = Unsupported::resource_counts();
        assert_eq!(counts.missing.len(), 1);
        let missing = counts.missing.clone();
        assert_eq!(
            counts,
            ResourceCounts {
                missing,
                ..ResourceCounts::empty()
            }
        );
    }
}
