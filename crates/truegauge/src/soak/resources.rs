//! What could leak, where it is counted, and which fault shows that the count moves.

use leak_test::{Class, Reading, Resource};
use serde_json::Value;

use crate::observe::{Count, ResourceCounts};

/// The leak of an exact resource that must be ruled out, in units per operation.
const EXACT: f64 = 0.02;

/// The leak of memory that must be ruled out, in KiB per operation: a page, the smallest array that can leak.
const NOISY_KIB: f64 = 4.0;

/// The growth of memory that is not called a leak, in KiB per operation: an allocator's arenas go on growing by a page now
/// and then with every request that they serve (measured: 0.01 KiB a sample over the first 30,000 in a session, none in a
/// process that only samples).
const TOLERATED_KIB: f64 = 0.1;

/// Thread ports with 65,535 references, beyond which the kernel counts no further.
const PEGGED_THREADS: &str = "/pegged_threads";

/// One count of two, or why it is missing. The excess of references may be below 0.
type Figure = Result<i64, String>;

/// A resource, and where it is counted.
#[derive(Debug, Clone)]
pub(crate) struct Tracked {
    pub(crate) resource: Resource,
    /// Whose count is judged where there is one.
    outside: Option<fn(&ResourceCounts) -> Option<&Count>>,
    /// Its JSON pointer in the process's own census, whose count must agree, or else is judged.
    census: Option<&'static str>,
    /// So many of what is counted are one unit.
    divisor: u64,
    /// What the positive control leaks of it, one unit an operation.
    pub(crate) fault: Option<&'static str>,
}

impl Tracked {
    fn exact(name: &str, unit: &str, fault: &'static str) -> Self {
        Self {
            resource: Resource::exact(name, unit, EXACT),
            outside: None,
            census: None,
            divisor: 1,
            fault: Some(fault),
        }
    }

    fn noisy(name: &str, unit: &str, outside: fn(&ResourceCounts) -> Option<&Count>) -> Self {
        Self {
            resource: Resource::noisy(name, unit, NOISY_KIB, TOLERATED_KIB),
            outside: Some(outside),
            census: None,
            divisor: 1,
            fault: None,
        }
    }

    fn outside(mut self, outside: fn(&ResourceCounts) -> Option<&Count>) -> Self {
        self.outside = Some(outside);
        self
    }

    fn census(mut self, pointer: &'static str) -> Self {
        self.census = Some(pointer);
        self
    }

    fn is_exact(&self) -> bool {
        self.resource.class == Class::Exact
    }
}

/// Everything that can leak on this platform.
fn all() -> Vec<Tracked> {
    if cfg!(target_os = "macos") {
        macos()
    } else {
        linux()
    }
}

/// All of it is seen from outside, in `/proc`.
fn linux() -> Vec<Tracked> {
    vec![
        descriptors(),
        Tracked::exact("mappings", "mappings", "mapping")
            .outside(|h| h.mappings.as_ref())
            .census("/mappings"),
        threads(),
        Tracked::noisy("rss", "KiB of resident memory", |h| h.rss_kb.as_ref()),
        Tracked::noisy("virtual_size", "KiB of virtual memory", |h| h.vm_size_kb.as_ref()),
    ]
}

/// References, dead names and the memory of arrays only the process itself can count.
fn macos() -> Vec<Tracked> {
    let page = rustix::param::page_size() as u64;
    vec![
        descriptors(),
        threads(),
        Tracked::exact("port_names", "port names", "port_name")
            .outside(|h| h.port_names.as_ref())
            .census("/port_names/total"),
        Tracked::exact("user_references", "user references", "user_reference")
            .census("/excess_thread_references"),
        Tracked::exact("dead_names", "dead names", "dead_name").census("/port_names/dead_names"),
        Tracked {
            divisor: page,
            ..Tracked::exact("message_memory", "pages of message memory", "array")
                .census("/message_memory_bytes")
        },
        Tracked {
            divisor: page,
            ..Tracked::exact("untagged_memory", "pages of untagged memory", "plain_array")
                .census("/untagged_memory_bytes")
        },
        Tracked::noisy("rss", "KiB of resident memory", |h| h.rss_kb.as_ref()),
        Tracked::noisy("footprint", "KiB of footprint", |h| h.footprint_kb.as_ref()),
        Tracked::noisy("virtual_size", "KiB of virtual memory", |h| h.vm_size_kb.as_ref()),
    ]
}

fn descriptors() -> Tracked {
    Tracked::exact("descriptors", "descriptors", "descriptor")
        .outside(|h| h.descriptors.as_ref())
        .census("/descriptors")
}

fn threads() -> Tracked {
    Tracked::exact("threads", "threads", "thread")
        .outside(|h| h.threads.as_ref())
        .census("/threads")
}

