//! Requests and answers of the control socket, without I/O.

use std::path::PathBuf;

use runtime_metrics::RuntimeMetrics;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::session::Surface;

/// The one version that is spoken.
pub const PROTOCOL_VERSION: &str = "1.0";
/// The longest line, its end not counted.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// The longest window, and the longest wait.
const MAX_MS: u64 = 600_000;
/// The most samples of one request.
const MAX_SAMPLES: u64 = 1_000_000;

/// The most threads beside the session's own.
const MAX_EXTRA_THREADS: u64 = 64;

/// The methods, as `hello` lists them.
pub const METHODS: [&str; 7] = [
    "hello",
    "status",
    "sample",
    "resource_counts",
    "extra_threads",
    "bug_report",
    "quit",
];

/// One line that has the form of a request; whether the method exists is not known yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Echoed in the answer.
    pub id: RequestId,
    /// The name of the method.
    pub method: String,
    params: Map<String, Value>,
}

/// A number or a string that the peer chose.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct RequestId(Value);

/// A request that can be handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// Opens the conversation.
    Hello(Hello),
    /// The state of the session.
    Status(Status),
    /// Sample the runtime metrics, for leaks to show.
    Sample(Sample),
    /// Count the resources that the process holds.
    ResourceCounts,
    /// Keep this many idle threads beside the session's own.
    ExtraThreads(ExtraThreads),
    /// File a bug report.
    BugReport(BugReport),
    /// End the client.
    Quit,
}

/// `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// The peer's name, for the log.
    pub client_name: String,
    /// Must be [`PROTOCOL_VERSION`].
    pub protocol_version: String,
}

/// `status`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// Wait so long for a surface before answering.
    pub await_surface_ms: Option<u64>,
}

/// `sample`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Number of samples.
    pub count: u64,
    /// The window of each.
    pub window_ms: u64,
}

/// `extra_threads`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraThreads {
    /// Number of extra threads from now on.
    pub count: u64,
}

/// `bug_report`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BugReport {
    /// The window of the runtime metrics.
    #[serde(default = "default_window_ms")]
    pub window_ms: u64,
    /// Goes into the report.
    pub description: Option<String>,
}

/// As long as a desktop client's manual report takes.
fn default_window_ms() -> u64 {
    2000
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Reads the envelope of one line.
///
/// # Errors
///
/// `bad_request`, with the id where it could be read.
pub fn parse_envelope(line: &[u8]) -> Result<Envelope, Answer> {
    let bad =
        |id: Option<RequestId>, message: &str| Answer::error(id, Error::new(ErrorCode::BadRequest, message));
    let mut object = match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => object,
        Ok(_) => {
            return Err(bad(
                None,
                r#"a request is an object: {"id": 1, "method": "status"}"#,
            ));
        }
        Err(error) => return Err(bad(None, &format!("this is not JSON: {error}"))),
    };
    let id = match object.remove("id") {
        Some(id @ (Value::Number(_) | Value::String(_))) => RequestId(id),
        _ => return Err(bad(None, r#""id" must be a number or a string"#)),
    };
    let Some(Value::String(method)) = object.remove("method") else {
        return Err(bad(Some(id), r#""method" must be a string"#));
    };
    let params = match object.remove("params") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => return Err(bad(Some(id), r#""params" must be an object"#)),
    };
    Ok(Envelope { id, method, params })
}

impl Call {
    /// Reads the method and its parameters.
    ///
    /// # Errors
    ///
    /// `unknown_method`, `bad_params`, or `protocol_version_mismatch`.
    pub fn parse(method: &str, params: Map<String, Value>) -> Result<Self, Error> {
        match method {
            "hello" => {
                let hello: Hello = typed(params)?;
                if hello.protocol_version != PROTOCOL_VERSION {
                    return Err(Error::new(
                        ErrorCode::ProtocolVersionMismatch,
                        format!("this client speaks version {PROTOCOL_VERSION} and no other"),
                    ));
                }
                Ok(Self::Hello(hello))
            }
            "status" => {
                let status: Status = typed(params)?;
                within(
                    "await_surface_ms",
                    status.await_surface_ms.unwrap_or(0),
                    0,
                    MAX_MS,
                )?;
                Ok(Self::Status(status))
            }
            "sample" => {
                let sample: Sample = typed(params)?;
                within("count", sample.count, 1, MAX_SAMPLES)?;
                within("window_ms", sample.window_ms, 0, MAX_MS)?;
                Ok(Self::Sample(sample))
            }
            "resource_counts" => typed(params).map(|Nothing {}| Self::ResourceCounts),
            "extra_threads" => {
                let extra_threads: ExtraThreads = typed(params)?;
                within("count", extra_threads.count, 0, MAX_EXTRA_THREADS)?;
                Ok(Self::ExtraThreads(extra_threads))
            }
            "bug_report" => {
                let report: BugReport = typed(params)?;
                within("window_ms", report.window_ms, 0, MAX_MS)?;
                Ok(Self::BugReport(report))
            }
            "quit" => typed(params).map(|Nothing {}| Self::Quit),
            _ => Err(Error::new(
                ErrorCode::UnknownMethod,
                format!("the methods are {}", METHODS.join(", ")),
            )),
        }
    }
}

impl Envelope {
    /// Takes the envelope apart: the id for the answer, and the call or why there is none.
    pub fn open(self) -> (RequestId, Result<Call, Error>) {
        (self.id, Call::parse(&self.method, self.params))
    }
}

fn typed<T: DeserializeOwned>(params: Map<String, Value>) -> Result<T, Error> {
    serde_json::from_value(Value::Object(params))
        .map_err(|error| Error::new(ErrorCode::BadParams, error.to_string()))
}

fn within(name: &str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::BadParams,
        format!("{name} is {value}, and must be from {min} to {max}"),
    ))
}

/// The one line that answers a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<RequestId>,
    ok: bool,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Value),
    Error(Error),
}

impl Answer {
    /// The answer to a request that was understood.
    #[must_use]
    pub fn to(id: RequestId, outcome: Result<Value, Error>) -> Self {
        match outcome {
            Ok(result) => Self {
                id: Some(id),
                ok: true,
                outcome: Outcome::Result(result),
            },
            Err(error) => Self::error(Some(id), error),
        }
    }

    /// The answer to what was not.
    #[must_use]
    pub fn error(id: Option<RequestId>, error: Error) -> Self {
        Self {
            id,
            ok: false,
            outcome: Outcome::Error(error),
        }
    }

    /// The line, its end included.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("an answer has string keys and no failing serialiser");
        line.push(b'\n');
        line
    }
}

