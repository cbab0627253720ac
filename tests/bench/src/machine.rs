//! Cores, clocks and /proc.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use crate::args::Args;

/// What `/proc/stat` counts in: `USER_HZ`, 100 on every Linux that runs a server.
const TICK: Duration = Duration::from_millis(10);

/// Who has which core.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Core {
    /// The proxy, alone.
    Proxy = 0,
    /// Clients and upstream.
    Load = 1,
}

/// Keeps the calling thread, and the processes it starts from now on, on one core.
///
/// # Errors
/// There is no such core for us.
pub(crate) fn run_on(core: Core) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    set.set(core as usize)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// A process and all its descendants.
pub(crate) fn family(pid: i32) -> Vec<i32> {
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(&member) = family.get(next) {
        let threads = fs::read_dir(format!("/proc/{member}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            family.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<i32>().ok()));
        }
        next += 1;
    }
    family
}

/// CPU time of the processes with all their threads, those that have ended too, by their own CPU clocks.
///
/// # Errors
/// A process that is gone.
pub(crate) fn cpu_time(pids: &[i32]) -> anyhow::Result<Duration> {
    pids.iter()
        .map(|&pid| {
            let clock = clock_getcpuclockid(Pid::from_raw(pid)).context("the proxy has ended")?;
            Ok(Duration::from(clock.now()?))
        })
        .sum()
}

/// CPU time of this process.
///
/// # Errors
/// None that could be met.
pub(crate) fn own_cpu_time() -> anyhow::Result<Duration> {
    Ok(Duration::from(ClockId::CLOCK_PROCESS_CPUTIME_ID.now()?))
}

/// CPU time of everybody since the machine started, and what the hypervisor took away: proc(5), `/proc/stat`.
///
/// # Errors
/// None that could be met.
pub(crate) fn machine_cpu_time() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields: Vec<u64> =
        stat.split_ascii_whitespace().skip(1).take(8).map_while(|field| field.parse().ok()).collect();
    let &[user, nice, system, _idle, _waiting, hard, soft, stolen] = fields.as_slice() else {
        bail!("/proc/stat has another form");
    };
    Ok(TICK * u32::try_from(user + nice + system + hard + soft + stolen)?)
}

/// Private memory of the processes, clean and dirty, in bytes.
///
/// # Errors
/// A process that is gone.
pub(crate) fn private_memory(pids: &[i32]) -> anyhow::Result<u64> {
    sum(pids, "smaps_rollup", &["Private_Clean:", "Private_Dirty:"])
}

/// Resident memory of the processes now, in bytes.
///
/// # Errors
/// A process that is gone.
pub(crate) fn resident_memory(pids: &[i32]) -> anyhow::Result<u64> {
    sum(pids, "status", &["VmRSS:"])
}

/// The most resident memory that each of the processes had since [`forget_peak`], summed, in bytes.
///
/// # Errors
/// A process that is gone.
pub(crate) fn peak_memory(pids: &[i32]) -> anyhow::Result<u64> {
    sum(pids, "status", &["VmHWM:"])
}

/// Starts the peak of [`peak_memory`] anew: proc(5), `clear_refs`.
///
/// # Errors
/// A process that is gone, or is not ours.
pub(crate) fn forget_peak(pids: &[i32]) -> anyhow::Result<()> {
    for pid in pids {
        fs::write(format!("/proc/{pid}/clear_refs"), "5").context("clear_refs")?;
    }
    Ok(())
}

fn sum(pids: &[i32], file: &str, fields: &[&str]) -> anyhow::Result<u64> {
    let mut kib = 0;
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/{file}")).context("the proxy has ended")?;
        let lines = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
        let values = lines
            .filter(|(field, _)| fields.contains(field))
            .map(|(_, value)| value.trim().trim_end_matches(" kB"));
        for value in values {
            kib += value.parse::<u64>()?;
        }
    }
    Ok(kib * 1024)
}

/// One line on the machine and the versions.
///
/// # Errors
/// A proxy that is not installed.
pub(crate) fn describe(args: &Args) -> anyhow::Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let cores = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let mut parts = vec![
        field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        format!("{cores} cores"),
        format!("Linux {}", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim()),
    ];
    for proxy in &args.proxies {
        if let Some((program, arguments)) = proxy.version_command(args) {
            let output = Command::new(&program)
                .args(arguments)
                .output()
                .with_context(|| program.display().to_string())?;
            let text = [output.stdout, output.stderr].concat();
            let text = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
            let version =
                text.split([' ', '/']).find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
            parts.push(format!("{} {}", proxy.name(), version.unwrap_or("?")));
        }
    }
    parts.push(format!("{} rounds of {:?}", args.rounds, args.turn));
    Ok(parts.join(", "))
}
