//! Reads bug reports that anybody may have made, in bounded memory and time: [`Archive`] a zip, [`ReportFiles`] the files of one
//! report, [`bounded_json`] and [`text`] what they say.
//!
//! It shares no code with what writes reports: the judge must not repeat the producer's mistakes.
//!
//! | module | what it does |
//! |---|---|
//! | `archive` | finds the reports in a zip, and in the zips inside it |
//! | `end_record` | bounds what the zip library may be made to read |
//! | `names` | normalizes the names of members, and refuses path traversal |
//! | `report` | reads one report's members, and turns them into evidence |
//! | `text` | encodings, Markdown code fences, and files that are something else |
//! | `bounded_json` | JSON within a budget of memory |

mod archive;
pub mod bounded_json;
mod end_record;
mod error;
mod limits;
mod names;
mod report;
#[cfg(test)]
mod tests;
pub mod text;

pub use archive::Archive;
pub use error::{OpenError, ReadError};
pub use limits::{LIMITS, Limits};
pub use names::{is_canonical, is_known, is_metrics};
pub use report::{METRICS, ReportFiles, bare_metrics};
