use super::{Flags, PANEL, outcome};

/// Stands wherever a secret can stand, in every wrong way.
const HUSH: &str = "hush5ecret";

#[test]
fn secrets_are_never_shown() {
    for text in [
        "[telegram]\nbot_token = \"1:hush5ecret with blanks\"\nchat_ids = [1]\n",
        "[telegram]\nbot_token = \" hush5ecret\"\n",
        "[telegram]\nbot_token = [\"hush5ecret\"]\n",
        "[telegram]\nbot_token = { hush5ecret = 1 }\n",
        "[telegram]\nbot_token = \"\"\"a\nhush5ecret\"\"\"\n",
        "[telegram]\nbot_tokem = \"hush5ecret\"\n",
        "[telegram]\nproxy = \"socks5h://user:hush5ecret@127.0.0.1:1\"\n",
        "[telegram]\nproxy = \"https://user:hush5ecret@127.0.0.1:1/path\"\n",
        "[telegram]\napi_url = \"https://api.telegram.org/bothush5ecret/\"\n",
        "[webhook]\nurl = \"ftp://example.com/hush5ecret\"\n",
        "[webhook]\nsecret = 5\nurl = \"hush5ecret\"\n",
        "[admin]\ntoken = [\"hush5ecret\"]\nlisten = 1\n",
        "[ip_cert]\nip = \"9.9.9.9\"\neab_hmac_key = \"hush5ecret+/\"\n",
        "[ip_cert]\nip = \"9.9.9.9\"\neab_hmac_key = \"hush5ecret\"\n",
        "[ip_cert]\nip = \"9.9.9.9\"\ndirectory = \"https://user:hush5ecret@ca.example/\"\n",
        "telegram = \"hush5ecret\"\n",
        "[telgram]\nbot_token = \"hush5ecret\"\n",
    ] {
        let text = match text.starts_with('[') {
            true => format!("{PANEL}{text}"),
            false => format!("{text}{PANEL}"),
        };
        let (config, problems, warnings) = outcome("a.toml", &text, &Flags::default());
        assert!(config.is_none(), "accepted:\n{text}");
        for problem in &problems {
            let shown = format!("{problem} {problem:?} {}", problem.write);
            assert!(!shown.contains(HUSH), "{shown}\nin\n{text}");
        }
        assert!(!format!("{warnings:?}").contains(HUSH), "{warnings:?}\nin\n{text}");
    }
}

#[test]
fn settings_hide_secrets_in_their_debug_form() {
    let text = "[telegram]\nbot_token = \"hush5ecret\"\nchat_ids = [1]\n[admin]\ntoken = \"hush5ecret\"\n\
                [webhook]\nurl = \"https://example.com/hush5ecret\"\nsecret = \"hush5ecret\"\n";
    let config = super::accepted(&format!("{PANEL}{text}"));
    assert!(config.telegram.is_some() && config.webhook.is_some() && config.admin.token.is_some());
    assert!(!format!("{config:?}").contains(HUSH));
}

#[test]
fn secrets_come_from_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "  1:abc\n").unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let (file, empty, none) = (file.display(), empty.display(), dir.path().join("none"));
    let good = format!("{PANEL}[telegram]\nchat_ids = [1]\nbot_token_file = \"{file}\"\n");
    assert_eq!(super::accepted(&good).telegram.unwrap().bot_token.expose(), "1:abc");
    for (lines, key) in [
        (format!("[telegram]\nbot_token_file = \"{}\"", none.display()), "telegram.bot_token_file"),
        (format!("[telegram]\nbot_token_file = \"{empty}\""), "telegram.bot_token_file"),
        (format!("[telegram]\nbot_token_file = \"{file}\"\nbot_token = \"1:a\""), "telegram.bot_token_file"),
        (format!("[webhook]\nurl_file = \"{file}\""), "webhook.url_file"),
        (format!("[webhook]\nsecret_file = \"{}\"", none.display()), "webhook.secret_file"),
        (format!("[admin]\ntoken_file = \"{empty}\""), "admin.token_file"),
        (
            format!("[ip_cert]\nip = \"9.9.9.9\"\neab_kid = \"k\"\neab_hmac_key_file = \"{file}\""),
            "ip_cert.eab_hmac_key_file",
        ),
    ] {
        let problems = super::refused(&format!("{PANEL}{lines}\n"));
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        let webhook = key == "webhook.url_file" || key == "ip_cert.eab_hmac_key_file";
        let shown = problems[0].to_string();
        assert_eq!(keys, [key], "{lines}");
        // What is wrong with the contents must not show the contents; what is wrong with the name may show the name.
        assert!(!webhook || !shown.contains("abc"), "{shown}");
    }
}
