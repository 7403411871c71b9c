//! The live view of a session: what status answers and reports are made of.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use shakenfist_spice_protocol::ChannelType;
use shakenfist_spice_renderer::{
    ChannelEvent, ChannelSnapshots, DrawOutcome, MOUSE_MODE_UNKNOWN, NotificationEntry, NotificationSource,
    SessionStateRx, SurfaceMirror,
};
use tokio::sync::watch;

use crate::notifications::Notifications;
use crate::screenshot::Screenshot;
use crate::surface_limits;

/// The live view of a session. [`apply`](Self::apply) updates it; any thread may read it.
///
/// Every lock is held for one event or one copy, never across an await or an encoding.
pub struct Session {
    phase: watch::Sender<Phase>,
    surfaces: watch::Sender<Vec<Surface>>,
    mirror: Mutex<SurfaceMirror>,
    refused_a_surface: AtomicBool,
    frames_received: AtomicU64,
    last_ping_interval_ms: Mutex<Option<f32>>,
    notifications: Mutex<Notifications>,
    /// The renderer's own snapshots, which its channels write.
    channels: ChannelSnapshots,
    /// The renderer's own latest values.
    renderer_state: SessionStateRx,
}

/// Progress of a session.
#[derive(Debug, Clone)]
enum Phase {
    Connecting,
    Connected { since: Instant },
    Lost { reason: String, was_connected: bool },
}

/// A surface that the server has created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Surface {
    /// The display channel that it belongs to.
    pub channel_id: u8,
    /// Its number there. 0 is the primary one.
    pub surface_id: u32,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

/// A session at one moment, as `session.json` has it. What is not known is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionState {
    /// True while the session is up: the server has initialised it, and it is not lost.
    pub connected: bool,
    /// Every surface, ascending by channel and number.
    pub surfaces: Vec<Surface>,
    /// Draws applied to a surface.
    pub frames_received: u64,
    /// Time between the server's last two pings on the main channel.
    pub last_ping_interval_ms: Option<f32>,
    /// SPICE's number: 1 server, 2 client.
    pub mouse_mode: Option<u32>,
    /// Since the server initialised the session; `null` before that and after its loss.
    pub uptime_secs: Option<f64>,
}

impl Session {
    /// A session that is about to connect. `renderer_state` must have been subscribed before it does.
    #[must_use]
    pub fn new(channels: ChannelSnapshots, renderer_state: SessionStateRx) -> Self {
        Self {
            phase: watch::Sender::new(Phase::Connecting),
            surfaces: watch::Sender::new(Vec::new()),
            mirror: Mutex::new(SurfaceMirror::new()),
            refused_a_surface: AtomicBool::new(false),
            frames_received: AtomicU64::new(0),
            last_ping_interval_ms: Mutex::new(None),
            notifications: Mutex::default(),
            channels,
            renderer_state,
        }
    }

    /// Takes in what a channel has told.
    pub fn apply(&self, event: &ChannelEvent) {
        self.apply_to_mirror(event);
        match event {
            ChannelEvent::SessionInitialized(_) => {
                self.phase.send_replace(Phase::Connected {
                    since: Instant::now(),
                });
            }
            ChannelEvent::PingInterval { interval_ms } => {
                *lock(&self.last_ping_interval_ms) = Some(*interval_ms);
            }
            ChannelEvent::Notification(entry) => lock(&self.notifications).push(entry.clone()),
            ChannelEvent::Disconnected(channel, reason) => self.channel_ended(*channel, reason.name()),
            ChannelEvent::Error { channel, message } => self.channel_ended(*channel, message),
            _ => {}
        }
    }

    fn channel_ended(&self, channel: ChannelType, why: &str) {
        let told = format!("{} channel: {why}", channel.name());
        self.warn(NotificationSource::Connection, told.clone());
        // Without either of these channels there is no session to report about.
        if matches!(channel, ChannelType::Main | ChannelType::Display) {
            self.mark_lost(told);
        }
    }

    /// Notes something for the reports to come.
    pub fn warn(&self, source: NotificationSource, message: impl Into<String>) {
        lock(&self.notifications).warn(source, message);
    }

    /// The notifications, oldest first.
    #[must_use]
    pub fn notifications(&self) -> Vec<NotificationEntry> {
        lock(&self.notifications).entries()
    }

