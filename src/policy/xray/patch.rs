//! The new pair in the settings of an inbound, and every other byte as it came.

use super::inbound::{self, Form};
use super::wire::{Message, WireError, replace, set};

/// Which certificates of an inbound are replaced.
pub trait Ours {
    /// Whether these two files are our pair.
    fn files(&self, certificate: &str, key: &str) -> bool;
    /// Whether we issued this leaf (SHA-256).
    fn issued(&self, leaf: &[u8; 32]) -> bool;

    /// Whether this certificate is our pair.
    fn has(&self, form: &Form) -> bool {
        match form {
            Form::File { certificate, key } => self.files(certificate, key),
            Form::Inline { leaf } => leaf.is_some_and(|leaf| self.issued(&leaf)),
        }
    }
}

/// The pair that goes in, PEM. There is no `Debug`.
#[derive(Clone, Copy)]
pub struct NewPair<'a> {
    /// Leaf first.
    pub chain: &'a [u8],
    /// Its key.
    pub key: &'a [u8],
}

/// An inbound (`core.InboundHandlerConfig`) under another tag, with the new pair wherever ours was.
///
/// # Errors
/// `inbound` is no message.
pub fn patched(inbound: &[u8], tag: &str, pair: NewPair<'_>, ours: &dyn Ours) -> Result<Vec<u8>, WireError> {
    let tagged = retagged(inbound, tag)?;
    // receiver_settings.value . stream_settings . security_settings.value . certificate
    replace(&tagged, 2, |receiver| {
        let changed = replace(receiver, 2, |receiver| {
            let changed =
                replace(receiver, 3, |stream| replace(stream, 4, |it| security(it, pair, ours)).map(Some));
            changed.map(Some)
        });
        changed.map(Some)
    })
}

/// An inbound under another tag.
///
/// # Errors
/// `inbound` is no message.
pub fn retagged(inbound: &[u8], tag: &str) -> Result<Vec<u8>, WireError> {
    set(inbound, 1, tag.as_bytes())
}

/// Whether an inbound holds this leaf (SHA-256) already, so that it is one that was changed.
///
/// # Errors
/// `inbound` is no message.
pub fn holds(inbound: &[u8], leaf: [u8; 32]) -> Result<bool, WireError> {
    let stream = Message::read(inbound)?.message(2)?.message(2)?.message(3)?;
    for security in stream.all(4) {
        for certificate in Message::read(security)?.message(2)?.all(2) {
            if inbound::leaf(Message::read(certificate)?.bytes(1).unwrap_or_default()) == Some(leaf) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn security(typed: &[u8], pair: NewPair<'_>, ours: &dyn Ours) -> Result<Option<Vec<u8>>, WireError> {
    if Message::read(typed)?.text(1) != inbound::TLS {
        return Ok(None);
    }
    replace(typed, 2, |config| replace(config, 2, |it| certificate(it, pair, ours)).map(Some)).map(Some)
}

fn certificate(bytes: &[u8], pair: NewPair<'_>, ours: &dyn Ours) -> Result<Option<Vec<u8>>, WireError> {
    if !ours.has(&inbound::Certificate::read(bytes)?.form) {
        return Ok(None);
    }
    set(&set(bytes, 1, pair.chain)?, 2, pair.key).map(Some)
}
