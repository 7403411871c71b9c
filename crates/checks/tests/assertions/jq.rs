//! The same files under plain jq: `jq -f crates/checks/assertions/3-cpu.jq evidence.json`.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Deserializer, Value};

use checks::EMBEDDED;

use crate::{assertions, evidence, evidence::cases};

/// The output of jq for several evidences one after another; `None` where jq is missing.
fn jq(file: &str, source: &str, evidences: &[Value]) -> Option<Vec<Value>> {
    let spawned = Command::new("jq")
        .args(["-c", source])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match spawned {
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        other => other.expect("jq starts"),
    };
    let mut stdin = child.stdin.take().expect("piped");
    let output = thread::scope(|scope| {
        scope.spawn(move || {
            for evidence in evidences {
                writeln!(stdin, "{evidence}").expect("jq reads its input");
            }
        });
        child.wait_with_output().expect("jq ends")
    });
    assert!(output.status.success(), "jq -f {file}: {}", output.status);
    let rows = Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<_, _>>();
    Some(rows.expect("jq writes JSON"))
}

/// Equality. Numbers may differ as the two print them: integers as floats, the last digit.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (Some(a), Some(b)) = (a.as_f64(), b.as_f64()) else {
                return false;
            };
            (a - b).abs() <= 1e-9 * a.abs().max(1.0)
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

#[test]
fn plain_jq_gives_the_same_rows() {
    let mut evidences = vec![evidence::linux(), evidence::macos(), evidence::strict()];
    evidences.extend(cases().into_iter().map(|case| case.evidence));

    for ((file, source), assertion) in EMBEDDED.iter().zip(assertions()) {
        let Some(theirs) = jq(file, source, &evidences) else {
            let skipped = "SKIPPED: plain_jq_gives_the_same_rows: jq is missing";
            assert!(std::env::var_os("CI").is_none(), "{skipped}");
            // Past the test harness's capture: `cargo xtask test` counts the line.
            let _ = writeln!(std::io::stderr(), "{skipped}");
            return;
        };
        let judge = |evidence| assertion.judge(evidence).unwrap_or_else(|e| panic!("{e}"));
        let ours: Vec<Value> = evidences
            .iter()
            .flat_map(judge)
            .map(|row| serde_json::to_value(row).expect("a row is JSON"))
            .collect();
        assert_eq!(ours.len(), theirs.len(), "{file}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!(same(ours, theirs), "{file}:\nhere {ours}\njq   {theirs}");
        }
    }
}
