//! The page in a real browser: what it looks like, what it says to the console, whom it asks for anything.
#![cfg(unix)]

mod reports;
#[path = "harness/skip.rs"]
mod skip;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use reports::{judge_into, ours, run};

/// What browsers are called; the first that is there is taken.
const BROWSERS: [&str; 3] = [
    "chromium",
    "google-chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/// `None` where there is none, which CI does not accept.
fn browser() -> Option<&'static str> {
    let answers = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    let found = BROWSERS.iter().find(answers).copied();
    if found.is_none() {
        skip::skip("a browser");
    }
    found
}

/// Whom a browser asks by itself, whatever it shows. A page that asked them would break its own policy, and be heard on
/// the console.
const ITS_OWN: [&str; 2] = ["google.com", "googleapis.com"];

#[derive(Clone, Copy, Debug)]
enum Theme {
    Light,
    Dark,
}

/// What a browser made of a page.
#[derive(Debug)]
struct Seen {
    console: Vec<String>,
    /// Whatever it asked for over the network; it answers nothing.
    requests: Vec<String>,
    dom: String,
    /// The picture's size, and the colour of its lower right corner.
    size: (u32, u32),
    corner: [u8; 3],
}

/// A proxy that notes what it is asked for.
fn listening() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut line = String::new();
            let mut stream = BufReader::new(stream);
            if stream.read_line(&mut line).is_ok() && sender.send(line).is_err() {
                return;
            }
            let _ = stream
                .get_mut()
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
        }
    });
    (port, requests)
}

fn look(browser: &str, page: &Path, theme: Theme) -> Seen {
    let dir = tempfile::tempdir().expect("a directory");
    let picture = dir.path().join("page.png");
    let (port, requests) = listening();
    let mut command = Command::new(browser);
    command
        .args([
            "--headless",
            "--disable-gpu",
            "--no-sandbox",
            "--hide-scrollbars",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            "--disable-default-apps",
            "--metrics-recording-only",
            "--disable-features=OptimizationHints",
        ])
        .args([
            "--enable-logging=stderr",
            "--log-level=0",
            "--window-size=1280,1000",
            "--dump-dom",
        ])
        .arg(format!("--proxy-server=http://127.0.0.1:{port}"))
        .arg("--proxy-bypass-list=<-loopback>")
        .arg(format!(
            "--user-data-dir={}",
            dir.path().join("profile").display()
        ))
        .arg(format!("--screenshot={}", picture.display()));
    if matches!(theme, Theme::Dark) {
        command.arg("--blink-settings=preferredColorScheme=0");
    }
    command.arg(format!("file://{}", page.display()));
    let sent = run(&mut command, None, &[]);
    assert_eq!(sent.code, 0, "{sent:?}");
    let console = sent.stderr.lines().filter(|line| line.contains(":CONSOLE"));
    let (size, corner) = decoded(&picture);
    Seen {
        console: console.map(str::to_owned).collect(),
        requests: requests.try_iter().filter(|line| !is_its_own(line)).collect(),
        dom: sent.stdout,
        size,
        corner,
    }
}

/// `GET http://clients2.google.com/…` or `CONNECT update.googleapis.com:443 …`
fn is_its_own(request: &str) -> bool {
    let target = request.split(' ').nth(1).unwrap_or_default();
    let host = target
        .trim_start_matches("http://")
        .split(['/', ':'])
        .next()
        .unwrap_or_default();
    ITS_OWN.iter().any(|own| host.ends_with(&format!(".{own}")))
}

fn decoded(picture: &Path) -> ((u32, u32), [u8; 3]) {
    let file = std::fs::File::open(picture).expect("a picture");
    let mut reader = png::Decoder::new(BufReader::new(file))
        .read_info()
        .expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("decoded");
    let samples = info.color_type.samples();
    let last = &pixels[info.buffer_size() - samples..];
    ((info.width, info.height), [last[0], last[1], last[2]])
}

