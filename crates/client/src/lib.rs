//! A headless SPICE client that holds a real session and files bug reports.
//!
//! The binary `headless-client` is a thin shell around [`run`]:
//!
//! - [`args`] and [`vv`] say which [`target`] to connect to;
//! - [`connection`] holds the session and keeps the live view in [`session`];
//! - [`control`] answers requests on a Unix socket;
//! - [`report`] turns session, [`screenshot`] and runtime metrics into a zip.

pub mod args;
pub mod clock;
pub mod connection;
pub mod control;
pub mod report;
mod run;
pub mod screenshot;
pub mod session;
pub mod target;
pub mod vv;

pub use run::{Failure, run};
