//! `doorman doctor`: what an examination of the machine found, as a list or as JSON.

use std::io::Write;

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use super::args;
use super::daemon::Daemon;
use super::words::{self, Words};
use super::{Exit, Failure, cannot_print, colours};
use crate::config::{self, Flags, Language};
use crate::control::doctor::{Machine, examine};
use crate::policy::alert;
use crate::policy::finding::{Finding, Level, verdict};
use crate::policy::sentence::{Sentence, quotation};

/// Of the columns, without the gap behind each.
const LEVELS: usize = 7;
const ABOUTS: usize = 12;

/// Examines the machine and writes what it found to `out`; says how bad the worst of it is.
///
/// # Errors
/// `out` takes nothing (74).
pub(super) fn run(args: &args::Doctor, out: &mut impl Write) -> Result<Exit, Failure> {
    let findings = examine(machine(args));
    let verdict = verdict(&findings);
    let text = if args.json {
        serde_json::to_string_pretty(&report(&findings, verdict)).unwrap_or_default() + "\n"
    } else {
        listing(&findings, verdict, words::language(), colours(&std::io::stdout()))
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| cannot_print(&error))?;
    Ok(match verdict {
        Level::Fine => Exit::Ok,
        Level::Warning => Exit::Warnings,
        Level::Broken => Exit::Broken,
    })
}

fn machine(args: &args::Doctor) -> Machine {
    let file = args.daemon.file.config.clone().or_else(config::default_file);
    let config = config::read(file.as_deref(), &Flags::default()).map(|loaded| loaded.config);
    let status = args.daemon.locate().and_then(|admin| {
        let (_, status) = Daemon::new(&admin)?.status()?;
        Ok(status)
    });
    Machine { file, config, status: status.map_err(|failure| unasked(&failure)) }
}

/// Why the daemon says nothing.
fn unasked(failure: &Failure) -> Sentence {
    let said = failure.happened.trim_end_matches('.');
    let denied = failure.exit == Exit::NoPermission;
    let chinese = if denied { "无权询问正在运行的 doorman" } else { "没有 doorman 应答" };
    Sentence::new(said, format!("{chinese}：{}", quotation(said)))
}

/// The whole answer, for programs.
fn report(findings: &[Finding], verdict: Level) -> Value {
    let finding = |it: &Finding| {
        json!({
            "about": it.about.as_str(),
            "level": it.level.as_str(),
            "finding": it.finding.english(),
            "remedy": it.remedy.as_ref().map(Sentence::english),
        })
    };
    json!({ "verdict": verdict.as_str(), "findings": findings.iter().map(finding).collect::<Vec<_>>() })
}

fn listing(findings: &[Finding], verdict: Level, language: Language, colours: bool) -> String {
    let mut text = String::new();
    let padded =
        |word: &str, columns: usize| format!("{word}{}", " ".repeat(columns.saturating_sub(word.width())));
    for finding in findings {
        let code = match finding.level {
            Level::Fine => "32",
            Level::Warning => "33",
            Level::Broken => "31",
        };
        let word = padded(Words::of(language).level(finding.level), LEVELS);
        let word = if colours { format!("\x1b[1;{code}m{word}\x1b[0m") } else { word };
        let about = match language {
            Language::English => finding.about.as_str(), // as the JSON has it
            Language::Chinese => finding.about.title(language),
        };
        let said = finding.finding.in_language(language);
        text.push_str(&format!("{word}  {}  {said}\n", padded(about, ABOUTS)));
        if let Some(remedy) = &finding.remedy {
            text.push_str(&format!("{:25}{}\n", "", remedy.in_language(language)));
        }
    }
    let end = Words::of(language).full_stop;
    text.push_str(&format!("{}{end}\n", alert::text::verdict(verdict, language)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::finding::About;

    #[test]
    fn a_remedy_stands_below_what_it_is_for() {
        let findings = [
            Finding::fine(About::Store, Sentence::quoted("/var/lib/doorman can be written")),
            Finding::broken(
                About::Port,
                Sentence::quoted("0.0.0.0:80 is held by nginx"),
                Sentence::quoted("stop it"),
            ),
        ];
        let text = listing(&findings, Level::Broken, Language::English, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "broken   port          0.0.0.0:80 is held by nginx");
        assert_eq!(lines[2].trim_start(), "stop it");
        assert!(!text.contains('\x1b'));
        assert_eq!(lines[3], "Something is broken.");
    }

    #[test]
    fn in_chinese_the_columns_stand_below_each_other_too() {
        let findings = [
            Finding::fine(About::Ca, Sentence::new("it answers", "有应答")),
            Finding::broken(
                About::AcmeClient,
                Sentence::new("no", "不行"),
                Sentence::new("stop it", "请停掉它"),
            ),
        ];
        let text = listing(&findings, Level::Broken, Language::Chinese, false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "正常     CA            有应答");
        assert_eq!(lines[1], "故障     ACME 客户端   不行");
        assert_eq!(lines[2], format!("{:25}请停掉它", ""));
        assert_eq!(lines[3], "有东西坏了。");
        let place = |line: &str, what: &str| line[..line.find(what).unwrap()].width();
        assert_eq!((place(lines[0], "有应答"), place(lines[1], "不行")), (23, 23));
    }
}
