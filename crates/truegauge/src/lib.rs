//! Proves that the runtime metrics in a desktop client's bug report are true, and that taking them leaks nothing.
//!
//! The binary `truegauge` is a thin shell around this library: [`Cli`] is its command line, [`run`] runs it. The engine
//! prints nothing: it emits [`RunEvent`]s to a [`Reporter`].
//!
//! | module | topic |
//! |---|---|
//! | `command` | one file a command: its arguments and its course |
//! | `rig` | processes: the client, the server, their guards |
//! | `observe` | readings of the client from outside |
//! | `evidence`, `results` | the two JSON files of a run |
//! | `soak` | the paired experiment |
//! | `submitted` | reports that people sent |
//! | `output` | views of the results: terminal, page, JUnit, Markdown, GitHub |

mod binary_identity;
mod cli;
mod command;
mod core_dump;
mod duration;
mod environment;
mod error;
mod evidence;
mod invocation;
mod observe;
mod output;
mod password;
mod preflight;
mod profile;
mod reporter;
mod results;
mod rig;
mod soak;
mod source;
mod submitted;
mod thresholds;

pub use cli::{Cli, refuse, run};
pub use error::{Exit, RunError};
pub use invocation::Invocation;
pub use output::Console;
pub use reporter::{Recorder, Reporter, RunEvent};
