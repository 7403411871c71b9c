//! The client's control socket, from the harness's side.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::child::forward_messages;
use super::events::{Event, Events, Role, Waited};
use crate::exit::Stop;

/// How long a request may wait beyond the work that it asks for.
const SLACK: Duration = Duration::from_secs(10);

/// How often the socket is tried while the client starts.
const RETRY: Duration = Duration::from_millis(10);

/// A connection that has said hello.
pub(crate) struct Control {
    stream: UnixStream,
    next_id: u64,
}

impl Control {
    /// Connects as soon as the client listens.
    pub(crate) fn connect(path: &Path, limit: Duration, events: &mut Events) -> Result<Self, Stop> {
        let deadline = Instant::now() + limit;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    return Err(Stop::Client(format!(
                        "the client's control socket did not answer within {limit:?}: {}: {error}",
                        path.display()
                    )));
                }
                Err(_) => events.pass(RETRY)?,
            }
        };
        let reader = stream
            .try_clone()
            .map_err(|error| Stop::Environment(error.to_string()))?;
        // A client that never reads must not hold the harness.
        let _ = stream.set_write_timeout(Some(SLACK));
        let sender = events.sender();
        thread::spawn(move || forward_messages(Role::Client, reader, &sender));
        let mut control = Self { stream, next_id: 1 };
        let hello = json!({"client_name": "xtask", "protocol_version": "1.0"});
        control.request("hello", hello, Duration::ZERO, events)?;
        Ok(control)
    }

    /// Asks, and waits for the answer: for as long as the asked work takes and [`SLACK`].
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: Value,
        work: Duration,
        events: &mut Events,
    ) -> Result<Value, Stop> {
        let id = self.next_id;
        self.next_id += 1;
        let line = format!("{}\n", json!({"id": id, "method": method, "params": params}));
        self.stream
            .write_all(line.as_bytes())
            .map_err(|error| Stop::Client(format!("cannot ask the client for `{method}`: {error}")))?;
        let limit = work + SLACK;
        let answer = events.wait(limit, |event| match event {
            Event::Message(Role::Client, message) if message["id"] == id => Some(Ok(message.clone())),
            Event::Silence(Role::Client, why) => Some(Err(why.clone())),
            _ => None,
        })?;
        match answer {
            Waited::Got(Ok(answer)) if answer["ok"] == true => Ok(answer["result"].clone()),
            Waited::Got(Ok(answer)) => Err(Stop::Client(format!(
                "the client refused `{method}`: {}",
                answer["error"]["message"]
            ))),
            Waited::Got(Err(why)) => {
                // A client that died closed its socket first: its end says more.
                events.pass(Duration::from_millis(500))?;
                Err(Stop::Client(format!(
                    "the client's control socket broke during `{method}`: {why}"
                )))
            }
            Waited::TimedOut => Err(Stop::Client(format!(
                "the client did not answer `{method}` within {limit:?}"
            ))),
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Ends the reader's thread too.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}
