//! The link phase: what a connection is for, and whether its peer may have it.

use std::time::Duration;

use rsa::RsaPrivateKey;
use shakenfist_spice_protocol::link::{
    SpiceLinkMess, SpiceLinkReply, generate_ticket_keypair, read_auth_ticket, read_link_mess,
    send_auth_result, send_link_reply,
};
use shakenfist_spice_protocol::reader::LinkError;
use shakenfist_spice_protocol::{ChannelType, SpiceError, capabilities};
use tokio::net::TcpStream;

use crate::channels::SideChannel;
use crate::password::Password;
use crate::sessions::Sessions;

/// What this server's exchange relies on, and so what a client must offer, too.
const REQUIRED_CAPABILITIES: u32 = capabilities::AUTH_SELECTION | capabilities::MINI_HEADER;

/// Checks clients' tickets.
///
/// The key is made once, not for each connection as the `rsa` crate's timing weakness (RUSTSEC-2023-0071) would ask
/// for: making one takes long enough to show in every session's start, and what the key protects here is a
/// test password on its way over 127.0.0.1.
pub(crate) struct TicketCheck {
    key: RsaPrivateKey,
    public_key: Vec<u8>,
    password: Option<Password>,
}

impl TicketCheck {
    /// Makes the key, which takes a good part of a second without optimisation.
    ///
    /// # Errors
    ///
    /// When the key cannot be made, which would be the operating system's failure to give random bytes.
    pub(crate) fn new(password: Option<Password>) -> Result<Self, String> {
        let (key, public_key) = generate_ticket_keypair().map_err(|error| format!("{error:#}"))?;
        Ok(Self {
            key,
            public_key,
            password,
        })
    }

    fn admits(&self, offered: &str) -> bool {
        self.password
            .as_ref()
            .is_none_or(|password| password.matches(offered))
    }
}

/// What a connection that has passed is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Linked {
    /// A main channel, which starts a session.
    Main,
    /// A side channel of a session.
    Side { session: u32, channel: SideChannel },
}

/// Why a connection was turned away.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no complete SPICE link within {0:?}")]
    TooSlow(Duration),
    #[error("not a SPICE link: {0}")]
    BadLink(LinkError),
    #[error("the client lacks a capability that this server needs: AUTH_SELECTION and MINI_HEADER")]
    MissingCapability,
    #[error("no channel of type {channel_type} with id {channel_id}")]
    NoSuchChannel { channel_type: u8, channel_id: u8 },
    #[error("no session {0}")]
    NoSuchSession(u32),
    #[error("wrong password")]
    WrongPassword,
    #[error("the ticket could not be read: {0}")]
    BadTicket(LinkError),
    #[error("connection lost during the link: {0}")]
    Lost(String),
}

impl Refusal {
    /// The code that tells the peer.
    fn code(&self) -> SpiceError {
        match self {
            Self::BadLink(LinkError::BadMagic { .. }) => SpiceError::InvalidMagic,
            Self::BadLink(LinkError::UnsupportedVersion { .. }) => SpiceError::VersionMismatch,
            Self::BadLink(_) | Self::MissingCapability => SpiceError::InvalidData,
            Self::BadTicket(LinkError::UnsupportedAuthMechanism { .. }) => SpiceError::InvalidData,
            Self::NoSuchChannel { .. } => SpiceError::ChannelUnavailable,
            Self::NoSuchSession(_) => SpiceError::BadConnectionId,
            Self::WrongPassword | Self::BadTicket(_) => SpiceError::PermissionDenied,
            Self::TooSlow(_) | Self::Lost(_) => SpiceError::Error,
        }
    }

    /// Tells what the peer did wrong from what failed below it.
    fn new(error: anyhow::Error, wrong: impl FnOnce(LinkError) -> Self) -> Self {
        match error.downcast::<LinkError>() {
            Ok(link_error) => wrong(link_error),
            Err(other) => Self::Lost(format!("{other:#}")),
        }
    }
}

/// Takes a fresh connection through the link phase, within `deadline`.
///
/// # Errors
///
/// A [`Refusal`], of which the peer has been told where it still listens.
pub(crate) async fn accept(
    stream: &mut TcpStream,
    check: &TicketCheck,
    sessions: &Sessions,
    deadline: Duration,
) -> Result<Linked, Refusal> {
    let exchange = async {
        let linked = negotiate(stream, check, sessions).await?;
        verify_ticket(stream, check).await?;
        Ok(linked)
    };
    tokio::time::timeout(deadline, exchange)
        .await
        .unwrap_or(Err(Refusal::TooSlow(deadline)))
}

