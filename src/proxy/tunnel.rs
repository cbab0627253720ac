//! What an upgraded connection becomes: bytes both ways, with half-close, and without a time limit.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};

use super::stream::Stream;

/// Room for each direction.
const BUFFER_BYTES: usize = 16 * 1024;

/// One side of a tunnel.
pub(super) struct Side {
    pub(super) stream: Stream,
    /// What it said before the tunnel was there.
    pub(super) early: Bytes,
}

/// Carries bytes until both sides have said their last.
///
/// # Errors
/// Either connection failed.
pub(super) async fn run(mut client: Side, mut upstream: Side) -> io::Result<()> {
    client.stream.keep_alive();
    upstream.stream.keep_alive();
    upstream.stream.write_all(&client.early).await?;
    client.stream.write_all(&upstream.early).await?;
    client.stream.flush().await?;
    client.early.clear();
    upstream.early.clear();
    copy_bidirectional_with_sizes(&mut client.stream, &mut upstream.stream, BUFFER_BYTES, BUFFER_BYTES)
        .await?;
    Ok(())
}
