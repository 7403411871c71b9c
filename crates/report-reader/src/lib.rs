//! Reads bug reports that anybody may have made, in bounded memory: [`ReportZip`] a zip, [`bounded_json`] what its members
//! say.
//!
//! It shares no code with what writes reports: the judge must not repeat the producer's mistakes.

pub mod bounded_json;
mod zip;

pub use zip::{Faulty, LIMITS, Limits, METRICS, OpenError, ReadError, ReportZip};
