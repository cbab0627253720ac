//! Does what the ladder says.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Xray;
use super::change::Job;
use super::learn::Known;
use super::process::Owner;
use super::subject::Subject;
use super::unrest::Wanted;
use crate::control::board::Stage;
use crate::control::chain::Chain;
use crate::control::driver::Ask;
use crate::control::pair::Pair;
use crate::policy::alert::{Alert, Edge, Kind};
use crate::policy::xray::ladder::Step;
use crate::shared::clock;

/// For the restart command; a panel that takes longer is started all the same.
const RESTART_LIMIT: Duration = Duration::from_secs(90);

/// Between two looks whether it has ended.
const RESTART_LOOK: Duration = Duration::from_millis(100);

impl Xray {
    /// Takes the next step for every inbound that is stale; those that cut nobody first.
    pub(super) async fn climb(&mut self, pair: &Arc<Pair>) {
        let now = clock::now();
        let api = self.learned.as_ref().is_some_and(|learned| learned.api) && self.journal.change.is_none();
        for index in 0..self.subjects.len() {
            let mut course = self.subjects[index].course;
            course.api = self.was_changed(&self.subjects[index]);
            course.signalled = self.journal.signalled.as_ref() == Some(&self.fingerprint);
            course.restarted = self.journal.restarted.as_ref() == Some(&self.fingerprint);
            let subject = &mut self.subjects[index];
            subject.course = course;
            let stale = subject.is_behind() && !subject.is_hopeless();
            let rungs = &self.context.config.xray.reload;
            subject.step = stale.then(|| course.next(subject.standing(api), rungs, now));
        }
        self.tell().await;
        self.touch();
        if let Some(index) = self.first(Step::Api) {
            self.anew(index, pair).await;
        } else if self.first(Step::Signal).is_some() {
            self.signal().await;
        } else if self.first(Step::Restart).is_some() {
            self.restart().await;
        }
    }

    fn first(&self, step: Step) -> Option<usize> {
        self.subjects.iter().position(|subject| subject.step == Some(step))
    }

    /// Says once that somebody has to look, and once that it is over.
    async fn tell(&mut self) {
        let lost = |subject: &Subject| matches!(subject.step, Some(Step::Stuck | Step::Restart));
        let bad: Vec<_> = self.subjects.iter().filter(|it| lost(it)).map(|it| it.tag.clone()).collect();
        let stale = self.subjects.iter().any(|it| it.step.is_some());
        let unseen = self.subjects.iter().any(|it| it.verdict.is_none());
        let kind = if !bad.is_empty() && !self.journal.told {
            tracing::error!(inbounds = ?bad, "Xray still serves an old certificate");
            Kind::XrayStale
        } else if self.journal.told && !stale && !unseen {
            Kind::Recovered
        } else {
            return;
        };
        self.journal.told = kind == Kind::XrayStale;
        self.journal.told_at = self.journal.told.then(clock::now);
        self.journal.untold = Some(kind);
        self.save().await;
        self.hand_over().await;
    }

    /// Gives what has yet to be told to the outbox, and forgets it once it is there: who is killed in between tells it
    /// twice, not never.
    pub(super) async fn hand_over(&mut self) {
        let Some(kind) = self.journal.untold else { return };
        let (written, kept) = oneshot::channel();
        let alert = Alert { kind, edge: Edge::News };
        let _ = self.asks.send(Ask::Tell(alert, written)).await; // the daemon may be ending
        if kept.await.is_ok() {
            self.journal.untold = None;
            self.save().await;
        }
    }

    /// The same pair as other bytes whenever a listener looks, where listeners took the change from each other; and where
    /// that may come to be needed, it is learned when they look.
    fn touch(&mut self) {
        let mut wanted = Wanted { fingerprint: self.fingerprint.clone(), ..Wanted::default() };
        for subject in &mut self.subjects {
            let touched = matches!(subject.step, Some(Step::Touch(_)));
            let Some((file, interval)) = subject.known.as_ref().and_then(Known::shared) else { continue };
            wanted.files.extend((!wanted.files.contains(&file)).then_some(file));
            wanted.intervals.extend((!wanted.intervals.contains(&interval)).then_some(interval));
            wanted.stale.extend((touched && !wanted.stale.contains(&interval)).then_some(interval));
            if touched && !std::mem::replace(&mut subject.touched, true) {
                let words =
                    "the files are written again and again, because its listeners share a certificate";
                self.board.step(Stage::Reload, format!("{}: {words}", subject.tag));
            }
        }
        self.unrest.want(wanted);
    }