async fn negotiate(
    stream: &mut TcpStream,
    check: &TicketCheck,
    sessions: &Sessions,
) -> Result<Linked, Refusal> {
    let asked = match read_link_mess(stream).await {
        Ok(request) => purpose(&request, sessions),
        Err(error) => Err(Refusal::new(error, Refusal::BadLink)),
    };
    let reply = match &asked {
        Ok(_) => SpiceLinkReply {
            error: SpiceError::Ok,
            pub_key: check.public_key.clone(),
            common_caps: vec![REQUIRED_CAPABILITIES | capabilities::AUTH_SPICE],
            channel_caps: vec![0],
        },
        Err(refusal) => SpiceLinkReply::error_reply(refusal.code()),
    };
    let sent = send_link_reply(stream, &reply).await;
    // What the peer did wrong tells more than that it did not wait for the answer.
    let linked = asked?;
    sent.map_err(|error| Refusal::Lost(format!("{error:#}")))?;
    Ok(linked)
}

async fn verify_ticket(stream: &mut TcpStream, check: &TicketCheck) -> Result<(), Refusal> {
    let verdict = match read_auth_ticket(stream, &check.key).await {
        Ok(offered) if check.admits(&offered) => Ok(()),
        Ok(_) => Err(Refusal::WrongPassword),
        Err(error) => Err(Refusal::new(error, Refusal::BadTicket)),
    };
    let code = verdict.as_ref().map_or_else(Refusal::code, |()| SpiceError::Ok);
    let sent = send_auth_result(stream, code).await;
    verdict?;
    sent.map_err(|error| Refusal::Lost(format!("{error:#}")))
}

/// What a link message asks for, if there is such a thing here.
fn purpose(request: &SpiceLinkMess, sessions: &Sessions) -> Result<Linked, Refusal> {
    let offered = request.common_caps.first().copied().unwrap_or(0);
    if offered & REQUIRED_CAPABILITIES != REQUIRED_CAPABILITIES {
        return Err(Refusal::MissingCapability);
    }
    let &SpiceLinkMess {
        connection_id,
        channel_type,
        channel_id,
        ..
    } = request;
    let side_channel = SideChannel::ALL
        .into_iter()
        .find(|side| side.channel_type() as u8 == channel_type);
    let linked = match side_channel {
        Some(channel) => Linked::Side {
            session: connection_id,
            channel,
        },
        None if channel_type == ChannelType::Main as u8 => Linked::Main,
        None => {
            return Err(Refusal::NoSuchChannel {
                channel_type,
                channel_id,
            });
        }
    };
    if channel_id != 0 {
        return Err(Refusal::NoSuchChannel {
            channel_type,
            channel_id,
        });
    }
    let session_fits = match linked {
        Linked::Main => connection_id == 0, // Any other would be a migration, which is not offered.
        Linked::Side { session, .. } => sessions.is_current(session),
    };
    session_fits
        .then_some(linked)
        .ok_or(Refusal::NoSuchSession(connection_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_for_a_new_session_or_a_channel_of_the_current_one() {
        let (sessions, _events) = Sessions::new();
        let current = sessions.start().number;
        let all = capabilities::DEFAULT_COMMON;
        let ask = |connection_id, channel_type: u8, channel_id, common_caps: &[u32]| {
            let request = SpiceLinkMess {
                connection_id,
                channel_type,
                channel_id,
                common_caps: common_caps.to_vec(),
                channel_caps: vec![],
            };
            purpose(&request, &sessions).map_err(|refusal| refusal.code())
        };
        assert_eq!(ask(0, 1, 0, &[all]), Ok(Linked::Main));
        assert_eq!(
            ask(current, 2, 0, &[all]),
            Ok(Linked::Side {
                session: current,
                channel: SideChannel::Display
            })
        );
        for (connection_id, channel_type, channel_id, caps, code) in [
            (current, 1, 0, vec![all], SpiceError::BadConnectionId),
            (0, 2, 0, vec![all], SpiceError::BadConnectionId),
            (current + 1, 2, 0, vec![all], SpiceError::BadConnectionId),
            (current, 5, 0, vec![all], SpiceError::ChannelUnavailable),
            (current, 200, 0, vec![all], SpiceError::ChannelUnavailable),
            (current, 2, 1, vec![all], SpiceError::ChannelUnavailable),
            (0, 1, 0, vec![], SpiceError::InvalidData),
            (0, 1, 0, vec![capabilities::MINI_HEADER], SpiceError::InvalidData),
        ] {
            assert_eq!(
                ask(connection_id, channel_type, channel_id, &caps),
                Err(code),
                "{connection_id} {channel_type}"
            );
        }
    }
}
