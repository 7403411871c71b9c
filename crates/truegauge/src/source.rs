//! The server of the client's session, as the command line names it.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::password::Password;

/// Where the client's session comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceChoice {
    /// Our own synthetic server, on a fresh port.
    Synthetic,
    /// A real one: QEMU, with a guest that redraws all the time.
    Qemu,
    /// A server that is there already.
    Address {
        address: String,
        password: Option<Password>,
    },
}

impl std::str::FromStr for SourceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "synthetic" => return Ok(Self::Synthetic),
            "qemu" => return Ok(Self::Qemu),
            _ => {}
        }
        if !text.contains(':') {
            return Err("none of `synthetic`, `qemu` and HOST:PORT: the port is missing".to_owned());
        }
        let resolved: Option<SocketAddr> = text
            .to_socket_addrs()
            .map_err(|error| format!("none of `synthetic`, `qemu` and HOST:PORT: {error}"))?
            .next();
        resolved
            .map(|_| Self::Address {
                address: text.to_owned(),
                password: None,
            })
            .ok_or_else(|| "resolves to no address".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_synthetic_or_an_address() {
        assert_eq!("synthetic".parse(), Ok(SourceChoice::Synthetic));
        assert_eq!("qemu".parse(), Ok(SourceChoice::Qemu));
        assert_eq!(
            "127.0.0.1:5900".parse(),
            Ok(SourceChoice::Address {
                address: "127.0.0.1:5900".to_owned(),
                password: None
            })
        );
        for text in ["", "127.0.0.1", "127.0.0.1:99999", "synthetik"] {
            assert!(text.parse::<SourceChoice>().is_err(), "{text}");
        }
        let error = "1.2.3.4".parse::<SourceChoice>().expect_err("no port");
        assert!(error.contains("the port is missing"), "{error}");
    }
}
