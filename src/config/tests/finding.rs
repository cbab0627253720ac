use std::io::Write;
use std::path::PathBuf;

use super::Flags;
use crate::config::{AdminAddress, Found, ReadError, admin_address, read};

fn file(name: &str, text: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(text).unwrap();
    (dir, path)
}

fn listens_at(text: &str) -> AdminAddress {
    let (_dir, path) = file("a.toml", text.as_bytes());
    admin_address(Some(&path), None).unwrap().listen
}

#[test]
fn the_daemon_is_found_whatever_else_is_wrong() {
    let tcp = AdminAddress::Tcp("127.0.0.1:9180".parse().unwrap());
    assert_eq!(
        listens_at("[admin]\nlisten = \"127.0.0.1:9180\"\ntoken_file = \"/nonexistent\"\n[htp]\nx = 1\n"),
        tcp
    );
    assert_eq!(listens_at("[admin]\nlisten = \"127.0.0.1:9180\"\n[http]\nlisten = 0.0.0.0:80\n"), tcp);
    assert_eq!(listens_at("[panel]\n"), AdminAddress::Unix("/run/doorman/admin.sock".into()));
}

#[test]
fn the_flag_finds_the_daemon_without_the_file() {
    let missing = PathBuf::from("/nonexistent/doorman.toml");
    let admin = admin_address(Some(&missing), Some("/tmp/a.sock")).unwrap();
    assert_eq!(admin.listen, AdminAddress::Unix("/tmp/a.sock".into()));
    let wrong = admin_address(Some(&missing), Some("1.2.3.4:5")).unwrap_err();
    assert!(matches!(wrong, ReadError::Wrong { problems, .. } if problems[0].key == "--admin"));
    assert!(matches!(admin_address(Some(&missing), None), Err(ReadError::Missing { .. })));
}

#[test]
fn a_wrong_admin_address_is_said() {
    let (_dir, path) = file("a.toml", b"[http]\nworkers = \"x\"\n[admin]\nlisten = \"0.0.0.0:1\"\n");
    let Err(ReadError::Wrong { problems, .. }) = admin_address(Some(&path), None) else { panic!("accepted") };
    assert_eq!((problems.len(), problems[0].line), (1, Some(4)));
}

#[test]
fn a_file_is_utf8_of_a_reasonable_size() {
    let (_dir, path) = file("a.toml", b"[panel]\n# \xff\n");
    let Err(ReadError::Wrong { problems, .. }) = read(Some(&path), &Flags::default()) else {
        panic!("accepted")
    };
    assert_eq!(problems[0].line, Some(2));
    assert!(matches!(&problems[0].found, Found::Malformed(says) if says.contains("UTF-8")));
    let (_dir, path) = file("a.toml", b"\xef\xbb\xbf[panel]\nupstream = \"http://127.0.0.1:1\"\n");
    assert!(read(Some(&path), &Flags::default()).is_ok());
    let (_dir, path) = file("a.toml", &vec![b'#'; 2 * 1024 * 1024]);
    assert!(matches!(read(Some(&path), &Flags::default()), Err(ReadError::Io { .. })));
}
