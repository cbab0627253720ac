//! An upstream's answer: read however it is cut, and to the same meaning as hyper reads it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use doorman::policy::content::{Content, Piece};
use doorman::policy::head::{Head, Malformed};
use doorman::policy::headers;
use http::header::HeaderMap;
use http::{Method, Request, StatusCode, Version};
use http_body::Body;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, duplex};

/// What an answer means.
#[derive(Debug, PartialEq)]
struct Meaning {
    status: StatusCode,
    version: Version,
    fields: HeaderMap,
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    /// It came to its end.
    whole: bool,
}

/// The first byte says how the request was, and how the answer is cut.
pub(crate) fn check(bytes: &[u8]) {
    let Some((how, answer)) = bytes.split_first() else { return };
    let method = if how & 1 == 0 { Method::GET } else { Method::HEAD };
    let at_once = usize::from(how >> 1) + 1;
    let meaning = meaning(&method, answer, answer.len().max(1));
    let cut = self::meaning(&method, answer, at_once);
    match (&meaning, &cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut, "it matters how it is cut"),
        // In what comes later there may be another fault.
        (Err(_), Err(_)) => {}
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => panic!("whole it is {meaning:?}, and cut {cut:?}"),
    }
    if let Ok(Some(meaning)) = meaning {
        // Two lengths, or a coding that is not undone, are not passed on.
        if headers::response(meaning.fields.clone(), false).is_ok() {
            assert_eq!(
                Some(&meaning),
                with_hyper(&method, answer).as_ref(),
                "hyper takes it for something else"
            );
        }
    }
}

/// What we make of it, or that its head is not whole.
fn meaning(method: &Method, answer: &[u8], at_once: usize) -> Result<Option<Meaning>, Malformed> {
    let (mut unread, mut coming) = (BytesMut::new(), answer.chunks(at_once));
    let head = loop {
        match Head::read(&unread)? {
            Some(head) => {
                unread.advance(head.length);
                if !head.is_interim() {
                    break head;
                }
            }
            None => match coming.next() {
                Some(more) => unread.extend_from_slice(more),
                None => return Ok(None),
            },
        }
    };
    let mut content = Content::new(head.ending(method)?);
    let (mut data, mut trailers) = (Vec::new(), None);
    let whole = loop {
        match content.take(&mut unread)? {
            Piece::Data(piece) => data.extend_from_slice(&piece),
            Piece::Trailers(fields) => trailers = Some(fields),
            Piece::End => break true,
            Piece::Hungry => match coming.next() {
                Some(more) => unread.extend_from_slice(more),
                None => break content.ends_here(),
            },
        }
    };
    let Head { status, version, fields, .. } = head;
    Ok(Some(Meaning { status, version, fields, data, trailers, whole }))
}

/// What hyper makes of it.
fn with_hyper(method: &Method, answer: &[u8]) -> Option<Meaning> {
    let cx = &mut Context::from_waker(Waker::noop());
    let (io, mut upstream) = duplex(1 << 20);
    let handshake = pin!(http1::Builder::new().handshake::<_, Empty<Bytes>>(TokioIo::new(io)));
    let Poll::Ready(Ok((mut sender, connection))) = handshake.poll(cx) else { return None };
    let mut connection = pin!(connection);
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method.clone();
    let reply = pin!(sender.send_request(request));
    let _ = connection.as_mut().poll(cx);
    assert!(Pin::new(&mut upstream).poll_write(cx, answer).is_ready());
    assert!(Pin::new(&mut upstream).poll_shutdown(cx).is_ready());
    let mut ended = connection.as_mut().poll(cx).is_ready();
    let Poll::Ready(Ok(response)) = reply.poll(cx) else { return None };
    let (parts, mut body) = response.into_parts();
    let (mut data, mut trailers) = (Vec::new(), None);
    let whole = loop {
        match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                data.extend_from_slice(&frame.into_data().unwrap_or_default());
            }
            Poll::Ready(Some(Ok(frame))) => trailers = frame.into_trailers().ok(),
            Poll::Ready(Some(Err(_))) => break false,
            Poll::Ready(None) => break true,
            Poll::Pending if ended => break false,
            Poll::Pending => ended = connection.as_mut().poll(cx).is_ready(),
        }
    };
    let trailers = trailers.filter(|fields| !fields.is_empty());
    Some(Meaning {
        status: parts.status,
        version: parts.version,
        fields: parts.headers,
        data,
        trailers,
        whole,
    })
}
