//! Another program on our port: who it is, and what may be known and told of it.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::SOON;
use crate::support::client::{Connection, get};
use crate::support::doorman::{Doorman, Settings};
use crate::support::process::Process;
use crate::support::upstream::{Upstream, plain};
use crate::support::{free_port, until};

/// Gives the directory of the configuration to nobody, and becomes the program that follows as that user.
pub(super) const AS_NOBODY: [&str; 4] = [
    "sh",
    "-ec",
    "chown -R 65534:65534 \"$(dirname \"$4\")\"
    exec setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"",
    "sh",
];

#[tokio::test]
async fn a_port_that_is_taken_on_one_family_is_served_on_the_other() {
    let panel = Upstream::panel().await;
    for (free, taken) in [("[::1]", "127.0.0.1"), ("127.0.0.1", "[::1]")] {
        let port = free_port();
        let (free, taken) = (format!("{free}:{port}"), format!("{taken}:{port}"));
        let holder = std::net::TcpListener::bind(&taken).unwrap();
        let listen = vec![taken.clone(), free.clone()];
        let door = Doorman::start(&Settings::panel(panel.url()).set("http", "listen", listen)).await;

        let status = door.status().await;
        assert_eq!(status["listeners"][0]["state"], "waiting", "{status:#}");
        assert_eq!(status["listeners"][1]["state"], "listening", "{status:#}");
        assert_eq!(get(free.parse().unwrap(), "/").await.status(), 200);

        drop(holder);
        door.until("both listen", SOON, |status| status["listeners"][0]["state"] == "listening").await;
        assert_eq!(get(taken.parse().unwrap(), "/").await.status(), 200);
    }
}

#[tokio::test]
async fn a_port_is_taken_over_while_the_doorman_before_still_answers_what_it_has() {
    let (release, released) = tokio::sync::watch::channel(false);
    let (arrived, mut arrival) = tokio::sync::mpsc::unbounded_channel();
    let slow = Upstream::with(move |mut client| {
        let (mut released, arrived) = (released.clone(), arrived.clone());
        async move {
            client.head().await;
            arrived.send(()).unwrap();
            released.wait_for(|released| *released).await.unwrap();
            client.send(plain(200, "from before")).await;
        }
    })
    .await;
    let panel = Upstream::panel().await;
    let address = format!("127.0.0.1:{}", free_port());
    let listen = |url: String| Settings::panel(url).set("http", "listen", vec![address.clone()]);
    let mut before = Doorman::start(&listen(slow.url())).await;
    let after = Doorman::start_waiting(&listen(panel.url())).await;
    let mut client = Connection::open(address.parse().unwrap()).await;
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    arrival.recv().await.expect("the request is in flight");

    before.process.signal(Signal::TERM);

    after.listens("http").await;
    assert!(before.process.is_running(), "it still has a request to answer");
    assert_eq!(get(address.parse().unwrap(), "/").await.text(), "the panel: GET / HTTP/1.1");
    release.send(true).unwrap();
    assert_eq!(client.answer().await.text(), "from before");
    assert!(before.process.ended(SOON).await.success());
}

/// What comes before [`AS_NOBODY`], so that the kernel's tables are not to be seen.
const WITHOUT_TABLES: [&str; 6] =
    ["unshare", "--mount", "sh", "-ec", "mount -t tmpfs none /proc; exec \"$@\"", "sh"];

#[tokio::test]
async fn of_another_users_program_its_user_is_known_without_a_privilege() {
    let hidden = [&WITHOUT_TABLES[..], &AS_NOBODY].concat();
    for launcher in [&AS_NOBODY[..], &hidden] {
        let panel = Upstream::panel().await;
        let holder = Upstream::panel().await; // in this process, which is root's
        let settings = Settings::panel(panel.url()).set("http", "listen", vec![holder.address.to_string()]);
        let door = Doorman::start_waiting_by(launcher, &settings).await;

        let status =
            door.until("who has it", SOON, |status| !status["listeners"][0]["holder"].is_null()).await;

        let holder = &status["listeners"][0]["holder"];
        assert_eq!(holder["user"], "root", "{status:#}");
        assert_eq!((holder["pid"].as_u64(), holder["program"].as_str()), (None, None), "{status:#}");
        assert_eq!(holder["kind"], "unknown");
        door.process.says("run doorman doctor as root", SOON).await;
    }
}