/// The reason why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error {
    code: ErrorCode,
    message: String,
}

impl Error {
    /// An error of a kind, explained.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

/// The kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The conversation begins with `hello`.
    NoHelloYet,
    /// The peer speaks another version.
    ProtocolVersionMismatch,
    /// Not JSON, or no envelope.
    BadRequest,
    /// Longer than [`MAX_LINE_BYTES`]; the connection is closed.
    LineTooLong,
    /// No such method.
    UnknownMethod,
    /// Parameters missing, misspelt, or out of range.
    BadParams,
    /// Not now.
    BadState,
    /// Too many connections; this one is closed.
    Busy,
    /// The request was valid, and handling it failed.
    InternalError,
}

/// The result of `hello`.
#[derive(Debug, Serialize)]
pub struct HelloResult {
    /// The package's name.
    pub server_name: &'static str,
    /// The package's version.
    pub server_version: &'static str,
    /// [`PROTOCOL_VERSION`].
    pub protocol_version: &'static str,
    /// This process.
    pub pid: u32,
    /// [`METHODS`].
    pub supported_methods: [&'static str; METHODS.len()],
}

/// The result of `status`.
#[derive(Debug, Serialize)]
pub struct StatusResult {
    /// True while the session is up.
    pub spice_connected: bool,
    /// Every surface.
    pub surfaces: Vec<Surface>,
    /// Draws applied to a surface.
    pub frames_received: u64,
    /// Age of the session; `null` when it is not up.
    pub uptime_secs: Option<f64>,
}

/// The result of `sample`.
#[derive(Debug, Serialize)]
pub struct SampleResult {
    /// Number of samples taken.
    pub count: u64,
    /// Time that they took together.
    pub elapsed_ms: f64,
    /// The last of them.
    pub last: RuntimeMetrics,
}

/// The result of `bug_report`.
#[derive(Debug, Serialize)]
pub struct BugReportResult {
    /// The zip, which is whole.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The answer's error code, or the call that was understood.
    fn read(line: &str) -> Result<Call, Value> {
        let answer = match parse_envelope(line.as_bytes()) {
            Ok(envelope) => match envelope.open() {
                (_, Ok(call)) => return Ok(call),
                (id, Err(error)) => Answer::error(Some(id), error),
            },
            Err(answer) => answer,
        };
        let answer: Value = serde_json::from_slice(&answer.to_line()).unwrap();
        assert_eq!(answer["ok"], false);
        assert!(answer["error"]["message"].is_string());
        Err(json!([answer.get("id"), answer["error"]["code"]]))
    }

