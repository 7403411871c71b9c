//! Servers that lie, stall, flood and hang up: the client ends with a reason or stays in its user's hands, and takes no memory
//! at a server's word.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use common::{Client, Ended, Place, Server};
use nix::sys::signal::Signal;
use serde_json::json;
use spice_source::Config;

/// The client's own, and what a session may take; a gigabyte at a server's word is not in it.
const MEMORY_KIB: u64 = 512 * 1024;

/// The link's first error code of a server that speaks TLS alone (`SPICE_LINK_ERR_NEED_SECURED`, spice/error_codes.h).
const NEED_SECURED: u32 = 5;

/// A server that serves every connection in this way.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Reads what the client says first.
fn read_link(stream: &mut TcpStream) {
    let mut head = [0; 16];
    stream.read_exact(&mut head).unwrap();
    let size = u32::from_le_bytes(head[12..].try_into().unwrap());
    stream.read_exact(&mut vec![0; size as usize]).unwrap();
}

/// A reply to the link that claims so many bytes.
fn link_reply(size: u32, error: u32) -> Vec<u8> {
    let mut reply = b"REDQ".to_vec();
    for word in [2, 2, size, error] {
        reply.extend(u32::to_le_bytes(word));
    }
    reply.extend([0; 162]); // the public key
    for word in [1_u32, 0, 178, 0] {
        reply.extend(word.to_le_bytes());
    }
    reply
}

fn client(address: SocketAddr) -> (Place, Client) {
    let place = Place::new();
    let client = place.client(&["--direct", &address.to_string()]);
    (place, client)
}

/// The client ends by itself, with a reason that names the server, and without a panic.
fn assert_refuses(what: &str, ended: &Ended, place: &Place) {
    assert_eq!(ended.status.code(), Some(2), "{what}: {ended:?}");
    assert!(
        ended.stderr.contains("error: ") && ended.stderr.contains("127.0.0.1:"),
        "{what}: {ended:?}"
    );
    assert!(!ended.stderr.contains("panicked"), "{what}: {ended:?}");
    assert!(!place.socket().exists(), "{what}");
}

