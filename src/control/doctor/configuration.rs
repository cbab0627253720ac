//! Whether there is a configuration that can be used.

use super::Machine;
use crate::config::ReadError;
use crate::machine::words::foreign;
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    vec![finding(machine)]
}

fn finding(machine: &Machine) -> Finding {
    let file = machine.file.as_ref().map(|file| file.display());
    match (&machine.config, file) {
        (Ok(_), Some(file)) => Finding::fine(
            About::Config,
            Sentence::new(format!("{file} can be used"), format!("{file} 可以使用")),
        ),
        (Ok(_), None) => {
            Finding::fine(About::Config, Sentence::new("the settings are in use", "配置正在使用"))
        }
        (Err(ReadError::Wrong { problems, .. }), Some(file)) => Finding::broken(
            About::Config,
            Sentence::new(
                format!("{file} has {} problem(s)", problems.len()),
                format!("{file} 有 {} 处问题", problems.len()),
            ),
            Sentence::new(
                format!("doorman check --config {file} names each of them"),
                format!("doorman check --config {file} 会逐一列出"),
            ),
        ),
        (Err(ReadError::Wrong { .. }), None) => Finding::warning(
            About::Config,
            Sentence::new(
                "there is no configuration, so only the machine is looked at",
                "没有配置文件，因此只检查本机",
            ),
            Sentence::new(
                "write /etc/doorman/doorman.toml, or name another file with --config",
                "请编写 /etc/doorman/doorman.toml，或用 --config 指定其他文件",
            ),
        ),
        (Err(error @ (ReadError::Missing { .. } | ReadError::Io { .. })), _) => Finding::broken(
            About::Config,
            Sentence::new(error.to_string(), chinese(error)),
            Sentence::new(
                "name a file that exists and that you may read, with --config",
                "请用 --config 指定一个存在且有权读取的文件",
            ),
        ),
    }
}

fn chinese(error: &ReadError) -> String {
    match error {
        ReadError::Missing { file } => format!("{} 不存在", file.display()),
        ReadError::Io { file, source } => format!("无法读取 {}：{}", file.display(), foreign(source)),
        ReadError::Wrong { problems, .. } => format!("配置有 {} 处问题", problems.len()),
    }
}
