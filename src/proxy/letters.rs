//! The letter case of an upstream's field names, where hyper keeps no record of it.
//!
//! Whether names are usual shows in the bytes as hyper reads them. Where they are not, the head is read a second time by a
//! connection that keeps the record, and from then on so do all new connections to that upstream.

use http::Extensions;

use super::reread;
use crate::policy::letters::{self, Letters, Look};

/// What a connection to an upstream hears of the answer that it waits for.
#[derive(Debug)]
pub(super) struct Ear {
    letters: Letters,
    hears: Hears,
    /// An answer had unusual names.
    unusual: bool,
}

#[derive(Debug)]
enum Hears {
    /// What comes now is no head, or of no interest.
    Nothing,
    /// The first bytes of an answer.
    Next,
    /// All of it, because its names may be unusual.
    All { heard: Vec<u8>, look: Look },
}

impl Ear {
    /// Of a connection that is read so.
    pub(super) fn new(letters: Letters) -> Self {
        Self { letters, hears: Hears::Nothing, unusual: false }
    }

    /// How the connection is read.
    pub(super) fn letters(&self) -> Letters {
        self.letters
    }

    /// Whether the next connection had better be read with a record.
    pub(super) fn heard_unusual(&self) -> bool {
        self.unusual
    }

    /// A request was handed over.
    pub(super) fn listen(&mut self) {
        if self.letters == Letters::Usual {
            self.hears = Hears::Next;
        }
    }

    /// These bytes came.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        match &mut self.hears {
            Hears::Nothing => {}
            Hears::Next => {
                self.hears = match letters::of_response(bytes) {
                    Look::Usual => Hears::Nothing,
                    look @ (Look::Unusual | Look::Unclear) => Hears::All { heard: bytes.to_vec(), look },
                };
            }
            Hears::All { heard, .. } => heard.extend_from_slice(bytes),
        }
    }

    /// The answer's head is complete. If its names may be unusual, the record of them.
    pub(super) fn record(&mut self) -> Option<Extensions> {
        let Hears::All { heard, look } = std::mem::replace(&mut self.hears, Hears::Nothing) else {
            return None;
        };
        self.unusual |= look == Look::Unusual;
        reread::record(&heard)
    }
}
