//! What the targets that talk to somebody have in common: a runtime, a source that is made once, and a look-out for panics.

use std::cell::{Cell, RefCell};
use std::sync::Once;

use spice_source::{Config, DrawRate, Event, Password, Server, Source, SurfaceSize};
use tokio::runtime::{Builder, Runtime};

/// What guards the source, and what the client offers. It must show nowhere.
pub(crate) const PASSWORD: &str = "Sesam-5ffne-dich";

/// Everything on this thread: a run is the same every time, as far as sockets allow.
pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A source and its port. Its key takes long to make, so there is one for all inputs of a thread.
struct Shared {
    runtime: Runtime,
    server: Server,
    port: u16,
}

thread_local! {
    static SHARED: RefCell<Option<Shared>> = const { RefCell::new(None) };
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Works with the source, which draws nothing at first.
pub(crate) fn with_source<T>(work: impl FnOnce(&Runtime, &mut Server) -> T) -> T {
    with_listening_source(|runtime, server, _| work(runtime, server))
}

/// The same, with the port that it listens on.
pub(crate) fn with_listening_source<T>(work: impl FnOnce(&Runtime, &mut Server, u16) -> T) -> T {
    SHARED.with_borrow_mut(|shared| {
        let Shared {
            runtime,
            server,
            port,
        } = shared.get_or_insert_with(Shared::new);
        assert!(
            server.set_rate(DrawRate::try_from(0).expect("a rate")),
            "a source draws"
        );
        work(runtime, server, *port)
    })
}

impl Shared {
    fn new() -> Self {
        let runtime = runtime();
        let config = Config {
            password: Some(Password::new(PASSWORD).expect("a password")),
            surface: SurfaceSize::new(64, 64).expect("a size"),
            ..Config::default()
        };
        let mut server = Server::Source(runtime.block_on(Source::bind(config)).expect("a source"));
        let Some(Event::Listening { port }) = runtime.block_on(server.next_event()) else {
            panic!("a source first tells that it listens");
        };
        Self {
            runtime,
            server,
            port,
        }
    }
}

/// Works, and panics where any task of it did: a runtime keeps a task's panic to itself.
pub(crate) fn without_panics<T>(work: impl FnOnce() -> T) -> T {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            before(panic);
        }));
    });
    let before = PANICS.get();
    let done = work();
    assert_eq!(PANICS.get(), before, "a task panicked, as told above");
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tasks_panic_is_not_kept() {
        let work = || {
            runtime().block_on(async {
                let _ = tokio::spawn(async { panic!("on purpose") }).await;
            });
        };
        assert!(std::panic::catch_unwind(|| without_panics(work)).is_err());
        without_panics(|| ());
    }
}
