//! Text on standard output and standard error, whatever somebody else made of them.

use std::io::{Error, ErrorKind, IsTerminal, Result};
use std::os::fd::AsFd;

use anstream::{AutoStream, ColorChoice, stream::RawStream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Writes to standard output. A reader that is gone, or a disk that is full, does not end the run.
pub(crate) fn out(text: &str) {
    write_text(std::io::stdout().lock(), text);
}

/// Writes to standard error likewise.
pub(crate) fn err(text: &str) {
    write_text(std::io::stderr().lock(), text);
}

fn write_text(stream: impl AsFd + IsTerminal + RawStream, text: &str) {
    let plain;
    let text = match AutoStream::choice(&stream) {
        ColorChoice::Never => {
            plain = anstream::adapter::strip_str(text).to_string();
            &plain
        }
        _ => text,
    };
    let _ = write_all(&stream, text.as_bytes());
}

/// Writes all of it. The other side of a terminal, pipe or socket may have made it non-blocking: then this waits for room, as a
/// blocking write does.
fn write_all(stream: impl AsFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(&stream, bytes) {
            Ok(0) => return Err(Error::from(ErrorKind::WriteZero)),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&stream, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    use super::*;

    #[test]
    fn nonblocking_pipe_that_is_full_takes_all_of_a_text() {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let flags = fcntl_getfl(&writer).expect("flags");
        fcntl_setfl(&writer, flags | OFlags::NONBLOCK).expect("set");
        while rustix::io::write(&writer, &[b'.'; 4096]).is_ok() {}
        let text = "x".repeat(300_000);
        let slow = std::thread::spawn(move || {
            let mut read = String::new();
            reader.read_to_string(&mut read).expect("text");
            read
        });
        write_all(&writer, text.as_bytes()).expect("written");
        drop(writer);
        let read = slow.join().expect("read");
        assert!(read.ends_with(&text) && read.starts_with('.'), "{}", read.len());
    }

    #[test]
    fn write_to_a_reader_that_is_gone_ends() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let error = write_all(&writer, b"x").expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
