//! Writes the seeds of the corpora: what a person knows of the formats, for the fuzzer to begin with.
//!
//! `cargo run -p fuzz --example seeds` writes them into `fuzz/corpus`; files of other names stay.

use std::io::{Cursor, Write};
use std::path::Path;

use shakenfist_spice_protocol::constants::{ImageType, bitmap_flags, bitmap_fmt};
use shakenfist_spice_protocol::messages::{
    AckSync, AgentTokens, BinaryData, BitmapHeader, BitmapPalette, BitmapPayload, Clip, CursorHeader,
    CursorInit, CursorInitHead, CursorMove, CursorSet, CursorSetHead, Disconnecting, DisplayInit, DrawBase,
    DrawCopyBuilder, ImageDescriptor, ImagePayload, KeyEvent, MainMouseMode, MousePosition, MultiMediaTime,
    Notify, Ping, Rect, SetAck, SpiceCursor, SpiceImage, StreamCreate, StreamData, StreamDataHeader,
    SurfaceCreate, SurfaceDestroy, WireType,
};
use shakenfist_spice_protocol::{
    cursor_server, display_client, display_server, inputs_client, inputs_server, main_server,
};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn main() -> std::io::Result<()> {
    for (target, seeds) in [
        ("bounded_json", json()),
        ("control_line", control()),
        ("report_zip", reports()),
        ("client_spice", servers()),
        ("source_spice", clients()),
    ] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        std::fs::create_dir_all(&dir)?;
        for (name, bytes) in seeds {
            std::fs::write(dir.join(name), bytes)?;
        }
    }
    Ok(())
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// A report's metrics, as docs/architecture.md has them.
const METRICS: &str = r#"{"sample_window_ms": 2000, "measured_window_ms": 2000.41,
 "process": {"cpu_percent": 12.5, "rss_kb": 65536, "vm_size_kb": 131072, "uptime_secs": 47.2},
 "threads": [{"tid": 1234, "name": "tokio-rt-worker", "cpu_percent": 5.0}],
 "platform": "linux", "missing": {"process.rss_kb": "why it could not be read"}}"#;
const METADATA: &str = r#"{"client": "headless-client", "version": "0.1.0", "pid": 4242, "report_type": "manual",
 "triggered_at": "2026-11-22T20:18:00.123456789Z", "window": {"start_monotonic_ns": 1, "end_monotonic_ns": 2}}"#;

