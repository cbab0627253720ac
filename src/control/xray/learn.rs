//! What runs: asked from Xray's API; while that does not answer, what its configuration file says.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::api::Api;
use super::process::{self, Behind, Owner};
use crate::config::{self, Address, Config};
use crate::control::chain::Chain;
use crate::machine::words::foreign;
use crate::policy::sentence::Sentence;
use crate::policy::xray::audit::{Audit, Follows, audit};
use crate::policy::xray::change::is_temporary;
use crate::policy::xray::file;
use crate::policy::xray::inbound::{Form, Inbound};
use crate::policy::xray::patch::Ours;

/// Of a configuration file; the panels' have some hundred kilobytes.
const LARGEST_FILE: u64 = 32 << 20;

/// Where the panels put the API, for when their file may not be read.
const USUAL_PORT: u16 = 62789;

/// An inbound that uses our pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) inbound: Inbound,
    pub(super) audit: Audit,
    /// Processes that share one of its ports, if there are several.
    pub(super) sharing: Option<Sentence>,
    /// The process behind it, as far as it may be known.
    pub(super) process: Option<Owner>,
}

impl Known {
    /// The chain that its listeners share, and how often they look at it; `None` where each has its own.
    pub(super) fn shared(&self) -> Option<(PathBuf, Duration)> {
        let Follows::InTurn(interval) = self.audit.follows else { return None };
        // Those of others are left alone.
        match &self.audit.ours(&self.inbound)?.form {
            Form::File { certificate, .. } => Some((PathBuf::from(certificate), interval)),
            Form::Inline => None,
        }
    }

    /// Whether there is nothing to be said that was not said of the other.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let about = |known: &Self| (known.audit.clone(), known.sharing.clone(), known.process.clone());
        about(self) == about(other) && self.inbound.is_set_like(&other.inbound)
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    pub(super) known: Vec<Known>,
    /// The API answered.
    pub(super) api: bool,
    /// What is to be said of Xray as a whole.
    pub(super) note: Option<Sentence>,
}

/// What makes a certificate ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OurPair {
    places: Vec<(PathBuf, PathBuf)>,
    issued: HashSet<[u8; 32]>,
}

impl OurPair {
    pub(super) fn of(config: &Config, issued: &[String]) -> Self {
        let live = config.store.dir.join("live");
        let mut places = vec![(live.join("fullchain.pem"), live.join("privkey.pem"))];
        let export = config.ip_cert.as_ref().and_then(|cert| cert.export.as_ref());
        places.extend(export.map(|export| (export.certificate.clone(), export.key.clone())));
        Self { places, issued: issued.iter().filter_map(|hex| bytes(hex)).collect() }
    }

    fn readable(&self, inbound: &Inbound, owner: Option<&Owner>) -> Option<bool> {
        let certificates = &inbound.tls.as_ref()?.certificates;
        let Form::File { certificate, key } = &certificates.iter().find(|it| self.has(it))?.form else {
            return None;
        };
        let owner = owner?;
        Some(owner.may_read(Path::new(certificate))? && owner.may_read(Path::new(key))?)
    }
}

impl Ours for OurPair {
    /// The chain decides; links that lead to our file count, too.
    fn files(&self, certificate: &str, _: &str) -> bool {
        let there = Path::new(certificate);
        self.places.iter().any(|(ours, _)| {
            there == ours
                || fs::canonicalize(ours).is_ok_and(|ours| fs::canonicalize(there).is_ok_and(|it| it == ours))
        })
    }

    fn issued(&self, leaf: &[u8; 32]) -> bool {
        self.issued.contains(leaf)
    }
}

/// Asks. `api` is kept from one time to the next. `None` where there is no Xray, or none that we know of.
pub(super) async fn learn(config: &config::Xray, ours: &OurPair, api: &mut Option<Api>) -> Learned {
    let path = config.config.clone();
    let read = tokio::task::spawn_blocking(move || read(&path)).await;
    let said = read.unwrap_or_else(|panicked| Err(io::Error::other(panicked)));
    let address = config.api.clone().or_else(|| match &said {
        Ok(Some(file)) => file.api.clone(),
        Ok(None) => None,
        Err(_) => Some(Address::Tcp { host: "127.0.0.1".to_owned(), port: USUAL_PORT }),
    });
    let name = config.config.display();
    let (file, mut note) = match said {
        Ok(file) => (file.unwrap_or_default(), None),
        Err(error) => (file::File::default(), Some(unreadable(&name, &error))),
    };
    let (inbounds, answers) = match address {
        None => {
            *api = None;
            if note.is_none() && !file.inbounds.is_empty() {
                note =
                    Some(Sentence::new("Xray's API is off", "Xray 的 API 未启用").and(&second_best(&name)));
            }
            (file.inbounds, false)
        }
        Some(address) => match ask(api, address).await {
            Ok((inbounds, strange)) => {
                note = (strange > 0).then(|| {
                    Sentence::new(
                        format!("{strange} inbounds of Xray could not be understood"),
                        format!("有 {strange} 个 Xray 入站无法识别"),
                    )
                });
                (inbounds, true)
            }
            Err(why) => {
                note = Some(why.and(&second_best(&name)));
                (file.inbounds, false)
            }
        },
    };
    let ours = ours.clone();
    let known = tokio::task::spawn_blocking(move || audits(inbounds, &ours)).await.unwrap_or_default();
    Learned { known, api: answers, note }
}

