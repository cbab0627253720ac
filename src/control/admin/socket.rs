//! Where the admin interface listens: a socket file, or a loopback port.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::AdminAddress;

/// Owner and group may use the socket; that is all the authorisation it has.
const SOCKET_MODE: u32 = 0o660;

/// A bound admin interface. A socket file of its own is removed with it.
pub(super) enum Listener {
    Unix {
        listener: UnixListener,
        /// Kept for its drop.
        _file: SocketFile,
    },
    Tcp(TcpListener),
}

/// A connection.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// Why the admin interface cannot listen.
#[derive(Debug, Error)]
pub(super) enum BindError {
    /// Somebody answers there.
    #[error("another daemon listens on {}", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket is in the way, and not ours to remove.
    #[error("{} is there and is no socket", .0.display())]
    InTheWay(PathBuf),
    /// The operating system said no.
    #[error("{place} cannot be bound: {source}")]
    Io {
        /// Path or address.
        place: String,
        /// Why not.
        source: io::Error,
    },
}

/// A socket file that we made; known by its inode, so that a successor's is not removed.
pub(super) struct SocketFile {
    path: PathBuf,
    inode: Option<u64>,
}

impl Listener {
    pub(super) async fn bind(address: &AdminAddress) -> Result<Self, BindError> {
        match address {
            AdminAddress::Tcp(address) => TcpListener::bind(address)
                .await
                .map(Self::Tcp)
                .map_err(|source| BindError::Io { place: address.to_string(), source }),
            AdminAddress::Unix(path) => {
                remove_stale(path).await?;
                bind_file(path).map_err(|source| BindError::Io { place: path.display().to_string(), source })
            }
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Unix { listener, .. } => Ok(Stream::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => Ok(Stream::Tcp(listener.accept().await?.0)),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = fs::remove_file(&self.path); // a stale one is recognised at the next start
        }
    }
}

/// Removes the socket of a daemon that is dead; one that answers, and anything else, is left alone.
async fn remove_stale(path: &Path) -> Result<(), BindError> {
    let Ok(there) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !there.file_type().is_socket() {
        return Err(BindError::InTheWay(path.to_owned()));
    }
    let io = |source| BindError::Io { place: path.display().to_string(), source };
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(io),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(error)),
        Ok(_) => Err(BindError::InUse(path.to_owned())),
    }
}

fn bind_file(path: &Path) -> io::Result<Listener> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let listener = UnixListener::bind(path)?;
    let file = SocketFile { path: path.to_owned(), inode: inode(path) };
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(Listener::Unix { listener, _file: file })
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|there| there.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_a_live_one_and_a_file_are_respected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/admin.sock");
        let address = AdminAddress::Unix(path.clone());
        let first = Listener::bind(&address).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, SOCKET_MODE);
        assert!(matches!(Listener::bind(&address).await, Err(BindError::InUse(_))));
        drop(first);
        assert!(!path.exists(), "removed with its listener");

        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "left behind by a dead daemon");
        drop(Listener::bind(&address).await.unwrap());

        fs::write(&path, "mine").unwrap();
        assert!(matches!(Listener::bind(&address).await, Err(BindError::InTheWay(_))));
    }
}
