//! Our errors in Chinese. Words of the CA in them are quoted, and those of the system translated where they are usual.

use std::net::IpAddr;

use super::error::IssueError;
use super::selfcheck::{CHALLENGE_PATH, SelfCheckError, host};
use super::tls_alpn::{PORT, TlsCheckError};
use super::wire::{REQUEST_LIMIT, WireError};
use super::words::cause;
use crate::config::Language;
use crate::control::zh_cn::InWords;
use crate::machine::words::foreign;
use crate::policy::failure::{Challenge, Kind};
use crate::policy::sentence::{quotation, roughly};

impl InWords for IssueError {
    fn chinese(&self) -> String {
        match self {
            Self::Roots(error) => format!("ip_cert.directory_ca 中的根证书无法使用：{}", error.chinese()),
            Self::EabKey => "ip_cert.eab_hmac_key 不是 base64url：请从 CA 重新复制".to_owned(),
            Self::NoAccount { problem } => format!("CA 拒绝提供账户：{}", quotation(&cause(problem))),
            Self::NoProfile { wanted, offered } => {
                format!("CA 不提供 profile {wanted:?}；可用的有：{}", listed(offered))
            }
            Self::Wire(error) => format!("现在无法使用 CA：{}", error.chinese()),
            Self::NotAcme(error) => format!("应答者不是 ACME 服务器：{}", foreign(error)),
            Self::Library(error) => format!("与 CA 的 ACME 交互中断：{}", foreign(error)),
            Self::Problem { problem, .. } => format!("CA 拒绝了请求：{}", quotation(&cause(problem))),
            Self::Clock { ahead } => {
                let direction = if ahead.is_positive() { "快" } else { "慢" };
                let apart = roughly(ahead.unsigned_abs());
                format!("本机时钟比 CA {direction} {}", apart.in_language(Language::Chinese))
            }
            Self::Earlier(error) => error.chinese(),
            Self::Rehearsal(error) => format!("先在 CA 的测试目录中试验：{}", error.chinese()),
            Self::Validation { identifier, way, kind, problem } => {
                let said = quotation(&cause(problem));
                format!("{}：{said}", not_validated(*identifier, *way, *kind))
            }
            Self::Invalid => "CA 放弃了该订单，没有说明原因".to_owned(),
            Self::NoChallenge(address, way) => format!("CA 没有为 {address} 提供 {way} 验证"),
            Self::ForeignIdentifier => "CA 要求验证一个并未申请的地址".to_owned(),
            Self::SelfCheck { address, source } => {
                format!("{address} 没有给出验证文件：{}", source.chinese())
            }
            Self::TlsCheck { address, source } => {
                format!("{address} 没有给出验证用的证书：{}", source.chinese())
            }
            Self::Stalled { status, limit } => {
                format!("CA 在 {} 秒内没有进展（订单状态为 {status:?}）", limit.as_secs())
            }
            Self::Certificate { source, .. } => format!("CA 签发的证书无法使用：{}", source.chinese()),
            Self::Lost { .. } => "CA 已完成的订单已无法继续使用；其证书已丢失，但仍计入限额".to_owned(),
            Self::TooEarly { .. } => {
                "按 CA 的时钟，现在再申请一张证书为时过早；本机时钟偏快，或已签发的一张证书已丢失".to_owned()
            }
            Self::Request(error) => format!("无法生成证书请求：{}", foreign(error)),
            Self::Store(error) => format!("无法使用存储目录：{}", error.chinese()),
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "无".to_owned() } else { names.join("、") }
}

fn not_validated(identifier: IpAddr, way: Challenge, kind: Kind) -> String {
    match (kind, way) {
        (Kind::Connection, Challenge::Http01) => {
            format!("CA 无法访问 http://{}{}…", host(identifier), CHALLENGE_PATH)
        }
        (Kind::Connection, Challenge::TlsAlpn01) => format!("CA 无法访问 {}:{PORT}", host(identifier)),
        (_, Challenge::Http01) => format!("CA 未能验证 {identifier}"),
        (_, Challenge::TlsAlpn01) => format!("CA 未能通过 TLS-ALPN-01 验证 {identifier}"),
    }
}

impl InWords for WireError {
    fn chinese(&self) -> String {
        match self {
            Self::Unreachable { host, source } => format!("无法连接 {host}：{}", foreign(source)),
            Self::TimedOut { host } => {
                format!("{host} 在 {} 秒内没有应答", REQUEST_LIMIT.as_secs())
            }
            Self::Body { host, source } => format!("无法读取 {host} 的应答：{}", foreign(&**source)),
            Self::Url { url } => format!("CA 给出的地址 {url:?} 无效"),
            Self::Status { host, status, .. } => format!("{host} 的应答为 {status}"),
        }
    }
}

impl InWords for SelfCheckError {
    fn chinese(&self) -> String {
        match self {
            Self::Connect(error) => format!("无法连接：{}", foreign(error)),
            Self::Http(error) => format!("连接中断：{}", foreign(error)),
            Self::Body(error) => format!("无法读取应答：{}", foreign(&**error)),
            Self::TimedOut => "没有及时应答".to_owned(),
            Self::Full => "http.max_connections 或文件描述符上限所允许的连接已全部占用（503）".to_owned(),
            Self::Status(status) => format!("应答为 {status}"),
            Self::OtherBody => "那里应答的是另一个程序".to_owned(),
            Self::Token(error) => format!("令牌无效：{}", foreign(error)),
        }
    }
}

impl InWords for TlsCheckError {
    fn chinese(&self) -> String {
        match self {
            Self::Handshake(error) => format!("TLS 握手失败：{}", foreign(error)),
            Self::TimedOut => "TLS 握手没有及时完成".to_owned(),
            Self::Other => "那里应答的是另一个程序".to_owned(),
        }
    }
}
