//! A source of the tests' own, whose level is set by hand, and which can do what no source should.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use eventpoll::{Events, Source, Watched};

/// What a level does before it answers.
type Hook = Box<dyn FnMut() + Send>;

/// A level, and a hook that runs each time somebody asks for it.
#[derive(Default)]
pub(crate) struct OwnSource {
    level: AtomicU32,
    hook: Mutex<Option<Hook>>,
}

impl OwnSource {
    /// A source with this level, and no hook.
    pub(crate) fn watched(level: Events) -> Watched<Self> {
        Watched::new(OwnSource { level: AtomicU32::new(level.bits()), hook: Mutex::default() })
    }

    pub(crate) fn set(&self, level: Events) {
        self.level.store(level.bits(), Ordering::Release);
    }

    /// From now on each look at the level runs this; but not while it runs already.
    pub(crate) fn hook(&self, hook: impl FnMut() + Send + 'static) {
        *self.hook.lock().expect("no hook panics with the lock held") = Some(Box::new(hook));
    }
}

impl Source for OwnSource {
    fn level(&self) -> Events {
        let hook = self.hook.lock().expect("no hook panics with the lock held").take();
        if let Some(mut hook) = hook {
            hook();
            self.hook.lock().expect("no hook panics with the lock held").get_or_insert(hook);
        }
        Events::from(self.level.load(Ordering::Acquire))
    }
}
