//! Shared state of one VM, with a lock only where the VM may move between threads.
//!
//! Owns: the two forms of the same cell and of the host's functions. Does not own: what is in it. A VM runs on one thread
//! at a time, so a borrow never waits.

#[cfg(feature = "send")]
mod form {
    use std::time::Duration;

    pub(crate) type Shared<T> = std::sync::Arc<T>;
    pub(crate) type State<T> = parking_lot::Mutex<T>;
    pub(crate) fn borrow<T>(state: &State<T>) -> parking_lot::MutexGuard<'_, T> {
        state.lock()
    }
    /// `None` while it is borrowed.
    pub(crate) fn try_borrow<T>(state: &State<T>) -> Option<parking_lot::MutexGuard<'_, T>> {
        state.try_lock()
    }

    /// Answers the time since the start, real or simulated; it never goes back.
    pub type Elapsed = Box<dyn Fn() -> Duration + Send + Sync>;
    /// Counts engine calls that are open.
    pub(crate) type Counter = Box<dyn Fn() -> usize + Send + Sync>;
}

#[cfg(not(feature = "send"))]
mod form {
    use std::time::Duration;

    pub(crate) type Shared<T> = std::rc::Rc<T>;
    pub(crate) type State<T> = std::cell::RefCell<T>;
    pub(crate) fn borrow<T>(state: &State<T>) -> std::cell::RefMut<'_, T> {
        state.borrow_mut()
    }
    /// `None` while it is borrowed.
    pub(crate) fn try_borrow<T>(state: &State<T>) -> Option<std::cell::RefMut<'_, T>> {
        state.try_borrow_mut().ok()
    }

    /// Answers the time since the start, real or simulated; it never goes back.
    pub type Elapsed = Box<dyn Fn() -> Duration>;
    /// Counts engine calls that are open.
    pub(crate) type Counter = Box<dyn Fn() -> usize>;
}

pub use form::Elapsed;
pub(crate) use form::{Counter, Shared, State, borrow, try_borrow};
