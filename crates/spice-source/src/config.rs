//! What a source is told at its start, checked once and carried as types that cannot be wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::password::Password;

/// How a [`Source`](crate::Source) is to serve. The default: a fresh port, no password, 1024×768, idle.
#[derive(Debug, Clone)]
pub struct Config {
    /// The TCP port on 127.0.0.1, or 0 for a fresh one.
    pub port: u16,
    /// The ticket that clients must show; with `None` ("ticketing disabled") any ticket will do.
    pub password: Option<Password>,
    /// The size of the one surface.
    pub surface: SurfaceSize,
    /// How often to draw from the start.
    pub rate: DrawRate,
    /// How long a peer may take from connecting to the end of the ticket check.
    pub link_deadline: Duration,
    /// The time between two PINGs on the main channel, at least a millisecond.
    pub ping_interval: Duration,
    /// How long a client may be silent on its main channel before it is taken for gone. It answers PINGs there, so
    /// this should be several ping intervals.
    pub silence_limit: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            port: 0,
            password: None,
            surface: SurfaceSize::default(),
            rate: DrawRate::IDLE,
            link_deadline: Duration::from_secs(10),
            ping_interval: Duration::from_secs(1),
            // spice-server gives a client as long (CLIENT_CONNECTIVITY_TIMEOUT in main-channel-client.cpp).
            silence_limit: Duration::from_secs(30),
        }
    }
}

/// Draws per second: 0 (idle) to 100,000.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct DrawRate(u32);

impl DrawRate {
    /// No draws at all.
    pub const IDLE: Self = Self(0);
    /// The highest rate that can be asked for.
    pub const MAX: Self = Self(100_000);

    /// The draws per second.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for DrawRate {
    type Error = RateTooHigh;

    fn try_from(draws_per_second: u32) -> Result<Self, RateTooHigh> {
        if draws_per_second > Self::MAX.0 {
            return Err(RateTooHigh(draws_per_second));
        }
        Ok(Self(draws_per_second))
    }
}

impl From<DrawRate> for u32 {
    fn from(rate: DrawRate) -> u32 {
        rate.0
    }
}

/// More draws per second were asked for than [`DrawRate::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} draws per second are too many: ask for 0 (idle) to {max}", max = DrawRate::MAX.0)]
pub struct RateTooHigh(u32);

/// The surface's width and height in pixels, each 64 to 8192.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SurfaceSize {
    width: u32,
    height: u32,
}

impl SurfaceSize {
    /// The smallest side: that of the rectangle drawn.
    pub const MIN_SIDE: u32 = 64;
    /// The largest side.
    pub const MAX_SIDE: u32 = 8192;

    /// # Errors
    ///
    /// [`SurfaceSizeOutOfRange`] when a side is shorter than [`MIN_SIDE`](Self::MIN_SIDE) or longer than
    /// [`MAX_SIDE`](Self::MAX_SIDE).
    pub fn new(width: u32, height: u32) -> Result<Self, SurfaceSizeOutOfRange> {
        let sides = Self::MIN_SIDE..=Self::MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(SurfaceSizeOutOfRange { width, height });
        }
        Ok(Self { width, height })
    }

    /// In pixels.
    #[must_use]
    pub fn width(self) -> u32 {
        self.width
    }

    /// In pixels.
    #[must_use]
    pub fn height(self) -> u32 {
        self.height
    }
}

impl Default for SurfaceSize {
    fn default() -> Self {
        Self {
            width: 1024,
            height: 768,
        }
    }
}

/// A surface was asked for that is too small or too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a surface of {width}x{height} is out of range: each side must be {min} to {max} pixels",
    min = SurfaceSize::MIN_SIDE,
    max = SurfaceSize::MAX_SIDE
)]
pub struct SurfaceSizeOutOfRange {
    width: u32,
    height: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_end_at_a_hundred_thousand() {
        assert_eq!(DrawRate::try_from(0), Ok(DrawRate::IDLE));
        assert_eq!(DrawRate::try_from(100_000), Ok(DrawRate::MAX));
        assert_eq!(DrawRate::try_from(100_001), Err(RateTooHigh(100_001)));
    }

    #[test]
    fn surfaces_have_sides_in_range() {
        for (width, height, good) in [
            (64, 64, true),
            (8192, 8192, true),
            (63, 64, false),
            (64, 8193, false),
            (0, 0, false),
        ] {
            assert_eq!(SurfaceSize::new(width, height).is_ok(), good, "{width}x{height}");
        }
    }
}