    /// One inbound anew, over the API.
    async fn anew(&mut self, index: usize, pair: &Arc<Pair>) {
        let (process, ours) = (self.process(), self.ours());
        let subject = &mut self.subjects[index];
        let (tag, targets) = (subject.tag.clone(), subject.targets.clone().unwrap_or_default());
        let Some(api) = &mut self.api else { return };
        let mut job = Job { api, store: &self.store, journal: &mut self.journal, process: process.clone() };
        let began = Instant::now();
        match job.change(&tag, pair, &ours, &targets).await {
            Ok(()) => {
                let took = began.elapsed().as_millis();
                self.board.step(Stage::Reload, format!("{tag} was made anew over Xray's API in {took} ms"));
            }
            Err(error) => {
                tracing::warn!(tag, error = %Chain(&error), "the inbound could not be made anew");
                self.remember_try(&tag, process).await;
            }
        }
        self.subjects[index].look_soon();
        self.asked_at = None;
    }

    /// A try that failed counts too: what it may have left behind stays in Xray.
    async fn remember_try(&mut self, tag: &str, process: Option<String>) {
        let fingerprint = self.fingerprint.clone();
        let tried = crate::control::store::Changed { tag: tag.to_owned(), fingerprint, process };
        if !self.journal.changed.contains(&tried) {
            self.journal.changed.push(tried);
            self.save().await;
        }
    }

    /// Whether this certificate went to this inbound over the API already; a new process has nothing left of that.
    fn was_changed(&self, subject: &Subject) -> bool {
        let process = self.process();
        self.journal.changed.iter().any(|it| {
            let elsewhere = it.process.is_some() && process.is_some() && it.process != process;
            it.tag == subject.tag && it.fingerprint == self.fingerprint && !elsewhere
        })
    }

    async fn signal(&mut self) {
        self.journal.signalled = Some(self.fingerprint.clone());
        self.save().await;
        let anyway = self.context.config.xray.signal_anyway;
        let known = self.subjects.iter().filter_map(|subject| subject.known.as_ref());
        let Some(owner) = known.filter_map(|known| known.process.clone()).next() else {
            tracing::warn!("no signal is sent: it is not known which process Xray is");
            return;
        };
        let Owner { pid, program, .. } = &owner;
        let dies = tokio::task::spawn_blocking({
            let owner = owner.clone();
            move || owner.dies_of_sighup()
        });
        if !anyway && dies.await.unwrap_or(true) {
            tracing::warn!(pid, program, "no SIGHUP is sent: it would end this process and cut every user");
            return;
        }
        let sent = Pid::from_raw(*pid).map(|pid| kill_process(pid, Signal::HUP));
        tracing::warn!(pid, program, ?sent, "SIGHUP");
        self.board.step(Stage::Reload, format!("SIGHUP to {program}, pid {pid}"));
        self.subjects.iter_mut().for_each(Subject::stir);
    }

    /// The last resort. The alert came before it.
    async fn restart(&mut self) {
        self.journal.restarted = Some(self.fingerprint.clone());
        self.save().await;
        let command = self.context.config.xray.restart_command.clone();
        let Some((program, arguments)) = command.split_first() else { return };
        tracing::error!(
            ?command,
            "the old certificate is no good any more, and nothing else has helped: restarting"
        );
        self.board.step(Stage::Reload, format!("restarting: {}", command.join(" ")));
        let started =
            Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => return tracing::error!(%error, program, "the restart command could not be started"),
        };
        let began = Instant::now();
        while began.elapsed() < RESTART_LIMIT {
            match child.try_wait() {
                Ok(None) => tokio::time::sleep(RESTART_LOOK).await,
                Ok(Some(status)) if status.success() => break,
                ended => {
                    tracing::error!(?ended, "the restart command failed");
                    break;
                }
            }
        }
        self.subjects.iter_mut().for_each(Subject::look_soon);
        self.asked_at = None;
    }
}
