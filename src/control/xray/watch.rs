//! Notices when the panel writes Xray's configuration: it does so at each start of Xray.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{CreateFlags, ReadFlags, WatchFlags, add_watch, init};
use tokio::net::unix::pipe::Receiver;

/// For a handful of events, each 16 bytes and a name of at most 256 (inotify(7)).
const BUFFER: usize = 4096;

/// The directory of a file: whoever replaces the file by a rename, or removes it, changes that.
pub(super) struct Watch {
    directory: PathBuf,
    name: Vec<u8>,
    /// Read like a pipe, which is all that inotify is.
    events: Option<Receiver>,
}

impl Watch {
    pub(super) fn of(file: &Path) -> Self {
        let directory = file.parent().unwrap_or(Path::new("/")).to_owned();
        let name = file.file_name().unwrap_or_default().as_bytes().to_owned();
        Self { directory, name, events: None }
    }

    /// Watches, if it does not yet; a directory that is not there is tried again.
    pub(super) fn begin(&mut self) {
        if self.events.is_none() {
            self.events = watch(&self.directory).ok();
        }
    }

    /// Waits until the file may be another; for ever where it cannot be watched, for it is looked at regularly too.
    pub(super) async fn changed(&mut self) {
        let Some(events) = &self.events else { return std::future::pending().await };
        let mut buffer = [0; BUFFER];
        loop {
            if events.readable().await.is_err() {
                return std::future::pending().await;
            }
            let read = match events.try_read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => break,
            };
            match seen(&buffer[..read], &self.name) {
                Seen::TheFile => return,
                Seen::Others => {}
                Seen::TheEnd => break,
            }
        }
        self.events = None;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    TheFile,
    Others,
    /// The directory itself is gone.
    TheEnd,
}

fn watch(directory: &Path) -> io::Result<Receiver> {
    let events = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    let what =
        WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF;
    add_watch(&events, directory, what)?;
    Receiver::from_owned_fd_unchecked(events)
}

fn seen(events: &[u8], name: &[u8]) -> Seen {
    let mut found = Seen::Others;
    each(events, |what, file| {
        if what.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED) {
            found = Seen::TheEnd;
        } else if file == name && found == Seen::Others {
            found = Seen::TheFile;
        }
    });
    found
}

/// Goes through `struct inotify_event`: watch, mask, cookie and length, four bytes each, then the name with zeros.
pub(super) fn each(mut events: &[u8], mut event: impl FnMut(ReadFlags, &[u8])) {
    while let Some((head, rest)) = events.split_first_chunk::<16>() {
        let number = |at| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = usize::try_from(number(12)).unwrap_or(usize::MAX).min(rest.len());
        let (file, next) = rest.split_at(length);
        event(
            ReadFlags::from_bits_retain(number(4)),
            file.split(|byte| *byte == 0).next().unwrap_or_default(),
        );
        events = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_written_or_replaced_is_noticed_and_its_neighbours_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.json");
        let mut watch = Watch::of(&file);
        watch.begin();
        std::fs::write(directory.path().join("other.json"), "{}").unwrap();
        std::fs::write(&file, "{}").unwrap();
        watch.changed().await;
        std::fs::write(directory.path().join("new"), "{}").unwrap();
        std::fs::rename(directory.path().join("new"), &file).unwrap();
        watch.changed().await;
    }

    #[test]
    fn events_are_told_apart() {
        let event = |mask: ReadFlags, name: &[u8; 16]| {
            let mut event =
                [0_i32.to_ne_bytes(), mask.bits().to_ne_bytes(), [0; 4], 16_u32.to_ne_bytes()].concat();
            event.extend_from_slice(name);
            event
        };
        let ours = event(ReadFlags::MOVED_TO, b"config.json\0\0\0\0\0");
        let other = event(ReadFlags::CLOSE_WRITE, b"config.json.bak\0");
        assert_eq!(seen(&other, b"config.json"), Seen::Others);
        assert_eq!(seen(&[other, ours].concat(), b"config.json"), Seen::TheFile);
        assert_eq!(seen(&event(ReadFlags::DELETE_SELF, &[0; 16]), b"config.json"), Seen::TheEnd);
        assert_eq!(seen(&[1, 2, 3], b"config.json"), Seen::Others);
    }
}
