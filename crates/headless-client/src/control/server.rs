//! Connections to the control socket.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::methods::Methods;
use super::protocol::{Answer, Call, Error, ErrorCode, MAX_LINE_BYTES, parse_envelope};

/// Number of peers that may be connected. Each has one request in progress at most, so this bounds all work and
/// memory.
const MAX_CONNECTIONS: usize = 8;
/// Time after which a peer that does not read its answer is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for which rejecting a peer may delay the next one. A fresh socket has room for the line, so it does
/// not.
const REJECT_TIMEOUT: Duration = Duration::from_millis(100);
/// Time between a failed accept and the next. It fails mostly for lack of descriptors, and would fail again at once.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Accepts and serves connections until the client is told to stop.
pub async fn serve(listener: UnixListener, methods: Arc<Methods>) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = methods.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("control: cannot accept: {error}");
                tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            reject(stream).await;
            continue;
        };
        let methods = Arc::clone(&methods);
        tokio::spawn(async move {
            let _slot = slot;
            tokio::select! {
                () = methods.stop.cancelled() => {}
                outcome = serve_connection(stream, &methods, WRITE_TIMEOUT) => if let Err(error) = outcome {
                    tracing::debug!("control: connection lost: {error}");
                },
            }
        });
    }
}

async fn reject(stream: UnixStream) {
    let message = format!("{MAX_CONNECTIONS} connections are open, and more are not served: close one");
    let mut answers = Answers {
        writer: stream,
        write_timeout: REJECT_TIMEOUT,
    };
    // A peer that misses the reason still sees the connection close.
    let _ = answers
        .send(Answer::error(None, Error::new(ErrorCode::Busy, message)))
        .await;
}

