//! The synthetic SPICE source, driven as a process.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::child::{ChildGuard, Output};
use super::events::{Event, Events, Role, Waited};
use crate::exit::Stop;
use crate::present::steps;
use crate::workspace;

/// How long the source may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// A running source.
pub(crate) struct Source {
    child: ChildGuard,
    port: u16,
    next_id: u64,
}

/// The surface that the source is asked for: the evidence holds it against the client's session.
pub(crate) const SURFACE: (u32, u32) = (1024, 768);

impl Source {
    pub(crate) fn start(binary: &Path, log: &Path, events: &mut Events) -> Result<Self> {
        let mut command = Command::new(binary);
        let (width, height) = SURFACE;
        command.args(["--width", &width.to_string(), "--height", &height.to_string()]);
        let child = ChildGuard::spawn(
            Role::Source,
            command,
            Output::Protocol,
            Some(log),
            events.sender(),
        )?
        .end_by(events.deadline());
        steps::say(&format!(
            "source: pid {}, log {}",
            child.id(),
            workspace::shown(log)
        ));
        let listening = events.wait(LIMIT, |event| match event {
            Event::Message(Role::Source, message) if message["event"] == "listening" => {
                message["port"].as_u64()
            }
            _ => None,
        })?;
        match listening {
            Waited::Got(port) => {
                let port = u16::try_from(port).map_err(|_| {
                    Stop::Environment(format!("the SPICE source names an impossible port: {port}"))
                })?;
                Ok(Self {
                    child,
                    port,
                    next_id: 1,
                })
            }
            Waited::TimedOut => {
                Err(Stop::Environment(format!("the SPICE source did not listen within {LIMIT:?}")).into())
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

    fn request(&mut self, method: &str, params: &Value, events: &mut Events) -> Result<Value> {
        let id = self.next_id;
        self.next_id += 1;
        self.child
            .send_line(&json!({"id": id, "method": method, "params": params}).to_string())?;
        match events.answer(Role::Source, id, LIMIT)? {
            Waited::Got(Ok(result)) => Ok(result),
            Waited::Got(Err(why)) => {
                Err(Stop::Environment(format!("the SPICE source refused `{method}`: {why}")).into())
            }
            Waited::TimedOut => Err(Stop::Environment(format!(
                "the SPICE source did not answer `{method}` within {LIMIT:?}"
            ))
            .into()),
        }
    }
}
