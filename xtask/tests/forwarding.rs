//! `cargo xtask verify` runs the truegauge and judges the client of this checkout, wherever cargo has put them.
//!
//! The first tests have a real cargo build a checkout of tiny programs, because cargo itself decides where they go and
//! whether they are up to date. The others run a stub of cargo.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

/// xtask on a checkout, without the settings of whoever runs the tests.
fn xtask(checkout: &Path) -> Command {
    // Cargo says it at run time: the tests work in a checkout that was moved, too.
    let program = std::env::var_os("CARGO_BIN_EXE_xtask").expect("cargo names it");
    let mut command = Command::new(program);
    for name in [
        "CARGO_BUILD_BUILD_DIR",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_TARGET_DIR",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    command
        .current_dir(checkout)
        .env("CARGO_MANIFEST_DIR", checkout.join("xtask"))
        .stdin(Stdio::null());
    command
}

/// The checkout of these tests.
fn own_root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.expect("cargo names the package");
    package.parent().expect("the workspace").to_owned()
}

/// A checkout whose programs print their names, and the text that they were built from.
struct TinyCheckout {
    root: PathBuf,
}

const TRUEGAUGE: &str = r##"
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments[0] == "--requirements" {
        println!("{}", r#"{"client_package": "headless-client", "sampling_process": true}"#);
        return;
    }
    println!("truegauge of TEXT: {}", std::env::current_exe().unwrap().display());
    println!("{}", arguments.join("\n"));
    for pair in arguments.windows(2) {
        if ["--client-bin", "--sampling-process", "--leaking-process"].contains(&&*pair[0]) {
            std::process::Command::new(&pair[1]).status().unwrap();
        }
    }
}
"##;

const PROGRAM: &str = r#"
fn main() {
    let faults = if cfg!(feature = "fault-injection") { " with faults" } else { "" };
    println!("{} of TEXT{faults}", env!("CARGO_BIN_NAME"));
}
"#;

/// The end of each package's manifest.
const PACKAGES: [(&str, &str); 3] = [
    ("truegauge", ""),
    ("headless-client", ""),
    (
        "sampling-process",
        r#"
[features]
fault-injection = []
[[bin]]
name = "sampling_process"
path = "src/main.rs"
[[bin]]
name = "leaking_process"
path = "src/main.rs"
required-features = ["fault-injection"]
"#,
    ),
];

impl TinyCheckout {
    fn create(root: &Path, text: &str) -> Self {
        let checkout = Self {
            root: root.to_owned(),
        };
        let mut lock = "version = 4\n".to_owned();
        for (package, more) in PACKAGES {
            let manifest =
                format!("[package]\nname = \"{package}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{more}");
            checkout.write(&format!("crates/{package}/Cargo.toml"), &manifest);
            lock += &format!("[[package]]\nname = \"{package}\"\nversion = \"0.1.0\"\n");
        }
        checkout.write(
            "Cargo.toml",
            "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n",
        );
        checkout.write("Cargo.lock", &lock);
        let settings = own_root().join(".cargo");
        checkout.write(
            ".cargo/config.toml",
            &fs::read_to_string(settings.join("config.toml")).expect("our settings"),
        );
        let wrapper = fs::read_link(settings.join("this-checkout/env")).expect("a link");
        fs::create_dir(root.join(".cargo/this-checkout")).expect("created");
        symlink(wrapper, root.join(".cargo/this-checkout/env")).expect("linked");
        checkout.change(text);
        checkout
    }

    /// Has the programs print another text.
    fn change(&self, text: &str) {
        for (package, _) in PACKAGES {
            let source = if package == "truegauge" {
                TRUEGAUGE
            } else {
                PROGRAM
            };
            self.write(
                &format!("crates/{package}/src/main.rs"),
                &source.replace("TEXT", text),
            );
        }
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.root.join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("created");
        fs::write(path, text).expect("written");
    }

    /// A verify of this checkout.
    fn verify(&self) -> Command {
        let mut command = xtask(&self.root);
        command.arg("verify");
        command
    }
}

