//! What each report says, beside what the observer saw: read leniently from evidence, for people to compare. Whether it is
//! right, the checks tell.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) label: String,
    /// The zip, or whatever else it came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// Why it has no figures, where it says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unavailable: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uptime_secs: Option<f64>,
    pub(crate) client: Figures,
    pub(crate) observer: Figures,
    /// In the report's order; then those that only the observer saw.
    pub(crate) threads: Vec<Thread>,
}

/// Of a whole process. What is not known is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Percent of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_percent: Option<f64>,
    /// The sum over the threads, in percent of a core.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) threads_percent: Option<f64>,
    /// KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resident_kb: Option<f64>,
    /// KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) virtual_kb: Option<f64>,
    /// KiB; macOS only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) footprint_kb: Option<f64>,
}

/// One thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Thread {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tid: Option<u64>,
    pub(crate) name: String,
    /// Percent of a core, as the report says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_percent: Option<f64>,
    /// Percent of a core, as the observer saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) observer_percent: Option<f64>,
}

/// Every report of some evidence.
pub(super) fn of_evidence(evidence: &Value) -> Vec<Report> {
    list(&evidence["reports"]).iter().map(report).collect()
}

fn report(entry: &Value) -> Report {
    let (metrics, observer) = (&entry["metrics"], &entry["observer"]);
    let process = &metrics["process"];
    let unavailable = (metrics["available"] == false).then(|| text(&metrics["reason"]));
    Report {
        label: text(&entry["label"]),
        file: entry["zip"].as_str().map(str::to_owned),
        unavailable,
        uptime_secs: process["uptime_secs"].as_f64(),
        client: Figures {
            cpu_percent: process["cpu_percent"].as_f64(),
            threads_percent: sum(&metrics["threads"]),
            resident_kb: process["rss_kb"].as_f64(),
            virtual_kb: process["vm_size_kb"].as_f64(),
            footprint_kb: process["footprint_kb"].as_f64(),
        },
        observer: Figures {
            cpu_percent: observer["cpu_percent"].as_f64(),
            threads_percent: sum(&observer["tasks"]),
            resident_kb: observer["resident_kb"].as_f64(),
            virtual_kb: observer["virtual_kb"].as_f64(),
            footprint_kb: observer["footprint_kb"].as_f64(),
        },
        threads: threads(list(&metrics["threads"]), list(&observer["tasks"])),
    }
}

/// The report's threads, each with what the observer saw of the same id; then the others that the observer saw.
fn threads(listed: &[Value], tasks: &[Value]) -> Vec<Thread> {
    let mut seen: BTreeMap<u64, &Value> = tasks
        .iter()
        .filter_map(|task| Some((task["tid"].as_u64()?, task)))
        .collect();
    let mut threads: Vec<Thread> = listed
        .iter()
        .map(|thread| {
            let tid = thread["tid"].as_u64();
            let observed = tid.and_then(|tid| seen.remove(&tid));
            Thread {
                tid,
                name: text(&thread["name"]),
                client_percent: thread["cpu_percent"].as_f64(),
                observer_percent: observed.and_then(|task| task["cpu_percent"].as_f64()),
            }
        })
        .collect();
    threads.extend(seen.into_iter().map(|(tid, task)| Thread {
        tid: Some(tid),
        name: text(&task["name"]),
        client_percent: None,
        observer_percent: task["cpu_percent"].as_f64(),
    }));
    threads
}

/// The CPU of a list of threads; absent where one has none, as a sum over the rest would be another figure.
fn sum(threads: &Value) -> Option<f64> {
    let threads = threads.as_array().filter(|threads| !threads.is_empty())?;
    threads.iter().map(|thread| thread["cpu_percent"].as_f64()).sum()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn threads_stand_beside_what_the_observer_saw_of_them() {
        let listed = [
            json!({"tid": 1, "name": "main", "cpu_percent": 2.0}),
            json!({"tid": 9, "name": "x"}),
        ];
        let tasks = [
            json!({"tid": 1, "name": "main", "cpu_percent": 2.5}),
            json!({"tid": 3, "name": "late", "cpu_percent": 0.5}),
        ];
        let told: Vec<_> = threads(&listed, &tasks)
            .into_iter()
            .map(|thread| (thread.tid, thread.client_percent, thread.observer_percent))
            .collect();
        assert_eq!(
            told,
            [
                (Some(1), Some(2.0), Some(2.5)),
                (Some(9), None, None),
                (Some(3), None, Some(0.5))
            ]
        );
    }

    #[test]
    fn a_sum_over_some_of_the_threads_is_no_sum() {
        assert_eq!(
            sum(&json!([{"cpu_percent": 1.0}, {"cpu_percent": 2.5}])),
            Some(3.5)
        );
        assert_eq!(sum(&json!([{"cpu_percent": 1.0}, {}])), None);
        assert_eq!(sum(&json!([])), None);
        assert_eq!(sum(&Value::Null), None);
    }

    #[test]
    fn what_is_absent_or_of_another_kind_is_absent() {
        let hostile = json!({"reports": [
            {"label": "zip1", "metrics": {"process": [], "threads": {"a": 1}, "available": false, "reason": "no backend"}},
            {"label": "zip2", "metrics": null},
            7
        ]});
        let read = of_evidence(&hostile);
        assert_eq!(read.len(), 3);
        assert_eq!(read[0].unavailable.as_deref(), Some("no backend"));
        for report in read {
            assert_eq!((report.client, report.threads.len()), (Figures::default(), 0));
        }
    }
}
