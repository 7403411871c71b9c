//! macOS's own tools as further observers of the client. Each is optional: what does not answer is reported as absent,
//! with the reason, and nothing of it is judged.

use std::fs::File;
use std::io::{Read as _, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Map, Value, json};

/// How long one tool may take: `vmmap` of a busy process, and a `sudo` that waits for a policy, can hang.
const TOOL_TIMEOUT: Duration = Duration::from_secs(20);

/// One tool. Adding one is one entry in [`WITNESSES`].
struct Witness {
    name: &'static str,
    /// `PID` stands for the client's.
    command: &'static [&'static str],
    /// What its output says; `None` where that cannot be told.
    read: Read,
}

type Read = fn(&str) -> Option<Value>;

const WITNESSES: &[Witness] = &[
    Witness {
        name: "ps",
        command: &["ps", "-o", "rss=,vsz=", "-p", "PID"],
        read: ps,
    },
    // Setuid root and entitled: it answers for any process.
    Witness {
        name: "top",
        command: &["top", "-l", "1", "-pid", "PID", "-stats", "pid,ports,mem"],
        read: top,
    },
    // Needs root, and may be refused under the hardened runtime.
    Witness {
        name: "lsmp",
        command: &["sudo", "-n", "lsmp", "-p", "PID"],
        read: lsmp,
    },
    // The older procedure counted this command's "Mach Ports" lines. They are counted here to show that there are none.
    Witness {
        name: "vmmap",
        command: &["vmmap", "-summary", "PID"],
        read: vmmap,
    },
];

/// Asks every tool about one process.
pub(crate) fn ask(pid: u32) -> Value {
    let pid = pid.to_string();
    let told = WITNESSES.iter().map(|witness| {
        let words: Vec<&str> = witness
            .command
            .iter()
            .map(|word| if *word == "PID" { &pid } else { *word })
            .collect();
        let said = match run(&words, TOOL_TIMEOUT) {
            Ok(output) => (witness.read)(&output).ok_or_else(|| "its output could not be read".to_owned()),
            Err(reason) => Err(reason),
        };
        let entry = match said {
            Ok(said) => json!({"command": words.join(" "), "said": said}),
            Err(reason) => json!({"command": words.join(" "), "absent": reason}),
        };
        (witness.name.to_owned(), entry)
    });
    Value::Object(told.collect::<Map<_, _>>())
}

/// Runs one tool to its end, and returns its standard output. A tool that hangs is killed with all that it started.
fn run(words: &[&str], limit: Duration) -> Result<String, String> {
    let temporary = || tempfile::tempfile().map_err(|error| format!("no temporary file: {error}"));
    let (mut stdout, mut stderr) = (temporary()?, temporary()?);
    let to = |file: &File| file.try_clone().map_err(|error| error.to_string());
    let mut child = Command::new(words[0])
        .args(&words[1..])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(to(&stdout)?)
        .stderr(to(&stderr)?)
        .spawn()
        .map_err(|error| error.to_string())?;
    let group = Pid::from_child(&child);
    let (announce, ended) = channel();
    std::thread::spawn(move || announce.send(child.wait()));
    let Ok(status) = ended.recv_timeout(limit) else {
        // sudo's children are root's, and stay.
        let _ = kill_process_group(group, Signal::KILL);
        return Err(format!("it did not answer within {limit:?}"));
    };
    let status = status.map_err(|error| error.to_string())?;
    if status.success() {
        return read_back(&mut stdout);
    }
    let output = read_back(&mut stderr)?;
    Err(format!(
        "{status}: {}",
        output.lines().next().unwrap_or_default().trim()
    ))
}

