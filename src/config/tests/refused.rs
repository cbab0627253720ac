use super::{Flags, PANEL, outcome, refused};

/// One line each: section, the line that is wrong, the key that is named, and a part of what is proposed.
#[rustfmt::skip]
const LINES: &[(&str, &str, &str, &str)] = &[
    // http
    ("http", "listen = \"0.0.0.0:80\"", "http.listen", "[\"0.0.0.0:80\"]"),
    ("http", "listen = [\"80\"]", "http.listen[0]", "\"0.0.0.0:80\", and \"[::]:80\""),
    ("http", "listen = [80]", "http.listen[0]", "\"0.0.0.0:80\""),
    ("http", "listen = [\":80\"]", "http.listen[0]", "\"0.0.0.0:80\""),
    ("http", "listen = [\"*:80\"]", "http.listen[0]", "\"0.0.0.0:80\""),
    ("http", "listen = [\"127.0.0.1\"]", "http.listen[0]", "\"127.0.0.1:80\""),
    ("http", "listen = [\"::1\"]", "http.listen[0]", "\"[::1]:80\""),
    ("http", "listen = [\"localhost:81\"]", "http.listen[0]", "\"127.0.0.1:81\""),
    ("http", "listen = [\"http://1.2.3.4:80/\"]", "http.listen[0]", "\"1.2.3.4:80\""),
    ("http", "listen = [\"1.2.3.4:70000\"]", "http.listen[0]", "a port from 0 to 65535"),
    ("http", "listen = [\"224.0.0.1:80\"]", "http.listen[0]", "\"0.0.0.0:80\""),
    ("http", "listen = [\"[::ffff:1.2.3.4]:80\"]", "http.listen[0]", "\"1.2.3.4:80\""),
    ("http", "listen = [\"1.2.3.4:80\", \"1.2.3.4:80\"]", "http.listen[1]", "another port"),
    ("http", "listen = [\"0.0.0.0:80\", \"1.2.3.4:80\"]", "http.listen[1]", "http.listen[0] in line 4 has 0.0.0.0:80"),
    ("http", "listen = [\"[::1]:80\", \"[::]:80\"]", "http.listen[1]", "another port"),
    ("http", "workers = -1", "http.workers", "from 0 to 1024"),
    ("http", "workers = 2.0", "http.workers", "2, a whole number"),
    ("http", "workers = \"2\"", "http.workers", "2, a whole number"),
    ("http", "workers = 2.5", "http.workers", "a whole number of threads from 0"),
    ("http", "workers = 99999999999999999999", "http.workers", "from 0 to 1024"),
    ("http", "redirect_to_https = \"yes\"", "http.redirect_to_https", "true, without quotes"),
    ("http", "redirect_to_https = 0", "http.redirect_to_https", "false, without quotes"),
    ("http", "acme_webroot = \"webroot\"", "http.acme_webroot", "\"/var/lib/webroot\""),
    ("http", "acme_upstream = \"http://127.0.0.1:8402/\"", "http.acme_upstream", "\"127.0.0.1:8402\""),
    ("http", "acme_upstream = \"127.0.0.1\"", "http.acme_upstream", "\"127.0.0.1:8402\""),
    ("http", "acme_upstream = \"127.0.0.1:80\"", "http.acme_upstream", "is doorman itself"),
    ("http", "trusted_proxies = [\"10.0.0.0/33\"]", "http.trusted_proxies[0]", "\"10.0.0.0/8\""),
    ("http", "trusted_proxies = [\"cdn.example\"]", "http.trusted_proxies[0]", "\"10.0.0.0/8\""),
    ("http", "max_connections = 0", "http.max_connections", "from 1 to"),
    ("http", "max_uri_bytes = 70000", "http.max_uri_bytes", "to 65534"),
    ("http", "header_timeout = 30", "http.header_timeout", "\"30s\""),
    ("http", "header_timeout = \"30\"", "http.header_timeout", "\"30s\""),
    ("http", "header_timeout = \"30 sec\"", "http.header_timeout", "\"30s\""),
    ("http", "header_timeout = \"0s\"", "http.header_timeout", "\"100ms\" or more"),
    ("http", "header_timeout = \"soon\"", "http.header_timeout", "\"30s\": a whole number"),
    ("http", "drain_timeout = \"9999d\"", "http.drain_timeout", "\"365d\" or less"),
    ("http", "access_log = \"ful\"", "http.access_log", "\"full\""),
    ("http", "access_log = true", "http.access_log", "one of \"off\", \"sampled\", \"full\""),
    ("http", "max-connections = 3", "http.max-connections", "max_connections"),
    ("http", "upstream = \"http://127.0.0.1:1\"", "http.upstream", "upstream under [panel] or [[forward]]"),
    ("http", "colour = \"red\"", "http.colour", "one of listen, workers"),
    // https
    ("https", "listen = [\"0.0.0.0:80\"]", "https.listen[0]", "http.listen (its default is 0.0.0.0:80)"),
    ("https", "certificate = \"/a.pem\"", "https.key", "key as well"),
    ("https", "key = \"/a.key\"", "https.certificate", "certificate as well"),
    // forward: see below, it has several lines
    // ip_cert
    ("ip_cert", "email = \"a@b.c\"", "ip_cert.ip", "ip = \"203.0.113.7\""),
    ("ip_cert", "ip = \"\"", "ip_cert.ip", "ip = \"203.0.113.7\""),
    ("ip_cert", "ip = []", "ip_cert.ip", "\"203.0.113.7\""),
    ("ip_cert", "ip = 1", "ip_cert.ip", "a text in quotes: \"203.0.113.7\""),
    ("ip_cert", "ip = \"example.com\"", "ip_cert.ip", "not for names"),
    ("ip_cert", "ip = \"http://9.9.9.9/\"", "ip_cert.ip", "\"9.9.9.9\", the address alone"),
    ("ip_cert", "ip = \"9.9.9.9, 2620:fe::9\"", "ip_cert.ip", "[\"9.9.9.9\", \"2620:fe::9\"]"),
    ("ip_cert", "ip = \"10.0.0.1\"", "ip_cert.ip", "10.0.0.1 is private"),
    ("ip_cert", "ip = [\"9.9.9.9\", \"127.0.0.1\"]", "ip_cert.ip[1]", "loopback"),
    ("ip_cert", "ip = \"203.0.113.7\"", "ip_cert.ip", "for documentation"),
    ("ip_cert", "ip = \"100.64.0.1\"", "ip_cert.ip", "carrier-grade"),
    ("ip_cert", "ip = \"[fe80::1]\"", "ip_cert.ip", "link-local"),
    ("ip_cert", "ip = \"fd00::1\"", "ip_cert.ip", "private"),
    ("ip_cert", "ip = \"2001:db8::1\"", "ip_cert.ip", "for documentation"),
    ("ip_cert", "ip = \"0.0.0.0\"", "ip_cert.ip", "own public address"),
    ("ip_cert", "ip = \"ff02::1\"", "ip_cert.ip", "own public address"),
];

