use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{Flags, PANEL, accepted, outcome, warned};
use crate::config::{
    AccessLog, Address, AdminAddress, AllowPaths, Fallback, Language, Profile, Rung, Scheme, UpstreamTrust,
};

#[test]
fn a_panel_alone_is_enough_and_has_the_defaults() {
    let config = accepted(PANEL);
    assert_eq!(config.http.listen, ["0.0.0.0:80", "[::]:80"].map(|it| it.parse::<SocketAddr>().unwrap()));
    assert!(config.http.workers >= 1);
    assert_eq!(config.http.limits.idle_timeout, Duration::from_secs(75));
    assert_eq!(config.panel.scheme, Scheme::Http);
    assert_eq!(config.panel.address, Address::Tcp { host: "127.0.0.1".into(), port: 13688 });
    assert_eq!(config.panel.base_path, "/");
    assert_eq!(config.panel.allow_paths, AllowPaths::Everything);
    assert_eq!(config.ip_cert, None);
    assert_eq!(config.admin.listen, AdminAddress::Unix("/run/doorman/admin.sock".into()));
    assert_eq!(config.store.dir, PathBuf::from("/var/lib/doorman"));
    assert_eq!(config.xray.reload, [Rung::Files, Rung::Api, Rung::Restart]);
    assert_eq!((config.telegram, config.webhook), (None, None));
}

#[test]
fn what_panels_store_is_accepted_as_it_stands() {
    let text = r#"{"panel": {"upstream": "http://127.0.0.1:13688"}, "ip_cert": {"enabled": true, "ip": "1.2.3.4",
        "email": "admin@example.com", "auto_renew": true, "renew_threshold_days": 3,
        "fallback_action": "self_signed"}}"#;
    let (config, problems, warnings) = outcome("panel.JSON", text, &Flags::default());
    assert_eq!((problems.as_slice(), warnings.as_slice()), (&[][..], &[][..]));
    let cert = config.unwrap().ip_cert.unwrap();
    assert_eq!(cert.ips, ["1.2.3.4".parse::<IpAddr>().unwrap()]);
    assert_eq!(cert.email.as_deref(), Some("admin@example.com"));
    assert_eq!(cert.renew_threshold, Duration::from_secs(3 * 86_400));
    assert_eq!(cert.fallback, Fallback::SelfSigned);
    assert_eq!(cert.directory.url, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(cert.profile, Some(Profile::Usual));
}

#[test]
fn both_formats_mean_the_same() {
    let toml = "[http]\nlisten = [\"127.0.0.1:0\"]\nheader_timeout = \"1m30s\"\n[panel]\nupstream = \"unix:/run/p.sock\"\n\
                [[forward]]\nlisten = [\"[::1]:81\"]\ntls = false\nupstream = \"https://panel.example:8443\"\n";
    let json = r#"{"http": {"listen": ["127.0.0.1:0"], "header_timeout": "1m30s", "workers": null},
        "panel": {"upstream": "unix:\/run\/p.sock"}, "telegram": null,
        "forward": [{"listen": ["[::1]:81"], "tls": false, "upstream": "https://panel.example:8443"}]}"#;
    let (from_json, problems, _) = outcome("a.json", json, &Flags::default());
    assert_eq!(problems, []);
    let from_toml = accepted(toml);
    assert_eq!(from_toml.http.limits.header_timeout, Duration::from_secs(90));
    assert_eq!(from_toml.forwards[0].upstream.scheme, Scheme::Https(UpstreamTrust::PublicRoots));
    assert_eq!(Some(from_toml), from_json);
}

