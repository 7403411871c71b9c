//! What a report may hold.

/// Bounds of one file. Packet captures are large; they are scanned, and not kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Size of the zip itself.
    pub file_bytes: u64,
    /// Number of members of one zip.
    pub members: usize,
    /// Number of members of all zips inside a zip, together.
    pub nested_members: usize,
    /// Size of one member, uncompressed.
    pub member_bytes: u64,
    /// Size of all members that are read, uncompressed. The zips inside a zip have as much once more, together.
    pub total_bytes: u64,
    /// Size of one member that is text, and so is kept.
    pub text_bytes: usize,
    /// Size of all members of one report that are kept.
    pub kept_bytes: usize,
    /// Uncompressed bytes per compressed byte, for members above 1 MiB.
    pub ratio: u64,
    /// Size of a zip's directory.
    pub directory_bytes: u64,
    /// Number of reports in one zip.
    pub reports: usize,
}

/// The limits of every report that is judged.
pub const LIMITS: Limits = Limits {
    file_bytes: 64 << 20,
    members: 512,
    nested_members: 2048,
    member_bytes: 48 << 20,
    total_bytes: 64 << 20,
    text_bytes: 4 << 20,
    kept_bytes: 8 << 20,
    ratio: 200,
    directory_bytes: 4 << 20,
    reports: 50,
};
