//! A laboratory with the real Xray: a server with inbounds of every kind, a client that goes through them, and an echo
//! behind it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::process::Process;
use super::{free_port, peer, tls, until};

/// A busy machine may need this long.
const START: Duration = Duration::from_secs(60);

/// Nobody waits this long for an echo on the same machine.
const SILENCE: Duration = Duration::from_secs(30);

/// The user that every inbound knows; as a password it is trojan's.
pub const USER: &str = "b831381d-6324-4d53-ad4f-8cda48b30811";

/// A client's way out that writes a PROXY header first.
const WITH_A_HEADER: &str = "with-a-header";

/// One inbound of the laboratory.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Its tag.
    pub tag: &'static str,
    /// Its first port.
    pub port: u16,
    /// How many ports it has.
    pub ports: u16,
    protocol: &'static str,
    network: &'static str,
    certificates: Value,
    sockopt: Value,
    xmux: Value,
    alpn: Value,
    socket: Option<PathBuf>,
    listen: &'static str,
}

impl Inbound {
    /// An inbound for `vless` or `trojan` on a port of its own, with these TLS certificates.
    pub fn new(
        tag: &'static str,
        protocol: &'static str,
        network: &'static str,
        certificates: Value,
    ) -> Self {
        // Short, so that a client that cannot go on is seen within seconds and not within the hour.
        let xmux = json!({"hMaxRequestTimes": "20-30", "maxConcurrency": "4-8"});
        Self {
            tag,
            port: free_port(),
            ports: 1,
            protocol,
            network,
            certificates,
            sockopt: json!({}),
            xmux,
            alpn: if network == "hysteria" { json!(["h3"]) } else { Value::Null },
            socket: None,
            listen: "127.0.0.1",
        }
    }

    /// Its XHTTP clients stay with their connections as long as by default: those that they leave stay open for minutes,
    /// and cost the server some 100 KiB each.
    #[must_use]
    pub fn with_patient_clients(mut self) -> Self {
        self.xmux = json!({});
        self
    }

    /// On three ports in a row.
    #[must_use]
    pub fn on_three_ports(mut self) -> Self {
        self.ports = 3;
        let (mut second, mut third) = (free_port(), free_port());
        while (second, third) != (self.port + 1, self.port + 2) {
            (self.port, second, third) = (second, third, free_port());
        }
        self
    }

    /// Over QUIC, which XHTTP takes where nothing but HTTP/3 is on offer.
    #[must_use]
    pub fn over_quic(mut self) -> Self {
        self.alpn = json!(["h3"]);
        self
    }

    /// Wants a PROXY header first.
    #[must_use]
    pub fn with_proxy_protocol(mut self) -> Self {
        self.sockopt = json!({"acceptProxyProtocol": true});
        self
    }

    /// At every address of the machine.
    #[must_use]
    pub fn everywhere(mut self) -> Self {
        self.listen = "0.0.0.0";
        self
    }

    /// On a socket file instead of a port.
    #[must_use]
    pub fn on_a_socket_file(mut self, path: &Path) -> Self {
        self.socket = Some(path.to_owned());
        self
    }

