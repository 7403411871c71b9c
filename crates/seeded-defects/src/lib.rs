//! Seeded defects: what can be wrong, and exactly what must find it, as data.
//!
//! [`catalogue`] is `catalogue.toml` of this crate, whose head describes its tables; [`good_evidence`] is the recorded evidence
//! that the mutations start from. The [cases](Catalogue::recorded) on recorded evidence are made here; the tests of
//! `runtime-metrics` seed the tables of the model kernel, `cargo xtask selftest` those of simulated soaks and of live clients.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use checks::Edit;

/// The reports of a run, in order.
pub const LABELS: [&str; 3] = ["idle", "busy", "later"];

/// The project's catalogue.
///
/// # Panics
/// If `catalogue.toml` is invalid, which this crate's tests exclude.
#[must_use]
pub fn catalogue() -> Catalogue {
    Catalogue::parse(include_str!("../catalogue.toml")).unwrap_or_else(|error| panic!("{error}"))
}

/// The evidence of a run on Linux that passes every check: three reports, twelve threads, and under load one thread that
/// starts inside the window and another that ends in it.
///
/// # Panics
/// If `good-evidence.json` is not JSON, which this crate's tests exclude.
#[must_use]
pub fn good_evidence() -> Value {
    serde_json::from_str(include_str!("../good-evidence.json")).expect("good-evidence.json is JSON")
}

/// Every defect, by where it is seeded.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    definitions: String,
    bases: BTreeMap<String, String>,
    /// Of one report of recorded evidence, and of a client's.
    pub report: Vec<Report>,
    /// Of recorded evidence as a whole.
    pub evidence: Vec<Evidence>,
    /// No defects, on recorded evidence.
    pub sound: Vec<Sound>,
    /// Of the macOS backend, on the model kernel.
    #[serde(default)]
    pub backend: Vec<Backend>,
    /// Leaks on the model kernel.
    #[serde(default)]
    pub leak: Vec<Leak>,
    /// Of the census, on the model kernel.
    #[serde(default)]
    pub census: Vec<Census>,
    /// Of simulated readings.
    #[serde(default)]
    pub simulated: Vec<Simulated>,
}

/// A lie of one report.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// In words that a file name can have.
    pub id: String,
    /// What is wrong.
    pub what: String,
    /// jq, from the report to the report.
    pub lie: String,
    /// Every row that fails then; `{}` is the label of the report that lies.
    pub fails: Vec<String>,
    /// Every row that can no longer be judged.
    #[serde(default)]
    pub skips: Vec<String>,
    /// The reports that lie, all of them at once; each in turn where none is named.
    #[serde(default)]
    pub together: Vec<String>,
    /// The reports in which a real client lies at once; none where none is named.
    #[serde(default)]
    pub live: Vec<String>,
}

/// A lie of the whole evidence.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// As in [`Report`].
    pub id: String,
    /// What is wrong.
    pub what: String,
    /// Which evidence it is told of.
    #[serde(default = "linux")]
    pub base: String,
    /// jq, from the evidence to the evidence.
    pub lie: String,
    /// Every row that fails then; `{}` is each label.
    pub fails: Vec<String>,
    /// Every row that can no longer be judged.
    #[serde(default)]
    pub skips: Vec<String>,
}

/// Evidence that is as good as the recorded one, or says less.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sound {
    /// As in [`Report`].
    pub id: String,
    /// What is other than usual.
    pub what: String,
    /// jq, from the evidence to the evidence.
    pub lie: String,
    /// Every row that can no longer be judged.
    #[serde(default)]
    pub skips: Vec<String>,
}

/// A fault of the macOS backend.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backend {
    /// As in [`Report`].
    pub id: String,
    /// What is wrong.
    pub what: String,
    /// As the tests of the backend name it.
    pub fault: String,
    /// All that a report of a process whose every figure is known is then found to be wrong in.
    pub finds: Vec<String>,
}

/// A leak on the model kernel.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// As in [`Report`].
    pub id: String,
    /// What is wrong.
    pub what: String,
    /// What leaks, as the tests of the backend name it.
    pub leaks: String,
    /// In one of so many samples, for each of these.
    pub every: Vec<u32>,
    /// Whether threads come and go meanwhile.
    #[serde(default)]
    pub churning: bool,
    /// All the resources that are then found to leak.
    pub moves: Vec<String>,
}

