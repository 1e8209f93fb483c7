//! Taking a lock. It knows nothing of what is locked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The content of a lock, whatever became of its last holder: a tick that panicked leaves nothing half done in here.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
