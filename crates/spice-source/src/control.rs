//! The control protocol: one JSON request a line, one JSON answer a line (docs/architecture.md).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::DrawRate;
use crate::gap::Channel;
use crate::lines::{Line, MAX_LINE_BYTES};
use crate::server::Server;

/// What to write for a request, and whether that was the last one.
#[derive(Debug)]
pub struct Answer {
    /// One JSON object, without a line break.
    pub json: String,
    /// The source was asked to end.
    pub quit: bool,
}

/// Does what a line asks of `server`. Whatever the line is, there is an answer to it.
#[must_use]
pub fn answer(line: &Line, server: &Server) -> Answer {
    let request = match parse(line) {
        Ok(request) => request,
        Err(rejection) => return rejection.into_answer(),
    };
    let result = match handle(&request.command, server) {
        Ok(result) => result,
        Err(message) => return Rejection::new(Some(request.id), ErrorCode::BadState, message).into_answer(),
    };
    Answer {
        json: json!({ "id": request.id, "ok": true, "result": result }).to_string(),
        quit: matches!(request.command, Command::Quit),
    }
}

fn handle(command: &Command, server: &Server) -> Result<Value, String> {
    match command {
        Command::SetRate { draws_per_second } if server.set_rate(*draws_per_second) => {
            Ok(json!({ "draws_per_second": draws_per_second }))
        }
        Command::SetRate { .. } => {
            Err("a proxy draws nothing: what there is comes from its server".to_owned())
        }
        Command::Gap { channel, opcode } => server
            .send_gap(*channel, *opcode)
            .map(|gap| json!(gap))
            .map_err(|error| error.to_string()),
        Command::Stats => Ok(server.stats()),
        Command::Quit => Ok(json!({})),
    }
}

#[derive(Debug, PartialEq)]
struct Request {
    id: u64,
    command: Command,
}

#[derive(Debug, PartialEq)]
enum Command {
    SetRate { draws_per_second: DrawRate },
    Gap { channel: Channel, opcode: Option<u16> },
    Stats,
    Quit,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ErrorCode {
    BadRequest,
    LineTooLong,
    UnknownMethod,
    BadParams,
    BadState,
}

#[derive(Debug, PartialEq)]
struct Rejection {
    /// Absent where the request did not get far enough to tell.
    id: Option<u64>,
    code: ErrorCode,
    message: String,
}

impl Rejection {
    fn new(id: Option<u64>, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            id,
            code,
            message: message.into(),
        }
    }

    fn into_answer(self) -> Answer {
        let mut object = json!({ "ok": false, "error": { "code": self.code, "message": self.message } });
        if let Some(id) = self.id {
            object["id"] = id.into();
        }
        Answer {
            json: object.to_string(),
            quit: false,
        }
    }
}

fn parse(line: &Line) -> Result<Request, Rejection> {
    let line = match line {
        Line::Complete(line) => line,
        Line::TooLong => {
            let message = format!("the line is longer than {MAX_LINE_BYTES} bytes and was skipped");
            return Err(Rejection::new(None, ErrorCode::LineTooLong, message));
        }
    };
    let envelope: Value = serde_json::from_slice(line)
        .map_err(|error| Rejection::new(None, ErrorCode::BadRequest, format!("not JSON: {error}")))?;
    let Some(id) = envelope["id"].as_u64() else {
        let message = r#"no envelope: expected an object with a whole number as "id""#;
        return Err(Rejection::new(None, ErrorCode::BadRequest, message));
    };
    let Some(method) = envelope["method"].as_str() else {
        let message = r#"no envelope: expected a string as "method""#;
        return Err(Rejection::new(Some(id), ErrorCode::BadRequest, message));
    };
    let command = command(method, &envelope["params"])
        .map_err(|(code, message)| Rejection::new(Some(id), code, message))?;
    Ok(Request { id, command })
}

