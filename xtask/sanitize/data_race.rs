//! A data race. ThreadSanitizer must find it, or its silence about the tests means nothing.

static mut COUNT: u64 = 0;

fn main() {
    let add = || {
        for _ in 0..1_000 {
            // SAFETY: there is none, on purpose.
            unsafe { COUNT += 1 };
        }
    };
    let other = std::thread::spawn(add);
    add();
    other.join().expect("it ends");
}
