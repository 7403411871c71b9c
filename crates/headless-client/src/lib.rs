//! A headless SPICE client that holds a real session and files bug reports.
//!
//! The binary `headless-client` is a thin shell around [`run`]:
//!
//! - [`args`] and [`vv`] say which [`target`] to connect to;
//! - [`connection`] holds the session and keeps the live view in [`session`];
//! - [`control`] answers requests on a Unix socket;
//! - [`report`] turns session, [`notifications`], [`screenshot`] and runtime metrics into a zip;
//! - [`reporter`] files it when one of the [`triggers`] fires.

pub mod args;
pub mod clock;
pub mod connection;
pub mod control;
mod core_dump;
#[cfg(feature = "fault-injection")]
pub mod fault_injection;
pub mod notifications;
pub mod report;
pub mod reporter;
mod run;
pub mod screenshot;
pub mod session;
mod surface_limits;
pub mod target;
pub mod triggers;
pub mod vv;

pub use run::{Failure, run};
