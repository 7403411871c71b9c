//! A client that does one thing wrong, for the tests of `verify`. It speaks the control protocol well enough to get
//! there; `MISBEHAVE` names the fault.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let fault = std::env::var("MISBEHAVE").unwrap_or_default();
    if args.iter().any(|arg| arg == "--version") {
        if fault == "no-version" {
            std::process::exit(5);
        }
        println!("misbehaving_client 0");
        return;
    }
    let value_of = |flag: &str| {
        let at = args
            .iter()
            .position(|arg| arg == flag)
            .unwrap_or_else(|| panic!("{flag} is missing"));
        PathBuf::from(&args[at + 1])
    };
    let (socket, reports) = (value_of("--control-socket"), value_of("--bug-report-dir"));
    eprintln!("the log of a client that will misbehave: {fault}");
    if fault == "dies-at-start" {
        std::process::exit(7);
    }
    std::thread::spawn(|| {
        // Ends with the harness, as every client must; one that ignores that is killed.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let listener = UnixListener::bind(&socket).expect("a socket");
    for stream in listener.incoming() {
        serve(&stream.expect("a connection"), &fault, &reports);
    }
}

fn serve(stream: &UnixStream, fault: &str, reports: &Path) {
    let mut out = stream;
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).expect("a request");
        let result = match request["method"].as_str().unwrap_or_default() {
            "status" if fault == "no-surface" => json!({"surfaces": []}),
            "status" => json!({"surfaces": [{"width": 1, "height": 1}]}),
            "bug_report" => match fault {
                "hangs" => loop {
                    std::thread::park();
                },
                "dies" => std::process::exit(9),
                "breaks-protocol" => {
                    writeln!(out, "this is no JSON").expect("written");
                    continue;
                }
                "refuses" => {
                    let error = json!({"code": "internal_error", "message": "out of paper"});
                    writeln!(
                        out,
                        "{}",
                        json!({"id": request["id"], "ok": false, "error": error})
                    )
                    .expect("written");
                    continue;
                }
                _ => json!({"path": file(fault, reports)}),
            },
            "quit" => std::process::exit(0),
            _ => json!({}),
        };
        writeln!(
            out,
            "{}",
            json!({"id": request["id"], "ok": true, "result": result})
        )
        .expect("written");
    }
}

/// Files what the fault asks for and says where.
fn file(fault: &str, reports: &Path) -> PathBuf {
    let write = |name: &str, content: &[u8]| {
        let path = reports.join(name);
        std::fs::write(&path, content).expect("written");
        path
    };
    match fault {
        "no-zip" => reports.join("promised.zip"),
        "torn-zip" => write("torn.zip", b"PK\x03\x04 and then nothing"),
        "two-zips" => {
            write("one.zip", b"");
            write("two.zip", b"")
        }
        "wrong-path" => {
            write("here.zip", b"");
            PathBuf::from("/elsewhere/there.zip")
        }
        _ => panic!("no such fault: {fault}"),
    }
}
