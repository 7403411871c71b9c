use serde_json::json;

use super::{BUSY, IDLE, Table, metadata, remove, session, threads};
use crate::evidence;

pub(super) fn seed(table: &mut Table) {
    seed_list(table);
    seed_session(table);
}

fn seed_list(table: &mut Table) {
    table.each(
        "one thread only",
        |r| threads(r).truncate(1),
        &["6.{}.count", "6.{}.worker", "6.{}.complete"],
    );
    table.each(
        "two threads in the wrong order",
        |r| threads(r).swap(6, 7),
        &["6.{}.ascending"],
    );
    table.each(
        "one thread twice",
        |r| {
            let twice = threads(r)[1].clone();
            threads(r).insert(1, twice);
        },
        &["6.{}.ascending"],
    );
    table.each(
        "a thread is left out",
        |r| drop(threads(r).remove(10)),
        &["6.{}.complete"],
    );
    table.each(
        "an invented thread",
        |r| threads(r).push(json!({"tid": 99_999, "name": "invented", "cpu_percent": 0.0})),
        &["6.{}.seen"],
    );
    table.each(
        "a thread id is no whole number",
        |r| threads(r)[11]["tid"] = json!(4253.5),
        &["6.{}.ascending", "6.{}.complete", "6.{}.seen"],
    );
    table.each(
        "a thread id is text",
        |r| threads(r)[0]["tid"] = json!("4242"),
        &["6.{}.ascending", "6.{}.complete", "6.{}.seen"],
    );
    table.each(
        "every thread has the process's name",
        |r| {
            threads(r)
                .iter_mut()
                .for_each(|thread| thread["name"] = json!("headless-client"))
        },
        &["6.{}.worker", "6.{}.names"],
    );
    table.each(
        "two threads have each other's name",
        |r| {
            let first = threads(r)[1]["name"].take();
            threads(r)[1]["name"] = std::mem::replace(&mut threads(r)[2]["name"], first);
        },
        &["6.{}.names"],
    );
    table.each(
        "a thread has no name",
        |r| remove(&mut threads(r)[3], "name"),
        &["6.{}.names"],
    );
}

fn seed_session(table: &mut Table) {
    table.each(
        "the session is lost",
        |r| session(r)["connected"] = json!(false),
        &["6.session.{}.connected"],
    );
    table.each(
        "a report of a loss, of a session that is up",
        |r| metadata(r)["report_type"] = json!("disconnect"),
        &["6.session.{}.connected"],
    );
    table.each(
        "no fault: a report of a loss, of a session that is lost",
        |r| {
            metadata(r)["report_type"] = json!("disconnect");
            session(r)["connected"] = json!(false);
        },
        &[],
    );
    table.each(
        "connected is text",
        |r| session(r)["connected"] = json!("true"),
        &["6.session.{}.connected"],
    );
    table.each(
        "no surface",
        |r| session(r)["surfaces"] = json!([]),
        &["6.session.{}.surface"],
    );
    table.each(
        "a surface of another size",
        |r| session(r)["surfaces"][0]["width"] = json!(800),
        &["6.session.{}.surface"],
    );
    table.one(
        "a surface of no size, from a source whose size is not known",
        |e| {
            remove(&mut e["source"], "surface");
            session(&mut e["reports"][IDLE])["surfaces"][0]["height"] = json!(0);
        },
        &["6.session.idle.surface"],
    );
    table.each(
        "a session with another source",
        |r| metadata(r)["target"] = json!("127.0.0.1:5900"),
        &["6.session.{}.target"],
    );
    table.each(
        "another process",
        |r| metadata(r)["pid"] = json!(4243),
        &["6.session.{}.pid"],
    );
    table.one(
        "nothing was drawn",
        |e| {
            let before = session(&mut e["reports"][IDLE])["frames_received"].clone();
            session(&mut e["reports"][BUSY])["frames_received"] = before;
        },
        &["6.session.frames"],
    );
    table.one_in(
        evidence::linux(),
        "no session.json",
        |e| remove(&mut e["reports"][BUSY]["members"], "session.json"),
        &[
            "6.session.busy.connected",
            "6.session.busy.surface",
            "6.session.frames",
        ],
        &[],
    );
}