/// Runs verify, and holds that all programs were built from `text`, and that truegauge lies in `place`.
#[track_caller]
fn assert_judges(mut verify: Command, text: &str, place: &Path) {
    let output = verify.output().expect("xtask runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let message = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{message}");
    let place = fs::canonicalize(place).expect("it was built");
    assert_eq!(
        stdout.lines().next(),
        Some(&*format!(
            "truegauge of {text}: {}",
            place.join("truegauge").display()
        )),
        "{message}"
    );
    for program in ["headless-client", "sampling_process"] {
        let line = format!("{program} of {text}");
        assert!(stdout.lines().any(|told| told == line), "{line}: {message}");
    }
    let line = format!("leaking_process of {text} with faults");
    assert!(stdout.lines().any(|told| told == line), "{line}: {message}");
}

/// A checkout that was built once, and then changed: what lies in target/ is stale.
fn changed_checkout(dir: &Path) -> TinyCheckout {
    let checkout = TinyCheckout::create(&dir.join("checkout"), "stale");
    assert_judges(checkout.verify(), "stale", &dir.join("checkout/target/debug"));
    checkout.change("today");
    checkout
}

#[test]
fn verify_judges_todays_client_with_cargo_build_target_dir() {
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = changed_checkout(dir.path());
    let mut verify = checkout.verify();
    verify.env("CARGO_BUILD_TARGET_DIR", "elsewhere");
    assert_judges(verify, "today", &checkout.root.join("elsewhere/debug"));
}

#[test]
fn verify_judges_todays_client_with_a_configured_target_dir() {
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = changed_checkout(dir.path());
    let config = fs::read_to_string(checkout.root.join(".cargo/config.toml")).expect("read");
    let moved = config.replace("[build]\n", "[build]\ntarget-dir = \"elsewhere\"\n");
    assert_ne!(moved, config);
    checkout.write(".cargo/config.toml", &moved);
    assert_judges(checkout.verify(), "today", &checkout.root.join("elsewhere/debug"));
}

#[test]
fn verify_judges_todays_client_with_cargo_build_target() {
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = changed_checkout(dir.path());
    let rustc = Command::new("rustc")
        .args(["--print", "host-tuple"])
        .output()
        .expect("runs");
    let host = String::from_utf8(rustc.stdout).expect("text");
    let host = host.trim();
    let mut verify = checkout.verify();
    verify.env("CARGO_BUILD_TARGET", host);
    assert_judges(
        verify,
        "today",
        &checkout.root.join("target").join(host).join("debug"),
    );
}

/// Tools that copy may keep the times of files, so that changed sources look older than the build that was copied with them.
#[test]
fn verify_judges_the_copy_in_a_checkout_copied_with_its_target_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let original = TinyCheckout::create(&dir.path().join("original"), "the original");
    assert_judges(
        original.verify(),
        "the original",
        &original.root.join("target/debug"),
    );
    let root = dir.path().join("copy");
    let copied = Command::new("cp")
        .arg("-a")
        .args([&original.root, &root])
        .status();
    assert!(copied.expect("cp runs").success());
    let copy = TinyCheckout { root };
    copy.change("the copy");
    for (package, _) in PACKAGES {
        let source = copy.root.join("crates").join(package).join("src/main.rs");
        let old = SystemTime::now() - Duration::from_secs(3_600);
        let file = fs::File::options().write(true).open(source).expect("opened");
        file.set_modified(old).expect("set");
    }
    assert_judges(copy.verify(), "the copy", &copy.root.join("target/debug"));
    assert_judges(
        original.verify(),
        "the original",
        &original.root.join("target/debug"),
    );
}

/// Cargo by itself takes the crates of the first checkout for those of the second, whose sources are older than the build.
#[test]
fn two_checkouts_that_share_a_target_directory_are_each_judged() {
    let dir = tempfile::tempdir().expect("a directory");
    let shared = dir.path().join("shared");
    let checkouts =
        ["first", "second"].map(|name| (name, TinyCheckout::create(&dir.path().join(name), name)));
    for (name, checkout) in checkouts.iter().chain(&checkouts) {
        let mut verify = checkout.verify();
        verify.env("CARGO_TARGET_DIR", &shared);
        assert_judges(verify, name, &shared.join("debug"));
    }
}

