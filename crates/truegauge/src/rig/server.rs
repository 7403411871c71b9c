//! The SPICE server of a session, whichever it is, and the proxy before it where gaps are wanted of one that is not ours.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::events::Events;
use super::qemu::Qemu;
use super::source::{SURFACE_SIZE, Source};
use super::{SessionConfig, check_reachable};
use crate::password::Password;
use crate::source::SourceChoice;

/// What a session is held with. Fields end in order: the proxy before its server.
pub(super) struct Server {
    proxy: Option<Source>,
    kind: Kind,
}

enum Kind {
    Synthetic(Source),
    Qemu(Box<Qemu>),
    Theirs {
        address: String,
        password: Option<Password>,
    },
}

/// What asking for a load comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// So many draws a second, as asked.
    Rate,
    /// All that there is, or nothing.
    Switched,
    /// It is not ours to load.
    Theirs,
}

impl Server {
    /// Starts it. `gaps` tells whether protocol gaps will be wanted.
    pub(super) fn start(
        parts: &SessionConfig<'_>,
        gaps: bool,
        scratch: &Path,
        events: &mut Events,
    ) -> Result<Self> {
        let kind = match parts.source {
            SourceChoice::Synthetic => Kind::Synthetic(Source::synthetic(
                parts.source_binary,
                &parts.source_log(),
                events,
            )?),
            SourceChoice::Qemu => Kind::Qemu(Box::new(Qemu::start(
                scratch,
                &parts.dir.join("qemu.log"),
                events,
            )?)),
            SourceChoice::Address { address, password } => {
                check_reachable(address)?;
                Kind::Theirs {
                    address: address.clone(),
                    password: password.clone(),
                }
            }
        };
        let mut server = Self { proxy: None, kind };
        if gaps && !matches!(server.kind, Kind::Synthetic(_)) {
            let upstream = server.address();
            events.doing(&format!("a proxy before {upstream}, for protocol gaps"));
            let log = parts.source_log();
            server.proxy = Some(Source::proxy(parts.source_binary, &upstream, &log, events)?);
        }
        Ok(server)
    }

    /// Where clients connect to.
    pub(super) fn address(&self) -> String {
        match (&self.proxy, &self.kind) {
            (Some(proxy), _) => proxy.address(),
            (None, Kind::Synthetic(source)) => source.address(),
            (None, Kind::Qemu(qemu)) => qemu.address(),
            (None, Kind::Theirs { address, .. }) => address.clone(),
        }
    }

    /// What clients must show.
    pub(super) fn password(&self) -> Option<&str> {
        match &self.kind {
            Kind::Synthetic(_) => None,
            Kind::Qemu(qemu) => Some(qemu.password()),
            Kind::Theirs { password, .. } => password.as_ref().map(Password::as_str),
        }
    }

    /// As the evidence has it.
    pub(super) fn describe(&self) -> Value {
        let mut told = match &self.kind {
            Kind::Synthetic(_) => {
                let (width, height) = SURFACE_SIZE;
                json!({"kind": "synthetic", "surface": {"width": width, "height": height}})
            }
            Kind::Qemu(qemu) => json!({"kind": "qemu", "version": qemu.version()}),
            Kind::Theirs { .. } => json!({"kind": "address"}),
        };
        if self.proxy.is_some() {
            told["proxy"] = true.into();
        }
        told
    }

    /// The one of ours that sees every connection.
    pub(super) fn observed(&mut self) -> Option<&mut Source> {
        match (&mut self.proxy, &mut self.kind) {
            (Some(proxy), _) => Some(proxy),
            (None, Kind::Synthetic(source)) => Some(source),
            (None, _) => None,
        }
    }

    pub(super) fn set_rate(&mut self, draws_per_second: u32, events: &mut Events) -> Result<Load> {
        match &mut self.kind {
            Kind::Synthetic(source) => source.set_rate(draws_per_second, events).map(|()| Load::Rate),
            Kind::Qemu(qemu) => qemu.run(draws_per_second > 0).map(|()| Load::Switched),
            Kind::Theirs { .. } => Ok(Load::Theirs),
        }
    }

    /// Ends everything at once.
    pub(super) fn kill(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            proxy.kill();
        }
        if let Kind::Synthetic(source) = &mut self.kind {
            source.kill();
        }
    }
}
