//! `headless-client`, built to leak and to lie, for `cargo xtask selftest` and the tests of `cargo xtask soak`.
//!
//! It leaks what `RUNTIME_METRICS_FAULT` names. It lies where `HEADLESS_CLIENT_LIE` holds a jq program: from a report, as
//! evidence.json has it, to what is filed instead; `earlier` are the reports before it, as they should have been.
//! `HEADLESS_CLIENT_LIES_IN` names the reports that lie by their numbers from 0, `1,2`.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use clap::Parser;
use headless_client::args::Args;
use headless_client::fault_injection::{Spoil, spoil_with};
use headless_client::report::Member;
use serde_json::{Map, Value, json};
use checks::Edit;

const METRICS: &str = "runtime-metrics.json";

fn main() -> ExitCode {
    runtime_metrics::init_at_startup();
    if let Ok(lie) = std::env::var("HEADLESS_CLIENT_LIE") {
        let told_in = std::env::var("HEADLESS_CLIENT_LIES_IN").unwrap_or_default();
        match liar(&lie, &told_in) {
            Ok(liar) => spoil_with(liar),
            Err(why) => {
                eprintln!("leaky_client: error: {why}");
                return ExitCode::from(2);
            }
        }
    }
    match headless_client::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("leaky_client: error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn liar(lie: &str, told_in: &str) -> Result<Spoil, String> {
    let edit = Edit::compile("HEADLESS_CLIENT_LIE", lie).map_err(|error| error.to_string())?;
    let numbers = told_in
        .split(',')
        .map(str::parse::<usize>)
        .collect::<Result<Vec<_>, _>>();
    let numbers =
        numbers.map_err(|_| format!("HEADLESS_CLIENT_LIES_IN={told_in:?} is no list of numbers"))?;
    let earlier: Mutex<Vec<Value>> = Mutex::default();
    Ok(Box::new(move |members| {
        let mut earlier = earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = report(&members);
        let lies = numbers.contains(&earlier.len());
        report["earlier"] = Value::from(earlier.clone());
        let told = lies.then(|| edit.apply(&report).unwrap_or_else(|error| panic!("{error}")));
        if let Some(report) = report.as_object_mut() {
            report.remove("earlier");
        }
        earlier.push(report);
        told.map_or(members, |told| filed(&told))
    }))
}

/// As evidence.json has it, of what the client knows.
fn report(members: &[Member]) -> Value {
    let mut report = json!({"metrics": null, "members": {}});
    for (name, content) in members {
        let json: Value = serde_json::from_slice(content).unwrap_or_default();
        if name == METRICS {
            report["metrics"] = json;
        } else {
            report["members"][name] = json!({"json": json});
        }
    }
    report
}

/// The members of such a report.
fn filed(report: &Value) -> Vec<Member> {
    let none = Map::new();
    let members = report["members"].as_object().unwrap_or(&none).iter();
    let members = members.map(|(name, member)| (name.clone(), member["json"].to_string().into_bytes()));
    let metrics = (METRICS.to_owned(), report["metrics"].to_string().into_bytes());
    members.chain([metrics]).collect()
}