/// Answers one peer's requests, one after the other, until it hangs up or does not take an answer for so
/// long.
///
/// # Errors
///
/// Fails if reading or writing fails, or if the peer does not take an answer in time.
pub async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite,
    methods: &Methods,
    write_timeout: Duration,
) -> io::Result<()> {
    let (reader, writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let mut answers = Answers {
        writer,
        write_timeout,
    };
    let mut greeted = false;
    loop {
        let line = match next_line(&mut reader).await? {
            Line::Whole(line) => line,
            Line::TooLong => {
                let message = format!("a line has at most {MAX_LINE_BYTES} bytes; this connection is closed");
                return answers
                    .send(Answer::error(None, Error::new(ErrorCode::LineTooLong, message)))
                    .await;
            }
            Line::End => return Ok(()),
        };
        let (id, call) = match parse_envelope(&line) {
            Ok(envelope) => {
                let says_hello = envelope.method == "hello";
                let (id, call) = envelope.open();
                (id, admit(says_hello, greeted).and(call))
            }
            Err(answer) => {
                answers.send(answer).await?;
                continue;
            }
        };
        greeted |= matches!(call, Ok(Call::Hello(_)));
        let quits = matches!(call, Ok(Call::Quit));
        let outcome = match call {
            Ok(call) => methods.handle(call).await,
            Err(error) => Err(error),
        };
        let sent = answers.send(Answer::to(id, outcome)).await;
        if quits {
            methods.stop.cancel(); // even where the peer did not stay to hear that it will be done
        }
        sent?;
    }
}

/// `hello` comes first, and once.
fn admit(says_hello: bool, greeted: bool) -> Result<(), Error> {
    match (says_hello, greeted) {
        (false, false) => Err(Error::new(ErrorCode::NoHelloYet, "say hello first")),
        (true, true) => Err(Error::new(ErrorCode::BadState, "hello was said already")),
        _ => Ok(()),
    }
}

struct Answers<W> {
    writer: W,
    write_timeout: Duration,
}

impl<W: AsyncWrite + Unpin> Answers<W> {
    async fn send(&mut self, answer: Answer) -> io::Result<()> {
        timeout(self.write_timeout, self.writer.write_all(&answer.to_line())).await?
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    End,
}

/// Reads up to the end of a line. The last line of a connection needs none.
async fn next_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    reader
        .take(MAX_LINE_BYTES as u64 + 1)
        .read_until(b'\n', &mut line)
        .await?;
    Ok(match line.last() {
        None => Line::End,
        Some(b'\n') => {
            line.pop();
            Line::Whole(line)
        }
        Some(_) if line.len() > MAX_LINE_BYTES => Line::TooLong,
        Some(_) => Line::Whole(line),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use shakenfist_spice_renderer::{CancellationToken, ChannelSnapshots, SessionState};

    use super::*;
    use crate::reporter::Reporter;
    use crate::session::Session;

    const HELLO: &str =
        r#"{"id": 0, "method": "hello", "params": {"client_name": "test", "protocol_version": "1.0"}}"#;

    /// No test waits for it to pass.
    const TIMEOUT: Duration = Duration::from_secs(60);

    fn methods(report_dir: &Path) -> Methods {
        let session = Arc::new(Session::new(
            ChannelSnapshots::new(),
            SessionState::new().subscribe(),
        ));
        Methods {
            session: Arc::clone(&session),
            reporter: Arc::new(Reporter {
                session,
                target: "127.0.0.1:1".to_owned(),
                dir: report_dir.to_owned(),
                pedantic_dir: report_dir.to_owned(),
            }),
            extra_threads: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Says it all at once, and returns every answer.
    async fn exchange(methods: &Methods, said: &[u8]) -> Vec<Value> {
        let (mut here, there) = tokio::io::duplex(1 << 10);
        let (reader, mut writer) = tokio::io::split(&mut here);
        let mut reader = BufReader::new(reader).lines();
        let saying = async {
            // Fails when the connection is closed before it has read everything, which is for the answers to
            // show.
            let _ = writer.write_all(said).await;
            let _ = writer.shutdown().await;
        };
        let hearing = async {
            let mut answers = Vec::new();
            while let Ok(Some(line)) = reader.next_line().await {
                answers.push(serde_json::from_str(&line).unwrap());
            }
            answers
        };
        let (served, (), answers) = tokio::join!(serve_connection(there, methods, TIMEOUT), saying, hearing);
        served.unwrap();
        answers
    }

    fn codes(answers: &[Value]) -> Vec<Option<&str>> {
        answers
            .iter()
            .map(|answer| answer["error"]["code"].as_str())
            .collect()
    }

    #[tokio::test]
    async fn hello_comes_first_and_once() {
        let methods = methods(Path::new("."));
        let status = r#"{"id": 1, "method": "status"}"#;
        let said = [status, HELLO, status, HELLO, r#"{"id": 2, "method": "reboot"}"#].join("\n");
        let answers = exchange(&methods, said.as_bytes()).await;
        assert_eq!(
            codes(&answers),
            [
                Some("no_hello_yet"),
                None,
                None,
                Some("bad_state"),
                Some("unknown_method")
            ]
        );
        assert_eq!(
            answers[1]["result"]["supported_methods"],
            json!([
                "hello",
                "status",
                "sample",
                "resource_counts",
                "extra_threads",
                "bug_report",
                "quit"
            ])
        );
        assert_eq!(answers[2]["result"]["spice_connected"], false);
    }

    #[tokio::test]
    async fn the_bound_of_a_line_is_exact() {
        let methods = methods(Path::new("."));
        let padded = |bytes| format!("{HELLO}{}\n", " ".repeat(bytes - HELLO.len()));
        let within = exchange(&methods, padded(MAX_LINE_BYTES).as_bytes()).await;
        assert_eq!(codes(&within), [None]);
        // The second line is never read.
        let beyond = exchange(&methods, (padded(MAX_LINE_BYTES + 1) + HELLO).as_bytes()).await;
        assert_eq!(codes(&beyond), [Some("line_too_long")]);
    }

    #[tokio::test]
    async fn samples_are_counted_and_reports_filed() {
        let dir = tempfile::tempdir().unwrap();
        let methods = methods(dir.path());
        let sample = r#"{"id": 1, "method": "sample", "params": {"count": 3, "window_ms": 0}}"#;
        let report = r#"{"id": 2, "method": "bug_report", "params": {"window_ms": 1}}"#;
        let answers = exchange(&methods, [HELLO, sample, report].join("\n").as_bytes()).await;
        assert_eq!(answers[1]["result"]["count"], 3);
        assert!(answers[1]["result"]["elapsed_ms"].as_f64().unwrap() > 0.0);
        assert_eq!(answers[1]["result"]["last"]["platform"], std::env::consts::OS);
        let path = Path::new(answers[2]["result"]["path"].as_str().unwrap());
        assert_eq!(
            std::fs::metadata(path).unwrap().len(),
            answers[2]["result"]["bytes"].as_u64().unwrap()
        );
    }

    #[tokio::test]
    async fn a_report_that_cannot_be_filed_is_an_answer() {
        let dir = tempfile::tempdir().unwrap();
        let methods = methods(&dir.path().join("vanished"));
        let report = r#"{"id": 2, "method": "bug_report", "params": {"window_ms": 0}}"#;
        let answers = exchange(
            &methods,
            [HELLO, report, r#"{"id": 3, "method": "status"}"#]
                .join("\n")
                .as_bytes(),
        )
        .await;
        assert_eq!(codes(&answers), [None, Some("internal_error"), None]);
        let message = answers[1]["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("vanished") && message.contains("No such file"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn quit_is_answered_before_it_is_done() {
        let methods = methods(Path::new("."));
        let answers = exchange(
            &methods,
            [HELLO, r#"{"id": 1, "method": "quit"}"#].join("\n").as_bytes(),
        )
        .await;
        assert_eq!(answers[1], json!({"id": 1, "ok": true, "result": {}}));
        assert!(methods.stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_peer_that_never_reads_is_dropped() {
        let methods = methods(Path::new("."));
        let (mut here, there) = tokio::io::duplex(64);
        let saying = async {
            let said = format!("{HELLO}\n").repeat(1000);
            here.write_all(said.as_bytes()).await
        };
        let (served, said) = tokio::join!(
            serve_connection(there, &methods, Duration::from_millis(50)),
            saying
        );
        assert_eq!(served.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(said.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    proptest! {
        #[test]
        fn every_line_gets_one_answer(lines in prop::collection::vec(
            prop_oneof![
                "[^\n]{0,40}",
                Just(HELLO.to_owned()),
                r#"\{"id": [0-9]{1,3}, "method": "(status|hello|quit|x)"(, "params": [\[\]{}a0"]{0,3})?\}"#,
            ],
            0..12,
        )) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let said: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let answers = runtime.block_on(exchange(&methods(Path::new(".")), said.as_bytes()));
            prop_assert_eq!(answers.len(), lines.len());
            for answer in answers {
                prop_assert!(answer["ok"].is_boolean());
                prop_assert_eq!(answer["ok"] == true, answer.get("error").is_none());
            }
        }
    }
}