/// The same below an address that is in order.
#[rustfmt::skip]
const CERTIFICATE: &[(&str, &str, &str)] = &[
    ("enabled = 1", "ip_cert.enabled", "true"),
    ("email = \"admin\"", "ip_cert.email", "admin@example.com"),
    ("email = \"mailto:a@b.org\"", "ip_cert.email", "\"a@b.org\""),
    ("renew_threshold_days = 0", "ip_cert.renew_threshold_days", "from 1 to 6"),
    ("renew_threshold_days = 7", "ip_cert.renew_threshold_days", "from 1 to 6"),
    ("renew_threshold_days = 3.0", "ip_cert.renew_threshold_days", "3, a whole number"),
    ("check_interval_hours = 0", "ip_cert.check_interval_hours", "from 1 to 24"),
    ("fallback_action = \"self-signed\"", "ip_cert.fallback_action", "\"self_signed\""),
    ("directory = \"letsencypt\"", "ip_cert.directory", "\"letsencrypt\""),
    ("directory = \"Let's Encrypt\"", "ip_cert.directory", "\"letsencrypt\""),
    ("directory = \"http://127.0.0.1:14000/dir\"", "ip_cert.directory", "\"https://127.0.0.1:14000/dir\": ACME"),
    ("directory = \"zerossl\"", "ip_cert.directory", "an https:// URL"),
    ("eab_kid = \"k\"", "ip_cert.eab_hmac_key", "eab_hmac_key as well"),
    ("eab_hmac_key = \"c2VjcmV0\"", "ip_cert.eab_kid", "eab_kid as well"),
    ("export_cert = \"/srv/a.pem\"", "ip_cert.export_key", "export_key as well"),
    ("profile = 1", "ip_cert.profile", "\"shortlived\""),
];

