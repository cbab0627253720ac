//! Whether the store can be written.

use super::{Finding, Machine};

const ABOUT: &str = "store";

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let Some(config) = machine.config() else {
        return Vec::new();
    };
    let dir = &config.store.dir;
    // Of a directory that is made at the first start, the one that it will be made in.
    let there = dir.ancestors().find(|ancestor| ancestor.is_dir()).unwrap_or(dir);
    let name = dir.display();
    match tempfile::tempfile_in(there) {
        Ok(_) if there == dir.as_path() => vec![Finding::fine(ABOUT, format!("{name} can be written"))],
        Ok(_) => vec![Finding::fine(ABOUT, format!("{name} is not there yet, and can be made"))],
        Err(error) => {
            let finding = format!("{name} cannot be written: {error}");
            let remedy = "make room, or let the user that doorman runs as write there: df -h, mount, ls -ld; run doctor \
                          as that user or as root";
            vec![Finding::broken(ABOUT, finding, remedy)]
        }
    }
}
