//! What the demo says while it runs. All of it was seen from outside: by requests and handshakes through the door.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use x509_parser::pem::parse_x509_pem;

use super::visitor::{Kept, VisitError, Visitor};
use crate::cli::{Exit, Failure};
use crate::config::{Admin, AdminAddress};

/// How soon the door must be open.
const OPENING: Duration = Duration::from_secs(15);

/// Between two handshakes.
const LOOK: Duration = Duration::from_millis(500);

/// What there is to see.
pub(super) struct Scene {
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) panel: SocketAddr,
    pub(super) admin: Admin,
    pub(super) store: PathBuf,
    pub(super) life: Duration,
    /// The directory, where real ACME is shown.
    pub(super) acme: Option<String>,
}

/// Starts to tell, in a thread of its own, until Ctrl-C or `shutdown`. Whatever ends it ends the demo.
pub(super) fn spawn(
    scene: Scene,
    shutdown: CancellationToken,
) -> io::Result<JoinHandle<Result<(), Failure>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("commentary".to_owned()).spawn(move || {
        let _end = shutdown.clone().drop_guard();
        runtime.block_on(async {
            tokio::select! {
                () = shutdown.cancelled() => Ok(()),
                ended = interrupted() => ended.map_err(|error| crate::cli::cannot_print(&error)),
                told = tell(&scene) => told,
            }
        })
    })
}

async fn interrupted() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    writeln!(io::stdout()) // the terminal has shown ^C
}

async fn tell(scene: &Scene) -> Result<(), Failure> {
    let mut story = Story { began: Instant::now() };
    introduce(scene).map_err(|error| crate::cli::cannot_print(&error))?;
    let visitor = Visitor::new(scene.http, scene.https);
    let mut shown = open(&mut story, &visitor).await?;
    let mut kept =
        visitor.keep().await.map_err(|error| broken("the kept connection could not be opened", &error))?;
    story.say(&format!(
        "a connection over https is opened and kept: the panel's clock, under {}",
        short(&shown)
    ))?;
    let mut events = 0;
    let mut look = Instant::now();
    loop {
        events = next(&mut kept).await?.max(events);
        if look.elapsed() < LOOK {
            continue;
        }
        look = Instant::now();
        let seen = visitor.fingerprint().await.map_err(|error| broken("a new connection failed", &error))?;
        if seen != shown {
            let what = described(&scene.store, &seen).unwrap_or_default();
            story.say(&format!("swapped: new connections are shown {}{what}", short(&seen)))?;
            story.add(&format!(
                "the kept connection goes on: {events} events, none missing (it began under {})",
                short(&kept.began_with)
            ))?;
            shown = seen;
        }
    }
}

async fn next(kept: &mut Kept) -> Result<u64, Failure> {
    kept.next().await.map_err(|error| broken("the kept connection was cut", &error))
}

/// Waits for the first answers. The door is open before there is a certificate.
async fn open(story: &mut Story, visitor: &Visitor) -> Result<[u8; 32], Failure> {
    let status = loop {
        match visitor.page().await {
            Ok(status) => break status,
            Err(error) if story.began.elapsed() > OPENING => {
                return Err(broken("the door did not open", &error));
            }
            Err(_) => sleep(LOOK).await,
        }
    };
    story.say(&format!("the door is open: GET / is {status}, from the sample panel"))?;
    loop {
        match visitor.fingerprint().await {
            Ok(shown) => {
                story.say(&format!("https answers, under the certificate {}", short(&shown)))?;
                return Ok(shown);
            }
            Err(error) if story.began.elapsed() > OPENING => {
                return Err(broken("https did not answer", &error));
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}

fn introduce(scene: &Scene) -> io::Result<()> {
    let admin = match &scene.admin.listen {
        AdminAddress::Unix(path) => path.display().to_string(),
        AdminAddress::Tcp(address) => address.to_string(),
    };
    let life = scene.life.as_secs();
    let issuer = scene
        .acme
        .as_deref()
        .map_or_else(|| "the built-in local CA".to_owned(), |url| format!("Pebble, {url}"));
    let mut out = io::stdout().lock();
    writeln!(out, "doorman demo\n")?;
    writeln!(out, "  front door    http://{}  and  https://{}", scene.http, scene.https)?;
    writeln!(out, "  sample panel  http://{}, behind it", scene.panel)?;
    writeln!(
        out,
        "  certificates  from {issuer}; each lives {life} s, a new one comes after {} s",
        life / 2
    )?;
    writeln!(out, "  files         {}", scene.store.join("live").display())?;
    writeln!(out, "  status        doorman status --admin {admin}")?;
    writeln!(out, "\n  Open one of the addresses in a browser, or use curl -k. Ctrl-C ends it.\n")?;
    out.flush()
}

/// Tells the time since the beginning with each sentence.
struct Story {
    began: Instant,
}

impl Story {
    fn say(&mut self, sentence: &str) -> Result<(), Failure> {
        let seconds = self.began.elapsed().as_secs();
        Self::print(&format!("{:>3}:{:02}  {sentence}", seconds / 60, seconds % 60))
    }

    fn add(&mut self, sentence: &str) -> Result<(), Failure> {
        Self::print(&format!("        {sentence}"))
    }

    fn print(line: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| crate::cli::cannot_print(&error))
    }
}

/// Who issued the certificate in the store and when it ends, if it is the one that was seen.
fn described(store: &Path, seen: &[u8; 32]) -> Option<String> {
    let chain = std::fs::read(store.join("live/fullchain.pem")).ok()?;
    let (_, pem) = parse_x509_pem(&chain).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let ends = certificate.validity().not_after.to_datetime().time();
    let issuer = certificate.issuer().iter_common_name().next()?.as_str().ok()?.to_owned();
    (crate::shared::tls::sha256(&pem.contents) == *seen).then(|| {
        format!(" of \"{issuer}\", until {:02}:{:02}:{:02} UTC", ends.hour(), ends.minute(), ends.second())
    })
}

fn short(fingerprint: &[u8; 32]) -> String {
    fingerprint[..4].iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "…"
}

fn broken(what: &str, error: &VisitError) -> Failure {
    Failure::new(
        Exit::Software,
        format!("The demo failed: {what}: {error}."),
        "Please report this with RUST_LOG=debug.",
    )
}
