//! A use after free. AddressSanitizer must find it, or its silence about the tests means nothing.

fn main() {
    let boxed = Box::new(7_u8);
    let freed: *const u8 = &raw const *boxed;
    drop(boxed);
    // SAFETY: there is none, on purpose.
    println!("{}", unsafe { std::ptr::read_volatile(freed) });
}
