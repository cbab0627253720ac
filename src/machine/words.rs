//! What the system says, in Chinese. English is what it speaks by itself.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::policy::sentence::quotation;

/// The usual ones. By their kind, for their words differ from system to system.
const USUAL: [(ErrorKind, &str); 17] = [
    (ErrorKind::ConnectionRefused, "连接被拒绝"),
    (ErrorKind::ConnectionReset, "连接被对方重置"),
    (ErrorKind::ConnectionAborted, "连接中断"),
    (ErrorKind::BrokenPipe, "对方已关闭连接"),
    (ErrorKind::UnexpectedEof, "对方提前关闭了连接"),
    (ErrorKind::TimedOut, "超时"),
    (ErrorKind::NetworkUnreachable, "网络不可达"),
    (ErrorKind::HostUnreachable, "主机不可达"),
    (ErrorKind::NetworkDown, "网络已断开"),
    (ErrorKind::AddrInUse, "地址已被占用"),
    (ErrorKind::AddrNotAvailable, "本机没有该地址"),
    (ErrorKind::PermissionDenied, "权限不足"),
    (ErrorKind::NotFound, "文件或目录不存在"),
    (ErrorKind::StorageFull, "磁盘空间不足"),
    (ErrorKind::QuotaExceeded, "磁盘配额已用完"),
    (ErrorKind::ReadOnlyFilesystem, "文件系统为只读"),
    (ErrorKind::NotADirectory, "路径中有一部分不是目录"),
];

/// An error with what caused it: translated where the system has said it and it is usual, else quoted.
pub(crate) fn foreign(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    loop {
        if let Some(said) = deepest.downcast_ref::<io::Error>().and_then(usual) {
            return said.to_owned();
        }
        match deepest.source() {
            Some(source) => deepest = source,
            None => break,
        }
    }
    let from_the_system = deepest.downcast_ref::<io::Error>().is_some_and(|it| it.raw_os_error().is_some());
    let words = quotation(&deepest.to_string());
    if from_the_system { format!("系统回答{words}") } else { words }
}

fn usual(error: &io::Error) -> Option<&'static str> {
    USUAL.iter().find(|(kind, _)| *kind == error.kind()).map(|(_, said)| *said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    #[test]
    fn what_is_usual_is_translated_by_its_kind_however_deep_it_is() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(foreign(&Outer(refused)), "连接被拒绝");
        let late = io::Error::new(ErrorKind::TimedOut, "deadline has elapsed");
        assert_eq!(foreign(&late), "超时");
        for (number, said) in [(13, "权限不足"), (2, "文件或目录不存在"), (28, "磁盘空间不足")]
        {
            assert_eq!(foreign(&io::Error::from_raw_os_error(number)), said);
        }
    }

    #[test]
    fn whatever_else_is_said_stands_between_quotation_marks() {
        assert_eq!(
            foreign(&Outer(io::Error::from_raw_os_error(40))),
            "系统回答“Too many levels of symbolic links (os error 40)”"
        );
        let library = io::Error::new(ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer");
        assert_eq!(foreign(&library), "“invalid peer certificate: UnknownIssuer”");
    }
}