#[tokio::test]
async fn a_service_that_has_the_port_is_named_with_the_command_that_stops_it() {
    const UNIT: &str = "doorman-story.service";
    let Some(group) = ControlGroup::of_a_service(UNIT) else {
        eprintln!("!! NOT TRIED: no control group can be made here");
        return;
    };
    let panel = Upstream::panel().await;
    let address = format!("127.0.0.1:{}", free_port());
    let (ip, port) = address.split_once(':').unwrap();
    let mut command = Command::new("python3");
    let holder = Process::start("holder", command.args(["-m", "http.server", "--bind", ip, port]));
    group.takes(holder.id());
    until("it listens", SOON, async || tokio::net::TcpStream::connect(&address).await.ok()).await;

    let settings = Settings::panel(panel.url()).set("http", "listen", vec![address.clone()]);
    let door = Doorman::start_waiting(&settings).await;
    let status = door.until("who has it", SOON, |status| !status["listeners"][0]["holder"].is_null()).await;

    let told = &status["listeners"][0]["holder"];
    assert_eq!((&told["unit"], &told["pid"]), (&UNIT.into(), &holder.id().into()), "{status:#}");
    let remedy = format!("systemctl disable --now {UNIT}");
    door.process.says(&remedy, SOON).await;
    assert!(status["listeners"][0]["remedy"].as_str().unwrap().contains(&remedy), "{status:#}");
    let shown = door.command(&["status"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(shown.contains(&remedy), "{shown}");
}

/// A control group as systemd makes them. Its process must have ended when this is dropped.
struct ControlGroup(PathBuf);

impl ControlGroup {
    /// `None` where this is not root's machine.
    fn of_a_service(unit: &str) -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let mut fields = mounts.lines().map(|line| line.split(' ').skip(1));
        let root =
            fields.find_map(|mut fields| fields.next().filter(|_| fields.next() == Some("cgroup2")))?;
        let path = Path::new(root).join("system.slice").join(unit);
        std::fs::create_dir_all(&path).ok()?;
        Some(Self(path))
    }

    fn takes(&self, pid: u32) {
        std::fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0); // empty, unless the story broke off
        let _ = std::fs::remove_dir(self.0.parent().unwrap()); // systemd's own is not empty
    }
}

#[tokio::test]
async fn an_acme_client_is_known_by_what_started_it_and_its_secrets_are_not_told() {
    let panel = Upstream::panel().await;
    let files = tempfile::TempDir::new().unwrap();
    let script = files.path().join("acme.sh");
    std::fs::write(&script, "python3 -m http.server --bind 127.0.0.1 \"$1\" --directory \"$2\"\n:\n")
        .unwrap();
    let secret = files.path().join("a-token-of-somebody");
    std::fs::create_dir(&secret).unwrap();
    let port = free_port();
    let mut command = Command::new("sh");
    let _acme = Process::start("acme.sh", command.arg(&script).arg(port.to_string()).arg(&secret));
    let address = format!("127.0.0.1:{port}");
    until("it listens", SOON, async || tokio::net::TcpStream::connect(&address).await.ok()).await;

    let settings = Settings::panel(panel.url()).set("http", "listen", vec![address.clone()]);
    let door = Doorman::start_waiting(&settings).await;
    let status = door.until("who has it", SOON, |status| !status["listeners"][0]["holder"].is_null()).await;

    let holder = &status["listeners"][0]["holder"];
    assert_eq!(holder["kind"], "acme_client", "{status:#}");
    assert!(holder["command"].as_str().unwrap().contains("python"), "{status:#}");
    let line = door.process.says("this port is not ours yet", SOON).await;
    assert!(line.contains("acme_upstream"), "the remedy is that of an ACME client: {line}");
    let told = format!("{status} {} {:?}", door.process.log().join("\n"), door.command(&["status"]).await);
    assert!(!told.contains("a-token-of-somebody"), "{told}");
}

#[tokio::test]
async fn a_port_that_is_nobodys_is_not_called_taken() {
    let panel = Upstream::panel().await;
    let nowhere = format!("192.0.2.1:{}", free_port()); // an address for documents only
    let cases = [
        (vec![nowhere], "this machine does not have that address", "本机没有该地址"),
        (vec![], "http.listen", "监听地址"),
    ];
    for (listen, why, chinese) in cases {
        let settings = Settings::panel(panel.url())
            .set("ip_cert", "ip", "127.0.0.1")
            .set("ip_cert", "directory", format!("https://127.0.0.1:{}/dir", free_port()))
            .set("http", "listen", listen);
        let door = Doorman::start_waiting(&settings).await;

        let line = door.process.says("alert=\"port_missing\"", SOON).await;

        assert!(line.contains("port 80 is not doorman's") && line.contains(why), "{line}");
        let status = door.status().await;
        let said = status["last_error"].as_str().unwrap();
        assert!(said.starts_with("no order is made: "), "{status:#}");
        let in_chinese = status["last_error_words"]["zh-CN"].as_str().unwrap();
        assert!(in_chinese.contains(chinese) && !in_chinese.contains(why), "{status:#}");
        let log = door.process.log().join("\n");
        assert!(!format!("{said}{log}").contains("another program"), "{said}\n{log}");
    }
}