#[test]
fn verify_works_in_a_checkout_that_was_moved() {
    let dir = tempfile::tempdir().expect("a directory");
    let before = TinyCheckout::create(&dir.path().join("before"), "text");
    assert_judges(before.verify(), "text", &before.root.join("target/debug"));
    let after = TinyCheckout {
        root: dir.path().join("after"),
    };
    fs::rename(&before.root, &after.root).expect("moved");
    let mut verify = after.verify();
    // From anywhere below the root, and without cargo's word.
    verify
        .env_remove("CARGO_MANIFEST_DIR")
        .current_dir(after.root.join("crates/truegauge/src"));
    assert_judges(verify, "text", &after.root.join("target/debug"));
}

#[test]
fn a_client_that_does_not_build_is_not_judged_by_its_last_build() {
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = changed_checkout(dir.path());
    checkout.write("crates/headless-client/src/main.rs", "this does not compile");
    let output = checkout.verify().output().expect("xtask runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty(), "nothing was judged");
    assert!(stderr.contains("error: the build failed"), "{stderr}");
    assert!(
        stderr.contains("crates/headless-client/src/main.rs"),
        "the compiler says why: {stderr}"
    );
}

#[test]
fn a_read_only_checkout_builds_in_another_target_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let checkout = TinyCheckout::create(&dir.path().join("checkout"), "text");
    let before = files(&checkout.root);
    let mut verify = checkout.verify();
    verify.env("CARGO_TARGET_DIR", dir.path().join("target"));
    assert_judges(verify, "text", &dir.path().join("target/debug"));
    // Root may write anywhere, so the test looks for files in place of taking the permission away.
    assert_eq!(files(&checkout.root), before);
}

fn files(dir: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        let changed = fs::symlink_metadata(&path).and_then(|file| file.modified());
        found.push((path.clone(), changed.expect("read")));
        if path.is_dir() {
            found.extend(files(&path));
        }
    }
    found.sort();
    found
}

/// xtask with stubs of cargo and truegauge.
struct Stubbed {
    dir: tempfile::TempDir,
    requirements: &'static str,
}

const EVERYTHING: &str = r#"{"client_package": "headless-client", "sampling_process": true}"#;
const NOTHING: &str = r#"{"client_package": null, "sampling_process": false}"#;

fn stubs() -> PathBuf {
    own_root().join("xtask/tests/stub")
}

impl Stubbed {
    fn new(requirements: &'static str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").expect("written");
        Self { dir, requirements }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        xtask(self.dir.path())
            .args(arguments)
            .env("CARGO", stubs().join("cargo"))
            .env("STUB", stubs())
            .env("STUB_REQUIREMENTS", self.requirements)
            .env("STUB_LOG", self.log())
            .output()
            .expect("xtask runs")
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn built(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log()).expect("a log");
        let builds = log
            .lines()
            .filter_map(|line| line.strip_prefix("build --locked --package "));
        builds
            .map(|line| line.replace(" --message-format=json-render-diagnostics", ""))
            .collect()
    }
}

