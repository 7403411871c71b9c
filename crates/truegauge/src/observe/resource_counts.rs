//! What a process holds at one moment, counted by another process.

use serde::{Serialize, Serializer};
use serde_json::json;

/// A count, or why there is none.
pub(crate) type Count = Result<u64, String>;

/// As a number, or as the reason why there is none.
fn plain<S: Serializer>(count: &Option<Count>, serializer: S) -> Result<S::Ok, S::Error> {
    match count {
        Some(Ok(count)) => serializer.serialize_u64(*count),
        Some(Err(why)) => json!({"missing": why}).serialize(serializer),
        None => serializer.serialize_none(),
    }
}

/// A figure that does not exist on a platform is absent; one that could not be read says why.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ResourceCounts {
    #[serde(serialize_with = "plain", skip_serializing_if = "Option::is_none")]
    pub(crate) descriptors: Option<Count>,
    /// How many descriptors it may have open.
    #[serde(serialize_with = "plain", skip_serializing_if = "Option::is_none")]
    pub(crate) descriptor_limit: Option<Count>,
    #[serde(serialize_with = "plain", skip_serializing_if = "Option::is_none")]
    pub(crate) threads: Option<Count>,
    /// Linux.
    #[serde(serialize_with = "plain", skip_serializing_if = "Option::is_none")]
    pub(crate) mappings: Option<Count>,
    /// macOS: names in use in the port name space.
    #[serde(serialize_with = "plain", skip_serializing_if = "Option::is_none")]
    pub(crate) port_names: Option<Count>,
    #[serde(serialize_with = "plain", skip_serializing_if = "Option::is_none")]
    pub(crate) rss_kb: Option<Count>,
    #[serde(serialize_with = "plain", skip_serializing_if = "Option::is_none")]
    pub(crate) vm_size_kb: Option<Count>,
    /// macOS.
    #[serde(serialize_with = "plain", skip_serializing_if = "Option::is_none")]
    pub(crate) footprint_kb: Option<Count>,
}

impl ResourceCounts {
    /// Gives a reason in place of each 0 that no living process has. Descriptors may all be closed.
    pub(crate) fn of_the_living(mut self) -> Self {
        let counts = [
            &mut self.threads,
            &mut self.mappings,
            &mut self.port_names,
            &mut self.rss_kb,
            &mut self.vm_size_kb,
            &mut self.footprint_kb,
        ];
        for count in counts {
            if *count == Some(Ok(0)) {
                *count = Some(Err("reads as 0, which no living process has".to_owned()));
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_0_that_no_living_process_has_is_missing_with_a_reason() {
        let zeros = ResourceCounts {
            descriptors: Some(Ok(0)),
            threads: Some(Ok(0)),
            port_names: Some(Ok(0)),
            rss_kb: Some(Ok(0)),
            vm_size_kb: Some(Ok(4)),
            ..ResourceCounts::default()
        }
        .of_the_living();
        assert_eq!((zeros.descriptors, zeros.vm_size_kb), (Some(Ok(0)), Some(Ok(4))));
        for count in [zeros.threads, zeros.port_names, zeros.rss_kb] {
            assert!(
                matches!(&count, Some(Err(why)) if why.contains("reads as 0")),
                "{count:?}"
            );
        }
        assert_eq!(zeros.mappings, None, "absent stays absent");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_another_process_holds_is_counted() {
        use std::io::{Read, Write};
        use std::process::{Command, Stdio};

        let mut child = Command::new("/bin/sh")
            .args(["-c", "echo; read go; exec 9</dev/null; echo; read end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("/bin/sh starts");
        let (mut said, mut told) = (
            child.stdout.take().expect("piped"),
            child.stdin.take().expect("piped"),
        );
        let mut resource_counts = || {
            said.read_exact(&mut [0]).expect("a line");
            super::super::resource_counts(child.id())
        };
        let before = resource_counts();
        told.write_all(b"\n").expect("it reads");
        let seen = resource_counts();
        drop(told);
        child.wait().expect("it ends");
        let one_more = before.descriptors.map(|count| count.map(|count| count + 1));
        assert!(
            matches!(seen.descriptors, Some(Ok(_))) && seen.descriptors == one_more,
            "{seen:?}"
        );
        assert_eq!(seen.threads, Some(Ok(1)));
        assert!(matches!(seen.descriptor_limit, Some(Ok(limit)) if limit > 4));
        for count in [seen.mappings, seen.rss_kb, seen.vm_size_kb] {
            assert!(matches!(count, Some(Ok(count)) if count > 0), "{count:?}");
        }
        let gone = super::super::resource_counts(child.id());
        assert!(matches!(gone.descriptors, Some(Err(_))), "{gone:?}");
    }

    #[test]
    fn it_is_written_plainly() {
        let resource_counts = ResourceCounts {
            threads: Some(Ok(3)),
            mappings: Some(Err("gone".to_owned())),
            ..ResourceCounts::default()
        };
        assert_eq!(
            json!(resource_counts),
            json!({"threads": 3, "mappings": {"missing": "gone"}})
        );
    }
}