#[test]
fn a_link_that_is_none_is_an_error_with_a_reason() {
    let replies: [(&str, Vec<u8>); 7] = [
        ("a web server", b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(20)),
        ("zeros", vec![0; 4096]),
        ("4 GiB claimed", link_reply(u32::MAX, 0)),
        ("2 GiB claimed", link_reply(i32::MAX as u32, 0)),
        ("nothing claimed", link_reply(0, 0)),
        ("TLS asked for", link_reply(182, NEED_SECURED)),
        ("no key", link_reply(182, 0)),
    ];
    for (what, reply) in replies {
        let address = server(move |mut stream| {
            read_link(&mut stream);
            let _ = stream.write_all(&reply);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let (place, client) = client(address);
        assert_refuses(what, &client.ended(), &place);
    }
}

#[test]
fn a_flood_in_place_of_a_link_ends_the_client() {
    let address = server(|mut stream| while stream.write_all(&[b'x'; 65_536]).is_ok() {});
    let (place, client) = client(address);
    assert_refuses("a flood", &client.ended(), &place);
}

/// Stands before a true server, and lets only so many bytes of the server's through.
fn letting_through(
    true_server: String,
    bytes: usize,
    then: fn(&TcpStream),
) -> (SocketAddr, Arc<AtomicUsize>) {
    let passed = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&passed);
    let address = server(move |mut stream| {
        let mut upstream = TcpStream::connect(&true_server).unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), upstream.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let mut byte = [0];
        while counted.load(Ordering::SeqCst) < bytes
            && upstream.read_exact(&mut byte).is_ok()
            && stream.write_all(&byte).is_ok()
        {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        then(&stream);
        // Held until the client gives up.
        let _ = std::io::copy(&mut upstream, &mut std::io::sink());
    });
    (address, passed)
}

/// A link reply and its answer to the ticket.
const LINK_BYTES: usize = 16 + 178 + 4 + 4 + 4;

#[test]
fn a_link_cut_off_behind_any_byte_is_an_error_with_a_reason() {
    let server = Server::start(Config::default());
    // Every byte of the head, and some of the key, which is read at once.
    for bytes in (0..32)
        .chain((32..LINK_BYTES - 12).step_by(16))
        .chain(LINK_BYTES - 12..LINK_BYTES)
    {
        let (address, _) = letting_through(server.address(), bytes, |stream| {
            let _ = stream.shutdown(Shutdown::Both);
        });
        let (place, client) = client(address);
        assert_refuses(&format!("cut off behind {bytes} bytes"), &client.ended(), &place);
    }
}

#[test]
fn a_link_that_stalls_behind_any_part_leaves_the_client_in_its_users_hands() {
    let server = Server::start(Config::default());
    for bytes in [0, 4, 16, 20, 100, LINK_BYTES - 5, LINK_BYTES - 1] {
        let (address, passed) = letting_through(server.address(), bytes, |_| {});
        let (place, client) = client(address);
        while passed.load(Ordering::SeqCst) < bytes {
            thread::sleep(Duration::from_millis(1));
        }
        // It answers for itself, says that there is no session, and ends when it is told to.
        while UnixStream::connect(place.socket()).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
        let status = place.connect().call("status", json!({}));
        assert_eq!(status["spice_connected"], false, "{bytes} bytes: {status}");
        client.signal(Signal::SIGTERM);
        assert_eq!(client.ended().status.code(), Some(0), "{bytes} bytes");
    }
}

#[test]
fn a_session_that_is_reset_or_turns_to_nonsense_is_lost_with_a_reason() {
    type Then = fn(&TcpStream);
    let nonsense: [(&str, Then); 2] = [
        ("cut off in the session", |stream| {
            let _ = stream.shutdown(Shutdown::Both);
        }),
        ("4 GiB claimed in the session", |mut stream| {
            // The mini header: a type, and a size.
            let _ = stream.write_all(&[[0xff; 6].as_slice(), &[0x41; 100_000]].concat());
        }),
    ];
    for (what, then) in nonsense {
        let server = Server::start(Config::default());
        // Behind the link of the main channel, in the middle of what follows.
        let (address, _) = letting_through(server.address(), LINK_BYTES + 6, then);
        let (place, client) = client(address);
        let peak = peak_kib_until_it_ends(client.pid());
        let ended = client.ended();
        assert_ne!(ended.status.code(), Some(0), "{what}: {ended:?}");
        assert!(ended.stderr.contains("error: "), "{what}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{what}: {ended:?}");
        assert!(!place.socket().exists(), "{what}");
        if let Some(peak) = peak {
            assert!(peak < MEMORY_KIB, "{what}: {peak} KiB");
        }
    }
}

/// `SPICE_MSG_DISPLAY_SURFACE_CREATE` (spice/enums.h).
const SURFACE_CREATE: u16 = 314;
/// `SPICE_CHANNEL_DISPLAY` (spice/enums.h).
const DISPLAY: u8 = 2;

/// A message of the display channel: the mini header, and what the surface is like.
fn surface_create(surface_id: u32) -> Vec<u8> {
    let mut message = SURFACE_CREATE.to_le_bytes().to_vec();
    for word in [20, surface_id, 640, 480, 32, 0] {
        message.extend(u32::to_le_bytes(word));
    }
    message
}

/// Passes on one part of the link phase, whose head tells how long it is, and returns what follows the head.
fn relay_link(from: &mut TcpStream, to: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = [0; 16];
    from.read_exact(&mut head)?;
    let mut rest = vec![0; u32::from_le_bytes(head[12..].try_into().unwrap()) as usize];
    from.read_exact(&mut rest)?;
    to.write_all(&head)?;
    to.write_all(&rest)?;
    Ok(rest)
}

/// Stands before a true server, and creates more surfaces once it has created its first.
fn creating_surfaces(true_server: String, more: u32) -> SocketAddr {
    server(move |mut stream| {
        let mut upstream = TcpStream::connect(&true_server).unwrap();
        let mut relay = || -> std::io::Result<()> {
            // `SpiceLinkMess`: the session's number, then the channel.
            let display = relay_link(&mut stream, &mut upstream)?[4] == DISPLAY;
            let (mut from, mut to) = (stream.try_clone()?, upstream.try_clone()?);
            thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
            relay_link(&mut upstream, &mut stream)?;
            let mut result = [0; 4];
            upstream.read_exact(&mut result)?;
            stream.write_all(&result)?;
            let mut created = !display;
            while !created {
                let mut header = [0; 6];
                upstream.read_exact(&mut header)?;
                let mut body = vec![0; u32::from_le_bytes(header[2..].try_into().unwrap()) as usize];
                upstream.read_exact(&mut body)?;
                stream.write_all(&header)?;
                stream.write_all(&body)?;
                created = header[..2] == SURFACE_CREATE.to_le_bytes();
            }
            if display {
                let surfaces: Vec<u8> = (1..=more).flat_map(surface_create).collect();
                stream.write_all(&surfaces)?;
            }
            std::io::copy(&mut upstream, &mut stream)?;
            Ok(())
        };
        let _ = relay(); // ends with either side
        let _ = stream.shutdown(Shutdown::Both);
    })
}

#[test]
fn a_hundred_thousand_surfaces_are_not_kept_and_the_session_goes_on() {
    let true_server = Server::drawing(500);
    let (place, client) = client(creating_surfaces(true_server.address(), 100_000));
    while UnixStream::connect(place.socket()).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    let mut control = place.connect();
    control.await_surface();
    // Draws are behind them all.
    let frames =
        |control: &mut common::Control| control.call("status", json!({}))["frames_received"].as_u64();
    while frames(&mut control) == Some(0) {
        thread::sleep(Duration::from_millis(10));
    }
    let status = control.call("status", json!({}));
    assert_eq!(status["spice_connected"], true, "{status}");
    let kept = status["surfaces"].as_array().unwrap().len();
    assert!((2..=1024).contains(&kept), "{kept} surfaces");
    if let Some(peak) = peak_kib(client.pid()) {
        assert!(peak < MEMORY_KIB, "{peak} KiB");
    }

    let report = control.call("bug_report", json!({"window_ms": 0}));
    let zip = std::fs::File::open(report["path"].as_str().unwrap()).unwrap();
    let mut zip = zip::ZipArchive::new(zip).unwrap();
    let mut notifications = String::new();
    let mut member = zip.by_name("notifications.json").unwrap();
    member.read_to_string(&mut notifications).unwrap();
    assert_eq!(
        notifications.matches("is not shown").count(),
        1,
        "{notifications}"
    );
    control.call("quit", json!({}));
    assert_eq!(client.ended().status.code(), Some(0));
}

/// The most memory that a process held, where the system tells, looked at until it is gone.
fn peak_kib_until_it_ends(pid: i32) -> Option<u64> {
    let mut peak = None;
    while let Some(kib) = peak_kib(pid) {
        peak = Some(kib);
        thread::sleep(Duration::from_millis(1));
    }
    peak
}

/// The most memory that a process has held so far, where the system tells; of one that has ended, nothing.
fn peak_kib(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
