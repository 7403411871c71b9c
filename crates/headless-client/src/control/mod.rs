//! The control socket: newline-delimited JSON, one answer a request, in the order of the requests.

mod companions;
mod methods;
pub mod protocol;
mod server;
mod socket;

pub use companions::Companions;
pub use methods::Methods;
pub use server::{converse, serve};
pub use socket::{BindError, ControlSocket};
