//! One command, one file: its `Args` are its help.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod check_macos;
pub(crate) mod ci;
pub(crate) mod docs;
pub(crate) mod fuzz;
pub(crate) mod lint;
pub(crate) mod mutants;
pub(crate) mod sanitize;
pub(crate) mod selftest;
pub(crate) mod setup;
pub(crate) mod soak;
pub(crate) mod soak_study;
pub(crate) mod summary;
pub(crate) mod test;
pub(crate) mod verify;
pub(crate) mod verify_macos;
pub(crate) mod verify_report;