/// Those of the given names, or everything; fails on a name that does not exist here.
pub(crate) fn select(names: &[String]) -> Result<Vec<Tracked>, String> {
    let all = all();
    let known = |name: &String| all.iter().any(|tracked| tracked.resource.name == *name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let known: Vec<&str> = all.iter().map(|tracked| tracked.resource.name.as_str()).collect();
        return Err(format!(
            "there is no resource {unknown:?} here; there are {}",
            known.join(", ")
        ));
    }
    let asked = |tracked: &Tracked| names.is_empty() || names.contains(&tracked.resource.name);
    Ok(all.into_iter().filter(asked).collect())
}

/// The exact ones.
pub(crate) fn exact() -> Vec<Tracked> {
    let mut all = all();
    all.retain(Tracked::is_exact);
    all
}

/// What another process can count by itself.
pub(crate) fn from_outside() -> Vec<Tracked> {
    let mut all = all();
    all.retain(|tracked| tracked.outside.is_some());
    all
}

/// A reading of each without the process's own census.
pub(crate) fn readings_from_outside(tracked: &[Tracked], outside: &ResourceCounts) -> Vec<Reading> {
    let reading = |tracked: &Tracked| {
        let tracked = Tracked {
            census: None,
            ..tracked.clone()
        };
        tracked.reading(None, outside, &Value::Null)
    };
    tracked.iter().map(reading).collect()
}

/// By how much the process's own counts exceed those from outside, where there are both. Whatever two ways of counting
/// include or leave out, the difference must not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offsets(Vec<Option<i64>>);

impl Offsets {
    pub(crate) fn of(tracked: &[Tracked], outside: &ResourceCounts, census: &Value) -> Self {
        let offset = |tracked: &Tracked| {
            let (outside, inside) = tracked.counts(outside, census);
            Some(inside?.ok()? - outside?.ok()?)
        };
        Self(tracked.iter().map(offset).collect())
    }
}

/// A reading of every resource.
pub(crate) fn readings(
    tracked: &[Tracked],
    offsets: &Offsets,
    outside: &ResourceCounts,
    census: &Value,
) -> Vec<Reading> {
    tracked
        .iter()
        .zip(&offsets.0)
        .map(|(tracked, offset)| tracked.reading(*offset, outside, census))
        .collect()
}

impl Tracked {
    fn reading(&self, offset: Option<i64>, outside: &ResourceCounts, census: &Value) -> Reading {
        if self.stands_at_its_ceiling(outside, census) {
            return Reading::Saturated;
        }
        let count = match self.counts(outside, census) {
            (Some(Ok(outside)), Some(Ok(inside))) if Some(inside - outside) != offset => Err(format!(
                "the process counts {inside}, and from outside there are {outside}: they should differ by {}",
                offset.unwrap_or_default()
            )),
            (Some(Ok(_)), Some(Err(why))) => Err(format!("the process's own census: {why}")),
            (Some(outside), _) => outside,
            (None, Some(inside)) => inside,
            (None, None) => Err("nothing counts it".to_owned()),
        };
        match count {
            Ok(count) => Reading::Count(count / self.divisor as i64),
            Err(why) => Reading::Missing(why),
        }
    }

    /// The count from outside and the process's own.
    fn counts(&self, outside: &ResourceCounts, census: &Value) -> (Option<Figure>, Option<Figure>) {
        let outside = self.outside.map(|outside_of| match outside_of(outside) {
            Some(Ok(count)) => Ok(*count as i64),
            Some(Err(why)) => Err(why.clone()),
            None => Err("this platform does not tell".to_owned()),
        });
        let inside = self.census.map(|pointer| {
            let count = census.pointer(pointer).and_then(Value::as_i64);
            count.ok_or_else(|| {
                let field = pointer.split('/').nth(1).unwrap_or_default();
                let why = census["missing"][field].as_str();
                why.unwrap_or("it is not there").to_owned()
            })
        });
        (outside, inside)
    }

