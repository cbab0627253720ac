//! Every key there is, and what was probably meant by one that is not.

/// The sections and their keys; the first has no name and holds the sections themselves.
pub(in crate::config) const SECTIONS: &[(&str, &[&str])] = &[
    ("", &["http", "https", "panel", "forward", "ip_cert", "xray", "telegram", "webhook", "admin", "store"]),
    (
        "http",
        &[
            "listen",
            "workers",
            "redirect_to_https",
            "acme_webroot",
            "acme_upstream",
            "trusted_proxies",
            "max_connections",
            "max_connections_per_ip",
            "max_tunnels",
            "max_header_bytes",
            "max_headers",
            "max_uri_bytes",
            "header_timeout",
            "idle_timeout",
            "body_timeout",
            "drain_timeout",
            "access_log",
        ],
    ),
    ("https", &["listen", "certificate", "key"]),
    (
        "panel",
        &[
            "upstream",
            "base_path",
            "allow_paths",
            "restart_grace",
            "connect_timeout",
            "response_timeout",
            "ca_file",
            "pin_sha256",
        ],
    ),
    (
        "forward",
        &[
            "listen",
            "tls",
            "upstream",
            "base_path",
            "allow_paths",
            "restart_grace",
            "connect_timeout",
            "response_timeout",
            "ca_file",
            "pin_sha256",
        ],
    ),
    (
        "ip_cert",
        &[
            "enabled",
            "ip",
            "email",
            "auto_renew",
            "renew_threshold_days",
            "check_interval_hours",
            "fallback_action",
            "directory",
            "directory_ca",
            "profile",
            "eab_kid",
            "eab_hmac_key",
            "eab_hmac_key_file",
            "export_cert",
            "export_key",
        ],
    ),
    ("xray", &["config", "api", "probe", "reload", "signal_anyway", "restart_command"]),
    (
        "telegram",
        &[
            "bot_token",
            "bot_token_file",
            "chat_ids",
            "language",
            "api_url",
            "proxy",
            "notify_success",
            "commands",
        ],
    ),
    ("webhook", &["url", "url_file", "secret", "secret_file"]),
    ("admin", &["listen", "token", "token_file"]),
    ("store", &["dir", "group"]),
];

/// The keys of a section; of `""`: the sections.
pub(in crate::config) fn keys_of(section: &str) -> &'static [&'static str] {
    let named = SECTIONS.iter().find(|(name, _)| *name == section);
    named.map_or(&[], |(_, keys)| *keys)
}

/// What to write instead of `key`, which `section` does not have.
pub(super) fn instead_of(key: &str, section: &str) -> String {
    let known = keys_of(section);
    if let Some(nearest) = nearest(key, known) {
        return match section {
            "" => header(nearest),
            _ => (*nearest).to_owned(),
        };
    }
    let homes = SECTIONS.iter().filter(|(name, keys)| !name.is_empty() && keys.contains(&key));
    let homes: Vec<String> = homes.map(|(name, _)| header(name)).collect();
    if !homes.is_empty() {
        return format!("{key} under {}, where it belongs", homes.join(" or "));
    }
    let verb = if section.is_empty() { "one of the sections" } else { "one of" };
    format!("{verb} {}; or delete the line", known.join(", "))
}

/// The word that `word` is a slip of, if it is near enough to one.
pub(super) fn nearest<'w>(word: &str, words: &[&'w str]) -> Option<&'w str> {
    let word = word.to_lowercase().replace(['-', ' '], "_");
    let far = |candidate: &&'w str| strsim::osa_distance(&word, &candidate.replace('-', "_").to_lowercase());
    let best = words.iter().copied().min_by_key(|candidate| far(candidate))?;
    (far(&best) <= (word.chars().count() / 3).clamp(1, 3)).then_some(best)
}

fn header(section: &str) -> String {
    if section == "forward" { format!("[[{section}]]") } else { format!("[{section}]") }
}
