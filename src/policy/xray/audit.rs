//! Whether an inbound can follow a new certificate by itself, how long that takes, and what to change if not.

use std::time::Duration;

use super::inbound::{Certificate, Form, Inbound, Tls, Transport, Usage};
use super::leaf::Leaf;
use super::patch::Ours;
use crate::config::Language;
use crate::policy::sentence::{Sentence, roughly};

/// What is known of an inbound that uses our pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Of our certificate among those that are presented, from 1.
    pub position: usize,
    /// How many are presented.
    pub certificates: usize,
    /// It stands in the settings.
    pub inline: bool,
    /// The files are read once.
    pub one_time_loading: bool,
    /// Between two looks at the files.
    pub interval: Duration,
    /// What our certificate is used for.
    pub usage: Usage,
    /// Handshakes for other names are refused.
    pub reject_unknown_sni: bool,
    /// Whether Xray's user may read the files; `None` if that is not known.
    pub readable: Option<bool>,
    /// Whether and when it follows.
    pub follows: Follows,
}

/// How an inbound comes to present a new certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// It reads the files by itself, within this time.
    Within(Duration),
    /// So it does, but its listeners take a change from each other: the files are written again, once in this time,
    /// until all have it.
    InTurn(Duration),
    /// Not by itself.
    Never(Obstacle),
}

/// Why an inbound does not follow by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The certificate stands in the settings.
    Inline,
    /// The files are read once.
    OneTimeLoading,
    /// Xray's user may not read the files.
    Unreadable,
    /// Another certificate comes first, and clients that dial an address get the first.
    NotFirst,
    /// A certificate of the list signs new ones, and those are presented.
    Issuing,
    /// Ours is not for presenting.
    NotPresented,
}

/// Looks at an inbound; `None` where it does not use our pair. `readable` tells whether Xray may read the files.
#[must_use]
pub fn audit(inbound: &Inbound, ours: &dyn Ours, readable: Option<bool>) -> Option<Audit> {
    let tls = inbound.tls.as_ref()?;
    let certificate = tls.certificates.iter().find(|it| ours.has(it))?;
    let position = tls.presented().position(|it| ours.has(it)).map_or(0, |index| index + 1);
    let inline = matches!(certificate.form, Form::Inline);
    let readable = if inline { None } else { readable };
    Some(Audit {
        position,
        certificates: tls.presented().count(),
        inline,
        one_time_loading: certificate.one_time_loading,
        interval: Duration::from_secs(certificate.interval()),
        usage: certificate.usage,
        reject_unknown_sni: tls.reject_unknown_sni,
        readable,
        follows: follows(inbound, tls, certificate, position, readable),
    })
}

fn follows(
    inbound: &Inbound,
    tls: &Tls,
    certificate: &Certificate,
    position: usize,
    readable: Option<bool>,
) -> Follows {
    let interval = Duration::from_secs(certificate.interval());
    let issuing = tls.certificates.iter().any(|it| it.usage == Usage::Issue);
    let shared = inbound.transport == Transport::Xhttp && inbound.is_over_tcp() || inbound.port_count() > 1;
    match certificate {
        _ if issuing => Follows::Never(Obstacle::Issuing),
        _ if position == 0 => Follows::Never(Obstacle::NotPresented),
        // With rejectUnknownSni it is the first whose common name is empty, which only a handshake shows.
        _ if position > 1 && !tls.reject_unknown_sni => Follows::Never(Obstacle::NotFirst),
        Certificate { form: Form::Inline, .. } => Follows::Never(Obstacle::Inline),
        Certificate { one_time_loading: true, .. } => Follows::Never(Obstacle::OneTimeLoading),
        Certificate { form: Form::File { .. }, .. } if readable == Some(false) => {
            Follows::Never(Obstacle::Unreadable)
        }
        Certificate { form: Form::File { .. }, .. } if shared => Follows::InTurn(interval),
        Certificate { form: Form::File { .. }, .. } => Follows::Within(interval),
    }
}

