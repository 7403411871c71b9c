//! The server to connect to.

use std::fmt;
use std::str::FromStr;

use shakenfist_spice_protocol::ConnectionConfig;

/// A SPICE server's address and, where it asks for one, its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
    password: Option<Password>,
}

impl Target {
    /// A target on `host`, which may be an IPv6 address in brackets or without.
    ///
    /// # Errors
    ///
    /// When the host cannot be one, or the port is 0.
    pub fn new(host: &str, port: u16, password: Option<Password>) -> Result<Self, InvalidTarget> {
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or(InvalidTarget::Host)?,
            None => host,
        };
        let impossible = |c: char| c.is_whitespace() || c.is_control() || "[]/@".contains(c);
        if host.is_empty() || host.contains(impossible) {
            return Err(InvalidTarget::Host);
        }
        if port == 0 {
            return Err(InvalidTarget::Port);
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            password,
        })
    }

    /// The renderer's settings for the connection. Their `Debug` shows the password: hand them on, do not keep them.
    #[must_use]
    pub fn connection_config(&self) -> ConnectionConfig {
        ConnectionConfig {
            host: self.host.clone(),
            port: self.port,
            password: self.password.as_ref().map(|password| password.0.clone()),
            ..ConnectionConfig::default()
        }
    }
}

/// `host:port`, never the password. IPv6 addresses stand in brackets.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// `HOST:PORT`, an IPv6 host in brackets.
impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidTarget::Form)?;
        if host.contains(':') && !host.starts_with('[') {
            return Err(InvalidTarget::Form);
        }
        Self::new(host, parse_port(port)?, None)
    }
}

/// A port in digits alone: `u16::from_str` would take `+5900`.
pub(crate) fn parse_port(text: &str) -> Result<u16, InvalidTarget> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(InvalidTarget::Port);
    }
    text.parse().map_err(|_| InvalidTarget::Port)
}

/// The reason why a text is not a [`Target`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTarget {
    /// It is not `HOST:PORT`.
    #[error("write it as HOST:PORT, an IPv6 address in brackets: 127.0.0.1:5900, [::1]:5900")]
    Form,
    /// The host is empty or has characters that no host name has.
    #[error("the host must be a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is no number of 1 to 65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
}

/// A password that does not show in `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    #[must_use]
    pub fn new(password: String) -> Self {
        Self(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_parsed_and_shown() {
        for (text, host, shown) in [
            ("localhost:5900", "localhost", "localhost:5900"),
            ("127.0.0.1:5900", "127.0.0.1", "127.0.0.1:5900"),
            ("[::1]:5900", "::1", "[::1]:5900"),
            ("[fe80::1%eth0]:5900", "fe80::1%eth0", "[fe80::1%eth0]:5900"),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.connection_config().host, host);
            assert_eq!(target.connection_config().port, 5900);
            assert_eq!(target.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for (text, error) in [
            ("", InvalidTarget::Form),
            ("localhost", InvalidTarget::Form),
            ("::1:5900", InvalidTarget::Form),
            (":5900", InvalidTarget::Host),
            ("[]:5900", InvalidTarget::Host),
            ("[::1:5900", InvalidTarget::Host),
            ("spice://host:5900", InvalidTarget::Form),
            ("a b:5900", InvalidTarget::Host),
            ("me@host:5900", InvalidTarget::Host),
            ("host:", InvalidTarget::Port),
            ("host:0", InvalidTarget::Port),
            ("host:+5900", InvalidTarget::Port),
            ("host:65536", InvalidTarget::Port),
            ("host:http", InvalidTarget::Port),
        ] {
            assert_eq!(text.parse::<Target>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn the_password_reaches_the_connection_and_nothing_else() {
        let target = Target::new("host", 5900, Some(Password::new("hunter2".to_owned()))).unwrap();
        assert_eq!(target.connection_config().password.as_deref(), Some("hunter2"));
        assert!(!format!("{target:?} {target}").contains("hunter2"));
    }
}
