//! Our errors in Chinese. Words of a library in them are quoted, and those of the system translated where they are usual.

use super::chain::Chain;
use super::local_ca::LocalCaError;
use super::observe::{LIMIT as HANDSHAKE_LIMIT, ObserveError};
use super::pair::PairError;
use super::store::StoreError;
use super::when;
use crate::machine::words::foreign;
use crate::policy::sentence::Sentence;
use crate::shared::trust::TrustError;

/// An error that people get to read.
pub(crate) trait InWords: std::error::Error + Sized {
    /// In Chinese; `Display` is the English one.
    fn chinese(&self) -> String;

    /// In each language, with its causes.
    fn in_words(&self) -> Sentence {
        Sentence::new(Chain(self).to_string(), self.chinese())
    }
}

impl InWords for PairError {
    fn chinese(&self) -> String {
        match self {
            Self::Pem(error) => format!("无法读取 PEM 内容：{}", foreign(error)),
            Self::Empty => "其中没有证书".to_owned(),
            Self::Certificate(error) => format!("无法读取证书：{}", foreign(error)),
            Self::Key(error) => format!("私钥与证书不匹配：{}", foreign(error)),
            Self::Names => "证书中的地址与所申请的不同".to_owned(),
            Self::Chain(number) => format!("证书链中第 {number} 张证书不是由下一张签发的"),
            Self::Future(at) => format!("它从 {} 起才有效：本机时钟是否偏慢？", when::text(*at)),
            Self::Past(at) => format!("它已于 {} 到期：本机时钟是否偏快？", when::text(*at)),
        }
    }
}

impl InWords for StoreError {
    fn chinese(&self) -> String {
        match self {
            Self::Io { action, path, source } => {
                format!("无法{} {}：{}", doing(action), path.display(), foreign(source))
            }
            Self::Group(group) => format!("用户组 {group} 不存在，请更正 store.group"),
            Self::Json { path, source } => {
                format!("无法把 {} 写成 JSON：{}", path.display(), foreign(source))
            }
            Self::Panicked(error) => format!("存储目录的操作中断：{}", foreign(error)),
            Self::Hangs(seconds) => format!("磁盘在 {seconds} 秒内没有响应"),
        }
    }
}

/// What the store was about to do.
fn doing(action: &str) -> &str {
    match action {
        "replace" => "替换",
        "create" | "make" => "创建",
        "write" => "写入",
        "give the owner to" => "设置属主",
        "give the group to" => "设置属组",
        "set the mode of" => "设置权限",
        "sync" => "同步",
        "look at" => "查看",
        "open" => "打开",
        "read" => "读取",
        "remove" => "删除",
        other => other,
    }
}

impl InWords for TrustError {
    fn chinese(&self) -> String {
        match self {
            Self::File { path, source } => {
                format!("{} 不能作为 PEM 证书读取：{}", path.display(), foreign(source))
            }
            Self::Certificate { path, source } => {
                format!("{} 中有不是 CA 证书的内容：{}", path.display(), foreign(source))
            }
            Self::Empty { path, .. } => format!("{} 中没有可用的 CA 证书", path.display()),
        }
    }
}

impl InWords for ObserveError {
    fn chinese(&self) -> String {
        match self {
            Self::Handshake { address, source } => {
                format!("与 {address} 的 TLS 握手失败：{}", foreign(source))
            }
            Self::TimedOut { address } => {
                format!("与 {address} 的 TLS 握手在 {} 秒内没有完成", HANDSHAKE_LIMIT.as_secs())
            }
            Self::Nothing(address) => format!("{address} 没有出示证书"),
            Self::Other { address, seen } => format!("{address} 出示的是另一张证书（{seen}）"),
        }
    }
}

impl InWords for LocalCaError {
    fn chinese(&self) -> String {
        match self {
            Self::Sign(error) => format!("本地 CA 无法签发：{}", foreign(error)),
            Self::Pair(error) => format!("本地 CA 签发的证书无法使用：{}", error.chinese()),
            Self::Missing => "没有本地 CA".to_owned(),
            Self::Store(error) => error.chinese(),
        }
    }
}
