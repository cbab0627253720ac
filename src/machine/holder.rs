//! Who has a port that we want.

use std::collections::HashSet;
use std::path::Path;

use procfs::process::{FDTarget, Process, all_processes};

use super::sockets::Listening;
use crate::policy::occupant::{Occupant, Traces};
use crate::shared::listeners::Holder;

/// Of a program's family tree; an ACME client in standalone mode has a shell or `socat` at the port.
const MOST_ANCESTORS: usize = 8;

/// Programs whose first argument says what they are: a path, unlike what may follow it.
const INTERPRETERS: [&str; 8] = ["sh", "bash", "dash", "ash", "python", "python3", "perl", "node"];

/// Users and their names, as the C library reads them first.
const USERS: &str = "/etc/passwd";

/// The program that has these sockets, as far as it may be known: other users' processes show theirs to root only, but
/// everybody sees whose they are. `None` when there are none.
pub(crate) fn of_sockets(sockets: &[Listening]) -> Option<Holder> {
    let uid = sockets.first()?.uid;
    let inodes: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let processes = all_processes().into_iter().flatten().filter_map(Result::ok);
    // A server and its children share the socket; the eldest is the one to talk about.
    let eldest = processes
        .filter(|process| has_one_of(process, &inodes))
        .filter_map(|process| Some((process.stat().ok()?.starttime, process)))
        .min_by_key(|(start, process)| (*start, process.pid()));
    Some(eldest.map_or_else(|| by_user(uid), |(_, process)| describe(&process, uid)))
}

fn by_user(uid: u32) -> Holder {
    Holder { pid: None, program: None, command: None, unit: None, user: user(uid), kind: Occupant::Unknown }
}

fn describe(process: &Process, uid: u32) -> Holder {
    let traces = traces(process);
    Holder {
        pid: Some(process.pid()),
        kind: Occupant::recognise(&traces),
        program: Some(traces.program),
        command: traces.commands.into_iter().next(),
        unit: traces.unit,
        user: user(uid),
    }
}

fn traces(process: &Process) -> Traces {
    let program = process.stat().map(|stat| stat.comm).unwrap_or_default();
    let mut commands = vec![command(process)];
    let mut parent = parent(process);
    while let Some(process) = parent.filter(|_| commands.len() < MOST_ANCESTORS) {
        commands.push(command(&process));
        parent = self::parent(&process);
    }
    Traces { program, commands: commands.into_iter().flatten().collect(), unit: unit(process) }
}

fn parent(process: &Process) -> Option<Process> {
    let parent = process.stat().ok()?.ppid;
    if parent <= 1 { None } else { Process::new(parent).ok() }
}

/// The path of the program, and of the script where that is what runs. What follows may hold secrets, and is not read.
fn command(process: &Process) -> Option<String> {
    let line = process.cmdline().unwrap_or_default();
    let called = line.first().and_then(|first| first.split_whitespace().next()).map(ToOwned::to_owned);
    let program = process.exe().ok().map(|path| path.display().to_string()).or(called)?;
    let name = Path::new(&program).file_name()?.to_str()?;
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.'); // python3.11
    let script = line.get(1).filter(|word| INTERPRETERS.contains(&name) && Path::new(word).is_absolute());
    Some(script.map_or_else(|| program.clone(), |script| format!("{program} {script}")))
}

fn has_one_of(process: &Process, sockets: &HashSet<u64>) -> bool {
    let Ok(descriptors) = process.fd() else {
        return false; // not ours to look at
    };
    descriptors.filter_map(Result::ok).any(|descriptor| match descriptor.target {
        FDTarget::Socket(inode) => sockets.contains(&inode),
        FDTarget::Path(_)
        | FDTarget::Net(_)
        | FDTarget::Pipe(_)
        | FDTarget::AnonInode(_)
        | FDTarget::MemFD(_)
        | FDTarget::Other(..)
        | FDTarget::Unknown(..) => false,
    })
}

/// The systemd unit, from the control group's name.
fn unit(process: &Process) -> Option<String> {
    let groups = process.cgroups().ok()?;
    groups.into_iter().find_map(|group| unit_of(&group.pathname).map(ToOwned::to_owned))
}

/// The innermost unit of a control group's path; what a service divides itself into lies below it.
fn unit_of(group: &str) -> Option<&str> {
    group.rsplit('/').find(|name| name.ends_with(".service") || name.ends_with(".scope"))
}

/// The user's name, else its number.
fn user(uid: u32) -> Option<String> {
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    Some(name.unwrap_or_else(|| format!("uid {uid}")))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use crate::machine::sockets;

    fn of(address: SocketAddr) -> Option<Holder> {
        let all = sockets::listening().unwrap();
        of_sockets(&sockets::in_the_way(&all, address).into_iter().copied().collect::<Vec<_>>())
    }

    #[test]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let holder = of(address).unwrap();
        assert_eq!(holder.pid, Some(i32::try_from(std::process::id()).unwrap()));
        assert!(holder.program.is_some());
        let command = holder.command.clone().unwrap();
        assert_eq!(Path::new(&command), std::env::current_exe().unwrap(), "and none of its arguments");
        let wildcard = SocketAddr::new("0.0.0.0".parse().unwrap(), address.port());
        assert_eq!(of(wildcard), Some(holder));
        drop(listener);
        assert_eq!(of(address), None);
    }

    #[test]
    fn a_unit_is_read_from_the_path_of_its_control_group() {
        assert_eq!(unit_of("/system.slice/nginx.service"), Some("nginx.service"));
        assert_eq!(unit_of("/system.slice/x-ui.service/xray"), Some("x-ui.service"));
        let user = "/user.slice/user-1000.slice/user@1000.service/app.slice/caddy.service";
        assert_eq!(unit_of(user), Some("caddy.service"));
        assert_eq!(unit_of("/user.slice/user-0.slice/session-3.scope"), Some("session-3.scope"));
        assert_eq!(unit_of("/system.slice/system-getty.slice"), None);
        assert_eq!(unit_of("/"), None);
    }

    #[test]
    fn a_user_without_a_name_is_a_number() {
        assert_eq!(user(0).as_deref(), Some("root"));
        assert_eq!(user(4_000_000_123).as_deref(), Some("uid 4000000123"));
    }
}
