//! Our SPICE source, or our proxy, driven as a process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::child::{ChildGuard, Output};
use super::events::{Event, Events, Role, WaitOutcome};
use super::machine::check_loopback;
use crate::error::RunError;
use crate::output::console::shown_path;

/// How long the source may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// A running source or proxy.
pub(crate) struct Source {
    child: ChildGuard,
    port: u16,
    next_id: u64,
}

/// The surface that the source is asked for: the evidence holds it against the client's session.
pub(crate) const SURFACE_SIZE: (u32, u32) = (1024, 768);

/// The server is a subcommand of this program.
fn subcommand(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("source");
    command
}

impl Source {
    /// Draws by itself.
    pub(super) fn synthetic(binary: &Path, log: &Path, events: &mut Events) -> Result<Self> {
        let mut command = subcommand(binary);
        let (width, height) = SURFACE_SIZE;
        command.args(["--width", &width.to_string(), "--height", &height.to_string()]);
        Self::start(command, log, events)
    }

    /// Passes on what the server at `upstream` draws.
    pub(super) fn proxy(binary: &Path, upstream: &str, log: &Path, events: &mut Events) -> Result<Self> {
        let mut command = subcommand(binary);
        command.args(["--upstream", upstream]);
        Self::start(command, log, events)
    }

    fn start(command: Command, log: &Path, events: &mut Events) -> Result<Self> {
        check_loopback()?;
        let child = ChildGuard::spawn(Role::Source, command, Output::Protocol, Some(log), events)?;
        let id = child.id();
        events.doing(&format!("source: pid {}, log {}", child.pid(), shown_path(log)));
        let listening = events.wait(LIMIT, |event| match event {
            Event::Message(from, message) if *from == id && message["event"] == "listening" => {
                message["port"].as_u64()
            }
            _ => None,
        })?;
        match listening {
            WaitOutcome::Got(port) => {
                let port = u16::try_from(port).map_err(|_| {
                    RunError::Environment(format!("the SPICE source names an impossible port: {port}"))
                })?;
                Ok(Self {
                    child,
                    port,
                    next_id: 1,
                })
            }
            WaitOutcome::TimedOut => {
                Err(RunError::Environment(format!("the SPICE source did not listen within {LIMIT:?}")).into())
            }
        }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill();
    }

    /// Asks for a draw rate and waits until it is in force.
    pub(crate) fn set_rate(&mut self, draws_per_second: u32, events: &mut Events) -> Result<()> {
        self.request("set_rate", &json!({"draws_per_second": draws_per_second}), events)
            .map(drop)
    }

    /// Sends a message that no client knows; returns its number.
    pub(super) fn send_gap(&mut self, channel: &str, events: &mut Events) -> Result<u64> {
        let sent = self.request("gap", &json!({"channel": channel}), events)?;
        sent["opcode"]
            .as_u64()
            .ok_or_else(|| RunError::Environment(format!("the SPICE source sent no gap: {sent}")).into())
    }

    /// Whether a session has its display channel open.
    pub(super) fn shows_display(&mut self, events: &mut Events) -> Result<bool> {
        let stats = self.request("stats", &json!({}), events)?;
        let open = stats["open_channels"].as_array();
        Ok(open.is_some_and(|open| open.iter().any(|channel| channel == "display")))
    }

    fn request(&mut self, method: &str, params: &Value, events: &mut Events) -> Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        let line = json!({"id": id, "method": method, "params": params}).to_string();
        if let Err(error) = self.child.send_line(&line) {
            let broken = format!("the SPICE source: `{method}`: {error:#}");
            return Err(events.exit_or(RunError::Environment(broken)).into());
        }
        match events.answer(self.child.id(), id, LIMIT)? {
            WaitOutcome::Got(Ok(result)) => Ok(result),
            WaitOutcome::Got(Err(why)) => {
                Err(RunError::Environment(format!("the SPICE source refused `{method}`: {why}")).into())
            }
            WaitOutcome::TimedOut => Err(RunError::Environment(format!(
                "the SPICE source did not answer `{method}` within {LIMIT:?}"
            ))
            .into()),
        }
    }
}