fn json() -> Seeds {
    vec![
        ("metrics", METRICS.into()),
        ("metadata", METADATA.into()),
        (
            "unavailable",
            br#"{"platform":"freebsd","available":false,"reason":"no"}"#.to_vec(),
        ),
        (
            "numbers",
            b"[0,-1,1.5,1e3,-0.0,18446744073709551615,1e308,5e-324]".to_vec(),
        ),
        ("too-large-a-number", b"[1e999]".to_vec()),
        ("escapes", br#"["\u00e4\ud83d\ude00\n\"\\","\ud800"]"#.to_vec()),
        ("one-name-twice", br#"{"a":1,"a":[2],"b":{}}"#.to_vec()),
        ("deep", [b"[".repeat(140), b"]".repeat(140)].concat()),
        (
            "many-small-objects",
            [&b"["[..], &b"{\"a\":1},".repeat(100), b"0]"].concat(),
        ),
        ("a-text-too-much", b"[] []".to_vec()),
        ("no-utf8", b"\"\xff\xfe\"".to_vec()),
        ("cut-off", br#"{"a":[true,nul"#.to_vec()),
        (
            "code-fence",
            b"It froze:\n```json\n{\"platform\": \"linux\"}\n```\n".to_vec(),
        ),
        ("utf-16", b"\xff\xfe{\0\"\0a\0\"\0:\x001\0}\0".to_vec()),
    ]
}

fn control() -> Seeds {
    let hello = r#"{"id":0,"method":"hello","params":{"client_name":"x","protocol_version":"1.0"}}"#;
    vec![
        ("conversation", format!("{hello}\n{{\"id\":1,\"method\":\"status\"}}\n{{\"id\":2,\"method\":\"quit\"}}\n").into()),
        ("sample", format!("{hello}\n{{\"id\":\"s\",\"method\":\"sample\",\"params\":{{\"count\":1,\"window_ms\":0}}}}\n").into()),
        ("out-of-range", format!("{hello}\n{{\"id\":1.5,\"method\":\"sample\",\"params\":{{\"count\":0,\"window_ms\":600001}}}}").into()),
        ("hello-twice", format!("{hello}\n{hello}\n").into()),
        ("another-version", hello.replace("1.0", "2.0").into()),
        ("no-hello", b"{\"id\":1,\"method\":\"resource_counts\"}\n".to_vec()),
        ("unknown-parameter", format!("{hello}\n{{\"id\":1,\"method\":\"extra_threads\",\"params\":{{\"many\":1}}}}").into()),
        ("long-wait", format!("{hello}\n{{\"id\":1,\"method\":\"status\",\"params\":{{\"await_surface_ms\":0}}}}").into()),
        ("rates", b"{\"id\":1,\"method\":\"set_rate\",\"params\":{\"draws_per_second\":60}}\n{\"id\":2,\"method\":\"stats\"}\n{\"id\":3,\"method\":\"quit\",\"params\":null}\n".to_vec()),
        ("gaps", b"{\"id\":1,\"method\":\"gap\",\"params\":{\"channel\":\"display\",\"opcode\":65535}}\n{\"id\":2,\"method\":\"gap\",\"params\":{\"opcode\":3}}\n".to_vec()),
        ("no-envelope", b"\n[]\n1\n{\"id\":null}\n{\"id\":[1]}\n{\"id\":1,\"method\":7}\n{\"id\":1,\"method\":\"quit\",\"params\":[]}\n".to_vec()),
        ("no-json", b"GET / HTTP/1.1\r\n\r\n\xff\0{\"id\":".to_vec()),
    ]
}

fn zipped(method: CompressionMethod, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default().compression_method(method);
        zip.start_file(*name, options).expect("a member");
        zip.write_all(content).expect("written");
    }
    zip.finish().expect("a zip").into_inner()
}

/// Overwrites every occurrence, as an attacker would after zipping.
fn patched(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..=bytes.len() - from.len())
        .filter(|at| bytes[*at..].starts_with(from))
        .collect();
    assert!(!places.is_empty() && from.len() == to.len());
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

fn reports() -> Seeds {
    use CompressionMethod::{Deflated, Stored};
    let name = "runtime-metrics.json";
    let (metrics, metadata) = (METRICS.as_bytes(), METADATA.as_bytes());
    let whole: [(&str, &[u8]); 4] = [
        (name, metrics),
        ("metadata.json", metadata),
        ("notes.txt", "ä text".as_bytes()),
        ("screenshot.png", b"\x89PNG\xff"),
    ];
    let minimal = zipped(Stored, &[(name, b"{}")]);
    let pair = zipped(Stored, &[(name, b"{}"), ("aa", b"1"), ("ab", b"2")]);
    let locator = [&b"PK\x06\x07"[..], &[0; 16], &minimal[minimal.len() - 22..]].concat();
    vec![
        ("whole", zipped(Deflated, &whole)),
        ("stored", zipped(Stored, &whole)),
        ("minimal", minimal.clone()),
        ("no-metrics", zipped(Stored, &[("metadata.json", metadata)])),
        (
            "json-that-is-none",
            zipped(Stored, &[(name, b"{}"), ("session.json", b"nope")]),
        ),
        (
            "binary-json",
            zipped(Stored, &[(name, b"{}"), ("session.json", b"\xff")]),
        ),
        ("bomb", zipped(Deflated, &[(name, &vec![b' '; 5 << 20])])),
        (
            "long-text",
            zipped(Deflated, &[(name, b"{}"), ("long.txt", &[b'x'; 2500])]),
        ),
        (
            "ten-members",
            zipped(
                Stored,
                &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"].map(|name| (name, &b""[..])),
            ),
        ),
        ("two-of-one-name", patched(&pair, b"aa", b"ab")),
        (
            "dot-dot",
            patched(&zipped(Stored, &[("ok/ok", b"")]), b"ok/ok", b"../ok"),
        ),
        ("name-without-utf8", patched(&pair, b"aa", b"\xff\xfe")),
        (
            "size-that-lies",
            patched(
                &zipped(Deflated, &[("liar", &[b'y'; 5000])]),
                &5000_u32.to_le_bytes(),
                &50_u32.to_le_bytes(),
            ),
        ),
        ("damaged", patched(&minimal, b"{}", b"[]")),
        (
            "comment",
            [&minimal[..minimal.len() - 2], &[3, 0], b"end"].concat(),
        ),
        ("zip64-locator", locator),
        (
            "zip-in-a-zip",
            zipped(Stored, &[(name, b"{}"), ("inner.zip", &minimal)]),
        ),
        (
            "zips-alone-in-a-zip",
            zipped(Stored, &[("a/one.zip", &minimal), ("two.ZIP", &pair)]),
        ),
        (
            "reports-in-folders",
            zipped(
                Stored,
                &[
                    ("a/", b""),
                    ("a/runtime-metrics.json", b"{}"),
                    ("b\\RUNTIME-METRICS.JSON", b"\xff\xfe{\0}\0"),
                    ("__MACOSX/a/._x", b"\0"),
                ],
            ),
        ),
    ]
}

/// One message for a channel of a good session.
fn to(channel: u8, opcode: u16, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("a short message");
    [&[channel][..], &opcode.to_le_bytes(), &length.to_le_bytes(), body].concat()
}

fn body(message: &impl WireType) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    bytes
}

const MAIN: u8 = 0;
const DISPLAY: u8 = 1;
const INPUTS: u8 = 2;
const CURSOR: u8 = 3;
const USB: u8 = 4;
const WEBDAV: u8 = 5;

fn rect(side: i32) -> Rect {
    Rect {
        top: 0,
        left: 0,
        bottom: side,
        right: side,
    }
}

fn surface(width: u32, height: u32) -> Vec<u8> {
    let create = SurfaceCreate {
        surface_id: 0,
        width,
        height,
        format: 32,
        flags: 1,
    };
    to(DISPLAY, display_server::SURFACE_CREATE, &body(&create))
}

fn draw(image_type: ImageType, side: u32, payload: ImagePayload) -> Vec<u8> {
    let image = SpiceImage {
        descriptor: ImageDescriptor {
            image_id: 7,
            image_type: image_type as u8,
            flags: 1, // to be cached
            width: side,
            height: side,
        },
        payload,
    };
    let base = DrawBase {
        surface_id: 0,
        bbox: rect(side as i32),
        clip: Clip::rects(vec![rect(2)]),
    };
    let mut bytes = Vec::new();
    DrawCopyBuilder::new(&base, &image, rect(side as i32)).write(&mut bytes);
    to(DISPLAY, display_server::DRAW_COPY, &bytes)
}

fn bitmap() -> ImagePayload {
    ImagePayload::Bitmap(BitmapPayload {
        header: BitmapHeader {
            format: bitmap_fmt::BIT32,
            flags: bitmap_flags::TOP_DOWN,
            x: 4,
            y: 4,
            stride: 16,
            palette: BitmapPalette::None,
        },
        data: vec![0x55; 64],
    })
}

/// The head of an LZ image, which GLZ's resembles; big-endian.
fn lz(side: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"  ZL\0\x01\0\x01\0\0\0\x08".to_vec();
    for word in [side, side, 4 * side, 1] {
        bytes.extend(word.to_be_bytes());
    }
    bytes.extend(rest);
    bytes
}

fn sized(bytes: Vec<u8>) -> ImagePayload {
    let mut sized = Vec::new();
    BinaryData { data: bytes }.write(&mut sized);
    ImagePayload::Other(sized)
}

fn session(messages: &[Vec<u8>]) -> Vec<u8> {
    [&[3][..], &messages.concat()].concat()
}

fn servers() -> Seeds {
    let lz_pixels = [&[3][..], &[9; 12], &[0xff, 8, 0]].concat();
    let glz_rest = [&7_u64.to_be_bytes()[..], &0_u32.to_be_bytes(), &lz_pixels].concat();
    let stream = StreamCreate {
        surface_id: 0,
        id: 1,
        flags: 1,
        codec_type: 1,
        stamp: 0,
        stream_width: 16,
        stream_height: 16,
        src_width: 16,
        src_height: 16,
        dest: rect(16),
        clip: Clip::none(),
    };
    let frame = StreamData {
        base: StreamDataHeader {
            id: 1,
            multi_media_time: 5,
        },
        data: b"\xff\xd8\xff\xd9".to_vec(),
    };
    let cursor = SpiceCursor {
        flags: 0,
        header: Some(CursorHeader {
            unique_id: 1,
            cursor_type: 0,
            width: 2,
            height: 2,
            hot_spot_x: 0,
            hot_spot_y: 0,
        }),
        data: vec![0x7f; 16],
    };
    let notify = Notify {
        timestamp: 1,
        severity: 1,
        visibility: 2,
        what: 0,
        message: b"hello".to_vec(),
    };
    let agent = [
        &1_u32.to_le_bytes()[..],
        &6_u32.to_le_bytes(),
        &[0; 8],
        &8_u32.to_le_bytes(),
        &[1, 0, 0, 0, 0xff, 0, 0, 0],
    ]
    .concat();
    let init_head = CursorInitHead {
        x: 1,
        y: 2,
        trail_length: 0,
        trail_frequency: 0,
        visible: 1,
    };
    vec![
        ("nothing-said", vec![0]),
        ("web-server", b"\0HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        (
            "link-of-4-gib",
            [&b"\0REDQ\x02\0\0\0\x02\0\0\0"[..], &[0xff; 8]].concat(),
        ),
        (
            "link-refused",
            [&b"\0REDQ\x02\0\0\0\x02\0\0\0\xb2\0\0\0\x05\0\0\0"[..], &[0; 174]].concat(),
        ),
        ("main-nonsense", [&[1][..], &[0xff; 6], &[0x41; 40]].concat()),
        ("display-link-nonsense", b"\x02REDQ\x02\0\0\0\x02\0\0\0".to_vec()),
        ("session-alone", session(&[])),
        (
            "common",
            session(&[
                to(
                    MAIN,
                    main_server::PING,
                    &body(&Ping {
                        id: 1,
                        timestamp: 2,
                        padding_len: 0,
                    }),
                ),
                to(
                    MAIN,
                    main_server::SET_ACK,
                    &body(&SetAck {
                        generation: 1,
                        window: 1,
                    }),
                ),
                to(
                    DISPLAY,
                    display_server::SET_ACK,
                    &body(&SetAck {
                        generation: 1,
                        window: 1,
                    }),
                ),
                to(
                    DISPLAY,
                    display_server::PING,
                    &body(&Ping {
                        id: 1,
                        timestamp: 2,
                        padding_len: 9,
                    }),
                ),
                to(MAIN, main_server::NOTIFY, &body(&notify)),
                to(INPUTS, inputs_server::NOTIFY, &body(&notify)),
                to(
                    MAIN,
                    main_server::DISCONNECTING,
                    &body(&Disconnecting {
                        timestamp: 1,
                        reason: 0,
                    }),
                ),
            ]),
        ),
        (
            "main",
            session(&[
                to(
                    MAIN,
                    main_server::MOUSE_MODE,
                    &body(&MainMouseMode {
                        supported_modes: 3,
                        current_mode: 1,
                    }),
                ),
                to(
                    MAIN,
                    main_server::MULTI_MEDIA_TIME,
                    &body(&MultiMediaTime { time: u32::MAX }),
                ),
                to(MAIN, main_server::NAME, b"\x04\0\0\0name\0"),
                to(MAIN, main_server::UUID, &[7; 16]),
                to(MAIN, main_server::AGENT_CONNECTED_TOKENS, &10_u32.to_le_bytes()),
                to(
                    MAIN,
                    main_server::AGENT_TOKEN,
                    &body(&AgentTokens { num_tokens: 5 }),
                ),
                to(MAIN, main_server::AGENT_DATA, &agent),
                to(MAIN, main_server::AGENT_DISCONNECTED, &0_u32.to_le_bytes()),
                to(MAIN, main_server::MIGRATE_CANCEL, b""),
            ]),
        ),
        (
            "bitmap",
            session(&[
                surface(16, 16),
                to(DISPLAY, display_server::MARK, b""),
                draw(ImageType::Pixmap, 4, bitmap()),
                draw(ImageType::FromCache, 4, ImagePayload::FromCache),
            ]),
        ),
        (
            "lz",
            session(&[
                surface(16, 16),
                draw(ImageType::LzRgb, 4, sized(lz(4, &lz_pixels))),
            ]),
        ),
        (
            "glz",
            session(&[
                surface(16, 16),
                draw(ImageType::GlzRgb, 4, sized(lz(4, &glz_rest))),
            ]),
        ),
        (
            "large-image-of-few-bytes",
            session(&[
                surface(16, 16),
                draw(ImageType::LzRgb, 4, sized(lz(2048, &[0; 4]))),
            ]),
        ),
        (
            "quic",
            session(&[
                surface(16, 16),
                draw(
                    ImageType::Quic,
                    4,
                    sized([&b"QUIC\0\0\0\0\x03\0\0\0\x04\0\0\0\x04\0\0\0"[..], &[0x5a; 40]].concat()),
                ),
            ]),
        ),
        (
            "jpeg",
            session(&[
                surface(16, 16),
                draw(
                    ImageType::Jpeg,
                    4,
                    ImagePayload::Jpeg(BinaryData {
                        data: b"\xff\xd8\xff\xdb\0\x43\0".to_vec(),
                    }),
                ),
            ]),
        ),
        (
            "lz4",
            session(&[
                surface(16, 16),
                draw(
                    ImageType::Lz4,
                    4,
                    ImagePayload::Lz4(BinaryData {
                        data: [&[1, 8, 0, 0, 0, 12][..], &[0xc0; 12]].concat(),
                    }),
                ),
            ]),
        ),
        (
            "picture-without-a-surface",
            session(&[draw(ImageType::Pixmap, 4, bitmap())]),
        ),
        ("surface-too-large", session(&[surface(16_384, 16_384)])),
        (
            "surface-gone",
            session(&[
                surface(16, 16),
                to(
                    DISPLAY,
                    display_server::SURFACE_DESTROY,
                    &body(&SurfaceDestroy { surface_id: 0 }),
                ),
                draw(ImageType::Pixmap, 4, bitmap()),
            ]),
        ),
        (
            "fill-and-copy",
            session(&[
                surface(16, 16),
                to(
                    DISPLAY,
                    display_server::DRAW_FILL,
                    &[
                        &body(&DrawBase {
                            surface_id: 0,
                            bbox: rect(8),
                            clip: Clip::none(),
                        })[..],
                        &[1, 1, 2, 3, 0, 8, 0],
                        &[0; 13],
                    ]
                    .concat(),
                ),
                to(
                    DISPLAY,
                    display_server::COPY_BITS,
                    &[
                        &body(&DrawBase {
                            surface_id: 0,
                            bbox: rect(8),
                            clip: Clip::none(),
                        })[..],
                        &[4, 0, 0, 0, 4, 0, 0, 0],
                    ]
                    .concat(),
                ),
                to(
                    DISPLAY,
                    display_server::DRAW_INVERS,
                    &[
                        &body(&DrawBase {
                            surface_id: 0,
                            bbox: rect(8),
                            clip: Clip::none(),
                        })[..],
                        &[0; 13],
                    ]
                    .concat(),
                ),
            ]),
        ),
        (
            "stream",
            session(&[
                surface(16, 16),
                to(DISPLAY, display_server::STREAM_CREATE, &body(&stream)),
                to(DISPLAY, display_server::STREAM_DATA, &body(&frame)),
                to(DISPLAY, display_server::STREAM_DESTROY_ALL, b""),
            ]),
        ),
        (
            "monitors",
            session(&[to(
                DISPLAY,
                display_server::MONITORS_CONFIG,
                &[&[1, 0, 1, 0][..], &[0; 28]].concat(),
            )]),
        ),
        (
            "cursor",
            session(&[
                to(
                    CURSOR,
                    cursor_server::INIT,
                    &body(&CursorInit {
                        head: init_head,
                        cursor: cursor.clone(),
                    }),
                ),
                to(
                    CURSOR,
                    cursor_server::SET,
                    &body(&CursorSet {
                        head: CursorSetHead {
                            x: -1,
                            y: -1,
                            visible: 1,
                        },
                        cursor,
                    }),
                ),
                to(CURSOR, cursor_server::MOVE, &body(&CursorMove { x: 3, y: 4 })),
            ]),
        ),
        (
            "inputs",
            session(&[
                to(INPUTS, inputs_server::INIT, &[0, 0]),
                to(INPUTS, inputs_server::KEY_MODIFIERS, &[7, 0]),
                to(INPUTS, inputs_server::MOUSE_MOTION_ACK, b""),
            ]),
        ),
        (
            "usb-and-webdav",
            session(&[
                to(USB, 101, &[0, 0, 0, 0, 68, 0, 0, 0, 0, 0, 0, 0]),
                to(WEBDAV, 101, b"\x01\0\0\0\0\0\0\0\x04\0GET "),
                to(USB, 102, &[1]),
            ]),
        ),
        (
            "headers-that-lie",
            session(&[
                to(DISPLAY, 0, &[0xff; 6]),
                to(MAIN, 0, &[4, 0, 0, 0, 0, 0]),
                to(CURSOR, 0, &[101, 0, 0xff, 0xff, 0xff, 0x7f]),
            ]),
        ),
        (
            "gaps",
            session(&[
                to(MAIN, 1000, b"gap"),
                to(DISPLAY, 65_535, b""),
                to(CURSOR, 4000, &[0; 9]),
            ]),
        ),
    ]
}

fn clients() -> Seeds {
    let open = |channel: u8| vec![0, channel];
    let bytes = |act: u8, head: &[u8], body: &[u8]| {
        let length = u16::try_from(body.len()).expect("a short piece").to_le_bytes();
        [&[act][..], head, &length, body].concat()
    };
    let message = |connection: u8, opcode: u16, body: &[u8]| {
        let [low, high] = opcode.to_le_bytes();
        bytes(3, &[connection, low, high], body)
    };
    let display_init = DisplayInit {
        cache_id: 1,
        cache_size: 1 << 20,
        glz_dict_id: 1,
        glz_dict_window: 1 << 20,
    };
    let session = [
        open(0),
        open(1),
        open(2),
        open(3),
        message(1, display_client::INIT, &body(&display_init)),
        message(1, display_client::ACK_SYNC, &body(&AckSync { generation: 1 })),
        message(1, display_client::ACK, b""),
        message(0, 104, b""),    // ATTACH_CHANNELS
        message(0, 3, &[0; 12]), // PONG
        message(2, inputs_client::KEY_DOWN, &body(&KeyEvent { scancode: 30 })),
        message(
            2,
            inputs_client::MOUSE_POSITION,
            &body(&MousePosition {
                x: 1,
                y: 2,
                buttons_state: 0,
                display_id: 0,
            }),
        ),
    ]
    .concat();
    vec![
        ("session", session.clone()),
        ("session-that-draws", [vec![6, 3], session.clone()].concat()),
        (
            "gaps",
            [session.clone(), vec![7, 0, 0, 0, 7, 1, 0xff, 0xff, 7, 3, 1, 0]].concat(),
        ),
        ("closed-early", [session.clone(), vec![5, 0, 5, 1]].concat()),
        (
            "taken-over",
            [open(0), open(1), open(0), open(1), message(0, 104, b"")].concat(),
        ),
        ("channel-twice", [open(0), open(2), open(2), open(4)].concat()),
        ("side-channel-alone", open(1)),
        ("not-spice", bytes(1, &[], b"GET / HTTP/1.1\r\n\r\n")),
        (
            "another-version",
            bytes(1, &[], b"REDQ\x09\0\0\0\x02\0\0\0\x12\0\0\0"),
        ),
        (
            "link-of-4-gib",
            bytes(1, &[], b"REDQ\x02\0\0\0\x02\0\0\0\xff\xff\xff\xff"),
        ),
        (
            "link-cut-off",
            bytes(1, &[], b"REDQ\x02\0\0\0\x02\0\0\0\x12\0\0\0\0\0"),
        ),
        (
            "bad-ticket",
            bytes(2, &[0], &[&1_u32.to_le_bytes()[..], &[7; 128]].concat()),
        ),
        ("unknown-mechanism", bytes(2, &[0], &[2, 0, 0, 0])),
        ("ticket-cut-off", bytes(2, &[0], &[1, 0, 0, 0, 9, 9])),
        (
            "message-of-4-gib",
            [open(0), bytes(4, &[0], &[104, 0, 0xff, 0xff, 0xff, 0xff])].concat(),
        ),
        (
            "half-a-header",
            [open(0), open(1), bytes(4, &[1], &[101, 0, 14])].concat(),
        ),
        (
            "acks-out-of-the-blue",
            [
                vec![6, 2],
                open(0),
                open(1),
                message(1, display_client::ACK, b""),
                message(1, display_client::ACK, b""),
            ]
            .concat(),
        ),
    ]
}
