//! The client's control socket, from the harness's side.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::child::forward_messages;
use super::events::{Attachment, Event, Events, Role, WaitOutcome};
use crate::error::RunError;

/// How long a request may wait beyond the work that it asks for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the socket is tried while the client starts.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// A connection that has said hello.
pub(crate) struct Control {
    stream: UnixStream,
    reader: Option<JoinHandle<()>>,
    attachment: Attachment,
    next_id: u64,
    own_pid: Option<u32>,
}

impl Control {
    /// Connects as soon as the client listens.
    pub(crate) fn connect(path: &Path, limit: Duration, events: &mut Events) -> Result<Self, RunError> {
        let deadline = Instant::now() + limit;
        let stream = loop {
            match UnixStream::connect(path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    return Err(RunError::Client(format!(
                        "the client's control socket did not answer within {limit:?}: {}: {error}",
                        path.display()
                    )));
                }
                Err(_) => events.sleep(RETRY_INTERVAL)?,
            }
        };
        let reader = stream
            .try_clone()
            .map_err(|error| RunError::Environment(error.to_string()))?;
        // A client that never reads must not hold the harness.
        let _ = stream.set_write_timeout(Some(ANSWER_TIMEOUT));
        let attachment = events.attach(Role::Client);
        let sender = attachment.sender();
        let reader = thread::spawn(move || forward_messages(reader, &sender));
        let mut control = Self {
            stream,
            reader: Some(reader),
            attachment,
            next_id: 1,
            own_pid: None,
        };
        let hello = json!({"client_name": "truegauge", "protocol_version": "1.0"});
        let answer = control.request("hello", hello, Duration::ZERO, events)?;
        control.own_pid = answer["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        Ok(control)
    }

    /// The pid that the client gives itself.
    pub(crate) fn own_pid(&self) -> Option<u32> {
        self.own_pid
    }

    /// Asks, and waits for the answer: for as long as the asked work takes and [`ANSWER_TIMEOUT`].
    pub(crate) fn request(
        &mut self,
        method: &str,
        params: Value,
        work: Duration,
        events: &mut Events,
    ) -> Result<Value, RunError> {
        let id = self.next_id;
        self.next_id += 1;
        let line = format!("{}\n", json!({"id": id, "method": method, "params": params}));
        if let Err(error) = self.stream.write_all(line.as_bytes()) {
            return Err(broke(method, &error.to_string(), events));
        }
        let limit = work + ANSWER_TIMEOUT;
        let connection = self.attachment.id();
        let answer = events.wait(limit, |event| match event {
            Event::Message(from, message) if *from == connection && message["id"] == id => {
                Some(Ok(message.clone()))
            }
            Event::ProtocolClosed(from, why) if *from == connection => Some(Err(why.clone())),
            _ => None,
        })?;
        match answer {
            WaitOutcome::Got(Ok(answer)) if answer["ok"] == true => Ok(answer["result"].clone()),
            WaitOutcome::Got(Ok(answer)) => Err(RunError::Client(format!(
                "the client refused `{method}`: {}",
                answer["error"]["message"]
            ))),
            WaitOutcome::Got(Err(why)) => Err(broke(method, &why, events)),
            WaitOutcome::TimedOut => Err(RunError::Client(format!(
                "the client did not answer `{method}` within {limit:?}"
            ))),
        }
    }
}

fn broke(method: &str, why: &str, events: &mut Events) -> RunError {
    events.exit_or(RunError::Client(format!(
        "the client's control socket broke during `{method}`: {why}"
    )))
}

impl Drop for Control {
    fn drop(&mut self) {
        // Ends the reader's thread too, whose last words must not be taken for those of another connection.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
