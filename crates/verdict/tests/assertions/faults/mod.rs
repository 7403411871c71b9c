//! Seeded faults: good evidence with one lie in it, and exactly the checks that must find it. A file for each test.

mod available;
mod cpu;
mod memory;
mod threads;
mod uptime;
mod variant;
mod whole_reports;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::evidence;

/// Evidence with a lie in it.
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) evidence: Value,
    /// The checks that fail, all of them.
    pub(crate) fails: BTreeSet<String>,
    /// The checks that can no longer be judged, all of them.
    pub(crate) skips: BTreeSet<String>,
}

impl Fault {
    /// The numbers of the tests that fail.
    pub(crate) fn tests(&self) -> BTreeSet<u32> {
        self.fails
            .iter()
            .filter_map(|check| check.chars().next()?.to_digit(10))
            .collect()
    }
}

/// The whole table.
pub(crate) fn faults() -> Vec<Fault> {
    let mut table = Table(Vec::new());
    variant::seed(&mut table);
    available::seed(&mut table);
    cpu::seed(&mut table);
    memory::seed(&mut table);
    uptime::seed(&mut table);
    threads::seed(&mut table);
    whole_reports::seed(&mut table);
    table.0
}

const LABELS: [&str; 3] = ["idle", "busy", "later"];
const IDLE: usize = 0;
const BUSY: usize = 1;
const LATER: usize = 2;

struct Table(Vec<Fault>);

impl Table {
    /// A lie of one report, told by each in turn; `{}` in a check's id stands for the report's label.
    fn each(&mut self, name: &str, lie: fn(&mut Value), fails: &[&str]) {
        self.each_with_skips(name, lie, fails, &[]);
    }

    fn each_with_skips(&mut self, name: &str, lie: fn(&mut Value), fails: &[&str], skips: &[&str]) {
        for (i, label) in LABELS.iter().enumerate() {
            let mut evidence = evidence::linux();
            lie(&mut evidence["reports"][i]);
            let of_report = |checks: &[&str]| checks.iter().map(|check| check.replace("{}", label)).collect();
            let (fails, skips) = (of_report(fails), of_report(skips));
            self.0.push(Fault {
                name: format!("{label}: {name}"),
                evidence,
                fails,
                skips,
            });
        }
    }

    /// A lie of the whole evidence.
    fn one(&mut self, name: &str, lie: fn(&mut Value), fails: &[&str]) {
        self.one_in(evidence::linux(), name, lie, fails, &[]);
    }

    /// A lie of this evidence; `{}` in a check's id stands for every report's label.
    fn one_in(
        &mut self,
        mut evidence: Value,
        name: &str,
        lie: fn(&mut Value),
        fails: &[&str],
        skips: &[&str],
    ) {
        lie(&mut evidence);
        let of_all = |checks: &[&str]| {
            checks
                .iter()
                .flat_map(|check| LABELS.map(|label| check.replace("{}", label)))
                .collect()
        };
        self.0.push(Fault {
            name: name.to_owned(),
            evidence,
            fails: of_all(fails),
            skips: of_all(skips),
        });
    }
}

fn process(report: &mut Value) -> &mut Value {
    &mut report["metrics"]["process"]
}

fn threads(report: &mut Value) -> &mut Vec<Value> {
    list(&mut report["metrics"]["threads"])
}

fn metadata(report: &mut Value) -> &mut Value {
    &mut report["members"]["metadata.json"]["json"]
}

fn session(report: &mut Value) -> &mut Value {
    &mut report["members"]["session.json"]["json"]
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().expect("a list")
}

fn remove(object: &mut Value, key: &str) {
    object
        .as_object_mut()
        .expect("an object")
        .remove(key)
        .expect("it was there");
}

fn exchange(object: &mut Value, a: &str, b: &str) {
    let first = object[a].take();
    object[a] = std::mem::replace(&mut object[b], first);
}

fn scale(number: &mut Value, factor: f64) {
    *number = json!(number.as_f64().expect("a number") * factor);
}

fn add(number: &mut Value, difference: f64) {
    *number = json!(number.as_f64().expect("a number") + difference);
}
