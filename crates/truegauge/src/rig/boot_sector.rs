//! A guest that does nothing but redraw its screen: the 512 bytes of a boot sector, which need no assembler to build.
//!
//! Sixty times a second it fills the text screen with other characters in other colours.

/// Bytes of the disk: QEMU warns of smaller ones.
const DISK_BYTES: usize = 1 << 20;

/// Assembled by hand, for the 8086 and up; BIOS loads it to 0:7C00.
#[rustfmt::skip]
const CODE: &[u8] = &[
    0xFA,             // 00       cli
    0x31, 0xC0,       // 01       xor ax, ax
    0x8E, 0xD0,       // 03       mov ss, ax
    0xBC, 0x00, 0x7C, // 05       mov sp, 0x7C00
    0xFC,             // 08       cld
    0xB8, 0x03, 0x00, // 09       mov ax, 3          ; text, 80 x 25, in colour
    0xCD, 0x10,       // 0C       int 0x10
    0xB0, 0x36,       // 0E       mov al, 0x36       ; the timer: channel 0, square wave,
    0xE6, 0x43,       // 10       out 0x43, al
    0xB0, 0xAE,       // 12       mov al, 0xAE       ; 1,193,182 Hz / 0x4DAE = 60 Hz
    0xE6, 0x40,       // 14       out 0x40, al
    0xB0, 0x4D,       // 16       mov al, 0x4D
    0xE6, 0x40,       // 18       out 0x40, al
    0xB8, 0x00, 0xB8, // 1A       mov ax, 0xB800     ; the text screen's segment
    0x8E, 0xC0,       // 1D       mov es, ax
    0xBD, 0x01, 0x00, // 1F       mov bp, 1          ; any seed but 0
    0xFB,             // 22       sti
    0xF4,             // 23 frame: hlt               ; until the timer's next tick
    0x31, 0xFF,       // 24       xor di, di
    0xB9, 0xD0, 0x07, // 26       mov cx, 2000
    0x89, 0xE8,       // 29 cell: mov ax, bp         ; xorshift of 16 bits: 7, 9, 8
    0xC1, 0xE0, 0x07, // 2B       shl ax, 7
    0x31, 0xC5,       // 2E       xor bp, ax
    0x89, 0xE8,       // 30       mov ax, bp
    0xC1, 0xE8, 0x09, // 32       shr ax, 9
    0x31, 0xC5,       // 35       xor bp, ax
    0x89, 0xE8,       // 37       mov ax, bp
    0xC1, 0xE0, 0x08, // 39       shl ax, 8
    0x31, 0xC5,       // 3C       xor bp, ax
    0x89, 0xE8,       // 3E       mov ax, bp         ; a character and its colours
    0xAB,             // 40       stosw
    0xE2, 0xE6,       // 41       loop cell
    0xEB, 0xDE,       // 43       jmp frame
];

/// The disk image that BIOS boots from.
pub(super) fn disk() -> Vec<u8> {
    let mut disk = vec![0; DISK_BYTES];
    disk[..CODE.len()].copy_from_slice(CODE);
    disk[510..512].copy_from_slice(&[0x55, 0xAA]);
    disk
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the short jump at `at` leads.
    fn target(at: usize) -> usize {
        (at + 2).wrapping_add_signed(isize::from(CODE[at + 1] as i8))
    }

    #[test]
    fn the_jumps_lead_where_the_comments_say() {
        assert_eq!((CODE[0x41], target(0x41)), (0xE2, 0x29), "loop cell");
        assert_eq!((CODE[0x43], target(0x43)), (0xEB, 0x23), "jmp frame");
        assert_eq!((CODE[0x23], CODE[0x29]), (0xF4, 0x89), "what stands there");
        assert_eq!(CODE.len(), 0x45, "nothing comes behind the last jump");
    }

    #[test]
    fn the_disk_can_be_booted_from() {
        let disk = disk();
        assert_eq!(disk[510..512], [0x55, 0xAA]);
        assert!(CODE.len() <= 510 && disk.len().is_multiple_of(512));
        assert_eq!(1_193_182 / 0x4DAE, 60, "ticks a second");
    }
}