    #[test]
    fn good_requests_are_understood() {
        let hello = Hello {
            client_name: "me".to_owned(),
            protocol_version: "1.0".to_owned(),
        };
        for (line, call) in [
            (
                r#"{"id": 1, "method": "hello", "params": {"client_name": "me", "protocol_version": "1.0"}}"#,
                Call::Hello(hello),
            ),
            (
                r#"{"id": "a", "method": "status"}"#,
                Call::Status(Status {
                    await_surface_ms: None,
                }),
            ),
            (
                r#"{"id": 1, "method": "status", "params": {"await_surface_ms": 600000}}"#,
                Call::Status(Status {
                    await_surface_ms: Some(600_000),
                }),
            ),
            (
                r#"{"id": 1, "method": "sample", "params": {"count": 1000000, "window_ms": 0}}"#,
                Call::Sample(Sample {
                    count: 1_000_000,
                    window_ms: 0,
                }),
            ),
            (
                r#"{"id": 1, "method": "bug_report", "params": null}"#,
                Call::BugReport(BugReport {
                    window_ms: 2000,
                    description: None,
                }),
            ),
            (
                r#"{"id": 1, "method": "bug_report", "params": {"window_ms": 5, "description": "x"}}"#,
                Call::BugReport(BugReport {
                    window_ms: 5,
                    description: Some("x".to_owned()),
                }),
            ),
            (r#"{"id": 1, "method": "resource_counts"}"#, Call::ResourceCounts),
            (
                r#"{"id": 1, "method": "extra_threads", "params": {"count": 64}}"#,
                Call::ExtraThreads(ExtraThreads { count: 64 }),
            ),
            (
                r#"{"id": 1, "method": "quit", "params": {}, "later": true}"#,
                Call::Quit,
            ),
        ] {
            assert_eq!(read(line), Ok(call), "{line}");
        }
    }

    #[test]
    fn bad_requests_are_answered_with_their_code() {
        let nested = format!(r#"{{"id": 1, "method": {}"#, "[".repeat(1000));
        for (line, id, code) in [
            ("", json!(null), "bad_request"),
            ("{", json!(null), "bad_request"),
            ("[]", json!(null), "bad_request"),
            (&nested, json!(null), "bad_request"),
            (r#"{"method": "status"}"#, json!(null), "bad_request"),
            (r#"{"id": null, "method": "status"}"#, json!(null), "bad_request"),
            (r#"{"id": [1], "method": "status"}"#, json!(null), "bad_request"),
            (r#"{"id": 7}"#, json!(7), "bad_request"),
            (r#"{"id": 7, "method": 1}"#, json!(7), "bad_request"),
            (
                r#"{"id": 7, "method": "status", "params": [1]}"#,
                json!(7),
                "bad_request",
            ),
            (r#"{"id": "x", "method": "reboot"}"#, json!("x"), "unknown_method"),
            (r#"{"id": 1.5, "method": "hello"}"#, json!(1.5), "bad_params"),
            (
                r#"{"id": 1, "method": "hello", "params": {"client_name": "me", "protocol_version": "2.0"}}"#,
                json!(1),
                "protocol_version_mismatch",
            ),
            (
                r#"{"id": 1, "method": "status", "params": {"await_surface": 1}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "status", "params": {"await_surface_ms": 600001}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "sample", "params": {"count": 0, "window_ms": 0}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "sample", "params": {"count": 1000001, "window_ms": 0}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "sample", "params": {"count": 1, "window_ms": -1}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "sample", "params": {"count": 1}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "bug_report", "params": {"window_ms": 600001}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "resource_counts", "params": {"all": true}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "extra_threads", "params": {"count": 65}}"#,
                json!(1),
                "bad_params",
            ),
            (
                r#"{"id": 1, "method": "quit", "params": {"now": true}}"#,
                json!(1),
                "bad_params",
            ),
        ] {
            assert_eq!(read(line), Err(json!([id, code])), "{line}");
        }
    }

    #[test]
    fn answers_have_the_form_of_the_contract() {
        let id = RequestId(json!(1));
        let good = Answer::to(id.clone(), Ok(json!({})));
        assert_eq!(good.to_line(), b"{\"id\":1,\"ok\":true,\"result\":{}}\n");
        let bad = Answer::to(id, Err(Error::new(ErrorCode::BadState, "no")));
        assert_eq!(
            bad.to_line(),
            b"{\"id\":1,\"ok\":false,\"error\":{\"code\":\"bad_state\",\"message\":\"no\"}}\n"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_get_one_line(line in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Err(answer) = parse_envelope(&line) {
                let answer = answer.to_line();
                prop_assert_eq!(answer.iter().filter(|&&byte| byte == b'\n').count(), 1);
            }
        }

        #[test]
        fn any_parameters_are_a_call_or_an_error(
            method in prop::sample::select(METHODS.to_vec()),
            key in prop::sample::select(vec!["count", "window_ms", "await_surface_ms", "description", "x"]),
            value in prop_oneof![
                any::<i64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from),
                ".*".prop_map(Value::from),
            ],
        ) {
            let line = json!({"id": "i\nd", "method": method, "params": {key: value}}).to_string();
            if let Err(answer) = read(&line) {
                prop_assert_eq!(&answer[0], "i\nd");
            }
        }
    }
}
