//! A request on its way out, over one connection to an upstream.
//!
//! An upstream may answer a request, and close, before it has read all of it. What is written then fails, while the answer
//! waits to be read. So a failure to write ends nothing but the writing: whether there is an answer is for the reading side
//! to find out, which the end of the connection wakes too.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Frame;

use super::batch::SMALL_BYTES;
use super::line::Line;
use super::upload::Upload;
use crate::policy::head;

/// Pieces that are written at once: a head, and a chunk with its size before and a line end after it.
const SLICES: usize = 4;

/// What of a request has not been taken by the connection.
#[derive(Debug, Default)]
pub(super) struct Sending {
    pieces: VecDeque<Bytes>,
    upload: Option<Upload>,
    /// What is to come of an upload whose length is known.
    left: Option<u64>,
    /// A write has failed: the upstream hears no more, but may have said something.
    deaf: bool,
}

/// The client broke off its upload, or sent what is no HTTP.
#[derive(Debug)]
pub(super) struct Broken;

impl Sending {
    /// Begins with a request's whole head. What has a body waits for the first piece of it.
    pub(super) fn begin(&mut self, head: &[u8], upload: Option<Upload>, line: &Line) {
        self.left = upload.as_ref().and_then(Upload::length);
        self.upload = upload;
        let taken = match self.upload {
            Some(_) => Poll::Pending,
            None => line.poll_write(&[IoSlice::new(head)]),
        };
        let taken = match taken {
            Poll::Ready(Ok(taken)) => taken,
            Poll::Ready(Err(_)) => {
                self.deaf = true;
                return;
            }
            Poll::Pending => 0,
        };
        if taken < head.len() {
            self.pieces.push_back(Bytes::copy_from_slice(&head[taken..]));
        }
    }

    /// Sends what can be sent; ready when that is all.
    ///
    /// # Errors
    /// The body cannot be sent to its end.
    pub(super) fn poll(&mut self, line: &Line, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while !self.deaf {
            let fed = self.poll_feed(cx)?;
            match self.poll_pieces(line) {
                Poll::Ready(Ok(())) if fed.is_pending() => return Poll::Pending,
                Poll::Ready(Ok(())) if self.upload.is_none() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.deaf = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// The upstream wants the body that it was asked about.
    pub(super) fn let_through(&self) {
        if let Some(upload) = &self.upload {
            upload.let_through();
        }
    }

    /// No more of the body is sent; what the upstream has of it is not whole.
    pub(super) fn give_up(&mut self) {
        self.deaf = true;
        self.upload = None;
    }

    /// Whether the upstream has all of the request.
    pub(super) fn is_complete(&self) -> bool {
        self.upload.is_none() && self.pieces.is_empty() && !self.deaf
    }

    /// Takes the next piece of the body, if there is little that waits.
    fn poll_feed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Some(upload) = &mut self.upload else { return Poll::Ready(Ok(())) };
        if self.pieces.iter().map(Bytes::len).sum::<usize>() > SMALL_BYTES {
            return Poll::Ready(Ok(()));
        }
        match ready!(upload.poll(cx)) {
            Some(Ok(frame)) => self.put(frame)?,
            Some(Err(_)) => return Poll::Ready(Err(Broken)),
            None => self.put_end(b"")?,
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, frame: Frame<Bytes>) -> Result<(), Broken> {
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => {
                let mut trailers = Vec::new();
                if let Ok(fields) = frame.into_trailers() {
                    fields
                        .iter()
                        .for_each(|(name, value)| head::write_field(&mut trailers, name, None, value));
                }
                return self.put_end(&trailers);
            }
        };
        match &mut self.left {
            Some(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(Broken)?;
                self.pieces.push_back(data);
            }
            None if data.is_empty() => {} // that would be the last chunk
            None => {
                self.pieces.push_back(format!("{:X}\r\n", data.len()).into());
                self.pieces.push_back(data);
                self.pieces.push_back(Bytes::from_static(b"\r\n"));
            }
        }
        Ok(())
    }

    /// The body has come to its end, which shows in its length or in a last chunk.
    fn put_end(&mut self, trailers: &[u8]) -> Result<(), Broken> {
        self.upload = None;
        match self.left {
            Some(0) => Ok(()),
            Some(_) => Err(Broken),
            None => {
                self.pieces.push_back([b"0\r\n", trailers, b"\r\n"].concat().into());
                Ok(())
            }
        }
    }

    fn poll_pieces(&mut self, line: &Line) -> Poll<io::Result<()>> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(b""); SLICES];
            let count = self.pieces.len().min(SLICES);
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(piece);
            }
            let taken = ready!(line.poll_write(&slices[..count]))?;
            if taken == 0 && self.pieces.iter().any(Bytes::has_remaining) {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(taken);
        }
        line.poll_flush()
    }

    fn advance(&mut self, mut taken: usize) {
        while let Some(first) = self.pieces.front_mut() {
            let length = first.len().min(taken);
            first.advance(length);
            taken -= length;
            if first.has_remaining() {
                return;
            }
            self.pieces.pop_front();
        }
    }
}