fn command(method: &str, params: &Value) -> Result<Command, (ErrorCode, String)> {
    match method {
        "set_rate" => {
            let SetRateParams { draws_per_second } = parse_params(params)?;
            Ok(Command::SetRate { draws_per_second })
        }
        "gap" => {
            let GapParams { channel, opcode } = parse_params(params)?;
            Ok(Command::Gap { channel, opcode })
        }
        "stats" => parse_params(params).map(|NoParams {}| Command::Stats),
        "quit" => parse_params(params).map(|NoParams {}| Command::Quit),
        _ => {
            let message = "no such method: there are set_rate, gap, stats and quit";
            Err((ErrorCode::UnknownMethod, message.to_owned()))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetRateParams {
    draws_per_second: DrawRate,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GapParams {
    #[serde(default = "main_channel")]
    channel: Channel,
    opcode: Option<u16>,
}

/// The one that every session has, and that is not held up by draws.
fn main_channel() -> Channel {
    Channel::Main
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

/// `params` may be left out, which is the same as an empty object.
fn parse_params<'de, P: Deserialize<'de>>(params: &'de Value) -> Result<P, (ErrorCode, String)> {
    let bad_params = |message: String| (ErrorCode::BadParams, message);
    match params {
        Value::Null => serde_json::from_str("{}").map_err(|error| bad_params(error.to_string())),
        Value::Object(_) => P::deserialize(params).map_err(|error| bad_params(error.to_string())),
        _ => Err(bad_params("expected an object as \"params\"".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse_text(text: &str) -> Result<Request, Rejection> {
        parse(&Line::Complete(text.to_owned().into()))
    }

    #[test]
    fn good_requests_are_understood() {
        let rate = |draws: u32| Command::SetRate {
            draws_per_second: DrawRate::try_from(draws).unwrap(),
        };
        for (text, id, command) in [
            (
                r#"{"id":1,"method":"set_rate","params":{"draws_per_second":0}}"#,
                1,
                rate(0),
            ),
            (
                r#"{"id":1,"method":"set_rate","params":{"draws_per_second":100000}}"#,
                1,
                rate(100_000),
            ),
            (
                r#"{"id":18446744073709551615,"method":"stats","params":{}}"#,
                u64::MAX,
                Command::Stats,
            ),
            (
                r#" {"method" : "stats", "id" : 0, "note": "extra"} "#,
                0,
                Command::Stats,
            ),
            (r#"{"id":2,"method":"quit","params":null}"#, 2, Command::Quit),
            (
                r#"{"id":3,"method":"gap"}"#,
                3,
                Command::Gap {
                    channel: Channel::Main,
                    opcode: None,
                },
            ),
            (
                r#"{"id":4,"method":"gap","params":{"channel":"display","opcode":65535}}"#,
                4,
                Command::Gap {
                    channel: Channel::Display,
                    opcode: Some(65_535),
                },
            ),
        ] {
            assert_eq!(parse_text(text), Ok(Request { id, command }), "{text}");
        }
    }

    #[test]
    fn bad_requests_are_told_what_is_wrong() {
        use ErrorCode::{BadParams, BadRequest, UnknownMethod};
        for (text, id, code, part_of_message) in [
            ("", None, BadRequest, "not JSON"),
            ("quit", None, BadRequest, "not JSON"),
            ("[1]", None, BadRequest, "\"id\""),
            (r#"{"method":"quit"}"#, None, BadRequest, "\"id\""),
            (r#"{"id":-1,"method":"quit"}"#, None, BadRequest, "\"id\""),
            (r#"{"id":1.5,"method":"quit"}"#, None, BadRequest, "\"id\""),
            (r#"{"id":1}"#, Some(1), BadRequest, "\"method\""),
            (r#"{"id":1,"method":7}"#, Some(1), BadRequest, "\"method\""),
            (r#"{"id":1,"method":"Quit"}"#, Some(1), UnknownMethod, "set_rate"),
            (
                r#"{"id":1,"method":"quit","params":[]}"#,
                Some(1),
                BadParams,
                "object",
            ),
            (
                r#"{"id":1,"method":"quit","params":{"now":true}}"#,
                Some(1),
                BadParams,
                "now",
            ),
            (
                r#"{"id":1,"method":"gap","params":{"channel":"smell"}}"#,
                Some(1),
                BadParams,
                "smell",
            ),
            (
                r#"{"id":1,"method":"gap","params":{"opcode":65536}}"#,
                Some(1),
                BadParams,
                "65536",
            ),
            (
                r#"{"id":1,"method":"set_rate"}"#,
                Some(1),
                BadParams,
                "draws_per_second",
            ),
            (
                r#"{"id":1,"method":"set_rate","params":{"draws_per_second":100001}}"#,
                Some(1),
                BadParams,
                "100000",
            ),
            (
                r#"{"id":1,"method":"set_rate","params":{"draws_per_second":-1}}"#,
                Some(1),
                BadParams,
                "-1",
            ),
            (
                r#"{"id":1,"method":"set_rate","params":{"draws_per_second":2.5}}"#,
                Some(1),
                BadParams,
                "2.5",
            ),
        ] {
            let rejection = parse_text(text).expect_err(text);
            assert_eq!((rejection.id, rejection.code), (id, code), "{text}");
            assert!(
                rejection.message.contains(part_of_message),
                "{text}: {}",
                rejection.message
            );
        }
        assert_eq!(parse(&Line::TooLong).unwrap_err().code, ErrorCode::LineTooLong);
    }

    #[test]
    fn a_rejection_has_the_envelope_of_the_protocol() {
        let answer = parse_text(r#"{"id":3,"method":"sing"}"#)
            .unwrap_err()
            .into_answer();
        let json: Value = serde_json::from_str(&answer.json).unwrap();
        assert_eq!(
            (&json["id"], &json["ok"], &json["error"]["code"]),
            (&json!(3), &json!(false), &json!("unknown_method"))
        );
        let nameless = parse_text("?").unwrap_err().into_answer();
        assert!(!nameless.json.contains("\"id\""), "{}", nameless.json);
    }

    proptest! {
        #[test]
        fn any_line_is_parsed_or_answered_in_one_line(
            line in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..100),
                r#"\{"id":[0-9a-z."\[-]{1,3},"method":"(set_rate|quit|\PC*)","params":\{"?\PC{0,20}"?:?[0-9]?\}\}"#
                    .prop_map(String::into_bytes),
            ],
        ) {
            if let Err(rejection) = parse(&Line::Complete(line.into())) {
                let json = rejection.into_answer().json;
                prop_assert!(serde_json::from_str::<Value>(&json).is_ok() && !json.contains('\n'), "{}", json);
            }
        }
    }
}
