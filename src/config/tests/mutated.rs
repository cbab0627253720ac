use super::{Flags, outcome};

const ROUNDS: u32 = 1500;

/// Characters that mean something somewhere.
const SPLICES: &[&str] = &[
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ",",
    ":",
    "/",
    "\\",
    "\n",
    "\0",
    "é",
    "𝕏",
    "-",
    ".",
    "0",
    "9999999999999999999",
    "null",
    "true",
    "://",
    "@",
    "%",
    "#",
    "\\u0000",
    "\\ud800",
    " ",
];

/// A small generator of our own (xorshift), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides.max(1) as u64).unwrap()
    }
}

#[test]
fn no_file_makes_the_checks_panic() {
    let toml = include_str!("../../../conf/reference.toml");
    let settings: String =
        toml.lines().filter(|line| !line.starts_with("# ")).map(|line| format!("{line}\n")).collect();
    let json = r#"{"http": {"listen": ["127.0.0.1:0", "[::1]:80"], "trusted_proxies": ["10.0.0.0/8"],
        "header_timeout": "1m30s", "workers": 3}, "panel": {"upstream": "https://u:p@[::1]:9/a?b", "base_path": "/a/",
        "allow_paths": ["x-panel"], "pin_sha256": "ab:cd"}, "forward": [{"listen": ["[::1]:81"], "upstream": "unix:/a"}],
        "ip_cert": {"ip": ["[2001:db8::1]", "1.2.3.4"], "email": "a@b.c", "directory": "https://127.0.0.1/dir"},
        "telegram": {"chat_ids": [-1], "bot_token": "1:a"}, "admin": {"listen": "127.0.0.1:1"}}"#;
    let mut dice = Dice(0x5eed);
    let mut refused = 0;
    for (name, text) in [("a.toml", settings.as_str()), ("a.json", json)] {
        for _ in 0..ROUNDS {
            let mutated = mutate(text, &mut dice);
            let (config, problems, _) = outcome(name, &mutated, &Flags::default());
            assert_eq!(config.is_none(), !problems.is_empty(), "{mutated}");
            refused += usize::from(config.is_none());
        }
    }
    assert!(refused > 1000, "only {refused} mutations were refused: they do not reach the checks");
}

/// One to three characters taken out, replaced, or put in.
fn mutate(text: &str, dice: &mut Dice) -> String {
    let mut characters: Vec<String> = text.chars().map(String::from).collect();
    for _ in 0..=dice.roll(3) {
        let at = dice.roll(characters.len());
        let splice = SPLICES[dice.roll(SPLICES.len())].to_owned();
        match dice.roll(4) {
            0 => drop(characters.remove(at)),
            1 => characters[at] = splice,
            2 => characters.insert(at, splice),
            _ => {
                let end = (at + dice.roll(20)).min(characters.len());
                characters.drain(at..end);
            }
        }
    }
    characters.concat()
}
