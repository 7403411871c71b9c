//! `headless-client`, built to leak and to tamper with its reports, for the tests of the harness.
//!
//! `RUNTIME_METRICS_FAULT` names its leak. `HEADLESS_CLIENT_TAMPERING` is a jq program: its input is a report as
//! evidence.json has it, its output is filed instead; `earlier` holds the reports before, untampered.
//! `HEADLESS_CLIENT_TAMPERED_REPORTS` lists the reports that are tampered with, by number from 0: `1,2`.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use checks::Edit;
use clap::Parser;
use headless_client::args::Args;
use headless_client::fault_injection::{Tampering, tamper_with};
use headless_client::report::Member;
use serde_json::{Map, Value, json};

const MUTATION: &str = "HEADLESS_CLIENT_TAMPERING";
const REPORTS: &str = "HEADLESS_CLIENT_TAMPERED_REPORTS";
const METRICS: &str = "runtime-metrics.json";

fn main() -> ExitCode {
    runtime_metrics::init_at_startup();
    if let Ok(mutation) = std::env::var(MUTATION) {
        let reports = std::env::var(REPORTS).unwrap_or_default();
        match tampering(&mutation, &reports) {
            Ok(tampering) => tamper_with(tampering),
            Err(why) => {
                eprintln!("tampering_client: error: {why}");
                return ExitCode::from(2);
            }
        }
    }
    match headless_client::run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tampering_client: error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn tampering(mutation: &str, reports: &str) -> Result<Tampering, String> {
    let edit = Edit::compile(MUTATION, mutation).map_err(|error| error.to_string())?;
    let tampered = reports
        .split(',')
        .map(str::parse::<usize>)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| format!("{REPORTS}={reports:?} is not a list of numbers"))?;
    let earlier: Mutex<Vec<Value>> = Mutex::default();
    Ok(Box::new(move |members| {
        let mut earlier = earlier.lock().unwrap_or_else(PoisonError::into_inner);
        let untampered = to_evidence(&members);
        let filed = tampered.contains(&earlier.len()).then(|| {
            let mut report = untampered.clone();
            report["earlier"] = Value::from(earlier.clone());
            edit.apply(&report).unwrap_or_else(|error| panic!("{error}"))
        });
        earlier.push(untampered);
        filed.map_or(members, |filed| to_members(&filed))
    }))
}

/// The report as evidence.json has it, without what the harness adds.
fn to_evidence(members: &[Member]) -> Value {
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

fn to_members(report: &Value) -> Vec<Member> {
    let none = Map::new();
    let members = report["members"].as_object().unwrap_or(&none).iter();
    let members = members.map(|(name, member)| (name.clone(), member["json"].to_string().into_bytes()));
    let metrics = (METRICS.to_owned(), report["metrics"].to_string().into_bytes());
    members.chain([metrics]).collect()
}
