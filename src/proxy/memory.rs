//! What of the process's memory goes back to the system. The only unsafe code of the package is here.

use std::path::Path;
use std::sync::{Mutex, TryLockError};

use mimalloc as _; // for `mi_collect`, also where the program's allocator is another one
use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};
use rustix::mm::{Advice, madvise};

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

/// Unmaps the program's code. What is needed of it is mapped again as it is used, from the page cache; what only the start
/// needed is not, and counts for this process no more.
pub(super) fn let_go_of_code() {
    let Ok(maps) = Process::myself().and_then(|this| this.maps()) else { return };
    let Ok(program) = std::env::current_exe() else { return };
    for map in maps.iter().filter(|map| is_code_of(map, &program)) {
        unmap(map);
    }
}

/// Whether it is code as it stands in the file.
fn is_code_of(map: &MemoryMap, program: &Path) -> bool {
    let code = MMPermissions::READ | MMPermissions::EXECUTE | MMPermissions::PRIVATE;
    map.perms == code && matches!(&map.pathname, MMapPath::Path(path) if path == program)
}

#[expect(unsafe_code, reason = "whoever advises the kernel about memory must know what is in it")]
fn unmap(code: &MemoryMap) {
    let (start, end) = code.address;
    let (Ok(address), Ok(length)) = (usize::try_from(start), usize::try_from(end - start)) else { return };
    // SAFETY: these pages can only be read, and are those of the file, which the kernel lets nobody write to while it
    // runs. So they are the same when they are mapped again. A refusal leaves them mapped.
    let _ = unsafe { madvise(std::ptr::with_exposed_provenance_mut(address), length, Advice::LinuxDontNeed) };
}