/// The same in sections that need nothing else.
#[rustfmt::skip]
const OTHERS: &[(&str, &str, &str, &str)] = &[
    ("xray", "api = \"127.0.0.1\"", "xray.api", "with the right port"),
    ("xray", "api = \"/run/xray.sock\"", "xray.api", "\"unix:/run/xray.sock\""),
    ("xray", "probe = [\"example.com\"]", "xray.probe[0]", "\"example.com:8402\""),
    ("xray", "reload = [\"file\"]", "xray.reload[0]", "\"files\""),
    ("xray", "reload = [\"api\", \"api\"]", "xray.reload", "each step once"),
    ("xray", "reload = \"api\"", "xray.reload", "[\"api\"]"),
    ("xray", "restart_command = \"systemctl restart x-ui\"", "xray.restart_command", "[\"systemctl\", \"restart\", \"x-ui\"]"),
    ("xray", "restart_command = []", "xray.restart_command", "\"systemctl\""),
    ("telegram", "chat_ids = [\"-100123\"]", "telegram.chat_ids[0]", "-100123, without quotes"),
    ("telegram", "chat_ids = 5", "telegram.chat_ids", "[5]"),
    ("telegram", "chat_ids = [0]", "telegram.chat_ids[0]", "the chat's number"),
    ("telegram", "language = \"zh\"", "telegram.language", "\"zh-CN\", \"en\""),
    ("telegram", "proxy = \"socks5h://127.0.0.1:1080\"", "telegram.proxy", "\"socks5://127.0.0.1:1080\""),
    ("telegram", "proxy = \"127.0.0.1:1080\"", "telegram.proxy", "\"socks5://127.0.0.1:1080\" or"),
    ("telegram", "api_url = \"api.telegram.org\"", "telegram.api_url", "\"https://api.telegram.org\""),
    ("webhook", "url = \"ftp://example.com/x\"", "webhook.url", "https://"),
    ("admin", "listen = \"0.0.0.0:9180\"", "admin.listen", "\"127.0.0.1:9180\""),
    ("admin", "listen = \"9.9.9.9:9180\"", "admin.listen", "never open to others"),
    ("admin", "listen = \"localhost:9180\"", "admin.listen", "\"127.0.0.1:9180\""),
    ("admin", "listen = \"admin.sock\"", "admin.listen", "\"/run/doorman/admin.sock\""),
    ("admin", "token_file = \"/nonexistent/token\"", "admin.token_file", "may read"),
    ("store", "dir = 1", "store.dir", "\"/var/lib/doorman\""),
    ("store", "group = \"a b\"", "store.group", "\"xray\""),
    ("stor", "dir = \"/a\"", "stor", "[store]"),
];

