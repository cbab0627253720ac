//! Protocol buffers without a schema: what Xray's messages say is read, a few fields are replaced, and every other byte
//! stays as it came, fields of later versions too.
//!
//! The encoding: <https://protobuf.dev/programming-guides/encoding/>.

use thiserror::Error;

/// What is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the message is cut off or no protocol buffer")]
pub struct WireError;

/// One field as it was sent. There is no `Debug`: it may be a private key.
#[derive(Clone, Copy)]
struct Field<'a> {
    number: u64,
    value: Value<'a>,
    raw: &'a [u8],
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of a kind that nothing here looks at.
    Other,
}

/// A message whose fields can be asked for.
#[derive(Clone)]
pub struct Message<'a>(Vec<Field<'a>>);

impl<'a> Message<'a> {
    /// Reads all fields.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn read(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut rest = bytes;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            fields.push(field(&mut rest)?);
        }
        Ok(Self(fields))
    }

    /// Every occurrence of a field of strings, bytes or messages.
    pub fn all(&self, number: u64) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.0.iter().filter(move |field| field.number == number).filter_map(|field| match field.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Varint(_) | Value::Other => None,
        })
    }

    /// The last occurrence, which counts.
    #[must_use]
    pub fn bytes(&self, number: u64) -> Option<&'a [u8]> {
        self.all(number).last()
    }

    /// A string, empty if it is not there.
    #[must_use]
    pub fn text(&self, number: u64) -> String {
        String::from_utf8_lossy(self.bytes(number).unwrap_or_default()).into_owned()
    }

    /// A number, an enumerator or a truth value; 0 if it is not there.
    #[must_use]
    pub fn number(&self, number: u64) -> u64 {
        let found = self.0.iter().rev().find_map(|field| match field.value {
            Value::Varint(value) if field.number == number => Some(value),
            Value::Varint(_) | Value::Bytes(_) | Value::Other => None,
        });
        found.unwrap_or_default()
    }

    /// A message within the message; an empty one if it is not there.
    ///
    /// # Errors
    /// The field is no message.
    pub fn message(&self, number: u64) -> Result<Message<'a>, WireError> {
        Message::read(self.bytes(number).unwrap_or_default())
    }
}

/// Appends a string, bytes or a message.
pub fn put(to: &mut Vec<u8>, number: u64, value: &[u8]) {
    put_varint(to, number << 3 | 2);
    put_varint(to, value.len() as u64);
    to.extend_from_slice(value);
}

/// `message` with one field set to `value`, where it stood or at the end.
///
/// # Errors
/// `message` is none.
pub fn set(message: &[u8], number: u64, value: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut there = false;
    let mut set = Vec::with_capacity(message.len() + value.len());
    for field in Message::read(message)?.0 {
        if field.number != number {
            set.extend_from_slice(field.raw);
        } else if !std::mem::replace(&mut there, true) {
            put(&mut set, number, value);
        }
    }
    if !there {
        put(&mut set, number, value);
    }
    Ok(set)
}

/// `message` with each occurrence of a field replaced by what `change` makes of it; `None` leaves it as it came.
///
/// # Errors
/// `message` is none, or `change` says so.
pub fn replace(
    message: &[u8],
    number: u64,
    mut change: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, WireError>,
) -> Result<Vec<u8>, WireError> {
    let mut replaced = Vec::with_capacity(message.len());
    for field in Message::read(message)?.0 {
        let change = match field.value {
            Value::Bytes(bytes) if field.number == number => change(bytes)?,
            Value::Bytes(_) | Value::Varint(_) | Value::Other => None,
        };
        match change {
            Some(bytes) => put(&mut replaced, number, &bytes),
            None => replaced.extend_from_slice(field.raw),
        }
    }
    Ok(replaced)
}

fn field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, WireError> {
    let start = *rest;
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => take(rest, 8).map(|_| Value::Other)?,
        2 => {
            let length = usize::try_from(varint(rest)?).map_err(|_| WireError)?;
            Value::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Value::Other)?,
        _ => return Err(WireError), // groups, which proto3 does not have
    };
    let raw = &start[..start.len() - rest.len()];
    Ok(Field { number: key >> 3, value, raw })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], WireError> {
    let (taken, after) = rest.split_at_checked(length).ok_or(WireError)?;
    *rest = after;
    Ok(taken)
}

fn varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(WireError)
}

fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Field 1 = 150, field 2 = "testing", field 9 fixed64, field 3 = message {1: "a"}, field 2 again, field 15 fixed32.
    const SAMPLE: &[u8] = b"\x08\x96\x01\x12\x07testing\x49\x01\x02\x03\x04\x05\x06\x07\x08\x1a\x03\x0a\x01a\x12\x01z\x7d\x01\x02\x03\x04";

    #[test]
    fn fields_are_read_and_the_last_of_several_counts() {
        let message = Message::read(SAMPLE).unwrap();
        assert_eq!(message.number(1), 150);
        assert_eq!(message.text(2), "z");
        assert_eq!(message.all(2).count(), 2);
        assert_eq!(message.message(3).unwrap().text(1), "a");
        assert_eq!((message.number(77), message.text(77)), (0, String::new()));
    }

    #[test]
    fn what_is_not_changed_stays_byte_for_byte() {
        assert_eq!(replace(SAMPLE, 3, |_| Ok(None)).unwrap(), SAMPLE);
        let changed = replace(SAMPLE, 3, |inner| set(inner, 1, &[b'b'; 200]).map(Some)).unwrap();
        let at = SAMPLE.iter().position(|byte| *byte == 0x1a).unwrap();
        assert_eq!(changed[..at], SAMPLE[..at]);
        assert_eq!(changed[changed.len() - 8..], SAMPLE[SAMPLE.len() - 8..]);
        assert_eq!(Message::read(&changed).unwrap().message(3).unwrap().text(1), "b".repeat(200));
        let added = set(SAMPLE, 6, b"new").unwrap();
        assert_eq!(added[..SAMPLE.len()], *SAMPLE);
        assert_eq!(Message::read(&added).unwrap().text(6), "new");
    }

    #[test]
    fn whatever_comes_is_refused_or_read_and_never_a_panic() {
        for end in 0..SAMPLE.len() {
            let _ = Message::read(&SAMPLE[..end]); // either is right
        }
        assert!(Message::read(b"\x12\x7f").is_err(), "longer than there is");
        assert!(Message::read(b"\x0b").is_err(), "a group");
        assert!(Message::read(&[0xff; 11]).is_err(), "a number without an end");
        assert!(Message::read(b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
    }
}
