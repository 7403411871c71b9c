//! Limits on the number and size of surfaces: the server creates them, and each takes memory in the client.

use shakenfist_spice_renderer::{ChannelEvent, SurfaceMirror};

/// As many as QEMU's display device may have (`n_surfaces` of `init_qxl_ram`, hw/display/qxl.c).
const SURFACES: usize = 1024;
/// Pixels of all surfaces together: 256 MiB at 4 bytes a pixel, or eight screens of 4K.
const PIXELS: u64 = 64 << 20;

/// The reason to refuse the surface that this event would create; `None` if it creates none, or there is room.
pub(crate) fn refusal(mirror: &SurfaceMirror, event: &ChannelEvent) -> Option<String> {
    let (key, width, height) = would_create(mirror, event)?;
    let others = || mirror.surfaces.iter().filter(|(other, _)| **other != key);
    let pixels = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let kept: u64 = others().map(|(_, other)| pixels(other.width, other.height)).sum();
    let room = others().count() < SURFACES && kept.saturating_add(pixels(width, height)) <= PIXELS;
    let (channel, surface) = key;
    (!room).then(|| {
        format!(
            "surface {channel}:{surface} of {width}x{height} is not shown, nor what is drawn on it: at most {SURFACES} \
             surfaces of {} Mi pixels together are kept",
            PIXELS >> 20
        )
    })
}

/// The surface that the mirror would make: one that is created, or one that is drawn on without having been.
fn would_create(mirror: &SurfaceMirror, event: &ChannelEvent) -> Option<((u8, u32), u32, u32)> {
    match *event {
        ChannelEvent::SurfaceCreated {
            display_channel_id,
            surface_id,
            width,
            height,
        } => Some(((display_channel_id, surface_id), width, height)),
        ChannelEvent::ImageReady {
            display_channel_id,
            surface_id,
            left,
            top,
            width,
            height,
            ..
        } => {
            let key = (display_channel_id, surface_id);
            let new = !mirror.surfaces.contains_key(&key);
            new.then(|| (key, left.saturating_add(width), top.saturating_add(height)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(surface_id: u32, width: u32, height: u32) -> ChannelEvent {
        ChannelEvent::SurfaceCreated {
            display_channel_id: 0,
            surface_id,
            width,
            height,
        }
    }

    fn image(surface_id: u32, left: u32, width: u32) -> ChannelEvent {
        ChannelEvent::ImageReady {
            display_channel_id: 0,
            surface_id,
            left,
            top: 0,
            width,
            height: 1,
            pixels: vec![0; 4],
            image_id: 0,
            produced_at_secs: 0.0,
        }
    }

    #[test]
    fn as_many_as_a_device_has_are_kept_and_no_more() {
        let mut mirror = SurfaceMirror::new();
        for id in 0..1024 {
            assert_eq!(refusal(&mirror, &created(id, 1, 1)), None, "{id}");
            mirror.apply_event(&created(id, 1, 1));
        }
        let why = refusal(&mirror, &created(1024, 1, 1)).expect("one too many");
        assert!(
            why.contains("surface 0:1024") && why.contains("1024 surfaces"),
            "{why}"
        );
        assert!(refusal(&mirror, &image(1025, 0, 1)).is_some(), "made by a draw");
        assert_eq!(
            refusal(&mirror, &image(7, 0, 1)),
            None,
            "drawn on one that is kept"
        );
        assert_eq!(
            refusal(&mirror, &created(7, 2, 2)),
            None,
            "in the place of another"
        );
    }

    #[test]
    fn the_pixels_of_all_are_bounded() {
        let mut mirror = SurfaceMirror::new();
        assert_eq!(refusal(&mirror, &created(0, 8192, 8192)), None);
        for (width, height) in [(8192, 8193), (u32::MAX, u32::MAX), (u32::MAX, 1)] {
            assert!(
                refusal(&mirror, &created(0, width, height)).is_some(),
                "{width}x{height}"
            );
        }
        assert!(
            refusal(&mirror, &image(0, u32::MAX, 9)).is_some(),
            "far to the right"
        );
        mirror.apply_event(&created(0, 4096, 4096));
        assert_eq!(refusal(&mirror, &created(1, 6144, 8192)), None, "what is left");
        assert!(refusal(&mirror, &created(1, 6145, 8192)).is_some());
    }
}