fn second_best(file: &impl std::fmt::Display) -> Sentence {
    Sentence::new(
        format!(
            "what runs is taken from {file}; inbounds that were added in the panel since Xray's start may be missing"
        ),
        format!("改为读取 {file}；Xray 启动之后在面板中添加的入站可能不在其中"),
    )
}

fn unreadable(file: &impl std::fmt::Display, error: &io::Error) -> Sentence {
    Sentence::new(format!("could not read {file}: {error}"), format!("无法读取 {file}：{}", foreign(error)))
}

/// What the API lists, and how much of it made no sense.
async fn ask(api: &mut Option<Api>, address: Address) -> Result<(Vec<Inbound>, usize), Sentence> {
    let kept = api.take().filter(|api| *api.address() == address);
    let api = api.insert(kept.unwrap_or_else(|| Api::at(address)));
    let listed = api.inbounds().await.map_err(|error| {
        let place = match api.address() {
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(path) => path.display().to_string(),
        };
        let why = Chain(&error);
        Sentence::new(
            format!("Xray's API at {place}: {why}"),
            format!("Xray 的 API（{place}）无法使用：{}", foreign(&error)),
        )
    })?;
    let total = listed.len();
    let inbounds: Vec<_> = listed.iter().filter_map(|bytes| Inbound::read(bytes).ok()).collect();
    let strange = total - inbounds.len();
    Ok((inbounds, strange))
}

fn audits(inbounds: Vec<Inbound>, ours: &OurPair) -> Vec<Known> {
    let real = inbounds.into_iter().filter(|inbound| !is_temporary(&inbound.tag));
    let mut mine: Vec<_> = real.filter(|inbound| audit(inbound, ours, None).is_some()).collect();
    mine.sort_by(|a, b| a.tag.cmp(&b.tag));
    if mine.is_empty() {
        return Vec::new();
    }
    let ports: Vec<u16> =
        mine.iter().flat_map(|it| it.ports.iter().flat_map(|(first, last)| *first..=*last)).collect();
    let behind = process::listening(&ports);
    let known = mine.into_iter().filter_map(|inbound| {
        let process = owner(&inbound, &behind);
        let audit = audit(&inbound, ours, ours.readable(&inbound, process.as_ref()))?;
        Some(Known { sharing: sharing(&inbound, &behind), audit, process, inbound })
    });
    known.collect()
}

fn owner(inbound: &Inbound, behind: &BTreeMap<u16, Behind>) -> Option<Owner> {
    let (first, _) = inbound.ports.first()?;
    behind.get(first)?.owners.first().cloned()
}

/// Who shares a port, if more than one process does, or may do so.
fn sharing(inbound: &Inbound, behind: &BTreeMap<u16, Behind>) -> Option<Sentence> {
    let ports = inbound.ports.iter().flat_map(|(first, last)| *first..=*last);
    let mut behind = ports.filter_map(|port| Some((port, behind.get(&port)?)));
    let several = |it: &Behind| it.owners.len() > 1 || it.owners.is_empty() && it.joined > 1;
    let (port, Behind { owners, joined }) = behind.find(|(_, it)| several(it))?;
    if owners.is_empty() {
        return Some(Sentence::new(
            format!(
                "{joined} listeners share port {port} and its connections; only root can see of which processes"
            ),
            format!("有 {joined} 个监听共用端口 {port} 并分走其连接；只有 root 能看到它们属于哪些进程"),
        ));
    }
    let names: Vec<_> = owners.iter().map(|owner| format!("{} (pid {})", owner.program, owner.pid)).collect();
    let (count, names) = (names.len(), names.join(", "));
    Some(Sentence::new(
        format!("{count} processes listen on port {port}, and share its connections: {names}"),
        format!("有 {count} 个进程同时监听端口 {port}，分走其连接：{names}"),
    ))
}

/// `None` where there is no such file.
fn read(path: &Path) -> io::Result<Option<file::File>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(LARGEST_FILE).read_to_string(&mut text)?;
    file::read(&text).map(Some).map_err(io::Error::other)
}

pub(super) fn bytes(hex: &str) -> Option<[u8; 32]> {
    let pairs = hex.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    bytes?.try_into().ok()
}
