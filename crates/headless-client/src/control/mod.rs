//! The control socket: newline-delimited JSON, one answer a request, in the order of the requests.

mod extra_threads;
mod methods;
pub mod protocol;
mod server;
mod socket;

pub use extra_threads::ExtraThreads;
pub use methods::Methods;
pub use server::{serve, serve_connection};
pub use socket::{BindError, ControlSocket};
