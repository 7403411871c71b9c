//! The subject of the soak: see the library.

fn main() -> std::io::Result<()> {
    sampling_process::run()
}
