//! The quiet process, built to leak what `RUNTIME_METRICS_FAULT` names: the positive control of `cargo xtask soak`.

#[path = "quiet.rs"]
mod quiet;

fn main() -> std::io::Result<()> {
    quiet::main()
}
