use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use time::macros::datetime;

use super::*;
use crate::control::local_ca::LocalCa;

fn pair() -> Pair {
    let now = datetime!(2026-01-01 00:00 UTC);
    let ip: IpAddr = "127.0.0.1".parse().unwrap();
    let ca = LocalCa::ephemeral(now).unwrap();
    ca.issue(&[ip], Duration::from_secs(3600), now).unwrap()
}

fn origin() -> Origin {
    Origin { terms: "t".to_owned(), role: Role::Issued }
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::at(&dir.path().join("made/by/it"));
    store.prepare().unwrap();
    (dir, store)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn an_installed_pair_is_live_and_its_key_is_private() {
    let (_dir, store) = store();
    assert!(store.load().unwrap().live.is_none());
    let pair = pair();
    store.install(&pair, &origin()).unwrap();
    let (loaded, from) = store.load().unwrap().live.unwrap();
    assert_eq!(loaded.facts.fingerprint_sha256, pair.facts.fingerprint_sha256);
    assert_eq!(from, Some(origin()));
    assert_eq!(mode(&store.live().join(KEY)), 0o600);
    assert_eq!(mode(&store.live().join(CHAIN)), 0o644);
    assert_eq!(mode(&store.live()), 0o700);
    assert!(fs::symlink_metadata(store.live()).unwrap().is_symlink());
}

#[test]
fn only_the_newest_versions_are_kept() {
    let (_dir, store) = store();
    let pair = pair();
    for _ in 0..VERSIONS_KEPT + 3 {
        store.install(&pair, &origin()).unwrap();
    }
    assert_eq!(store.version_ids().unwrap(), (4..=11).collect::<Vec<_>>());
    assert_eq!(fs::read_link(store.live()).unwrap(), Path::new("versions/000011"));
}

#[test]
fn a_missing_or_bad_live_pair_is_restored_from_the_newest_good_version() {
    let (_dir, store) = store();
    let (old, new) = (pair(), pair());
    store.install(&old, &origin()).unwrap();
    store.install(&new, &origin()).unwrap();
    fs::remove_file(store.live()).unwrap();
    let restored = store.load().unwrap().live.unwrap().0;
    assert_eq!(restored.facts.fingerprint_sha256, new.facts.fingerprint_sha256);
    fs::write(store.live().join(CHAIN), "garbage").unwrap();
    let restored = store.load().unwrap().live.unwrap().0;
    assert_eq!(restored.facts.fingerprint_sha256, old.facts.fingerprint_sha256);
    assert_eq!(fs::read_link(store.live()).unwrap(), Path::new("versions/000001"));
}

#[test]
fn what_an_interrupted_install_leaves_is_swept_and_never_live() {
    let (_dir, store) = store();
    store.install(&pair(), &origin()).unwrap();
    let half = store.versions().join(format!("{}2", disk::UNFINISHED));
    fs::create_dir(&half).unwrap();
    fs::write(half.join(KEY), "half").unwrap();
    fs::write(store.dir.join(format!("{}state.json", disk::UNFINISHED)), "half").unwrap();
    store.prepare().unwrap();
    assert!(!half.exists());
    assert_eq!(store.version_ids().unwrap(), [1]);
    assert!(
        fs::read_dir(&store.dir)
            .unwrap()
            .all(|entry| { !entry.unwrap().file_name().to_string_lossy().starts_with(disk::UNFINISHED) })
    );
}

#[test]
fn a_stand_in_is_live_and_what_it_stands_in_for_is_not_lost() {
    let (_dir, store) = store();
    let (issued, stand_in) = (pair(), pair());
    store.install(&issued, &origin()).unwrap();
    let role = Role::StandIn;
    store.install(&stand_in, &Origin { role, ..origin() }).unwrap();
    let loaded = store.load().unwrap();
    let print = |found: Option<(Pair, Option<Origin>)>| found.unwrap().0.facts.fingerprint_sha256;
    assert_eq!(print(loaded.live), stand_in.facts.fingerprint_sha256);
    assert_eq!(print(loaded.expired), issued.facts.fingerprint_sha256);
    assert_eq!(print(store.reinstate().unwrap()), issued.facts.fingerprint_sha256);
    let loaded = store.load().unwrap();
    assert_eq!(print(loaded.live), issued.facts.fingerprint_sha256);
    assert!(loaded.expired.is_none());
}

#[test]
fn an_order_is_over_when_its_certificate_is_live() {
    let (_dir, store) = store();
    let (before, issued) = (pair(), pair());
    let pending = pending(&issued.key_pem);
    store.install(&before, &origin()).unwrap();
    store.save_pending(&pending).unwrap();
    assert!(matches!(store.pending().unwrap(), InFlight::Order(kept) if kept.order_url == "https://ca/1"));
    store.install(&issued, &origin()).unwrap();
    assert!(!store.dir.join("pending.json").exists());
    store.save_pending(&pending).unwrap(); // as if killed before it was forgotten
    assert!(matches!(store.pending().unwrap(), InFlight::Nothing));
}

fn pending(key_pem: &str) -> Pending {
    Pending {
        finalized_at: None,
        terms: "t".to_owned(),
        counted: "c".to_owned(),
        touched_at: datetime!(2026-01-01 00:00 UTC),
        order_url: "https://ca/1".to_owned(),
        key_pem: key_pem.to_owned(),
    }
}

#[test]
fn an_order_is_lost_only_with_both_of_its_files() {
    let (_dir, store) = store();
    let (first, second) = (store.dir.join("pending.json"), store.dir.join("pending.copy.json"));
    let kept = || matches!(store.pending().unwrap(), InFlight::Order(_));
    let saved = || store.save_pending(&pending("key")).unwrap();
    // Whichever is torn, is no text, or is gone.
    for spoil in [|path: &Path| fs::write(path, "{").unwrap(), |path: &Path| fs::write(path, [0xff]).unwrap()]
    {
        for path in [&first, &second] {
            saved();
            spoil(path);
            assert!(kept(), "{}", path.display());
        }
    }
    saved();
    fs::remove_file(&first).unwrap();
    assert!(kept());
    assert!(first.exists(), "it is made again");

    // Both: that is not forgotten before somebody says so.
    saved();
    for path in [&first, &second] {
        fs::write(path, "{").unwrap();
    }
    assert!(matches!(store.pending().unwrap(), InFlight::Torn { .. }));
    assert!(matches!(store.pending().unwrap(), InFlight::Torn { .. }));
    store.forget_pending().unwrap();
    assert!(matches!(store.pending().unwrap(), InFlight::Nothing));

    // Killed before the copy was made, or when it was removed already: there is no certificate to be lost.
    saved();
    fs::remove_file(&second).unwrap();
    fs::write(&first, "{").unwrap();
    assert!(matches!(store.pending().unwrap(), InFlight::Nothing));
}

fn memory() -> Memory {
    serde_json::from_str(r#"{"failures": 7}"#).unwrap()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// What was put aside because of its damage.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("json.bad")
}

#[test]
fn what_is_kept_twice_is_the_same_in_both_files_and_private() {
    let (_dir, store) = store();
    store.save_memory(&memory()).unwrap();
    store.save_pending(&pending("key")).unwrap();
    for name in [STATE, PENDING] {
        let both = [format!("{name}.json"), format!("{name}.copy.json")].map(|name| store.dir.join(name));
        assert_eq!(text(&both[0]), text(&both[1]));
        assert_eq!(both.map(|path| mode(&path)), [0o600; 2], "{name}");
    }
}

#[test]
fn the_memory_is_lost_only_with_both_of_its_files() {
    let (_dir, store) = store();
    let (first, second) = (store.dir.join("state.json"), store.dir.join("state.copy.json"));
    let kept = || store.memory().unwrap() == memory();
    store.save_memory(&memory()).unwrap();
    fs::write(&first, "{").unwrap();
    assert!(kept());
    assert_eq!((text(&aside(&first)), text(&first)), ("{".to_owned(), text(&second)), "it is made again");
    fs::write(&second, "{").unwrap();
    assert!(kept(), "the first is enough");
    fs::remove_file(&second).unwrap();
    assert!(kept());
    store.save_memory(&memory()).unwrap();
    fs::remove_file(&first).unwrap();
    assert!(kept());

    fs::write(&first, "{").unwrap();
    fs::write(&second, "{").unwrap();
    assert!(!kept());
    store.save_memory(&memory()).unwrap();
    assert!(kept() && text(&first) == text(&second), "as if nothing had been");
}

#[test]
fn what_is_kept_twice_is_read_from_the_copy_whatever_is_the_matter_with_the_first() {
    let (dir, store) = store();
    let first = store.dir.join("state.json");
    let spoil = [
        |first: &Path| fs::create_dir(first).unwrap(),
        |first: &Path| symlink(first, first).unwrap(), // the disk gives an error, and no bytes
        |first: &Path| {
            // It cannot be put aside.
            fs::create_dir_all(aside(first).join("in the way")).unwrap();
            fs::write(first, "{").unwrap();
        },
    ];
    for (case, spoil) in spoil.into_iter().enumerate() {
        let store = Store::at(&dir.path().join(case.to_string()));
        store.prepare().unwrap();
        let first = store.dir.join(first.file_name().unwrap());
        store.save_memory(&memory()).unwrap();
        fs::remove_file(&first).unwrap();
        spoil(&first);
        assert_eq!(store.memory().unwrap(), memory(), "case {case}");
    }

    store.save_memory(&memory()).unwrap();
    for name in ["state.json", "state.copy.json"] {
        let path = store.dir.join(name);
        fs::remove_file(&path).unwrap();
        symlink(&path, &path).unwrap();
    }
    assert!(store.memory().is_err(), "a disk that gives neither is no empty one");
}

#[test]
fn of_two_files_the_first_is_written_first_and_removed_last() {
    let (_dir, store) = store();
    let (first, second) = (store.dir.join("pending.json"), store.dir.join("pending.copy.json"));
    fs::create_dir(&second).unwrap(); // as if killed there
    assert!(store.save_pending(&pending("key")).is_err());
    assert!(first.exists());
    assert!(store.forget_pending().is_err());
    assert!(first.exists());

    fs::remove_dir(&second).unwrap();
    store.save_pending(&pending("key")).unwrap();
    fs::remove_file(&first).unwrap();
    fs::create_dir(&first).unwrap();
    assert!(store.save_pending(&pending("another")).is_err());
    assert!(!text(&second).contains("another"));
    assert!(store.forget_pending().is_err());
    assert!(!second.exists());
}

#[test]
fn what_is_damaged_and_cannot_be_put_aside_is_in_nobodys_way() {
    let (_dir, store) = store();
    let path = store.dir.join("account.json");
    fs::write(&path, "{").unwrap();
    fs::create_dir_all(aside(&path).join("in the way")).unwrap();
    assert!(store.account("https://a").unwrap().is_none());
    let account = KeptAccount {
        key_pkcs8: None,
        credentials: None,
        made_at: datetime!(2026-01-01 00:00 UTC),
        first_order_at: None,
    };
    store.save_account("https://a", account).unwrap();
    assert!(store.account("https://a").unwrap().is_some());
}

#[test]
fn a_damaged_state_file_is_put_aside() {
    let (_dir, store) = store();
    let first = store.dir.join("state.json");
    fs::write(&first, "{").unwrap();
    assert_eq!(store.memory().unwrap(), Memory::default());
    assert!(aside(&first).exists() && !first.exists());
}

#[test]
fn accounts_of_several_directories_live_side_by_side() {
    let (_dir, store) = store();
    let account = |key: &str| KeptAccount {
        key_pkcs8: Some(key.to_owned()),
        credentials: None,
        made_at: datetime!(2026-01-01 00:00 UTC),
        first_order_at: None,
    };
    store.save_account("https://a", account("1")).unwrap();
    store.save_account("https://b", account("2")).unwrap();
    let key = |directory| store.account(directory).unwrap().and_then(|account| account.key_pkcs8);
    assert_eq!(key("https://a").as_deref(), Some("1"));
    assert_eq!(key("https://c"), None);
    assert_eq!(mode(&store.dir.join("account.json")), 0o600);
}

#[test]
fn an_exported_pair_keeps_mode_and_symlink_of_what_was_there() {
    let (dir, _store) = store();
    let (real, link) = (dir.path().join("real.pem"), dir.path().join("link.pem"));
    fs::write(&real, "old").unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real.pem", &link).unwrap();
    let to = config::Export { certificate: link.clone(), key: dir.path().join("new.key") };
    let pair = pair();
    export(&to, &pair).unwrap();
    assert_eq!(fs::read_to_string(&real).unwrap(), pair.chain_pem);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(mode(&real), 0o640);
    assert_eq!(mode(&to.key), 0o600);
    let inode = fs::metadata(&real).unwrap().ino();
    export(&to, &pair).unwrap();
    assert_eq!(fs::metadata(&real).unwrap().ino(), inode, "nothing to do, nothing done");
}

#[test]
fn an_unknown_group_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Store { dir: dir.path().to_owned(), group: Some("no-such-group".to_owned()), turn: Arc::default() };
    assert!(matches!(store.prepare(), Err(StoreError::Group(name)) if name == "no-such-group"));
}

#[test]
fn a_new_version_may_be_read_by_whoever_could_read_the_one_before() {
    let (_dir, store) = store();
    store.install(&pair(), &origin()).unwrap();
    let open =
        |name: &str, mode| fs::set_permissions(store.live().join(name), fs::Permissions::from_mode(mode));
    open(KEY, 0o640).unwrap();
    open(".", 0o750).unwrap();
    let before = fs::read_link(store.live()).unwrap();

    store.install(&pair(), &origin()).unwrap();

    assert_ne!(fs::read_link(store.live()).unwrap(), before);
    assert_eq!((mode(&store.live().join(KEY)), mode(&store.live())), (0o640, 0o750));
    assert_eq!(mode(&store.live().join(CHAIN)), 0o644);
}