fn read_back(file: &mut File) -> Result<String, String> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(0))
        .and_then(|_| file.read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `RSS VSZ`, in KiB.
fn ps(output: &str) -> Option<Value> {
    let mut figures = output.split_whitespace().map(str::parse::<u64>);
    let (rss, vsz) = (figures.next()?.ok()?, figures.next()?.ok()?);
    Some(json!({"resident_kb": rss, "virtual_kb": vsz}))
}

/// The row under the header `PID #PORTS MEM`; a figure may carry `+` or `-` for its trend.
fn top(output: &str) -> Option<Value> {
    let mut lines = output
        .lines()
        .skip_while(|line| !line.trim_start().starts_with("PID"));
    lines.next()?;
    let mut row = lines.next()?.split_whitespace();
    let (_pid, ports, mem) = (row.next()?, row.next()?, row.next()?);
    let ports: u64 = ports.trim_end_matches(['+', '-']).parse().ok()?;
    Some(json!({"port_names": ports, "mem": mem.trim_end_matches(['+', '-'])}))
}

/// The footer's `total = 123` lines, which count names, not references.
fn lsmp(output: &str) -> Option<Value> {
    let counted = output.lines().filter_map(|line| {
        let (name, count) = line.split_once('=')?;
        let name = name.trim();
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
        let count: u64 = count.trim().parse().ok()?;
        plain.then(|| (name.to_owned(), json!(count)))
    });
    let counted: Map<String, Value> = counted.collect();
    counted.contains_key("total").then_some(Value::Object(counted))
}

/// Counts only where the region table is there: an empty answer would prove nothing.
fn vmmap(output: &str) -> Option<Value> {
    let table = output
        .lines()
        .any(|line| line.trim_start().starts_with("REGION TYPE"));
    let lines = output.lines().filter(|line| line.contains("Mach Ports")).count();
    table.then(|| json!({"lines_with_mach_ports": lines}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_is_read_as_it_prints() {
        let cases: [(Read, &str, Value); 4] = [
            (
                ps,
                " 44876 408281072\n",
                json!({"resident_kb": 44876, "virtual_kb": 408_281_072}),
            ),
            (
                top,
                "Processes: 400 total\nSharedLibs: 1M\n\nPID    #PORTS MEM\n4242   57+    12M+\n",
                json!({"port_names": 57, "mem": "12M"}),
            ),
            (
                lsmp,
                "Process (4242) : client\n  name  ipc-object  rights\n0x103 0xf4 send\n\ntotal     = 57\nSEND      = 31\n\
                 DEAD_NAME = 2\n",
                json!({"total": 57, "SEND": 31, "DEAD_NAME": 2}),
            ),
            (
                vmmap,
                "Process: client [4242]\n\nREGION TYPE   VIRTUAL RESIDENT\n=====\nStack  8M  96K\n",
                json!({"lines_with_mach_ports": 0}),
            ),
        ];
        for (read, output, said) in cases {
            assert_eq!(read(output), Some(said), "{output}");
            assert_eq!(read(""), None, "silence says nothing");
            assert_eq!(read("garbage = x\nPID\n"), None);
        }
        assert_eq!(
            vmmap("REGION TYPE\nMach Ports 57\n"),
            Some(json!({"lines_with_mach_ports": 1})),
            "the row can show that the older procedure was right after all"
        );
    }

    #[test]
    fn what_does_not_answer_is_absent_with_its_reason() {
        let run = |words: &[&str]| run(words, TOOL_TIMEOUT);
        assert_eq!(run(&["sh", "-c", "echo yes"]), Ok("yes\n".to_owned()));
        let refused = run(&["sh", "-c", "echo no >&2; exit 3"]).expect_err("refused");
        assert!(
            refused.contains("exit status: 3") && refused.contains("no"),
            "{refused}"
        );
        assert!(run(&["this-tool-does-not-exist"]).is_err());
    }

    #[test]
    fn a_tool_that_hangs_is_unavailable_after_its_time() {
        let limit = Duration::from_millis(100);
        let hung = run(&["sh", "-c", "cat /dev/zero >/dev/null & wait"], limit).expect_err("it hangs");
        assert!(hung.contains("did not answer within 100ms"), "{hung}");
    }
}