    fn stands_at_its_ceiling(&self, outside: &ResourceCounts, census: &Value) -> bool {
        match self.resource.name.as_str() {
            "descriptors" => match (&outside.descriptors, &outside.descriptor_limit) {
                (Some(Ok(open)), Some(Ok(limit))) => open >= limit,
                _ => false,
            },
            "user_references" => census
                .pointer(PEGGED_THREADS)
                .and_then(Value::as_u64)
                .is_some_and(|pegged| pegged > 0),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource_counts(descriptors: u64) -> ResourceCounts {
        ResourceCounts {
            descriptors: Some(Ok(descriptors)),
            descriptor_limit: Some(Ok(256)),
            ..ResourceCounts::default()
        }
    }

    fn read(tracked: &Tracked, outside: &ResourceCounts, census: &Value) -> Reading {
        tracked.reading(Some(0), outside, census)
    }

    /// The table of docs/soak.md, from this module's own.
    fn documented() -> String {
        let (linux, macos) = (linux(), macos());
        let is_in = |platform: &[Tracked], name: &str| platform.iter().any(|t| t.resource.name == name);
        let mut text =
            "| resource | unit | on | counted | fault of the positive control |\n|---|---|---|---|---|\n"
                .to_owned();
        let rest = macos.iter().filter(|t| !is_in(&linux, &t.resource.name));
        for tracked in linux.iter().chain(rest) {
            let name = &tracked.resource.name;
            let systems = match (is_in(&linux, name), is_in(&macos, name)) {
                (true, true) => "Linux, macOS",
                (true, false) => "Linux",
                (false, _) => "macOS",
            };
            let counted = match (tracked.outside, tracked.census) {
                (Some(_), Some(_)) => "from outside and by the process, which must agree",
                (Some(_), None) => "from outside",
                (None, _) => "by the process",
            };
            let fault = tracked
                .fault
                .map_or("none: noisy".to_owned(), |fault| format!("`{fault}`"));
            text += &format!(
                "| `{name}` | {} | {systems} | {counted} | {fault} |\n",
                tracked.resource.unit
            );
        }
        text
    }

    #[test]
    fn the_page_lists_every_resource_as_it_is_counted() {
        let manifest = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
        let page = std::fs::read_to_string(format!("{manifest}/../../docs/soak.md")).expect("docs/soak.md");
        let table = documented();
        assert!(
            page.contains(&table),
            "docs/soak.md must hold this table:\n{table}"
        );
    }

    #[test]
    fn every_exact_resource_has_a_fault_that_moves_it() {
        for platform in [linux(), macos()] {
            for tracked in &platform {
                assert_eq!(tracked.fault.is_some(), tracked.is_exact(), "{tracked:?}");
                assert!(
                    tracked.outside.is_some() || tracked.census.is_some(),
                    "{tracked:?}"
                );
            }
        }
    }

    #[test]
    fn the_counts_must_agree() {
        let tracked = descriptors();
        let said = |count: u64| json!({"descriptors": count});
        assert_eq!(
            read(&tracked, &resource_counts(12), &said(12)),
            Reading::Count(12)
        );
        assert!(
            matches!(read(&tracked, &resource_counts(13), &said(12)), Reading::Missing(why) if why.contains("12") && why.contains("13")),
            "a census that stands still is no reading"
        );
        let missing = json!({"missing": {"descriptors": "too many open files"}});
        assert!(
            matches!(read(&tracked, &resource_counts(12), &missing), Reading::Missing(why) if why.contains("too many"))
        );
        let unread = ResourceCounts {
            descriptors: Some(Err("gone".to_owned())),
            ..ResourceCounts::default()
        };
        assert_eq!(
            read(&tracked, &unread, &said(12)),
            Reading::Missing("gone".to_owned())
        );
    }

    #[test]
    fn ways_of_counting_may_differ_by_what_they_always_differ_by() {
        let tracked = [descriptors()];
        let offsets = Offsets::of(&tracked, &resource_counts(12), &json!({"descriptors": 11}));
        let read = |outside, inside| {
            readings(
                &tracked,
                &offsets,
                &resource_counts(outside),
                &json!({"descriptors": inside}),
            )
        };
        assert_eq!(read(20, 19), [Reading::Count(20)]);
        assert!(matches!(read(20, 20)[..], [Reading::Missing(_)]));
    }

    #[test]
    fn ceilings_are_leaks_whatever_the_census_says() {
        assert_eq!(
            read(&descriptors(), &resource_counts(256), &json!({})),
            Reading::Saturated
        );
        let macos = macos();
        let references = macos
            .iter()
            .find(|tracked| tracked.resource.name == "user_references")
            .expect("there");
        let census = |pegged: u64| json!({"excess_thread_references": -3, "pegged_threads": pegged});
        assert_eq!(
            read(references, &ResourceCounts::default(), &census(0)),
            Reading::Count(-3)
        );
        assert_eq!(
            read(references, &ResourceCounts::default(), &census(1)),
            Reading::Saturated
        );
    }

    #[test]
    fn memory_of_arrays_is_counted_in_pages() {
        let page = rustix::param::page_size();
        let census = json!({"message_memory_bytes": 3 * page, "untagged_memory_bytes": 5 * page});
        let macos = macos();
        for (name, pages) in [("message_memory", 3), ("untagged_memory", 5)] {
            let memory = macos.iter().find(|tracked| tracked.resource.name == name);
            assert_eq!(
                read(memory.expect(name), &ResourceCounts::default(), &census),
                Reading::Count(pages)
            );
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(select(&[]).expect("all").len(), all().len());
        assert_eq!(select(&["threads".to_owned()]).expect("one").len(), 1);
        let error = select(&["handles".to_owned()]).expect_err("none");
        assert!(
            error.contains("handles") && error.contains("descriptors, "),
            "{error}"
        );
    }
}