impl Audit {
    /// Our certificate among those of the inbound, where it is presented.
    #[must_use]
    pub fn ours<'a>(&self, inbound: &'a Inbound) -> Option<&'a Certificate> {
        inbound.tls.as_ref()?.presented().nth(self.position.checked_sub(1)?)
    }

    /// What is presented, where the settings say that without a handshake: Xray took it from them, or from the files,
    /// when it made the inbound, and never looks again.
    #[must_use]
    pub fn held<'a>(&self, inbound: &'a Inbound) -> Option<&'a Leaf> {
        match self.follows {
            Follows::Never(Obstacle::Inline | Obstacle::OneTimeLoading) => self.ours(inbound)?.leaf.as_ref(),
            Follows::Never(
                Obstacle::Unreadable | Obstacle::NotFirst | Obstacle::Issuing | Obstacle::NotPresented,
            )
            | Follows::Within(_)
            | Follows::InTurn(_) => None,
        }
    }

    /// Xray reads the pair anew when the inbound is saved as it is: it is in files, which Xray may read.
    #[must_use]
    pub fn saving_helps(&self) -> bool {
        match self.follows {
            Follows::Never(Obstacle::OneTimeLoading) | Follows::Within(_) | Follows::InTurn(_) => true,
            Follows::Never(
                Obstacle::Inline
                | Obstacle::Unreadable
                | Obstacle::NotFirst
                | Obstacle::Issuing
                | Obstacle::NotPresented,
            ) => false,
        }
    }

    /// A change of the settings is needed before anything else can help.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        match self.follows {
            Follows::Never(Obstacle::NotFirst | Obstacle::Issuing | Obstacle::NotPresented) => true,
            Follows::Never(Obstacle::Inline | Obstacle::OneTimeLoading | Obstacle::Unreadable)
            | Follows::Within(_)
            | Follows::InTurn(_) => false,
        }
    }

    /// One sentence on whether and when it follows.
    #[must_use]
    pub fn sentence(&self) -> Sentence {
        let spelt = |time: Duration| {
            let span = roughly(time);
            (span.english().to_owned(), span.in_language(Language::Chinese).to_owned())
        };
        match self.follows {
            Follows::Within(time) => {
                let (en, zh_cn) = spelt(time);
                Sentence::new(
                    format!("follows by itself within {en}"),
                    format!("Xray 会自行读取新证书，最长需要 {zh_cn}"),
                )
            }
            Follows::InTurn(time) => {
                let (en, zh_cn) = spelt(time);
                Sentence::new(
                    format!("follows by itself, its listeners one after another, each within {en}"),
                    format!("Xray 会自行读取新证书，但多个监听共用一份证书，可能需要数次，每次 {zh_cn}"),
                )
            }
            Follows::Never(obstacle) => obstacle.sentence(),
        }
    }

    /// One sentence on what to change; `None` where nothing needs to be.
    #[must_use]
    pub fn remedy(&self) -> Option<Sentence> {
        match self.follows {
            Follows::Never(obstacle) => Some(obstacle.remedy()),
            Follows::Within(time) | Follows::InTurn(time) if time > Duration::from_secs(600) => {
                Some(Sentence::new(
                    "set ocspStapling to 600 (seconds) if that is too long",
                    "如需更快生效，请把 ocspStapling 设为 600（秒）",
                ))
            }
            Follows::Within(_) | Follows::InTurn(_) => None,
        }
    }
}

impl Obstacle {
    /// What is wrong.
    #[must_use]
    pub fn sentence(self) -> Sentence {
        let (en, zh_cn) = match self {
            Self::Inline => (
                "cannot follow by itself: the certificate stands in the settings",
                "无法自行更新：证书内容直接写在入站设置里",
            ),
            Self::OneTimeLoading => (
                "cannot follow by itself: oneTimeLoading makes Xray read the files once",
                "无法自行更新：oneTimeLoading 使 Xray 只读取一次证书文件",
            ),
            Self::Unreadable => (
                "cannot follow by itself: Xray's user may not read the files",
                "无法自行更新：运行 Xray 的用户无权读取证书文件",
            ),
            Self::NotFirst => (
                "never presents our certificate to clients that dial the address: another one comes first",
                "直接用 IP 连接的客户端得不到本证书：列表中它前面还有别的证书",
            ),
            Self::Issuing => (
                "never presents our certificate: one with usage \"issue\" is in the list, and takes its place",
                "不会使用本证书：列表中有 usage 为 issue 的证书",
            ),
            Self::NotPresented => (
                "never presents our certificate: its usage is not \"encipherment\"",
                "不会使用本证书：它的 usage 不是 encipherment",
            ),
        };
        Sentence::new(en, zh_cn)
    }

    /// What to change.
    #[must_use]
    pub fn remedy(self) -> Sentence {
        let (en, zh_cn) = match self {
            Self::Inline => (
                "in the inbound's TLS settings, enter the paths of certificate and key instead of their contents",
                "请在入站的 TLS 设置中改用证书和密钥的文件路径",
            ),
            Self::OneTimeLoading => (
                "switch oneTimeLoading off in the inbound's TLS settings",
                "请在入站的 TLS 设置中关闭 oneTimeLoading",
            ),
            Self::Unreadable => (
                "set store.group to a group of Xray's user, then save the inbound unchanged in the panel's page",
                "请把 store.group 设为运行 Xray 的用户所在的组，然后在面板页面中原样保存一次该入站",
            ),
            Self::NotFirst => (
                "move our certificate to the first place of the inbound's list",
                "请把本证书移到该入站证书列表的第一位",
            ),
            Self::Issuing => (
                "remove the certificate with usage \"issue\" from the inbound",
                "请从该入站中删除 usage 为 issue 的证书",
            ),
            Self::NotPresented => (
                "set the usage of our certificate to \"encipherment\"",
                "请把本证书的 usage 设为 encipherment",
            ),
        };
        Sentence::new(en, zh_cn)
    }
}

/// What saving an inbound unchanged in the panel's page does: Xray makes it anew.
#[must_use]
pub fn saving_it(transport: &Transport) -> Sentence {
    if transport.outlives_its_inbound() {
        Sentence::new(
            "saving the inbound unchanged in the panel's page serves the new pair at once, and open connections stay",
            "在面板页面中原样保存一次该入站，新证书会立即生效，已有连接不会断开",
        )
    } else {
        Sentence::new(
            "saving the inbound unchanged in the panel's page serves the new pair at once, but cuts its open \
             connections: choose a quiet hour",
            "在面板页面中原样保存一次该入站，新证书会立即生效，但该入站的已有连接会断开，请选择空闲时段",
        )
    }
}
