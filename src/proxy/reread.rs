//! Heads that hyper reads once more, from their bytes: what it made of them the first time was not enough, or is used up.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::{Extensions, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWrite, duplex};

use super::body::ResponseBody;
use super::upload::RequestBody;

/// Room for a request without fields.
const REQUEST_BYTES: usize = 64;

/// A request without a body.
pub(super) fn request(builder: &server::Builder, head: &[u8]) -> Option<Request<Incoming>> {
    let cx = &mut Context::from_waker(Waker::noop());
    let read = Rc::new(Cell::new(None));
    let service = service_fn({
        let read = Rc::clone(&read);
        move |request| {
            read.set(Some(request));
            pending::<Result<Response<ResponseBody>, Infallible>>()
        }
    });
    let (io, mut client) = duplex(head.len());
    let _ = Pin::new(&mut client).poll_write(cx, head); // there is room for it
    let _ = pin!(builder.serve_connection(TokioIo::new(io), service)).poll(cx);
    read.take()
}

/// What hyper notes of the letter case of an answer's names, which only hyper itself can make.
pub(super) fn record(head: &[u8]) -> Option<Extensions> {
    let cx = &mut Context::from_waker(Waker::noop());
    let (io, mut upstream) = duplex(head.len().max(REQUEST_BYTES));
    let handshake = pin!(client::Builder::new().preserve_header_case(true).handshake(TokioIo::new(io)));
    let Poll::Ready(Ok((mut sender, mut connection))) = handshake.poll(cx) else {
        return None;
    };
    let reply = pin!(sender.send_request(Request::new(RequestBody::Empty)));
    // It must have asked before it is answered. How it ends is of no interest.
    let _ = pin!(&mut connection).poll(cx);
    let _ = Pin::new(&mut upstream).poll_write(cx, head);
    let _ = pin!(&mut connection).poll(cx);
    match reply.poll(cx) {
        Poll::Ready(Ok(response)) => Some(response.into_parts().0.extensions),
        Poll::Ready(Err(_)) | Poll::Pending => None,
    }
}