/// The same in `[panel]`: all of the section after its name, and the line of the problem.
#[rustfmt::skip]
const PANELS: &[(&str, usize, &str, &str)] = &[
    ("", 1, "panel.upstream", "upstream = \"http://127.0.0.1:13688\""),
    ("upstream = \"\"", 2, "panel.upstream", "\"http://127.0.0.1:13688\""),
    ("upstream = 13688", 2, "panel.upstream", "\"http://127.0.0.1:13688\""),
    ("upstream = \"13688\"", 2, "panel.upstream", "\"http://127.0.0.1:13688\""),
    ("upstream = \"127.0.0.1:9\"", 2, "panel.upstream", "\"http://127.0.0.1:9\""),
    ("upstream = \"ftp://127.0.0.1:9\"", 2, "panel.upstream", "\"http://127.0.0.1:9\""),
    ("upstream = \"http://127.0.0.1:0\"", 2, "panel.upstream", "\"http://127.0.0.1:13688\""),
    ("upstream = \"http://127.0.0.1:9/abc/\"", 2, "panel.upstream", "base_path = \"/abc/\""),
    ("upstream = \"http://127.0.0.1:80\"", 2, "panel.upstream", "is doorman itself"),
    ("upstream = \"http://localhost\"", 2, "panel.upstream", "is doorman itself"),
    ("upstream = \"unix:panel.sock\"", 2, "panel.upstream", "from the root"),
    ("upstream = \"/run/panel.sock\"", 2, "panel.upstream", "\"unix:/run/panel.sock\""),
    ("upstream = \"http://a:1\"\nbase_path = \"abc/\"", 3, "panel.base_path", "\"/abc/\""),
    ("upstream = \"http://a:1\"\nbase_path = \"\"", 3, "panel.base_path", "\"/\""),
    ("upstream = \"http://a:1\"\nbase_path = \"/a/../b/\"", 3, "panel.base_path", "without"),
    ("upstream = \"http://a:1\"\nallow_paths = [\"/login\"]", 3, "panel.allow_paths[0]", "\"login\""),
    ("upstream = \"http://a:1\"\nallow_paths = [\"assets/*\"]", 3, "panel.allow_paths[0]", "\"assets/\""),
    ("upstream = \"http://a:1\"\nconnect_timeout = \"0s\"", 3, "panel.connect_timeout", "or more"),
    ("upstream = \"https://a:1\"\npin_sha256 = \"abc\"", 3, "panel.pin_sha256", "64 hexadecimal"),
];

#[test]
fn each_line_is_refused_with_its_line_key_and_remedy() {
    for (section, line, key, write) in LINES.iter().chain(OTHERS) {
        the_one_problem(&format!("{PANEL}[{section}]\n{line}\n"), &[3, 4], key, write);
    }
    for (line, key, write) in CERTIFICATE {
        let text = format!("{PANEL}[ip_cert]\nip = \"9.9.9.9\"\n{line}\n");
        the_one_problem(&text, &[5], key, write);
    }
    for (lines, line, key, write) in PANELS {
        the_one_problem(&format!("[panel]\n{lines}\n"), &[*line], key, write);
    }
}

#[test]
fn forwards_are_checked_one_by_one() {
    let forward = |lines: &str| format!("{PANEL}[[forward]]\n{lines}\n");
    let good = "listen = [\"1.2.3.4:2096\"]\nupstream = \"http://127.0.0.1:12096\"\n";
    the_one_problem(&forward("upstream = \"http://a:1\""), &[3], "forward[0].listen", "listen = [\"");
    the_one_problem(
        &forward("listen = []\nupstream = \"http://a:1\""),
        &[3],
        "forward[0].listen",
        "listen = [\"",
    );
    the_one_problem(
        &forward("listen = [\"1.2.3.4:1\"]"),
        &[3],
        "forward[0].upstream",
        "upstream = \"http://",
    );
    the_one_problem(&forward(&format!("{good}port = 1")), &[6], "forward[0].port", "one of listen, tls");
    let twice = forward(&format!("{good}[[forward]]\n{good}"));
    the_one_problem(&twice, &[7], "forward[1].listen[0]", "forward[0].listen[0] in line 4 has 1.2.3.4:2096");
    the_one_problem(&format!("{PANEL}[forward]\n{good}"), &[3], "forward", "[[forward]]");
    let own = "listen = [\"127.0.0.1:9\"]\nupstream = \"http://127.0.0.1:9\"";
    the_one_problem(&forward(own), &[5], "forward[0].upstream", "is doorman itself");
}

#[test]
fn sections_are_not_values() {
    the_one_problem(
        &format!("admin = \"/run/a.sock\"\n{PANEL}"),
        &[1],
        "admin",
        "[admin] on a line of its own",
    );
    the_one_problem(&format!("forward = 1\n{PANEL}"), &[1], "forward", "[[forward]]");
    let problems = refused("panel = \"http://127.0.0.1:1\"\n");
    assert_eq!(problems[0].to_string(), "panel is a text");
}

