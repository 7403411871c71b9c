//! The chores: one command, one file. The `Args` of each are its help.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod check_macos;
pub(crate) mod ci;
pub(crate) mod docs;
pub(crate) mod fuzz;
pub(crate) mod lint;
pub(crate) mod mutants;
pub(crate) mod rehearse;
pub(crate) mod sanitize;
pub(crate) mod selftest;
pub(crate) mod setup;
pub(crate) mod soak_study;
pub(crate) mod test;