/// The lines that truegauge printed: where it stands, then its arguments.
fn told(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn truegauge_is_handed_what_cargo_names_and_the_arguments_as_they_are() {
    let stubbed = Stubbed::new(EVERYTHING);
    let output = stubbed.run(&["soak", "--duration", "90s", "--", "--name", "it's", "--help"]);
    let root = fs::canonicalize(stubbed.dir.path())
        .expect("a directory")
        .display()
        .to_string();
    let built = |name: &str| stubs().join(name).display().to_string();
    let expected = [
        &root, // The user's current directory: relative paths are meant from here.
        "--runs-dir",
        "/target of cargo/soak",
        "--reproduce-with",
        r"cargo xtask soak --duration 90s -- --name 'it'\''s' --help",
        "--checkout",
        &stubbed.dir.path().display().to_string(),
        "soak",
        "--client-bin",
        &built("headless-client"),
        "--sampling-process",
        &built("sampling_process"),
        "--leaking-process",
        &built("leaking_process"),
        "--duration",
        "90s",
        "--",
        "--name",
        "it's",
        "--help",
    ];
    assert_eq!(told(&output), expected, "{output:?}");
    assert_eq!(output.status.code(), Some(3), "the exit code is truegauge's");
    assert_eq!(
        stubbed.built(),
        [
            "truegauge --bin truegauge",
            "headless-client --bins",
            "sampling-process --bin sampling_process",
            "sampling-process --bin leaking_process --features fault-injection",
        ],
        "each by itself: cargo would unify their features"
    );
}

#[test]
fn nothing_is_built_that_the_arguments_do_not_require() {
    let stubbed = Stubbed::new(NOTHING);
    let output = stubbed.run(&["verify-report", "A.zip"]);
    assert_eq!(told(&output)[7..], ["verify-report", "A.zip"], "{output:?}");
    assert_eq!(stubbed.built(), ["truegauge --bin truegauge"]);

    let stubbed = Stubbed::new(r#"{"client_package": null, "sampling_process": true}"#);
    let output = stubbed.run(&["verify", "--client-bin", "my client"]);
    let arguments = told(&output);
    assert_eq!(arguments[arguments.len() - 2..], ["--client-bin", "my client"]);
    assert_eq!(
        arguments
            .iter()
            .filter(|argument| *argument == "--client-bin")
            .count(),
        1
    );
    assert_eq!(
        stubbed.built().len(),
        3,
        "truegauge, sampling and leaking process"
    );
}

#[test]
fn the_client_of_a_profile_may_be_a_program_of_another_name() {
    let stubbed = Stubbed::new(r#"{"client_package": "other-client", "sampling_process": false}"#);
    let output = stubbed.run(&["verify"]);
    let client = stubs().join("program").display().to_string();
    assert_eq!(told(&output)[8..], ["--client-bin", &client], "{output:?}");
}

#[test]
fn help_is_truegauges_own() {
    for ask in ["--help", "-h", "--version", "-V"] {
        let stubbed = Stubbed::new(NOTHING);
        let output = stubbed.run(&["verify", "--source", "qemu", ask]);
        assert_eq!(
            told(&output)[1..],
            ["verify", "--source", "qemu", ask],
            "{output:?}"
        );
        assert_eq!(stubbed.built().len(), 1, "no client is built for a help text");
    }
}

#[test]
fn arguments_that_truegauge_refuses_end_with_its_message_and_build_no_client() {
    let stubbed = Stubbed::new(EVERYTHING);
    let output = stubbed.run(&["verify", "--nonsense"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unexpected argument '--nonsense'"));
    assert_eq!((output.stdout.len(), stubbed.built().len()), (0, 1));
}

#[test]
fn a_signal_that_ends_truegauge_ends_the_command() {
    let output = Stubbed::new(NOTHING).run(&["verify", "--killed"]);
    assert_eq!(output.status.signal(), Some(15), "{output:?}");
}

#[test]
fn a_missing_cargo_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("Cargo.toml"), "[workspace]\n").expect("written");
    for (cargo, named) in [
        (None, "`cargo`"),
        (Some(OsString::from("/no/cargo")), "`/no/cargo`"),
    ] {
        for command in ["verify", "build"] {
            let mut xtask = xtask(dir.path());
            xtask.arg(command).env_remove("CARGO").env("PATH", "/nonexistent");
            let output = xtask
                .envs(cargo.iter().map(|cargo| ("CARGO", cargo)))
                .output()
                .expect("xtask runs");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(
                stderr.contains(&format!("error: there is no {named}: install Rust")),
                "{stderr}"
            );
        }
    }
}

#[test]
fn a_command_outside_of_a_checkout_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = xtask(dir.path())
        .env_remove("CARGO_MANIFEST_DIR")
        .arg("verify")
        .output()
        .expect("xtask runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("run `cargo xtask` in a checkout"), "{stderr}");
}

#[cfg(target_os = "linux")]
#[test]
fn standard_error_that_takes_nothing_leaves_the_exit_code() {
    let dir = tempfile::tempdir().expect("a directory");
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .expect("opened");
    let status = xtask(dir.path())
        .arg("ci")
        .stderr(full)
        .status()
        .expect("it starts");
    assert_eq!(status.code(), Some(2));
}
