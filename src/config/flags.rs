//! The flags of `doorman run`, laid over the file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::written::{Entry, Node, Origin, Table, Value};

/// What `doorman run` was told on its command line. A flag that is given overrules the file's key; a list that is empty
/// is not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--panel`: `panel.upstream`.
    pub panel: Option<String>,
    /// `--listen`: `http.listen`.
    pub listen: Vec<String>,
    /// `--https`: `https.listen`.
    pub https: Vec<String>,
    /// `--ip`: `ip_cert.ip`.
    pub ip: Vec<String>,
    /// `--directory`: `ip_cert.directory`.
    pub directory: Option<String>,
    /// `--directory-ca`: `ip_cert.directory_ca`.
    pub directory_ca: Option<PathBuf>,
    /// `--store`: `store.dir`.
    pub store: Option<PathBuf>,
    /// `--admin`: `admin.listen`.
    pub admin: Option<String>,
}

impl Flags {
    /// Puts what is given in place of what the file says; sections are made where there are none.
    pub(super) fn overrule<'s>(&'s self, table: &mut Table<'s>) {
        let mut set = |section, key, flag, value: Option<Node<'s>>| {
            if let Some(value) = value {
                put(table, section, key, flag, value);
            }
        };
        set("panel", "upstream", "--panel", text("--panel", self.panel.as_deref()));
        set("http", "listen", "--listen", list("--listen", &self.listen));
        set("https", "listen", "--https", list("--https", &self.https));
        set("ip_cert", "ip", "--ip", list("--ip", &self.ip));
        set("ip_cert", "directory", "--directory", text("--directory", self.directory.as_deref()));
        set(
            "ip_cert",
            "directory_ca",
            "--directory-ca",
            path("--directory-ca", self.directory_ca.as_deref()),
        );
        set("store", "dir", "--store", path("--store", self.store.as_deref()));
        set("admin", "listen", "--admin", text("--admin", self.admin.as_deref()));
    }
}

fn put<'s>(
    table: &mut Table<'s>,
    section: &'static str,
    key: &'static str,
    flag: &'static str,
    node: Node<'s>,
) {
    let at = Origin::Flag(flag);
    let given = |entry: &Entry<'s>| entry.key == section && !matches!(entry.node.value, Value::Null);
    if !table.0.iter().any(given) {
        table.0.retain(|entry| entry.key != section);
        let empty = Node { at, written: Cow::Borrowed(""), value: Value::Table(Table::default()) };
        table.0.push(Entry { key: section.into(), at, node: empty });
    }
    let section = table.0.iter_mut().find(|entry| entry.key == section);
    // What is not a section stays as it is: it is going to be refused.
    if let Some(Entry { node: Node { value: Value::Table(keys), .. }, .. }) = section {
        keys.0.retain(|entry| entry.key != key);
        keys.0.push(Entry { key: key.into(), at, node });
    }
}

fn text<'s>(flag: &'static str, given: Option<&'s str>) -> Option<Node<'s>> {
    given.map(|text| node(flag, text.into()))
}

fn path<'s>(flag: &'static str, given: Option<&'s Path>) -> Option<Node<'s>> {
    given.map(|path| node(flag, path.to_string_lossy()))
}

fn list<'s>(flag: &'static str, given: &'s [String]) -> Option<Node<'s>> {
    let items = given.iter().map(|text| node(flag, text.as_str().into())).collect();
    let value = Value::Array(items);
    (!given.is_empty()).then_some(Node { at: Origin::Flag(flag), written: Cow::Borrowed(""), value })
}

fn node<'s>(flag: &'static str, text: Cow<'s, str>) -> Node<'s> {
    Node { at: Origin::Flag(flag), written: text.clone(), value: Value::String(text) }
}