#[test]
fn flags_are_enough_and_overrule_the_file() {
    let flags = Flags {
        panel: Some("http://127.0.0.1:9000".into()),
        listen: vec!["127.0.0.1:5002".into()],
        https: vec!["127.0.0.1:8443".into()],
        ip: vec!["127.0.0.1".into(), "[::1]".into()],
        directory: Some("https://127.0.0.1:14000/dir".into()),
        directory_ca: Some("Cargo.toml".into()),
        store: Some("/tmp/store".into()),
        admin: Some("/tmp/admin.sock".into()),
    };
    let loaded = crate::config::read(None, &flags).unwrap();
    assert_eq!(loaded.warnings, []);
    let file = "[http]\nlisten = [\"nonsense\"]\nworkers = 3\n[panel]\nupstream = \"nonsense\"\n[ip_cert]\nip = \"no\"\n";
    let (over, problems, _) = outcome("a.toml", file, &flags);
    assert_eq!(problems, []);
    let over = over.unwrap();
    assert_eq!(over.http.workers, 3);
    for config in [loaded.config, over] {
        assert_eq!(config.http.listen, ["127.0.0.1:5002".parse::<SocketAddr>().unwrap()]);
        assert_eq!(config.https.listen, ["127.0.0.1:8443".parse::<SocketAddr>().unwrap()]);
        let cert = config.ip_cert.unwrap();
        assert_eq!(cert.ips, ["127.0.0.1", "::1"].map(|it| it.parse::<IpAddr>().unwrap()));
        assert_eq!(cert.directory.url, "https://127.0.0.1:14000/dir");
        assert!(cert.directory.ca_file.unwrap().is_absolute());
        assert_eq!(config.store.dir, PathBuf::from("/tmp/store"));
        assert_eq!(config.admin.listen, AdminAddress::Unix("/tmp/admin.sock".into()));
    }
}

#[test]
fn a_private_address_goes_with_a_private_directory() {
    let with =
        |directory: &str| format!("{PANEL}[ip_cert]\nip = \"10.0.0.1\"\ndirectory = \"{directory}\"\n");
    for directory in [
        "https://127.0.0.1:14000/dir",
        "https://localhost:14000/dir",
        "https://[::1]:14000/dir",
        "https://10.0.0.2/acme/dir",
        "https://pebble:14000/dir",
        "https://ca.home.arpa/acme",
    ] {
        assert!(accepted(&with(directory)).ip_cert.is_some(), "{directory}");
    }
    for directory in ["letsencrypt-staging", "https://ca.example.com/acme", "https://9.9.9.9/acme"] {
        assert_eq!(super::refused(&with(directory))[0].key, "ip_cert.ip", "{directory}");
    }
    let own_roots = with("https://ca.example.com/acme") + "directory_ca = \"/etc/hosts\"\n";
    assert!(accepted(&own_roots).ip_cert.is_some());
}

#[test]
fn other_cas_take_any_threshold() {
    let text = "[ip_cert]\nip = \"9.9.9.9\"\ndirectory = \"https://dv.acme-v02.api.pki.goog/directory\"\nprofile = \"\"\n\
                renew_threshold_days = 30\neab_kid = \"k\"\neab_hmac_key = \"c2VjcmV0_-\"\n";
    let cert = accepted(&format!("{PANEL}{text}")).ip_cert.unwrap();
    assert_eq!(cert.renew_threshold, Duration::from_secs(30 * 86_400));
    assert_eq!(cert.profile, None);
    for (name, profile) in [("x", Profile::Named("x".to_owned())), ("shortlived", Profile::Usual)] {
        let text = text.replace("profile = \"\"", &format!("profile = \"{name}\""));
        assert_eq!(accepted(&format!("{PANEL}{text}")).ip_cert.unwrap().profile, Some(profile));
    }
    let (kid, key) = cert.eab.unwrap();
    assert_eq!((kid.as_str(), key.expose()), ("k", "c2VjcmV0_-"));
}

#[test]
fn a_disabled_certificate_may_have_any_address() {
    let off = |ip: &str| format!("{PANEL}[ip_cert]\nenabled = false\nip = {ip}\n");
    assert_eq!(accepted(&off("\"\"")).ip_cert, None);
    let warnings = warned(&off("\"203.0.113.7\""));
    assert_eq!((warnings.len(), warnings[0].0, warnings[0].1.as_str()), (1, Some(5), "ip_cert.ip"));
    assert_eq!(warned(&format!("{PANEL}[ip_cert]\n"))[0].1, "ip_cert");
}

#[test]
fn upstreams_are_trusted_as_written() {
    let scheme = |lines: &str| accepted(&format!("[panel]\nupstream = {lines}\n")).panel.scheme;
    assert_eq!(scheme("\"https://127.0.0.1\""), Scheme::Https(UpstreamTrust::Anything));
    assert_eq!(scheme("\"HTTPS://[::1]:2053/\""), Scheme::Https(UpstreamTrust::Anything));
    assert_eq!(scheme("\"https://example.com\""), Scheme::Https(UpstreamTrust::PublicRoots));
    let file = Scheme::Https(UpstreamTrust::CaFile("/a.pem".into()));
    assert_eq!(scheme("\"https://localhost:1\"\nca_file = \"/a.pem\""), file);
    let pin = "AB:".repeat(31) + "cd";
    let mut bytes = [0xab; 32];
    bytes[31] = 0xcd;
    let pinned = Scheme::Https(UpstreamTrust::Pin(bytes));
    assert_eq!(scheme(&format!("\"https://localhost:1\"\npin_sha256 = \"{pin}\"")), pinned);
}

