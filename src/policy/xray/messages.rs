//! The requests and answers of Xray's HandlerService, `app/proxyman/command/command.proto`.

use std::collections::BTreeMap;

use super::wire::{Message, WireError, put};

/// The service's path.
pub const SERVICE: &str = "/xray.app.proxyman.command.HandlerService/";

/// `xray.common.protocol.User` as it was sent. There is no `Debug`: it is a secret.
pub type User = Vec<u8>;

/// The inbounds of a `ListInboundsResponse`, each as bytes; they hold private keys.
///
/// # Errors
/// The answer is none.
pub fn inbounds(answer: &[u8]) -> Result<Vec<Vec<u8>>, WireError> {
    Ok(Message::read(answer)?.all(1).map(<[u8]>::to_vec).collect())
}

/// The users of a `GetInboundUserResponse`.
///
/// # Errors
/// The answer is none.
pub fn users(answer: &[u8]) -> Result<Vec<User>, WireError> {
    Ok(Message::read(answer)?.all(1).map(<[u8]>::to_vec).collect())
}

/// The tag of an inbound.
///
/// # Errors
/// The bytes are no message.
pub fn tag(inbound: &[u8]) -> Result<String, WireError> {
    Ok(Message::read(inbound)?.text(1))
}

/// `AddInboundRequest`.
#[must_use]
pub fn add_inbound(inbound: &[u8]) -> Vec<u8> {
    one(1, inbound)
}

/// `RemoveInboundRequest`, and `GetInboundUserRequest` for all users.
#[must_use]
pub fn by_tag(tag: &str) -> Vec<u8> {
    one(1, tag.as_bytes())
}

/// What makes the users of an inbound those that are wanted: `AlterInboundRequest`s, in order.
///
/// Users have a name, their e-mail address, whose case does not count; without one they cannot be removed at run time,
/// and Xray does not list them.
///
/// # Errors
/// A user is no message.
pub fn equalize(tag: &str, wanted: &[User], there: &[User]) -> Result<Vec<Vec<u8>>, WireError> {
    let (wanted, there) = (by_name(wanted)?, by_name(there)?);
    let leftover = there.iter().filter(|(name, user)| wanted.get(*name) != Some(*user));
    let missing = wanted.iter().filter(|(name, user)| there.get(*name) != Some(*user));
    let removals = leftover.map(|(name, _)| alter(tag, "RemoveUserOperation", name.as_bytes()));
    Ok(removals.chain(missing.map(|(_, user)| alter(tag, "AddUserOperation", user))).collect())
}

fn by_name(users: &[User]) -> Result<BTreeMap<String, &[u8]>, WireError> {
    let named = users.iter().map(|user| Ok((Message::read(user)?.text(2).to_lowercase(), user.as_slice())));
    named.filter(|named| !matches!(named, Ok((name, _)) if name.is_empty())).collect()
}

/// `AlterInboundRequest` with an operation whose first field is `subject`.
fn alter(tag: &str, operation: &str, subject: &[u8]) -> Vec<u8> {
    let mut typed = one(1, format!("xray.app.proxyman.command.{operation}").as_bytes());
    put(&mut typed, 2, &one(1, subject));
    let mut request = by_tag(tag);
    put(&mut request, 2, &typed);
    request
}

fn one(number: u64, value: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(value.len() + 8);
    put(&mut message, number, value);
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(email: &str, account: &str) -> User {
        let mut user = one(2, email.as_bytes());
        put(&mut user, 3, account.as_bytes());
        user
    }

    #[test]
    fn users_become_equal_in_both_directions() {
        let wanted = [user("Stays@x", "1"), user("new@x", "2"), user("changed@x", "3"), user("", "4")];
        let there = [user("Stays@x", "1"), user("gone@x", "5"), user("changed@x", "6")];
        let requests = equalize("in", &wanted, &there).unwrap();
        let said: Vec<_> = requests
            .iter()
            .map(|request| {
                let request = Message::read(request).unwrap();
                assert_eq!(request.text(1), "in");
                let typed = request.message(2).unwrap();
                let kind = typed.text(1).trim_start_matches("xray.app.proxyman.command.").to_owned();
                let subject = typed.message(2).unwrap();
                (
                    kind.clone(),
                    if kind.starts_with('R') { subject.text(1) } else { subject.message(1).unwrap().text(2) },
                )
            })
            .collect();
        let expected = [
            ("RemoveUserOperation", "changed@x"),
            ("RemoveUserOperation", "gone@x"),
            ("AddUserOperation", "changed@x"),
            ("AddUserOperation", "new@x"),
        ];
        assert_eq!(said, expected.map(|(kind, name)| (kind.to_owned(), name.to_owned())));
        assert!(equalize("in", &wanted, &wanted).unwrap().is_empty());
    }
}
