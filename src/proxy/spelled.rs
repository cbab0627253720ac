//! How the names of a connection's last request were written.

use std::cell::{Cell, Ref, RefCell};

use crate::policy::letters::Letters;

/// What is known of the letters of a request's names.
#[derive(Debug)]
pub(super) struct Spelled {
    letters: Cell<Letters>,
    /// The head, where only that tells them.
    head: RefCell<Vec<u8>>,
}

impl Default for Spelled {
    fn default() -> Self {
        Self { letters: Cell::new(Letters::Kept), head: RefCell::default() }
    }
}

impl Spelled {
    /// These bytes came for hyper, whose names have such letters.
    pub(super) fn set(&self, letters: Letters, bytes: &[u8]) {
        self.letters.set(letters);
        if letters == Letters::Told {
            let mut head = self.head.borrow_mut();
            head.clear();
            head.extend_from_slice(bytes);
        }
    }

    /// What is known.
    pub(super) fn letters(&self) -> Letters {
        self.letters.get()
    }

    /// The head that tells them.
    pub(super) fn head(&self) -> Ref<'_, Vec<u8>> {
        self.head.borrow()
    }

    /// What was remembered needs no memory any more.
    pub(super) fn forget(&self) {
        self.head.take();
    }
}