#[test]
fn pairs_of_trust_and_of_files_exclude_each_other() {
    let pin = "ab:".repeat(31) + "ab";
    let both = format!("[panel]\nupstream = \"https://a:1\"\nca_file = \"/a.pem\"\npin_sha256 = \"{pin}\"\n");
    the_one_problem(&both, &[4], "panel.pin_sha256", "ca_file or pin_sha256, not both");
    let same = "[ip_cert]\nip = \"9.9.9.9\"\nexport_cert = \"/srv/a.pem\"\nexport_key = \"/srv/a.pem\"\n";
    the_one_problem(&format!("{PANEL}{same}"), &[6], "ip_cert.export_key", "another file");
    let inside = "[ip_cert]\nip = \"9.9.9.9\"\nexport_cert = \"/srv/a.pem\"\nexport_key = \"/var/lib/doorman/k.pem\"\n";
    the_one_problem(&format!("{PANEL}{inside}"), &[6], "ip_cert.export_key", "outside of /var/lib/doorman");
}

#[test]
fn all_problems_come_at_once_and_in_the_order_of_the_file() {
    let text = "[http]\nlisten = [\"80\", \"0.0.0.0:81\", \"x\"]\nworkers = \"two\"\nlissten = []\n\
                [ip_cert]\nip = [\"10.1.1.1\", \"no\"]\nemail = \"@\"\nrenew_threshold_days = 9\n\
                [admin]\nlisten = \"1.2.3.4:5\"\n[telegramm]\nbot_token = \"x\"\n";
    let found: Vec<(Option<usize>, String)> = refused(text).into_iter().map(|it| (it.line, it.key)).collect();
    let expected = [
        (Some(2), "http.listen[0]"),
        (Some(2), "http.listen[2]"),
        (Some(3), "http.workers"),
        (Some(4), "http.lissten"),
        (Some(6), "ip_cert.ip[0]"),
        (Some(6), "ip_cert.ip[1]"),
        (Some(7), "ip_cert.email"),
        (Some(8), "ip_cert.renew_threshold_days"),
        (Some(10), "admin.listen"),
        (Some(11), "telegramm"),
        (None, "panel.upstream"),
    ];
    assert_eq!(found, expected.map(|(line, key)| (line, key.to_owned())));
}

#[test]
fn problems_of_flags_name_the_flag() {
    let flags = Flags {
        panel: Some("nothing at all".into()),
        listen: vec!["80".into()],
        https: vec!["0.0.0.0:443".into(), "1.2.3.4:443".into()],
        ip: vec!["10.0.0.1".into()],
        admin: Some("0.0.0.0:1".into()),
        ..Flags::default()
    };
    let (_, problems, _) = outcome("a.toml", PANEL, &flags);
    let mut keys: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    keys.sort();
    assert_eq!(keys, ["--admin", "--https", "--ip", "--listen", "--panel"]);
    assert!(problems.iter().all(|problem| problem.line.is_none()));
    assert!(problems.iter().any(|problem| problem.to_string() == "--listen = \"80\""), "{problems:?}");
    let alone = Flags { directory: Some("letsencrypt".into()), ..Flags::default() };
    let (_, problems, _) = outcome("a.toml", PANEL, &alone);
    assert!(problems[0].write.starts_with("--ip 203.0.113.7 beside --directory"), "{problems:?}");
}

/// Asserts that `text` has exactly one problem: in one of `lines`, with `key`, proposing `write`.
fn the_one_problem(text: &str, lines: &[usize], key: &str, write: &str) {
    let problems = refused(text);
    assert_eq!(problems.len(), 1, "{problems:#?} in\n{text}");
    let problem = &problems[0];
    assert!(problem.line.is_some_and(|line| lines.contains(&line)), "{problem:?} in\n{text}");
    assert_eq!(problem.key, key, "{problem:?} in\n{text}");
    assert!(problem.write.contains(write), "{write} not in {problem:?} in\n{text}");
    assert!(!problem.to_string().is_empty());
}
