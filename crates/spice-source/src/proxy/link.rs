//! The link phase as somebody between the two sees it: passed on byte for byte, and read on the way.

use std::io;

use shakenfist_spice_protocol::capabilities;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::framing::Header;
use crate::gap::Channel;

const MAGIC: &[u8] = b"REDQ";
/// Magic, major and minor version, size of what follows.
const HEADER_BYTES: usize = 16;
/// The largest link message that is passed on: a real one has some hundred bytes.
const MAX_BODY_BYTES: usize = 4096;
/// Error, public key, numbers and place of capabilities.
const REPLY_BYTES: usize = 4 + KEY_BYTES + 12;
/// A public key of 1024 bits (`SPICE_TICKET_PUBKEY_BYTES`).
const KEY_BYTES: usize = 162;
/// A password, encrypted with such a key.
const TICKET_BYTES: usize = 128;
/// The authentication mechanism by password; the other one, SASL, has a conversation of its own.
const MECHANISM_SPICE: u32 = 1;

/// What a client asks for.
#[derive(Debug)]
pub(super) struct Request {
    /// The channel, where it is one of those that gaps can be sent on.
    pub(super) channel: Option<Channel>,
    common_capabilities: u32,
    bytes: Vec<u8>,
}

/// What became of the link phase.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Linked {
    /// Messages follow, with this header.
    Messages(Header),
    /// What follows cannot be followed: the server refused, or both agreed on something else than a password.
    Opaque,
}

impl Request {
    /// Reads the client's first message.
    pub(super) async fn read(client: &mut TcpStream) -> io::Result<Self> {
        let bytes = read_link_message(client).await?;
        let body = &bytes[HEADER_BYTES..];
        // Connection id, type and id of the channel, numbers of capabilities, their place.
        if body.len() < 18 {
            return Err(invalid("a SPICE link message that is too short"));
        }
        Ok(Self {
            channel: Channel::of_type(body[4]),
            common_capabilities: first_capabilities(body, 6),
            bytes,
        })
    }

    /// Passes it on, and everything else until messages begin.
    pub(super) async fn pass_on(self, client: &mut TcpStream, server: &mut TcpStream) -> io::Result<Linked> {
        server.write_all(&self.bytes).await?;
        let reply = read_link_message(server).await?;
        client.write_all(&reply).await?;
        let body = &reply[HEADER_BYTES..];
        if body.len() < REPLY_BYTES || word(body, 0) != 0 {
            return Ok(Linked::Opaque);
        }
        let agreed = self.common_capabilities & first_capabilities(body, 4 + KEY_BYTES);
        if agreed & capabilities::AUTH_SELECTION != 0 {
            let mut mechanism = [0; 4];
            client.read_exact(&mut mechanism).await?;
            server.write_all(&mechanism).await?;
            if u32::from_le_bytes(mechanism) != MECHANISM_SPICE {
                return Ok(Linked::Opaque);
            }
        }
        let mut ticket = [0; TICKET_BYTES];
        client.read_exact(&mut ticket).await?;
        server.write_all(&ticket).await?;
        let mut result = [0; 4];
        server.read_exact(&mut result).await?;
        client.write_all(&result).await?;
        Ok(match (result, agreed & capabilities::MINI_HEADER) {
            ([0, 0, 0, 0], 0) => Linked::Messages(Header::Full),
            ([0, 0, 0, 0], _) => Linked::Messages(Header::Mini),
            _ => Linked::Opaque,
        })
    }
}

async fn read_link_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER_BYTES];
    stream.read_exact(&mut bytes).await?;
    if &bytes[..4] != MAGIC {
        return Err(invalid(
            "not a SPICE link (encrypted connections are not passed on)",
        ));
    }
    let size = word(&bytes, 12) as usize;
    if size > MAX_BODY_BYTES {
        return Err(invalid("a SPICE link message that is too long"));
    }
    bytes.resize(HEADER_BYTES + size, 0);
    stream.read_exact(&mut bytes[HEADER_BYTES..]).await?;
    Ok(bytes)
}

/// The first word of the common capabilities, whose number, and place in the body, stand from `at` on.
fn first_capabilities(body: &[u8], at: usize) -> u32 {
    let (number, place) = (word(body, at), word(body, at + 8) as usize);
    match place.checked_add(4) {
        Some(end) if number > 0 && end <= body.len() => word(body, place),
        _ => 0,
    }
}

/// A number in little-endian order. The bytes must be there.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn capabilities_are_found_where_they_are_said_to_be() {
        let mut body = vec![0; 6];
        body.extend(1_u32.to_le_bytes());
        body.extend(0_u32.to_le_bytes());
        body.extend(20_u32.to_le_bytes());
        body.extend([9, 9]);
        body.extend(0b1011_u32.to_le_bytes());
        assert_eq!(first_capabilities(&body, 6), 0b1011);
        body[6] = 0;
        assert_eq!(first_capabilities(&body, 6), 0, "there are none");
    }

    proptest! {
        #[test]
        fn no_place_leads_out_of_the_message(body in proptest::collection::vec(any::<u8>(), 18..60)) {
            first_capabilities(&body, 6);
        }
    }
}
