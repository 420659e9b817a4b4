//! Shared state of one VM, with a lock only where the VM may move between threads.
//!
//! Owns: the two forms of the same cell. Does not own: what is in it. A VM runs on one thread at a time, so a borrow
//! never waits.

#[cfg(feature = "send")]
mod form {
    pub(crate) type Shared<T> = std::sync::Arc<T>;
    pub(crate) type State<T> = parking_lot::Mutex<T>;
    pub(crate) fn borrow<T>(state: &State<T>) -> parking_lot::MutexGuard<'_, T> {
        state.lock()
    }
}

#[cfg(not(feature = "send"))]
mod form {
    pub(crate) type Shared<T> = std::rc::Rc<T>;
    pub(crate) type State<T> = std::cell::RefCell<T>;
    pub(crate) fn borrow<T>(state: &State<T>) -> std::cell::RefMut<'_, T> {
        state.borrow_mut()
    }
}

pub(crate) use form::{Shared, State, borrow};
