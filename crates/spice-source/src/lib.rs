//! A synthetic SPICE server: it shows one surface, and idles or draws on it at any rate asked.
//!
//! It stands in for a virtual machine's display where a real session is wanted without a virtual machine: the link,
//! the ticket and the channels are those of a real server, built on `shakenfist-spice-protocol`, so that a real client
//! connects to it. Load on the client grows with the draw rate.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use spice_source::{Config, DrawRate, Source};
//!
//! let mut source = Source::bind(Config::default()).await?;
//! println!("connect a SPICE client to 127.0.0.1:{}", source.port());
//! source.set_rate(DrawRate::try_from(500)?);
//! while let Some(event) = source.next_event().await {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Proxy`] stands in front of a real server instead, passes everything on as it comes, and puts gaps between messages.
//!
//! # What it is like
//!
//! - It listens on 127.0.0.1 only, without TLS.
//! - One session at a time. A second client that passes the ticket check *takes over*, and the first session ends, as
//!   with QEMU (which allows several only for debugging). One that fails the check disturbs nobody.
//! - Channels: main, display, inputs, cursor. There is no guest agent. What the client types and points at is
//!   counted, and otherwise ignored.
//! - The surface starts black, and stays as it is at rate 0.
//! - `SET_ACK` goes out on the display channel, the one with traffic, and is honoured: with two windows of draws
//!   unacknowledged the drawing waits. A client that is too slow is therefore drawn to less often than asked, and what
//!   was missed is not made up for beyond a tenth of a second. Nothing piles up in memory.
//! - A session ends when its client closes the main channel, or sends nothing for [`Config::silence_limit`] although
//!   it is pinged all the while.
//! - On request it sends a *gap*: a message that no client knows, for clients that report what they do not know.
//! - A peer that stalls, floods or talks nonsense loses its own connection and nothing else.

mod channels;
pub mod cli;
mod config;
pub mod control;
mod event;
mod gap;
mod lines;
mod link;
mod password;
mod proxy;
mod server;
mod sessions;
mod source;
mod wire;

pub use config::{Config, DrawRate, RateTooHigh, SurfaceSize, SurfaceSizeOutOfRange};
pub use event::Event;
pub use gap::{Channel, Gap, GapError};
pub use lines::{Line, LineReader, MAX_LINE_BYTES};
pub use password::{Password, PasswordError};
pub use proxy::{Proxy, ProxyStats};
pub use server::Server;
pub use source::{BindError, Source, Stats};