    /// Where each of its ports is.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (self.port..self.port + self.ports).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
    }

    /// As Xray's configuration has it.
    pub fn settings(&self) -> Value {
        let port = match self.ports {
            1 => json!(self.port),
            many => json!(format!("{}-{}", self.port, self.port + many - 1)),
        };
        let settings = match self.protocol {
            "trojan" => json!({"clients": [{"password": USER, "email": "first@lab"}]}),
            "hysteria" => json!({"version": 2, "clients": [{"auth": USER, "email": "first@lab"}]}),
            _ => json!({"clients": [{"id": USER, "email": "first@lab"}], "decryption": "none"}),
        };
        let mut stream = self.transport(USER);
        stream["tlsSettings"] = json!({"certificates": self.certificates, "alpn": self.alpn});
        stream["sockopt"] = self.sockopt.clone();
        let mut inbound = json!({
            "tag": self.tag, "listen": self.listen, "port": port, "protocol": self.protocol,
            "settings": settings, "streamSettings": stream,
        });
        if let Some(path) = &self.socket {
            (inbound["listen"], inbound["port"]) = (json!(path), json!(0));
        }
        inbound
    }

    /// A client's way to it.
    fn outbound(&self, port: u16, user: &str) -> Value {
        let server = match self.protocol {
            "trojan" => json!({"servers": [{"address": "127.0.0.1", "port": port, "password": user}]}),
            "hysteria" => json!({"version": 2, "address": "127.0.0.1", "port": port}),
            _ => {
                let users = json!([{"id": user, "encryption": "none"}]);
                json!({"vnext": [{"address": "127.0.0.1", "port": port, "users": users}]})
            }
        };
        let mut stream = self.transport(user);
        if self.sockopt["acceptProxyProtocol"] == true {
            stream["sockopt"] = json!({"dialerProxy": WITH_A_HEADER});
        }
        stream["tlsSettings"] = json!({"serverName": "127.0.0.1", "alpn": self.alpn});
        json!({"tag": format!("to-{port}-{user}"), "protocol": self.protocol, "settings": server, "streamSettings": stream})
    }

    fn transport(&self, user: &str) -> Value {
        let mut stream = json!({"network": self.network, "security": "tls"});
        match self.network {
            "ws" => stream["wsSettings"] = json!({"path": "/lab"}),
            "httpupgrade" => stream["httpupgradeSettings"] = json!({"path": "/lab"}),
            "grpc" => stream["grpcSettings"] = json!({"serviceName": "lab"}),
            "hysteria" => stream["hysteriaSettings"] = json!({"version": 2, "auth": user}),
            "xhttp" => stream["xhttpSettings"] = json!({"path": "/lab", "extra": {"xmux": self.xmux}}),
            _ => {}
        }
        stream
    }
}

/// A pair in two files, which Xray reads each second.
pub fn files(certificate: &Path, key: &Path) -> Value {
    json!({"certificateFile": certificate, "keyFile": key, "ocspStapling": 1})
}

/// The same with other settings.
pub fn files_with(certificate: &Path, key: &Path, settings: &Value) -> Value {
    let mut files = json!({"certificateFile": certificate, "keyFile": key});
    for (name, value) in settings.as_object().unwrap() {
        files[name] = value.clone();
    }
    files
}

/// A pair in the settings themselves.
pub fn inline(certificate: &Path, key: &Path) -> Value {
    let lines = |path| std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    json!({"certificate": lines(certificate), "key": lines(key)})
}

/// The server's side.
#[derive(Debug)]
pub struct Xray {
    /// The process; `None` while it is stopped.
    pub process: Option<Process>,
    files: TempDir,
    /// Port of its API.
    pub api: u16,
    /// What it was started with.
    pub inbounds: Vec<Inbound>,
}

impl Xray {
    /// Only its configuration.
    pub fn stopped(inbounds: Vec<Inbound>) -> Self {
        let xray = Self { process: None, files: TempDir::new().unwrap(), api: free_port(), inbounds };
        xray.write();
        xray
    }

    /// Starts it.
    pub async fn run(&mut self) {
        let process = Process::start("xray", Command::new(program()).arg("run").arg("-c").arg(self.config()));
        process.says("started", START).await;
        self.process = Some(process);
        let api = self.api;
        until("Xray's API listens", START, async || TcpStream::connect(("127.0.0.1", api)).await.ok()).await;
    }

    /// Starts it as a user of its own, in the group `nogroup`; needs root.
    pub async fn run_as(&mut self, user: &str) {
        let copy = self.files.path().join("xray");
        std::fs::copy(program(), &copy).unwrap(); // that user may not look into every home
        std::fs::set_permissions(self.files.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("setpriv");
        command.args([&format!("--reuid={user}"), "--regid=nogroup", "--clear-groups"]).arg(copy);
        let process = Process::start("xray", command.arg("run").arg("-c").arg(self.config()));
        process.says("started", START).await;
        self.process = Some(process);
    }

    /// Starts it with a configuration of the story's own, in which there may be no API.
    pub async fn run_with(&mut self, settings: &Value) {
        std::fs::write(self.config(), settings.to_string()).unwrap();
        let process = Process::start("xray", Command::new(program()).arg("run").arg("-c").arg(self.config()));
        process.says("started", START).await;
        self.process = Some(process);
    }

    /// Ends it.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.files.path().join("config.json")
    }

