//! The defects of the backend and of the counts, out of the project's catalogue of seeded defects: each is found by what must
//! find it, and by nothing else; and where nothing is wrong, nothing is found.
//!
//! `cargo xtask selftest` runs these tests and reads what they found from a file that it names in `TRUEGAUGE_SELFTEST`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;

use serde_json::json;

pub(super) use seeded_defects::catalogue;

/// What was found of the defects, or of what has none.
#[derive(Default)]
pub(super) struct Findings {
    wrong: Vec<String>,
    written: usize,
}

impl Findings {
    /// A defect was seeded in this `place`, of which exactly this should be found.
    pub(super) fn defect(&mut self, id: &str, place: &str, found: &BTreeSet<String>, expected: &[String]) {
        let expected: BTreeSet<String> = expected.iter().cloned().collect();
        let wrong = (*found != expected).then(|| format!("{found:?} was found, not {expected:?}"));
        self.write(&json!({"defect": id, "place": place, "wrong": wrong}));
        self.wrong
            .extend(wrong.map(|wrong| format!("{id}, {place}: {wrong}")));
    }

    /// Nothing was seeded in this run.
    pub(super) fn sound(&mut self, run: &str, alarm: Option<String>) {
        self.write(&json!({"sound": run, "alarm": alarm}));
        self.wrong.extend(alarm.map(|alarm| format!("{run}: {alarm}")));
    }

    /// As one line, so that tests beside one another do not mix theirs.
    fn write(&mut self, finding: &serde_json::Value) {
        self.written += 1;
        let Some(path) = std::env::var_os("TRUEGAUGE_SELFTEST") else {
            return;
        };
        let file = OpenOptions::new().create(true).append(true).open(path);
        let line = format!("{finding}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file that TRUEGAUGE_SELFTEST names");
    }

    /// At the end.
    pub(super) fn assert_right(self) {
        assert!(self.written > 0, "nothing was seeded");
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }
}
