//! The new pair in the settings of an inbound, and every other byte as it came.

use super::inbound::{self, Certificate, Form};
use super::wire::{Message, WireError, replace, set};

/// Which certificates of an inbound are replaced.
pub trait Ours {
    /// Whether these two files are our pair.
    fn files(&self, certificate: &str, key: &str) -> bool;
    /// Whether we issued this leaf (SHA-256).
    fn issued(&self, leaf: &[u8; 32]) -> bool;

    /// Whether this certificate is our pair.
    fn has(&self, certificate: &Certificate) -> bool {
        match &certificate.form {
            Form::File { certificate, key } => self.files(certificate, key),
            Form::Inline => certificate.leaf.as_ref().is_some_and(|leaf| self.issued(&leaf.sha256)),
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
            if Certificate::read(certificate)?.leaf.is_some_and(|it| it.sha256 == leaf) {
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
    if !ours.has(&Certificate::read(bytes)?) {
        return Ok(None);
    }
    set(&set(bytes, 1, pair.chain)?, 2, pair.key).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::messages;
    use super::*;
    use crate::policy::xray::inbound::Inbound;

    /// Answers of `ListInbounds` by the two versions that the stories run, as they came: vless over tcp with ours as the
    /// second certificate, ws on three ports, trojan over httpupgrade, xhttp, one without ours, and the API itself. The
    /// keys in them are nobody's.
    const RECORDED: [(&str, &[u8]); 2] = [
        ("26.3.27", include_bytes!("../../../tests/golden/list-inbounds-26.3.27.bin")),
        ("26.7.28", include_bytes!("../../../tests/golden/list-inbounds-26.7.28.bin")),
    ];

    const CHAIN: &str = "/srv/doorman/live/fullchain.pem";
    const NEW: NewPair<'_> = NewPair { chain: b"new chain", key: b"new key" };

    struct Live;

    impl Ours for Live {
        fn files(&self, certificate: &str, _: &str) -> bool {
            certificate == CHAIN
        }

        fn issued(&self, _: &[u8; 32]) -> bool {
            false
        }
    }

    /// The certificates of an inbound as bytes.
    fn certificates(inbound: &[u8]) -> Vec<Vec<u8>> {
        let stream =
            Message::read(inbound).unwrap().message(2).unwrap().message(2).unwrap().message(3).unwrap();
        let config = stream.message(4).unwrap().message(2).unwrap();
        config.all(2).map(<[u8]>::to_vec).collect()
    }

    fn text(certificate: &[u8], number: u64) -> String {
        Message::read(certificate).unwrap().text(number)
    }

    /// The same with a field that no version knows, at every level down to the certificates.
    fn with_fields_of_the_future(inbound: &[u8]) -> Vec<u8> {
        let add = |bytes: &[u8]| set(bytes, 2047, b"of the future").unwrap();
        let typed = |typed: &[u8], change: &dyn Fn(&[u8]) -> Vec<u8>| {
            add(&replace(typed, 2, |value| Ok(Some(change(value)))).unwrap())
        };
        let config = |bytes: &[u8]| add(&replace(bytes, 2, |it| Ok(Some(add(it)))).unwrap());
        let stream = |bytes: &[u8]| add(&replace(bytes, 4, |it| Ok(Some(typed(it, &config)))).unwrap());
        let receiver = |bytes: &[u8]| add(&replace(bytes, 3, |it| Ok(Some(stream(it)))).unwrap());
        add(&replace(inbound, 2, |it| Ok(Some(typed(it, &receiver)))).unwrap())
    }

    #[test]
    fn the_new_pair_is_where_ours_was_and_everything_else_is_as_xray_sent_it() {
        for (version, answer) in RECORDED {
            let inbounds = messages::inbounds(answer).unwrap();
            assert_eq!(inbounds.len(), 6, "{version}");
            for inbound in inbounds.iter().flat_map(|it| [it.clone(), with_fields_of_the_future(it)]) {
                let tag = messages::tag(&inbound).unwrap();
                let changed = patched(&inbound, "second", NEW, &Live).unwrap();
                let (mut ours, (before, after)) = (0, (certificates(&inbound), certificates(&changed)));
                let mut old = NewPair { chain: b"", key: b"" };
                for (before, after) in before.iter().zip(&after) {
                    if text(before, 5) != CHAIN {
                        assert_eq!(before, after, "{version}: another certificate of {tag}");
                        continue;
                    }
                    ours += 1;
                    assert_eq!((text(after, 1), text(after, 2)), ("new chain".into(), "new key".into()));
                    let before = Message::read(before).unwrap();
                    old = NewPair { chain: before.bytes(1).unwrap(), key: before.bytes(2).unwrap() };
                }
                assert_eq!(ours, usize::from(!["api", "plain"].contains(&tag.as_str())), "{version}: {tag}");
                assert_eq!(messages::tag(&changed).unwrap(), "second");
                // With the old pair in its place again not one byte is another.
                assert_eq!(patched(&changed, &tag, old, &Live).unwrap(), inbound, "{version}: {tag}");
            }
        }
    }

    #[test]
    fn what_the_recorded_answers_say_is_understood() {
        for (version, answer) in RECORDED {
            let inbounds = messages::inbounds(answer).unwrap();
            let mut said: Vec<_> = inbounds
                .iter()
                .map(|it| Inbound::read(it).unwrap())
                .filter_map(|it| {
                    let tls = it.tls.as_ref()?;
                    let last = tls.certificates.last()?;
                    assert!(tls.server_name == "a.example" && !it.proxy_protocol, "{version}: {it:?}");
                    Some(format!(
                        "{} {} {} {} of {} every {} s{}",
                        it.tag,
                        it.address(),
                        it.transport.as_str(),
                        if matches!(last.form, Form::File { .. }) { "files" } else { "inline" },
                        tls.certificates.len(),
                        last.interval(),
                        if last.one_time_loading { " once" } else { "" },
                    ))
                })
                .collect();
            said.sort();
            let expected = [
                "plain 127.0.0.1:39007 tcp inline of 1 every 3600 s once",
                "tcp 127.0.0.1:39001 tcp files of 2 every 600 s once",
                "trojan 127.0.0.1:39005 httpupgrade files of 1 every 600 s once",
                "ws 127.0.0.1:39002-39004 ws files of 1 every 600 s once",
                "xhttp 127.0.0.1:39006 xhttp files of 1 every 600 s once",
            ];
            assert_eq!(said, expected, "{version}");
        }
    }
}
