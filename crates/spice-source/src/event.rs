//! What happens to a source, told in order.

use serde::Serialize;

/// Something that happened. Its JSON form is one line of the control protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The source listens: always the first event.
    Listening {
        /// The TCP port on 127.0.0.1.
        port: u16,
    },
    /// A client passed the ticket check, and its main channel is open.
    SessionStarted {
        /// Counts from 1.
        session: u32,
    },
    /// A session is over, with all its channels.
    SessionEnded {
        /// As told by [`Event::SessionStarted`].
        session: u32,
        /// Why, for people to read.
        reason: String,
    },
    /// A connection was turned away, and is closed.
    Refused {
        /// Why, for people to read.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_written_as_the_protocol_has_them() {
        for (event, json) in [
            (
                Event::Listening { port: 40123 },
                r#"{"event":"listening","port":40123}"#,
            ),
            (
                Event::SessionStarted { session: 1 },
                r#"{"event":"session_started","session":1}"#,
            ),
            (
                Event::SessionEnded {
                    session: 1,
                    reason: "client disconnected".into(),
                },
                r#"{"event":"session_ended","session":1,"reason":"client disconnected"}"#,
            ),
            (
                Event::Refused {
                    reason: "wrong password".into(),
                },
                r#"{"event":"refused","reason":"wrong password"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&event).unwrap(), json);
        }
    }
}
