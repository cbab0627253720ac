//! Our errors in Chinese.

use super::install::InstallError;
use super::served::FixedPairError;
use super::work::OrderError;
use crate::control::zh_cn::InWords;
use crate::machine::words::foreign;

impl InWords for OrderError {
    fn chinese(&self) -> String {
        match self {
            Self::Store(error) => format!("存储目录无法写入时不会申请证书：{}", error.chinese()),
            Self::Acme(error) => error.chinese(),
            Self::LocalCa(error) => error.chinese(),
        }
    }
}

impl InWords for InstallError {
    fn chinese(&self) -> String {
        match self {
            Self::Store(error) => format!("新证书已在使用，但存储目录无法写入：{}", error.chinese()),
            Self::Observe(error) => format!("没有看到新证书生效：{}", error.chinese()),
        }
    }
}

impl InWords for FixedPairError {
    fn chinese(&self) -> String {
        match self {
            Self::Read { path, source } => format!("无法读取 {}：{}", path.display(), foreign(source)),
            Self::Pair { certificate, key, source } => {
                format!("{} 与 {} 不成对：{}", certificate.display(), key.display(), source.chinese())
            }
        }
    }
}