/// The page of one report.
fn page(zip: &[u8], dir: &Path) -> PathBuf {
    let report = dir.join("report.zip");
    std::fs::write(&report, zip).expect("written");
    let out = dir.join("out");
    let sent = judge_into(&out, &report);
    sent.dir(&out).join("report.html")
}

/// The same page with something more at its end.
fn with(page: &Path, more: &str) -> PathBuf {
    let text = std::fs::read_to_string(page).expect("read");
    let changed = text.replace("</body>", &format!("{more}</body>"));
    assert_ne!(changed, text);
    let path = page.with_file_name("changed.html");
    std::fs::write(&path, changed).expect("written");
    path
}

#[test]
fn the_page_is_quiet_asks_nobody_and_follows_the_theme() {
    let Some(browser) = browser() else { return };
    for zip in [ours(12.0).zip(), reports::hostile_names().zip()] {
        let dir = tempfile::tempdir().expect("a directory");
        let page = page(&zip, dir.path());
        for (theme, ground) in [
            (Theme::Light, [0xff, 0xff, 0xff]),
            (Theme::Dark, [0x0d, 0x11, 0x17]),
        ] {
            let seen = look(browser, &page, theme);
            assert!(seen.console.is_empty(), "{theme:?}: {:?}", seen.console);
            assert!(seen.requests.is_empty(), "{theme:?}: {:?}", seen.requests);
            assert_eq!((seen.size, seen.corner), ((1280, 1000), ground), "{theme:?}");
            assert!(seen.dom.contains("report1"), "{}", seen.dom);
        }
    }
}

#[test]
fn what_must_not_happen_would_be_seen() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let page = page(&ours(12.0).zip(), dir.path());
    let broken = look(
        browser,
        &with(&page, "<script>nothing.there()</script>"),
        Theme::Light,
    );
    assert!(
        broken
            .console
            .iter()
            .any(|line| line.contains("nothing is not defined")),
        "{broken:?}"
    );
    // The page's policy forbids it, and says so.
    let image = "<img src=\"http://192.0.2.1/x.png\">";
    let forbidden = look(browser, &with(&page, image), Theme::Light);
    assert!(
        forbidden.requests.is_empty() && !forbidden.console.is_empty(),
        "{forbidden:?}"
    );
    let open = dir.path().join("open.html");
    std::fs::write(&open, image).expect("written");
    let asking = look(browser, &open, Theme::Light);
    assert!(
        asking
            .requests
            .iter()
            .any(|line| line.contains("192.0.2.1/x.png")),
        "{asking:?}"
    );
}

#[test]
fn threads_are_sorted_by_the_button_in_a_heading() {
    let Some(browser) = browser() else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let mut metrics = reports::bare();
    for (thread, cpu) in metrics["threads"]
        .as_array_mut()
        .expect("threads")
        .iter_mut()
        .zip([2, 30, 4])
    {
        thread["cpu_percent"] = cpu.into();
    }
    let page = page(&ours(12.0).metrics(metrics).zip(), dir.path());
    let click = "<script>const h = document.querySelectorAll('table.sortable th[scope=col]')[2]; \
                 const sorted = () => [...document.querySelectorAll('table.sortable tbody tr')] \
                   .map((row) => row.cells[2].textContent).join(' '); \
                 h.firstChild.click(); const down = sorted() + h.ariaSort; h.firstChild.click(); \
                 document.title = down + ' | ' + sorted() + h.ariaSort;</script>";
    let seen = look(browser, &with(&page, click), Theme::Light);
    assert!(seen.console.is_empty(), "{:?}", seen.console);
    let title = seen
        .dom
        .split("<title>")
        .nth(1)
        .and_then(|rest| rest.split("</title>").next());
    let rest = "0.5 ".repeat(9);
    assert_eq!(
        title,
        Some(
            format!(
                "30.0 4.0 2.0 {}descending | {rest}2.0 4.0 30.0ascending",
                rest.trim_end()
            )
            .as_str()
        )
    );
}
