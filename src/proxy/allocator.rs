//! The one word that is spoken with the allocator.

use std::sync::{Mutex, TryLockError};

use mimalloc as _; // for `mi_collect`, also where the program's allocator is another one

/// What one thread returns while another does so may be overlooked by both.
static TURN: Mutex<()> = Mutex::new(());

#[expect(
    unsafe_code,
    reason = "mimalloc's own crate declares this function only with all others, and another crate"
)]
mod c {
    unsafe extern "C" {
        /// Takes and gives no memory, and may be called at any time by any thread. Declared in `mimalloc.h` as
        /// `void mi_collect(bool force)`.
        pub(super) safe fn mi_collect(force: bool);
    }
}

/// Returns to the system what this thread has freed; by itself the allocator does so only while more is being freed, and
/// keeps the last. `false`: another thread is at it, so ask again soon.
///
/// Nothing that only seems to have this effect will do: an allocation too large to be granted is refused before anything
/// is collected.
pub(super) fn give_back() -> bool {
    let _turn = match TURN.try_lock() {
        Ok(turn) => turn,
        Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
        Err(TryLockError::WouldBlock) => return false,
    };
    c::mi_collect(true);
    true
}