    fn apply_to_mirror(&self, event: &ChannelEvent) {
        let mut mirror = lock(&self.mirror);
        if let Some(why) = surface_limits::refusal(&mirror, event) {
            // Once: a server that creates a hundred thousand would otherwise push out all other notes.
            if !self.refused_a_surface.swap(true, Ordering::Relaxed) {
                self.warn(NotificationSource::Internal, why);
            }
            return;
        }
        let outcome = mirror.apply_event(event);
        if matches!(
            outcome,
            DrawOutcome::Drawn { .. } | DrawOutcome::AutoCreated { .. }
        ) {
            self.frames_received.fetch_add(1, Ordering::Relaxed);
        }
        if matches!(
            outcome,
            DrawOutcome::Created { .. } | DrawOutcome::AutoCreated { .. } | DrawOutcome::Destroyed { .. }
        ) {
            self.surfaces.send_replace(surfaces_of(&mirror));
        }
    }

    /// Records that the session is over. The first reason stands: later ones follow from it.
    pub fn mark_lost(&self, reason: String) {
        self.phase.send_if_modified(|phase| {
            let was_connected = match phase {
                Phase::Connecting => false,
                Phase::Connected { .. } => true,
                Phase::Lost { .. } => return false,
            };
            *phase = Phase::Lost {
                reason,
                was_connected,
            };
            true
        });
    }

    /// Waits until the session is lost.
    pub async fn lost(&self) {
        // The sender is a field of `self`, so the wait cannot fail.
        let _ = self
            .phase
            .subscribe()
            .wait_for(|phase| matches!(phase, Phase::Lost { .. }))
            .await;
    }

    /// The reason why the session was lost, or `None` while it is not.
    #[must_use]
    pub fn loss_reason(&self) -> Option<String> {
        match &*self.phase.borrow() {
            Phase::Lost { reason, .. } => Some(reason.clone()),
            Phase::Connecting | Phase::Connected { .. } => None,
        }
    }

    /// True once the server has initialised the session.
    #[must_use]
    pub fn was_connected(&self) -> bool {
        !matches!(
            &*self.phase.borrow(),
            Phase::Connecting
                | Phase::Lost {
                    was_connected: false,
                    ..
                }
        )
    }

    /// Waits until there is a surface.
    pub async fn surface_shown(&self) {
        // The sender is a field of `self`, so the wait cannot fail.
        let _ = self
            .surfaces
            .subscribe()
            .wait_for(|surfaces| !surfaces.is_empty())
            .await;
    }

    /// The session at this moment.
    #[must_use]
    pub fn state(&self) -> SessionState {
        let since = match *self.phase.borrow() {
            Phase::Connected { since } => Some(since),
            Phase::Connecting | Phase::Lost { .. } => None,
        };
        let mouse_mode = *self.renderer_state.mouse_mode.borrow();
        SessionState {
            connected: since.is_some(),
            surfaces: self.surfaces.borrow().clone(),
            frames_received: self.frames_received.load(Ordering::Relaxed),
            last_ping_interval_ms: *lock(&self.last_ping_interval_ms),
            mouse_mode: (mouse_mode != MOUSE_MODE_UNKNOWN).then_some(mouse_mode),
            uptime_secs: since.map(|since| since.elapsed().as_secs_f64()),
        }
    }

    /// The renderer's own snapshot of every channel, as JSON.
    ///
    /// # Errors
    ///
    /// When the renderer cannot serialise it.
    pub fn channel_state(&self) -> serde_json::Result<String> {
        self.channels
            .snapshot_json_for("all")
            .expect("the renderer knows \"all\"")
    }

    /// A copy of the primary surface's pixels.
    ///
    /// # Errors
    ///
    /// The reason why there is none, for the report's reader.
    pub fn screenshot(&self) -> Result<Screenshot, String> {
        let mirror = lock(&self.mirror);
        let surface = mirror.primary_surface().ok_or("the session has no surface")?;
        let (width, height) = surface.size();
        Screenshot::copy(width, height, surface.pixels())
    }
}

fn surfaces_of(mirror: &SurfaceMirror) -> Vec<Surface> {
    let mut surfaces: Vec<Surface> = mirror
        .surfaces
        .iter()
        .map(|(&(channel_id, surface_id), surface)| {
            let (width, height) = surface.size();
            Surface {
                channel_id,
                surface_id,
                width,
                height,
            }
        })
        .collect();
    surfaces.sort_unstable();
    surfaces
}

