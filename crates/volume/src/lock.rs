//! Locks whose content is valid in every state.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what is valid in every state, also after a panic elsewhere.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
