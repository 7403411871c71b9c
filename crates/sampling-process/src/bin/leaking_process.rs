//! The positive control of the soak: leaks what `RUNTIME_METRICS_FAULT` names.

fn main() -> std::io::Result<()> {
    sampling_process::run()
}