/// A panic elsewhere does not spoil what these locks protect: every change is one assignment or one draw.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shakenfist_spice_renderer::channels::DisconnectReason;
    use tokio::time::timeout;

    use super::*;

    fn session() -> Session {
        let state = shakenfist_spice_renderer::SessionState::new();
        Session::new(ChannelSnapshots::new(), state.subscribe())
    }

    fn created(surface_id: u32) -> ChannelEvent {
        ChannelEvent::SurfaceCreated {
            display_channel_id: 0,
            surface_id,
            width: 4,
            height: 2,
        }
    }

    fn fill(surface_id: u32) -> ChannelEvent {
        ChannelEvent::FillRect {
            display_channel_id: 0,
            surface_id,
            rect: (0, 0, 2, 2),
            colour: [9, 8, 7, 255],
            clip: Vec::new(),
            produced_at_secs: 0.0,
        }
    }

    #[test]
    fn before_the_session_nothing_is_known() {
        assert_eq!(
            serde_json::to_value(session().state()).unwrap(),
            serde_json::json!({"connected": false, "surfaces": [], "frames_received": 0,
                "last_ping_interval_ms": null, "mouse_mode": null, "uptime_secs": null})
        );
        assert!(session().screenshot().err().unwrap().contains("no surface"));
    }

    #[test]
    fn draws_count_when_they_meet_a_surface() {
        let session = session();
        session.apply(&ChannelEvent::SessionInitialized(1));
        session.apply(&fill(0)); // no such surface yet
        session.apply(&created(1));
        session.apply(&created(0));
        session.apply(&fill(0));
        session.apply(&fill(1));
        session.apply(&ChannelEvent::PingInterval { interval_ms: 12.5 });

        let state = session.state();
        assert!(state.connected && state.uptime_secs.is_some());
        assert_eq!(state.frames_received, 2);
        assert_eq!(state.last_ping_interval_ms, Some(12.5));
        let surface = |surface_id| Surface {
            channel_id: 0,
            surface_id,
            width: 4,
            height: 2,
        };
        assert_eq!(state.surfaces, [surface(0), surface(1)]);
        assert!(session.screenshot().is_ok());

        session.apply(&ChannelEvent::SurfaceDestroyed {
            display_channel_id: 0,
            surface_id: 0,
        });
        assert_eq!(session.state().surfaces, [surface(1)]);
    }

    #[test]
    fn surfaces_without_end_are_noted_once_and_not_kept() {
        let session = session();
        (0..3_000).for_each(|id| session.apply(&created(id)));
        let surfaces = session.state().surfaces.len();
        assert!((1..3_000).contains(&surfaces), "{surfaces}");
        session.apply(&fill(2_999));
        assert_eq!(session.state().frames_received, 0, "nothing to draw on");
        let notes = session.notifications();
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].message.contains("is not shown"), "{notes:?}");
    }

    #[tokio::test]
    async fn waiting_for_a_surface_ends_when_one_is_created() {
        let session = session();
        assert!(
            timeout(Duration::from_millis(10), session.surface_shown())
                .await
                .is_err()
        );
        let (waited, ()) = tokio::join!(timeout(Duration::from_secs(10), session.surface_shown()), async {
            session.apply(&created(0));
        });
        assert!(waited.is_ok());
    }

    #[tokio::test]
    async fn the_first_reason_for_a_loss_stands() {
        let session = session();
        session.apply(&ChannelEvent::SessionInitialized(1));
        session.apply(&ChannelEvent::Disconnected(
            ChannelType::Cursor,
            DisconnectReason::ServerClosed,
        ));
        assert_eq!(session.loss_reason(), None, "a session lives without a cursor");
        assert_eq!(session.notifications()[0].message, "cursor channel: ServerClosed");

        session.apply(&ChannelEvent::Disconnected(
            ChannelType::Main,
            DisconnectReason::ServerClosed,
        ));
        session.mark_lost("something later".to_owned());
        session.lost().await;
        assert_eq!(
            session.loss_reason().as_deref(),
            Some("main channel: ServerClosed")
        );
        assert!(session.was_connected());
        assert!(!session.state().connected);
    }
}