    /// Writes the configuration that its inbounds make, as a panel does.
    pub fn write(&self) {
        let mut inbounds = vec![json!({
            "tag": "api", "listen": "127.0.0.1", "port": self.api, "protocol": "dokodemo-door",
            "settings": {"address": "127.0.0.1"},
        })];
        inbounds.extend(self.inbounds.iter().map(Inbound::settings));
        let settings = json!({
            "log": {"loglevel": "warning"},
            "api": {"tag": "api", "services": ["HandlerService"]},
            "inbounds": inbounds,
            "outbounds": [{"protocol": "freedom", "settings": {"finalRules": [{"action": "allow"}]}}],
            "routing": {"rules": [{"type": "field", "inboundTag": ["api"], "outboundTag": "api"}]},
        });
        std::fs::write(self.config(), settings.to_string()).unwrap();
    }

    /// One of its inbounds.
    pub fn inbound(&self, tag: &str) -> &Inbound {
        self.inbounds.iter().find(|inbound| inbound.tag == tag).expect("an inbound of the laboratory")
    }

    /// `xray api COMMAND`, the tool that Xray brings along.
    pub async fn tool(&self, command: &str, arguments: &[&str]) -> Output {
        let mut tool = Command::new(program());
        tool.args(["api", command, &format!("--server=127.0.0.1:{}", self.api)]).args(arguments);
        peer::run(tool).await
    }

    /// Adds a user while it runs, as a panel does.
    pub async fn add_user(&self, tag: &str, id: &str, email: &str) {
        let mut inbound = self.inbound(tag).settings();
        inbound["settings"]["clients"] = json!([{"id": id, "email": email}]);
        let file = self.files.path().join("user.json");
        std::fs::write(&file, json!({"inbounds": [inbound]}).to_string()).unwrap();
        let output = self.tool("adu", &[file.to_str().unwrap()]).await;
        assert!(String::from_utf8_lossy(&output.stdout).contains("Added 1 user"), "{output:?}");
    }

    /// Removes one.
    pub async fn remove_user(&self, tag: &str, email: &str) {
        let output = self.tool("rmu", &[&format!("-tag={tag}"), email]).await;
        assert!(String::from_utf8_lossy(&output.stdout).contains("Removed 1 user"), "{output:?}");
    }

    /// The tags of what runs.
    pub async fn tags(&self) -> Vec<String> {
        let output = self.tool("lsi", &["--isOnlyTags=true"]).await;
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let inbounds = said["inbounds"].as_array().cloned().unwrap_or_default();
        let mut tags: Vec<_> =
            inbounds.iter().filter_map(|it| Some(it["tag"].as_str()?.to_owned())).collect();
        tags.sort();
        tags
    }

    /// The leaf that each port of an inbound presents, SHA-256 in hex, as a client without a name sees it.
    pub async fn presented(&self, tag: &str) -> Vec<String> {
        let mut leaves = Vec::new();
        for address in self.inbound(tag).addresses() {
            let stream = tls::connect(address, &tls::trusting_anybody(&[])).await;
            leaves
                .push(stream.map_or_else(|error| error.to_string(), |it| tls::fingerprint(&tls::leaf(&it))));
        }
        leaves
    }
}

/// The client's side: ports that lead through each inbound to the echo.
#[derive(Debug)]
pub struct Client {
    _process: Process,
    _files: TempDir,
    ways: Vec<(String, u16)>,
    echo: JoinHandle<()>,
}

impl Client {
    /// A client that trusts `root` (PEM) and has a way through each port of these inbounds.
    pub async fn start(inbounds: &[&Inbound], root: &str) -> Self {
        let users = inbounds.iter().map(|inbound| (*inbound, USER)).collect::<Vec<_>>();
        Self::start_as(&users, root).await
    }

    /// The same with the users that are named.
    pub async fn start_as(inbounds: &[(&Inbound, &str)], root: &str) -> Self {
        let (files, (echo, target)) = (TempDir::new().unwrap(), echo().await);
        let (mut entrances, mut outbounds, mut rules, mut ways) = (vec![], vec![], vec![], vec![]);
        outbounds.push(json!({
            "tag": WITH_A_HEADER, "protocol": "freedom",
            "settings": {"proxyProtocol": 1, "finalRules": [{"action": "allow"}]},
        }));
        for (inbound, user) in inbounds {
            for address in inbound.addresses() {
                let port = free_port();
                let outbound = inbound.outbound(address.port(), user);
                let tag = format!("from-{port}");
                entrances.push(json!({
                    "tag": tag, "listen": "127.0.0.1", "port": port, "protocol": "dokodemo-door",
                    "settings": {"address": "127.0.0.1", "port": target.port(), "network": "tcp"},
                }));
                rules.push(json!({"type": "field", "inboundTag": [tag], "outboundTag": outbound["tag"]}));
                outbounds.push(outbound);
                ways.push((inbound.tag.to_owned(), port));
            }
        }
        let settings = json!({
            "log": {"loglevel": "warning"}, "inbounds": entrances, "outbounds": outbounds,
            "routing": {"rules": rules},
        });
        std::fs::write(files.path().join("root.pem"), root).unwrap();
        std::fs::write(files.path().join("client.json"), settings.to_string()).unwrap();
        let mut command = Command::new(program());
        command.arg("run").arg("-c").arg(files.path().join("client.json"));
        command.env("SSL_CERT_FILE", files.path().join("root.pem")).env("SSL_CERT_DIR", "/nonexistent");
        let process = Process::start("xray client", &mut command);
        process.says("started", START).await;
        Self { _process: process, _files: files, ways, echo }
    }

