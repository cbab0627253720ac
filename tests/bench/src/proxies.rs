//! The proxies: their configurations, and how each is started alone on its core and stopped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, timeout};

use crate::args::Args;
use crate::conn::{Conn, SMALL};
use crate::machine::{self, Core};
use crate::relay;
use crate::rig::Rig;
use crate::rows;
use crate::upstream::SMALL_BODY;

/// How long a proxy may take until its first answer.
const START_LIMIT: Duration = Duration::from_secs(15);

/// What all but doorman answer under the challenge path: as long as a token, a dot and a thumbprint.
pub(crate) const FIXED_ANSWER: &str =
    "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI";

/// A program that stands in front of a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// Ours, with one worker.
    Doorman,
    /// As Debian ships it and people configure it.
    Nginx,
    /// nginx with 64 KiB buffers, unbuffered.
    NginxTuned,
    /// With one thread.
    Haproxy,
    /// With one thread that runs Go code at a time.
    Caddy,
    /// The floor: it carries bytes and knows no HTTP.
    Relay,
}

/// What doorman's control plane has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing: the door alone.
    No,
    /// An order that stalls while its token is published.
    Stalled,
}

impl Proxy {
    /// In the order of their turns.
    pub(crate) const ALL: [Self; 6] =
        [Self::Doorman, Self::Nginx, Self::NginxTuned, Self::Haproxy, Self::Caddy, Self::Relay];

    /// The name on the command line and in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Doorman => "doorman",
            Self::Nginx => "nginx",
            Self::NginxTuned => "nginx-tuned",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Relay => relay::NAME,
        }
    }

    /// What prints the version; none for the second nginx, nor for a part of this program.
    pub(crate) fn version_command(self, args: &Args) -> Option<(PathBuf, &'static [&'static str])> {
        match self {
            Self::Doorman => Some((args.doorman.clone(), &["--version"])),
            Self::Nginx => Some(("nginx".into(), &["-v"])),
            Self::NginxTuned | Self::Relay => None,
            Self::Haproxy => Some(("haproxy".into(), &["-v"])),
            Self::Caddy => Some(("caddy".into(), &["version"])),
        }
    }

    /// Starts the proxy on its core and waits for its first answer.
    ///
    /// # Errors
    /// It ends, or does not answer with the right bytes in time; with what it wrote to stderr.
    pub(crate) async fn start(self, rig: &Rig, order: Order) -> anyhow::Result<Running> {
        let dir = rig.dir.path().join(self.name());
        // A new start each time: no store or cache of the last one.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir(&dir)?;
        for file in ["ca.crt", "pair.crt", "pair.key", "pair.pem"] {
            fs::copy(rig.dir.path().join(file), dir.join(file))?;
        }
        let (program, arguments) = self.command_line(rig, &dir, order)?;
        let log = dir.join("output");
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", &dir).env("GOMAXPROCS", "1");
        command
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        machine::run_on(Core::Proxy)?;
        let started = Instant::now();
        let child = command.spawn();
        machine::run_on(Core::Load)?;
        let mut running = Running { proxy: self, child: child?, first_answer: Duration::ZERO };
        match timeout(START_LIMIT, running.wait_for_answer(rig, started)).await {
            Ok(Ok(())) => Ok(running),
            Ok(Err(error)) => Err(error.context(last_words(&log))),
            Err(_) => Err(anyhow!("{} does not answer", self.name()).context(last_words(&log))),
        }
    }

    fn command_line(self, rig: &Rig, dir: &Path, order: Order) -> anyhow::Result<(PathBuf, Vec<String>)> {
        let write = |name: &str, template: &str| {
            let path = dir.join(name);
            fs::write(&path, fill(template, rig, dir))?;
            anyhow::Ok(path.display().to_string())
        };
        Ok(match self {
            Self::Doorman => {
                let challenge = match order {
                    Order::No => "",
                    Order::Stalled => include_str!("../conf/doorman-challenge.toml"),
                };
                let template = include_str!("../conf/doorman.toml").replace("{challenge}", challenge);
                (
                    rig.doorman.clone(),
                    vec!["run".into(), "--config".into(), write("doorman.toml", &template)?],
                )
            }
            Self::Nginx | Self::NginxTuned => {
                let tuning = if self == Self::Nginx { "" } else { include_str!("../conf/nginx-tuned.conf") };
                let template = include_str!("../conf/nginx.conf").replace("{tuning}", tuning);
                let config = write("nginx.conf", &template)?;
                let log = dir.join("error.log").display().to_string();
                ("nginx".into(), vec!["-e".into(), log, "-c".into(), config])
            }
            Self::Haproxy => {
                let config = write("haproxy.cfg", include_str!("../conf/haproxy.cfg"))?;
                ("haproxy".into(), vec!["-db".into(), "-f".into(), config])
            }
            Self::Caddy => {
                let config = write("Caddyfile", include_str!("../conf/Caddyfile"))?;
                let arguments = ["run", "--adapter", "caddyfile", "--config"].map(str::to_owned);
                ("caddy".into(), [arguments.to_vec(), vec![config]].concat())
            }
            Self::Relay => {
                let addresses = [rig.http, rig.upstream].map(|address| address.to_string());
                (std::env::current_exe()?, [vec![relay::NAME.to_owned()], addresses.to_vec()].concat())
            }
        })
    }
}

fn last_words(log: &Path) -> String {
    fs::read_to_string(log).unwrap_or_default().lines().last().unwrap_or_default().to_owned()
}

fn fill(template: &str, rig: &Rig, dir: &Path) -> String {
    // Only root may be told whom to become; and then the worker must still read our files.
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    template
        .replace("{user}", user)
        .replace("{dir}", &dir.display().to_string())
        .replace("{http}", &rig.http.to_string())
        .replace("{https}", &rig.https.to_string())
        .replace("{upstream}", &rig.upstream.to_string())
        .replace("{directory}", &rig.directory.address().to_string())
        .replace("{answer}", FIXED_ANSWER)
}

/// A started proxy; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    proxy: Proxy,
    child: Child,
    first_answer: Duration,
}

impl Running {
    /// Which one it is.
    pub(crate) fn proxy(&self) -> Proxy {
        self.proxy
    }

    /// All its processes.
    pub(crate) fn pids(&self) -> Vec<i32> {
        machine::family(self.child.id().cast_signed())
    }

    /// From the call that executed it to the last byte of the first right answer, over plain HTTP.
    pub(crate) fn first_answer(&self) -> Duration {
        self.first_answer
    }

    async fn wait_for_answer(&mut self, rig: &Rig, started: Instant) -> anyhow::Result<()> {
        let request = rows::get(rig.http, "/small", "keep-alive");
        loop {
            // Asked without a pause: the load has a core of its own and the time to the first answer is a row.
            if let Ok(mut conn) = Conn::open(rig.http, None, SMALL).await {
                conn.send(&request).await?;
                conn.expect_response(&rig.texts.noise, SMALL_BODY).await.context("the first answer")?;
                self.first_answer = started.elapsed();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended: {status}", self.proxy.name());
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx's master must live long enough to end its worker; the others have nothing to lose.
        let signal = match self.proxy {
            Proxy::Nginx | Proxy::NginxTuned => Signal::SIGTERM,
            Proxy::Doorman | Proxy::Haproxy | Proxy::Caddy | Proxy::Relay => Signal::SIGKILL,
        };
        // It may have ended by itself; then there is nothing to do.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
        let _ = self.child.wait();
    }
}
