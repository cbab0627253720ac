//! Whether the store can be written.

use super::Machine;
use crate::machine::words::foreign;
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let Some(config) = machine.config() else {
        return Vec::new();
    };
    let dir = &config.store.dir;
    // Of a directory that is made at the first start, the one that it will be made in.
    let there = dir.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(dir);
    let name = dir.display();
    let fine = |en: &str, zh_cn: &str| {
        Finding::fine(About::Store, Sentence::new(format!("{name} {en}"), format!("{name} {zh_cn}")))
    };
    vec![match tempfile::tempfile_in(there) {
        Ok(_) if there == dir.as_path() => fine("can be written", "可以写入"),
        Ok(_) => fine("is not there yet, and can be made", "尚不存在，可以创建"),
        Err(error) => Finding::broken(
            About::Store,
            Sentence::new(
                format!("{name} cannot be written: {error}"),
                format!("{name} 无法写入：{}", foreign(&error)),
            ),
            Sentence::new(
                "make room, or let the user that doorman runs as write there: df -h, mount, ls -ld; run doctor as that \
                 user or as root",
                "请腾出空间，或让运行 doorman 的用户有写权限：df -h、mount、ls -ld；请以该用户或 root 运行 doctor",
            ),
        ),
    }]
}
