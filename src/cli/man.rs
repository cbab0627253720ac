//! The manual page: one for all commands.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

/// What no option says.
const MORE: &str = r#".SH EXIT STATUS
.TP
0
done
.TP
64
the command line is wrong
.TP
69
the daemon, or something that it needs, is not there or says no
.TP
70
a fault of doorman
.TP
74
reading or writing failed
.TP
77
not allowed
.TP
78
the configuration is wrong
.PP
\fBdoorman doctor\fR returns 0 if all is well, 1 if something should be looked at, and 2 if something is broken.
.SH SIGNALS
.TP
SIGTERM, SIGINT
no more connections are accepted, requests in flight get up to 3 s, everything else is cut, and the daemon ends with 0
.TP
SIGHUP
the configuration is checked; the log says whether it could be run
.SH ENVIRONMENT
.TP
RUST_LOG
how much is logged, e.g. \fBdebug\fR
.TP
NO_COLOR
if set, nothing is coloured
.TP
LC_ALL, LC_MESSAGES, LANG
if the first of them that is set asks for Chinese, as \fBzh_CN.UTF\-8\fR does, \fBstatus\fR and \fBdoctor\fR speak it; JSON, the log and everything else is English
.SH FILES
.TP
/etc/doorman/doorman.toml
the configuration that is read without \fB\-\-config\fR, if it exists
.TP
/run/doorman/admin.sock
where commands find the daemon, unless the configuration says otherwise
.TP
/var/lib/doorman
certificates and state, unless the configuration says otherwise
"#;

/// Writes it in roff: the program, then each command with its options, for there are no pages of their own.
pub(super) fn write(mut command: Command, out: &mut impl Write) -> io::Result<()> {
    command.build();
    let man = Man::new(command.clone());
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    out.write_all(b".SH COMMANDS\n")?;
    sections(&command, out)?;
    out.write_all(MORE.as_bytes())?;
    man.render_version_section(out)
}

fn sections(command: &Command, out: &mut impl Write) -> io::Result<()> {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        if command.has_subcommands() {
            sections(command, out)?;
            continue;
        }
        let man = Man::new(command.clone());
        let mut parts = Vec::new();
        man.render_synopsis_section(&mut parts)?;
        man.render_description_section(&mut parts)?;
        man.render_options_section(&mut parts)?;
        let parts = String::from_utf8_lossy(&parts)
            .replace(".SH SYNOPSIS\n", "")
            .replace(".SH DESCRIPTION\n", ".PP\n");
        let parts = parts.replace(".SH OPTIONS\n", "");
        let name = command.get_bin_name().unwrap_or(command.get_name());
        write!(out, ".SS {name}\n{parts}")?;
    }
    Ok(())
}
