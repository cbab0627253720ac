//! The other commands, as typed by hand.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::client::get;
use crate::support::doorman::{self, Doorman, Settings};
use crate::support::upstream::Upstream;
use crate::support::{free_port, tls, until};

const UNAVAILABLE: i32 = 69;

#[tokio::test]
async fn the_demo_swaps_its_certificate_and_ends_cleanly() {
    let (http, https) = (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port()));
    let mut demo = doorman::start(&["demo", "--http", &http, "--https", &https]);
    let (http, https) = (http.parse().unwrap(), https.parse().unwrap());
    let anybody = tls::trusting_anybody(&[]);
    let served = async || {
        let stream = tls::connect(https, &anybody).await.ok()?;
        Some(tls::fingerprint(&tls::leaf(&stream)))
    };

    let first = until("the demo serves HTTPS", Duration::from_secs(20), served).await;
    assert_eq!(get(http, "/").await.status(), 200);
    // A swap each minute, under a connection that stays open.
    let mut kept = crate::support::client::Connection::over(tls::connect(https, &anybody).await.unwrap());
    assert_eq!(kept.get("/").await.status(), 200);
    until("the demo swaps its certificate", Duration::from_secs(100), async || {
        assert_eq!(kept.get("/").await.status(), 200);
        served().await.filter(|now| *now != first)
    })
    .await;
    assert_eq!(kept.get("/").await.status(), 200);

    demo.signal(Signal::INT);
    assert!(demo.ended(Duration::from_secs(10)).await.success());
    assert!(demo.log().len() > 5, "a running commentary: {:#?}", demo.log());
}

#[tokio::test]
async fn status_says_it_in_words_too() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    let status = door.command(&["status"]).await;

    let text = String::from_utf8(status.stdout).unwrap();
    assert!(status.status.success());
    assert!(text.contains("disabled") && text.contains(&door.http().await.to_string()), "{text}");
    assert!(!text.contains('\u{1b}'), "colour where no terminal is: {text:?}");
}

/// A door whose first try has failed, for nobody is at its CA.
async fn failing() -> Doorman {
    let settings = Settings::panel("http://127.0.0.1:1").set("ip_cert", "ip", "127.0.0.1").set(
        "ip_cert",
        "directory",
        "https://127.0.0.1:1/dir",
    );
    let door = Doorman::start(&settings).await;
    door.until("a failure", Duration::from_secs(30), |status| status["failures"] == 1).await;
    door
}

#[tokio::test]
async fn colours_are_for_a_terminal_and_for_who_wants_them() {
    let door = failing().await;
    let command = format!("{} status --config {}", doorman::BINARY, door.settings_file().display());
    let on_a_terminal = async |no_color: &'static str| {
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &command, "/dev/null"]).env("LC_ALL", "C").env("NO_COLOR", no_color);
        terminal.stdin(Stdio::null());
        let shown = tokio::task::spawn_blocking(move || terminal.output().unwrap()).await.unwrap();
        assert!(shown.status.success(), "{shown:?}");
        String::from_utf8(shown.stdout).unwrap()
    };

    let coloured = on_a_terminal("").await; // an empty one counts as none (no-color.org)
    assert!(coloured.starts_with("state         \u{1b}[1;33mfailed\u{1b}[0m"), "{coloured:?}");
    let plain = on_a_terminal("1").await;
    assert!(plain.starts_with("state         failed") && !plain.contains('\u{1b}'), "{plain:?}");
}

/// What a command says to somebody whose terminal is Chinese.
async fn in_chinese(door: &Doorman, command: &str) -> String {
    let file = door.settings_file();
    let words = command.split(' ').chain(["--config", file.to_str().unwrap()]);
    let asked = doorman::command_in("zh_CN.UTF-8", &words.collect::<Vec<_>>()).await;
    String::from_utf8(asked.stdout).unwrap()
}

#[tokio::test]
async fn status_and_doctor_speak_the_language_of_the_terminal_and_json_does_not() {
    let mut door = failing().await;

    let status = in_chinese(&door, "status").await;
    for part in ["状态          续期失败\n", "127.0.0.1:1：连接被拒绝；", "监听中", "下次续期"]
    {
        assert!(status.contains(part), "{part} is not in\n{status}");
    }
    let english = door.command(&["status"]).await;
    assert!(String::from_utf8_lossy(&english.stdout).starts_with("state         failed\n"));
    let told = in_chinese(&door, "doctor").await;
    assert!(
        told.contains("故障     面板          panel.upstream：127.0.0.1:1 无应答：连接被拒绝\n"),
        "{told}"
    );
    assert!(told.ends_with("有东西坏了。\n"), "{told}");
    for foreign in ["refused", "os error", "nobody answers", "broken"] {
        assert!(!told.contains(foreign) && !status.contains(foreign), "{foreign} is in\n{status}{told}");
    }
    let json = in_chinese(&door, "doctor --json").await;
    assert!(json.contains("nobody answers at 127.0.0.1:1") && !json.contains("无应答"), "{json}");

    door.process.kill();
    let told = in_chinese(&door, "doctor").await;
    assert!(told.contains("注意     守护进程      没有 doorman 应答：“No daemon answers: "), "{told}");
}

#[tokio::test]
async fn status_and_renew_say_when_no_daemon_runs() {
    let files = TempDir::new().unwrap();
    let socket = files.path().join("admin.sock");
    for command in ["status", "renew"] {
        let output = doorman::command(&[command, "--admin", socket.to_str().unwrap()]).await;
        assert_eq!(output.status.code(), Some(UNAVAILABLE));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.lines().count() >= 2 && output.stdout.is_empty(),
            "what happened, and what to do: {said}"
        );
    }
}

#[tokio::test]
async fn live_ready_metrics_and_the_page_are_there() {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;

    for target in ["/live", "/ready", "/metrics", "/"] {
        assert_eq!(door.admin("GET", target).await.status(), 200, "{target}");
    }
    assert_eq!(door.admin("GET", "/nothing").await.status(), 404);
    assert_eq!(door.admin("GET", "/renew").await.status(), 405);
}

#[tokio::test]
async fn completions_are_a_script_that_the_shell_can_read() {
    let output = doorman::command(&["completions", "bash"]).await;

    assert!(output.status.success() && output.stdout.len() > 500);
    accepted_by(Command::new("bash").arg("-n"), &output.stdout);
}

#[tokio::test]
async fn the_manual_is_a_page_that_man_can_show() {
    let output = doorman::command(&["man"]).await;

    assert!(output.status.success());
    let shown = accepted_by(
        Command::new("man").args(["--warnings", "-l", "-"]).env("MANPAGER", "cat"),
        &output.stdout,
    );
    for command in ["run", "demo", "check", "status", "renew", "doctor", "alert test", "completions", "man"] {
        assert!(shown.contains(command), "{command} is not in the manual:\n{shown}");
    }
}

/// Gives `text` to a program, which must neither fail nor complain; what it printed.
fn accepted_by(command: &mut Command, text: &[u8]) -> String {
    let mut program =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    program.stdin.take().unwrap().write_all(text).unwrap();
    let output = program.wait_with_output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