/// A census that does not count what is there.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Census {
    /// As in [`Report`].
    pub id: String,
    /// What is wrong.
    pub what: String,
    /// As the tests of the backend name it.
    pub census: String,
    /// What becomes of the positive control: the outcome's name in results.json.
    pub control: String,
}

/// A soak of which every reading is made up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// As in [`Report`].
    pub id: String,
    /// What is wrong.
    pub what: String,
    /// Units that each operation leaks.
    #[serde(default)]
    pub per_operation: f64,
    /// With which probability each operation leaks a unit.
    #[serde(default)]
    pub probability: f64,
    /// The verdict, in a word.
    pub verdict: String,
    /// `RUNTIME_METRICS_FAULT` of a client that leaks as much; absent where none is told to.
    #[serde(default)]
    pub fault: Option<String>,
    /// All the resources that `cargo xtask soak` then finds to leak.
    #[serde(default)]
    pub leaks: Vec<String>,
}

/// A defect, wherever it is seeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect<'a> {
    /// Its id.
    pub id: &'a str,
    /// What is wrong.
    pub what: &'a str,
    /// What must find it.
    pub found_by: String,
}

fn linux() -> String {
    "linux".to_owned()
}

/// Why a catalogue is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the catalogue of seeded defects: {0}")]
pub struct CatalogueError(String);

impl CatalogueError {
    fn of(id: &str, why: impl std::fmt::Display) -> Self {
        Self(format!("{id}: {why}"))
    }
}

/// Evidence with a lie in it.
#[derive(Debug, Clone)]
pub struct Case {
    /// The defect's id; of a sound one, too.
    pub id: String,
    /// Where it is seeded: the reports that lie.
    pub place: String,
    /// What is judged.
    pub evidence: Value,
    /// The rows that fail, all of them.
    pub fails: BTreeSet<String>,
    /// The rows that cannot be judged, all of them.
    pub skips: BTreeSet<String>,
}

