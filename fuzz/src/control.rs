//! Lines on the control protocols of client and source, which share one envelope.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headless_client::control::protocol::{Call, MAX_LINE_BYTES, Sample, Status, parse_envelope};
use headless_client::control::{Methods, serve_connection};
use headless_client::reporter::Reporter;
use headless_client::session::Session;
use serde_json::Value;
use shakenfist_spice_renderer::{CancellationToken, ChannelSnapshots, SessionState};
use spice_source::{Line, LineReader, control};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use crate::json::same;
use crate::peers;

/// An answer holds the request's id, a status or a list of methods, and no more.
const MAX_ANSWER_BYTES: usize = 2 * MAX_LINE_BYTES + 4096;
/// No conversation waits for it to pass.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Says the same lines to the client and to the source.
///
/// # Panics
///
/// When a line has not one answer, on one line of JSON, with the request's id; when one is answered out of turn; or when a
/// conversation does not end with its lines.
pub fn control_line(said: &[u8]) {
    peers::runtime().block_on(async {
        tokio::time::timeout(TIMEOUT, with_client(said))
            .await
            .expect("the client's conversation ends");
    });
    with_source(said);
}

/// Lines whose work takes time, or leaves files behind, are left out: they are good requests, and tests of their own carry
/// them out.
fn is_cheap(line: &[u8]) -> bool {
    let Ok(envelope) = parse_envelope(line) else {
        return true;
    };
    match envelope.open().1 {
        Ok(Call::Sample(Sample { count, window_ms })) => count <= 2 && window_ms == 0,
        Ok(Call::Status(Status { await_surface_ms })) => await_surface_ms.unwrap_or(0) == 0,
        Ok(Call::ResourceCounts | Call::ExtraThreads(_) | Call::BugReport(_)) => false,
        Ok(Call::Hello(_) | Call::Quit) | Err(_) => true,
    }
}

async fn with_client(said: &[u8]) {
    let lines: Vec<&[u8]> = said
        .split(|byte| *byte == b'\n')
        .filter(|line| is_cheap(line))
        .collect();
    let said = lines.join(&b'\n');
    let session = Arc::new(Session::new(
        ChannelSnapshots::new(),
        SessionState::new().subscribe(),
    ));
    let methods = Methods {
        session: Arc::clone(&session),
        reporter: Arc::new(Reporter {
            session,
            target: "127.0.0.1:1".to_owned(),
            dir: PathBuf::new(),
            pedantic_dir: PathBuf::new(),
        }),
        extra_threads: Arc::default(),
        stop: CancellationToken::new(),
    };
    let (here, there) = tokio::io::duplex(1 << 10);
    let (mut hearing, mut saying) = tokio::io::split(here);
    let say = async {
        // A line that is too long ends the conversation before everything is said.
        let _ = saying.write_all(&said).await;
        let _ = saying.shutdown().await;
    };
    let mut answers = Vec::new();
    let (served, (), heard) = tokio::join!(
        serve_connection(there, &methods, TIMEOUT),
        say,
        hearing.read_to_end(&mut answers)
    );
    served.expect("the peer takes every answer");
    heard.expect("the client closes the connection");

    let mut answers = answers.split_inclusive(|byte| *byte == b'\n');
    let last = lines.len() - 1;
    for (number, line) in lines.iter().enumerate() {
        if number == last && line.is_empty() {
            break; // what follows the last line's end is no line
        }
        let answer = answers.next().expect("every line has an answer");
        let answer = answer.strip_suffix(b"\n").expect("an answer is a whole line");
        if line.len() > MAX_LINE_BYTES {
            assert_eq!(judged(answer, line)["error"]["code"], "line_too_long");
            break; // and the connection is closed
        }
        judged(answer, line);
    }
    assert_eq!(answers.next(), None, "no answer without a line");
}

fn with_source(said: &[u8]) {
    peers::with_source(|runtime, server| {
        let mut reader = LineReader::new(BufReader::with_capacity(64, said));
        while let Some(line) = runtime.block_on(reader.next_line()).expect("memory can be read") {
            let answer = control::answer(&line, server);
            let Line::Complete(line) = line else {
                assert_eq!(
                    judged(answer.json.as_bytes(), b"")["error"]["code"],
                    "line_too_long"
                );
                continue;
            };
            let told = judged(answer.json.as_bytes(), &line);
            assert!(!answer.quit || told["ok"] == true);
        }
    });
}

/// An answer, held to what every answer must be.
fn judged(answer: &[u8], line: &[u8]) -> Value {
    assert!(answer.len() <= MAX_ANSWER_BYTES, "{} bytes", answer.len());
    assert!(!answer.contains(&b'\n'), "an answer is one line");
    let answer: Value = serde_json::from_slice(answer).expect("an answer is JSON");
    let said = serde_json::from_slice::<Value>(line).unwrap_or_default();
    let echoed = same(&answer["id"], &said["id"]);
    match answer["ok"].as_bool() {
        Some(true) => assert!(echoed && answer["result"].is_object(), "{answer}"),
        Some(false) => {
            assert!(answer["error"]["code"].is_string() && answer["error"]["message"].is_string());
            assert!(answer.get("id").is_none() || echoed, "{answer}");
            let understood = said["id"].is_u64() && said["method"].is_string();
            assert!(!understood || echoed, "{answer}");
        }
        None => panic!("neither good nor bad: {answer}"),
    }
    answer
}