#[test]
fn the_preset_is_spelled_out() {
    let text = "[panel]\nupstream = \"http://a:1\"\nbase_path = \"/abc\"\nallow_paths = [\"x-panel\", \"login\", \"extra/\"]\n";
    let panel = accepted(text).panel;
    assert_eq!(panel.base_path, "/abc/");
    let expected =
        ["", "login", "logout", "getTwoFactorEnable", "assets/", "panel", "panel/", "xui", "xui/", "extra/"];
    assert_eq!(panel.allow_paths, AllowPaths::Only(expected.map(str::to_owned).to_vec()));
}

#[test]
fn the_rest_is_typed() {
    let text = "[http]\nlisten = []\ntrusted_proxies = [\"10.1.2.3/8\", \"::1\"]\naccess_log = \"sampled\"\nrestart = 1\n";
    assert_eq!(super::refused(&format!("{PANEL}{text}"))[0].key, "http.restart");
    let text = text.replace("restart = 1\n", "acme_upstream = \"localhost:8402\"\n");
    let more = "[telegram]\nbot_token = \"1:a\"\nchat_ids = [-100, 7]\nlanguage = \"en\"\n\
                api_url = \"http://127.0.0.1:8081/\"\nproxy = \"socks5://u:p@127.0.0.1:1080\"\n\
                [webhook]\nurl = \"https://example.com/hook?key=1\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"t\"\n\
                [xray]\napi = \"unix:/run/x.sock\"\nprobe = [\"[::1]:443\"]\nreload = [\"signal\"]\n";
    let config = accepted(&format!("{PANEL}{text}{more}"));
    assert_eq!(config.http.access_log, AccessLog::Sampled);
    assert_eq!(config.http.trusted_proxies[0].address.to_string(), "10.0.0.0");
    assert_eq!(config.http.trusted_proxies[1].prefix, 128);
    let telegram = config.telegram.unwrap();
    assert_eq!((telegram.chat_ids.as_slice(), telegram.language), (&[-100, 7][..], Language::English));
    assert_eq!(telegram.api_url, "http://127.0.0.1:8081");
    assert_eq!(config.webhook.unwrap().url.expose(), "https://example.com/hook?key=1");
    assert_eq!(config.xray.probe, [Address::Tcp { host: "::1".into(), port: 443 }]);
    assert_eq!(config.xray.api, Some(Address::Unix("/run/x.sock".into())));
}

#[test]
fn what_works_but_is_odd_is_said() {
    let keys = |text: &str| warned(&format!("{PANEL}{text}")).into_iter().map(|it| it.1).collect::<Vec<_>>();
    assert_eq!(keys("[http]\nlisten = [\"0.0.0.0:81\"]\n[ip_cert]\nip = \"9.9.9.9\"\n"), ["http.listen"]);
    assert_eq!(keys("[https]\nlisten = [\"0.0.0.0:443\"]\n"), ["https.listen"]);
    let forward = "[[forward]]\nlisten = [\"0.0.0.0:1\"]\nupstream = \"http://127.0.0.1:2\"\n";
    assert_eq!(keys(forward), ["forward[0].listen"]);
    assert_eq!(keys("[http]\ntrusted_proxies = [\"0.0.0.0/0\"]\n"), ["http.trusted_proxies[0]"]);
    assert_eq!(keys("[admin]\nlisten = \"127.0.0.1:9180\"\n"), ["admin.listen"]);
    assert_eq!(keys("[store]\ndir = \"/etc/x-ui/doorman\"\n"), ["store.dir"]);
    assert_eq!(keys("[store]\ndir = \"store\"\n"), ["store.dir"]);
    assert_eq!(keys("[telegram]\nbot_token = \"1:a\"\n"), ["telegram"]);
    assert_eq!(
        keys("[ip_cert]\nip = \"9.9.9.9\"\ndirectory_ca = \"/nonexistent.pem\"\n"),
        ["ip_cert.directory_ca"]
    );
    assert_eq!(
        keys("[telegram]\nbot_token = \"1:a\"\nchat_ids = [1]\n[webhook]\nurl = \"https://a.b/\"\n"),
        [""; 0]
    );
    assert_eq!(keys("[xray]\nreload = [\"api\"]\n"), [""; 0]);
}