impl Catalogue {
    /// Reads a catalogue's text.
    ///
    /// # Errors
    /// When it is no TOML, has other tables or fields than those of this module, names a report or a base that is not
    /// there, or an id twice.
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        let catalogue: Self = toml::from_str(text).map_err(|error| CatalogueError(error.to_string()))?;
        let mut seen = BTreeSet::new();
        for id in catalogue.ids() {
            if !seen.insert(id) {
                return Err(CatalogueError::of(id, "the id is there twice"));
            }
        }
        for report in &catalogue.report {
            for label in report.together.iter().chain(&report.live) {
                if !LABELS.contains(&label.as_str()) {
                    return Err(CatalogueError::of(
                        &report.id,
                        format!("there is no report {label:?}"),
                    ));
                }
            }
        }
        for evidence in &catalogue.evidence {
            if !catalogue.bases.contains_key(&evidence.base) {
                return Err(CatalogueError::of(
                    &evidence.id,
                    format!("there is no base {:?}", evidence.base),
                ));
            }
        }
        Ok(catalogue)
    }

    /// Every defect, in the order of the tables.
    #[must_use]
    pub fn defects(&self) -> Vec<Defect<'_>> {
        let defect = |id, what, found_by| Defect { id, what, found_by };
        let report = self
            .report
            .iter()
            .map(|row| defect(&*row.id, &*row.what, row.fails.join(", ")));
        let evidence = self
            .evidence
            .iter()
            .map(|row| defect(&row.id, &row.what, row.fails.join(", ")));
        let backend = self.backend.iter();
        let backend =
            backend.map(|row| defect(&row.id, &row.what, format!("model: {}", row.finds.join(", "))));
        let leak = self.leak.iter();
        let leak = leak.map(|row| defect(&row.id, &row.what, format!("soak: {}", row.moves.join(", "))));
        let census = self.census.iter();
        let census = census.map(|row| defect(&row.id, &row.what, format!("soak.control: {}", row.control)));
        let simulated = self.simulated.iter();
        let simulated = simulated.map(|row| defect(&row.id, &row.what, format!("soak: {}", row.verdict)));
        report
            .chain(evidence)
            .chain(backend)
            .chain(leak)
            .chain(census)
            .chain(simulated)
            .collect()
    }

    /// Of all defects and sound cases.
    fn ids(&self) -> impl Iterator<Item = &str> {
        let defects = self.defects().into_iter().map(|defect| defect.id);
        defects.chain(self.sound.iter().map(|row| row.id.as_str()))
    }

    /// The good evidence as each of the bases has it, by name.
    ///
    /// # Errors
    /// When a base's jq fails.
    pub fn bases(&self, good: &Value) -> Result<BTreeMap<String, Value>, CatalogueError> {
        let base =
            |(name, source): (&String, &String)| Ok((name.clone(), self.edit(name, source)?.apply_to(good)?));
        self.bases.iter().map(base).collect()
    }

    /// Every case on recorded evidence: the defects, then what is sound.
    ///
    /// # Errors
    /// When a lie is no jq, fails, or changes nothing.
    pub fn recorded(&self, good: &Value) -> Result<Vec<Case>, CatalogueError> {
        let bases = self.bases(good)?;
        let linux = bases
            .get("linux")
            .ok_or_else(|| CatalogueError("no base \"linux\"".to_owned()))?;
        let mut cases = Vec::new();
        for report in &self.report {
            let lie = self.edit(&report.id, &report.lie)?;
            for labels in report.told_in() {
                cases.push(Case {
                    id: report.id.clone(),
                    place: labels.join(", "),
                    evidence: lie.tell_in(linux, &labels)?,
                    fails: over(&report.fails, &labels),
                    skips: over(&report.skips, &labels),
                });
            }
        }
        for row in &self.evidence {
            let base = &bases[&row.base];
            cases.push(self.whole(&row.id, base, &row.lie, &row.fails, &row.skips)?);
        }
        for row in &self.sound {
            cases.push(self.whole(&row.id, linux, &row.lie, &[], &row.skips)?);
        }
        Ok(cases)
    }

    fn whole(
        &self,
        id: &str,
        base: &Value,
        lie: &str,
        fails: &[String],
        skips: &[String],
    ) -> Result<Case, CatalogueError> {
        Ok(Case {
            id: id.to_owned(),
            place: "the evidence".to_owned(),
            evidence: self.edit(id, lie)?.changing(base)?,
            fails: over(fails, &LABELS),
            skips: over(skips, &LABELS),
        })
    }

    /// The jq program of a report's lie, definitions included: from a report to a report, `earlier` being those before it.
    #[must_use]
    pub fn program(&self, lie: &str) -> String {
        format!("{}\n{lie}", self.definitions)
    }

    fn edit(&self, id: &str, lie: &str) -> Result<Lie, CatalogueError> {
        let edit =
            Edit::compile(id, &self.program(lie)).map_err(|error| CatalogueError(error.to_string()))?;
        Ok(Lie {
            id: id.to_owned(),
            edit,
        })
    }
}

impl Report {
    /// The reports that lie at once, of each case.
    fn told_in(&self) -> Vec<Vec<&str>> {
        if self.together.is_empty() {
            LABELS.iter().map(|label| vec![*label]).collect()
        } else {
            vec![self.together.iter().map(String::as_str).collect()]
        }
    }

    /// What a run must find whose client lies: the rows that fail, and those that cannot be judged.
    #[must_use]
    pub fn expected_live(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let labels: Vec<&str> = self.live.iter().map(String::as_str).collect();
        (over(&self.fails, &labels), over(&self.skips, &labels))
    }
}

/// The rows' ids, `{}` standing for each of the labels.
fn over(checks: &[String], labels: &[&str]) -> BTreeSet<String> {
    let each = |check: &String| {
        labels
            .iter()
            .map(|label| check.replace("{}", label))
            .collect::<Vec<_>>()
    };
    checks.iter().flat_map(each).collect()
}

struct Lie {
    id: String,
    edit: Edit,
}

impl Lie {
    fn apply_to(&self, value: &Value) -> Result<Value, CatalogueError> {
        self.edit
            .apply(value)
            .map_err(|error| CatalogueError(error.to_string()))
    }

    /// A lie that changes nothing is none.
    fn changing(&self, value: &Value) -> Result<Value, CatalogueError> {
        let changed = self.apply_to(value)?;
        if changed == *value {
            return Err(CatalogueError::of(&self.id, "it changes nothing"));
        }
        Ok(changed)
    }