    /// `count` connections through each port of an inbound, each with data under way until it is ended.
    pub async fn connections(&self, tag: &str, count: usize) -> Vec<Flow> {
        let mut flows = Vec::new();
        for (_, port) in self.ways.iter().filter(|(of, _)| of == tag) {
            for _ in 0..count {
                flows.push(Flow::start(tag, *port).await);
            }
        }
        assert!(!flows.is_empty(), "no way through {tag}");
        flows
    }

    /// Whether a fresh connection through the first port of an inbound carries data.
    pub async fn gets_through(&self, tag: &str) -> bool {
        let (_, port) = self.ways.iter().find(|(of, _)| of == tag).expect("a way");
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", *port)).await else { return false };
        matches!(round_trip(&mut stream, 1).await, Ok(()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.echo.abort();
    }
}

/// An established connection that carries data.
#[derive(Debug)]
pub struct Flow {
    /// Through which inbound.
    pub tag: String,
    trips: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    task: JoinHandle<Result<(), String>>,
}

impl Flow {
    async fn start(tag: &str, port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        round_trip(&mut stream, 0)
            .await
            .unwrap_or_else(|error| panic!("the first echo through {tag}: {error}"));
        let (trips, over) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
        let (counted, until) = (Arc::clone(&trips), Arc::clone(&over));
        let task = tokio::spawn(async move {
            while !until.load(Ordering::Relaxed) {
                let number = counted.load(Ordering::Relaxed);
                round_trip(&mut stream, number)
                    .await
                    .map_err(|error| format!("after {number} echoes: {error}"))?;
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            Ok(())
        });
        Self { tag: tag.to_owned(), trips, over, task }
    }

    /// Ends it, after it has carried data once more; an error says how it broke.
    pub async fn end(self) -> Result<u64, String> {
        let (before, trips) = (self.trips.load(Ordering::Relaxed), Arc::clone(&self.trips));
        until("the connection carries data, or is known not to", SILENCE * 2, async || {
            (self.task.is_finished() || trips.load(Ordering::Relaxed) > before + 1).then_some(())
        })
        .await;
        self.over.store(true, Ordering::Relaxed);
        self.task.await.unwrap().map_err(|error| format!("{}: {error}", self.tag))?;
        Ok(trips.load(Ordering::Relaxed))
    }
}

/// Ends them all and says which were broken.
pub async fn broken(flows: Vec<Flow>) -> Vec<String> {
    let mut broken = Vec::new();
    for flow in flows {
        broken.extend(flow.end().await.err());
    }
    broken
}

async fn round_trip(stream: &mut TcpStream, number: u64) -> Result<(), String> {
    let sent = format!("echo {number:010}\n");
    let mut heard = vec![0; sent.len()];
    let trip = async {
        stream.write_all(sent.as_bytes()).await?;
        stream.read_exact(&mut heard).await
    };
    match tokio::time::timeout(SILENCE, trip).await {
        Ok(Ok(_)) if heard == sent.as_bytes() => Ok(()),
        Ok(Ok(_)) => Err("other bytes came back".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("silence".to_owned()),
    }
}

async fn echo() -> (JoinHandle<()>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await; // until the client leaves
            });
        }
    });
    (task, address)
}

/// The real Xray.
fn program() -> PathBuf {
    let name = std::env::var("XRAY").unwrap_or_else(|_| "xray".to_owned());
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin").join(name);
    assert!(program.exists(), "Xray is missing: tests/run installs it");
    program
}