    /// The evidence, of which these reports lie.
    fn tell_in(&self, good: &Value, labels: &[&str]) -> Result<Value, CatalogueError> {
        let mut evidence = good.clone();
        let reports = good["reports"].as_array().map(Vec::as_slice).unwrap_or_default();
        for (index, report) in reports.iter().enumerate() {
            if !labels.iter().any(|label| report["label"] == *label) {
                continue;
            }
            let mut before = report.clone();
            before["earlier"] = Value::from(reports[..index].to_vec());
            let mut after = self.apply_to(&before)?;
            if let Some(after) = after.as_object_mut() {
                after.remove("earlier");
            }
            if after == *report {
                return Err(CatalogueError::of(&self.id, "it changes nothing"));
            }
            evidence["reports"][index] = after;
        }
        Ok(evidence)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shipped_catalogue_makes_every_case() {
        let cases = super::catalogue().recorded(&good_evidence()).unwrap();
        assert!(cases.len() >= 100, "{}", cases.len());
    }

    const HEAD: &str = "definitions = 'def double: . * 2;'\n";

    fn catalogue(rows: &str) -> Result<Catalogue, String> {
        let bases = if rows.contains("[bases]") {
            ""
        } else {
            "[bases]\nlinux = '.'\n"
        };
        let tables = ["report", "evidence", "sound"].into_iter();
        let absent = tables.filter(|table| !rows.contains(&format!("[[{table}]]")));
        let absent: String = absent.map(|table| format!("{table} = []\n")).collect();
        Catalogue::parse(&format!("{HEAD}{absent}{bases}{rows}")).map_err(|error| error.to_string())
    }

    fn good() -> Value {
        json!({"reports": [{"label": "idle", "n": 1}, {"label": "busy", "n": 3}, {"label": "later", "n": 5}]})
    }

    #[test]
    fn a_lie_is_told_in_each_report_in_turn_or_in_several_at_once() {
        let rows = "[[report]]\nid = 'a'\nwhat = 'x'\nlie = '.n |= double'\nfails = ['1.{}.n', '1.all']\n\
                    [[report]]\nid = 'b'\nwhat = 'x'\nlie = '.n = .earlier[0].n'\nfails = ['1.{}.n']\n\
                    together = ['busy', 'later']\n";
        let cases = catalogue(rows).unwrap().recorded(&good()).unwrap();
        let told: Vec<_> = cases
            .iter()
            .map(|case| {
                let ns = case.evidence["reports"].as_array().unwrap().iter();
                let ns: Vec<_> = ns.map(|report| report["n"].as_i64().unwrap()).collect();
                (
                    case.id.as_str(),
                    ns,
                    case.fails.iter().cloned().collect::<Vec<_>>().join(" "),
                )
            })
            .collect();
        let case = |id, ns: [i64; 3], fails: &str| (id, ns.to_vec(), fails.to_owned());
        assert_eq!(
            told,
            [
                case("a", [2, 3, 5], "1.all 1.idle.n"),
                case("a", [1, 6, 5], "1.all 1.busy.n"),
                case("a", [1, 3, 10], "1.all 1.later.n"),
                case("b", [1, 1, 1], "1.busy.n 1.later.n"),
            ]
        );
        assert!(
            cases
                .iter()
                .all(|case| case.evidence["reports"][1].get("earlier").is_none())
        );
    }

    #[test]
    fn a_lie_of_the_whole_evidence_is_told_of_its_base() {
        let rows = "[bases]\nlinux = '.'\nmacos = '.os = \"macos\"'\n\
                    [[evidence]]\nid = 'a'\nwhat = 'x'\nlie = '.n = 1'\nfails = ['1.{}.n']\nskips = ['2']\n\
                    [[evidence]]\nid = 'b'\nwhat = 'x'\nbase = 'macos'\nlie = '.n = 2'\nfails = []\n\
                    [[sound]]\nid = 'c'\nwhat = 'x'\nlie = '.n = 3'\nskips = ['3.{}']\n";
        let cases = catalogue(rows).unwrap().recorded(&good()).unwrap();
        let told: Vec<_> = cases
            .iter()
            .map(|case| {
                let rows = |rows: &BTreeSet<String>| Vec::from_iter(rows.clone()).join(" ");
                let evidence = (case.evidence["os"].as_str(), case.evidence["n"].as_i64().unwrap());
                (case.id.as_str(), evidence, rows(&case.fails), rows(&case.skips))
            })
            .collect();
        let all_labels = |of: &str| LABELS.map(|label| of.replace("{}", label));
        let mut fails = all_labels("1.{}.n");
        fails.sort();
        let mut skips = all_labels("3.{}");
        skips.sort();
        assert_eq!(
            told,
            [
                ("a", (None, 1), fails.join(" "), "2".to_owned()),
                ("b", (Some("macos"), 2), String::new(), String::new()),
                ("c", (None, 3), String::new(), skips.join(" ")),
            ]
        );
    }

    #[test]
    fn a_client_that_lies_is_expected_to_fail_where_it_lies() {
        let rows = "[[report]]\nid = 'a'\nwhat = 'x'\nlie = '.n = 0'\nfails = ['1.{}.n', '1.all']\nskips = ['2.{}']\n\
                    live = ['idle', 'later']\n";
        let catalogue = catalogue(rows).unwrap();
        let (fails, skips) = catalogue.report[0].expected_live();
        assert_eq!(Vec::from_iter(fails), ["1.all", "1.idle.n", "1.later.n"]);
        assert_eq!(Vec::from_iter(skips), ["2.idle", "2.later"]);
    }

    #[test]
    fn every_defect_is_listed_with_what_finds_it() {
        let rows = "[[report]]\nid = 'a'\nwhat = 'report'\nlie = '.n = 0'\nfails = ['1', '2']\n\
                    [[evidence]]\nid = 'b'\nwhat = 'evidence'\nlie = '.n = 0'\nfails = ['3']\n\
                    [[sound]]\nid = 'c'\nwhat = 'no defect'\nlie = '.n = 0'\n\
                    [[backend]]\nid = 'd'\nwhat = 'backend'\nfault = 'f'\nfinds = ['cpu', 'rss']\n\
                    [[leak]]\nid = 'e'\nwhat = 'leak'\nleaks = 'names'\nevery = [1]\nmoves = ['names']\n\
                    [[census]]\nid = 'f'\nwhat = 'census'\ncensus = 'blind'\ncontrol = 'never_moved'\n\
                    [[simulated]]\nid = 'g'\nwhat = 'simulated'\nverdict = 'LEAK'\n";
        let catalogue = catalogue(rows).unwrap();
        let listed: Vec<_> = catalogue
            .defects()
            .into_iter()
            .map(|defect| (defect.id, defect.what, defect.found_by))
            .collect();
        let defect = |id, what, found_by: &str| (id, what, found_by.to_owned());
        assert_eq!(
            listed,
            [
                defect("a", "report", "1, 2"),
                defect("b", "evidence", "3"),
                defect("d", "backend", "model: cpu, rss"),
                defect("e", "leak", "soak: names"),
                defect("f", "census", "soak.control: never_moved"),
                defect("g", "simulated", "soak: LEAK"),
            ]
        );
    }

    #[test]
    fn what_seeds_nothing_is_refused() {
        let row = |lie: &str| format!("[[report]]\nid = 'a'\nwhat = 'x'\nlie = '{lie}'\nfails = []\n");
        let seeded = |rows: &str| {
            let catalogue = catalogue(rows)?;
            catalogue
                .recorded(&good())
                .map(|cases| cases.len())
                .map_err(|error| error.to_string())
        };
        assert_eq!(seeded(&row(".n = 0")), Ok(3));
        for (rows, why) in [
            (row("."), "a: it changes nothing"),
            (
                "[[evidence]]\nid = 'a'\nwhat = 'x'\nlie = '.'\nfails = []\n".to_owned(),
                "a: it changes nothing",
            ),
            (
                "[[evidence]]\nid = 'a'\nwhat = 'x'\nbase = 'bsd'\nlie = '.n = 0'\nfails = []\n".to_owned(),
                "a: there is no base \"bsd\"",
            ),
            (
                "[bases]\nmacos = '.'\n".to_owned() + &row(".n = 0"),
                "no base \"linux\"",
            ),
            (row(".m |= nothing"), "undefined filter nothing/0"),
            (row("empty"), "a: it yields nothing"),
            (row(".n = 0").repeat(2), "a: the id is there twice"),
            (
                row(".n = 0") + "together = ['soon']\n",
                "there is no report \"soon\"",
            ),
            (row(".n = 0") + "tests = 3\n", "unknown field `tests`"),
            (
                row(".n = 0") + "[[simulated]]\nid = 'a'\nwhat = 'x'\nverdict = 'LEAK'\n",
                "a: the id is there twice",
            ),
        ] {
            let error = seeded(&rows).expect_err(&rows);
            assert!(error.contains(why), "{rows}: {error}");
        }
    }
}
