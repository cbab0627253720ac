//! Wakes when the lifecycle wants to, tells it what happened, and does what it says. It decides nothing itself.

mod install;
mod mend;
mod outcome;
mod served;
mod stand_in;
mod tell;
mod work;
mod zh_cn;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::{debug, error, info};

use self::served::FixedPair;
use self::work::{Done, Orders};
use super::Context;
use super::acme::Issuance;
use super::board::{Board, Trouble};
use super::local_ca::LocalCa;
use super::notify::Notifier;
use super::pair::Pair;
use super::store::{Loaded, Role, Store};
use super::when;
use super::zh_cn::InWords;
use crate::policy::alert::Alert;
use crate::policy::failure::{Approach, Challenge, Class, Disposition, Failure};
use crate::policy::lifecycle::{
    Accepted, Action, Event, Fate, Held, Insistence, Lifecycle, Memory, Ports, Refusal, Terms, Watch,
};
use crate::policy::schedule::Jitter;
use crate::policy::sentence::Sentence;
use crate::shared::clock;

/// The longest sleep at a stretch: a machine that was suspended, or whose clock was stepped, costs this much.
const LONGEST_SLEEP: Duration = Duration::from_secs(15 * 60);

/// The longest sleep while something is to be mended or watched.
const SLEEP_WHILE_WATCHING: Duration = Duration::from_secs(30);

/// The shortest one: whatever goes wrong, the processor is not spun.
const SHORTEST_SLEEP: Duration = Duration::from_millis(20);

/// What the admin interface asks of the driver.
#[derive(Debug)]
pub(crate) enum Ask {
    /// See what is due.
    Look,
    /// Tell the administrator.
    Tell(Alert, Written),
    /// Renew.
    Renew {
        /// How much it is wanted.
        insistence: Insistence,
        /// What came of it.
        answer: oneshot::Sender<Answer>,
    },
}

/// Answered once an alert is in the outbox on the disk; dropped when it could not be written there.
pub(crate) type Written = oneshot::Sender<()>;

/// What came of a request to renew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// An order is in flight.
    Accepted(Accepted),
    /// No.
    Refused(Refusal),
    /// There is nothing to renew.
    Disabled,
}

/// Runs until the daemon ends.
pub(crate) async fn run(
    context: &Rc<Context>,
    board: &Rc<Board>,
    store: &Store,
    notifier: &Rc<Notifier>,
    asks: &mut mpsc::Receiver<Ask>,
    installed: watch::Sender<Option<Arc<Pair>>>,
) {
    let mut driver = Driver::start(context, board, store.clone(), notifier, installed).await;
    loop {
        let pause = driver.look().await;
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = context.listeners.changed() => {} // a port was won, or somebody joined
            Some(ask) = asks.recv() => driver.asked(ask).await,
            Some(done) = driver.tasks.join_next() => driver.ended(done).await,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The driver.
struct Driver {
    context: Rc<Context>,
    board: Rc<Board>,
    notifier: Rc<Notifier>,
    store: Store,
    local_ca: Option<Rc<LocalCa>>,
    orders: Option<Orders>,
    fixed: Option<FixedPair>,
    /// The managed pair that is served, or would be without a fixed one.
    managed: Option<Arc<Pair>>,
    /// Issued, but not installed or not seen yet: the next try begins there and buys no other.
    issued: Option<Arc<Pair>>,
    /// What the lifecycle wants besides orders, done between two events.
    wants: Option<stand_in::Want>,
    /// A leaf of the local CA that was made to stand in.
    stand_in: Option<Arc<Pair>>,
    /// Where it is told which pair is in the files.
    installed: watch::Sender<Option<Arc<Pair>>>,
    tasks: JoinSet<Done>,
}

impl Driver {
    async fn start(
        context: &Rc<Context>,
        board: &Rc<Board>,
        store: Store,
        notifier: &Rc<Notifier>,
        installed: watch::Sender<Option<Arc<Pair>>>,
    ) -> Self {
        let prepared = store.off_thread(Store::prepare).await;
        board.trouble(Trouble::Store, prepared.err().map(|error| error.in_words()));
        notifier.open().await;
        let local_ca = served::local_ca(context, board, &store).await.map(Rc::new);
        let loaded = store.off_thread(Store::load).await.unwrap_or_else(|error| {
            error!(%error, "the store could not be read");
            Loaded::default()
        });
        let stands_in =
            loaded.live.as_ref().and_then(|(_, origin)| origin.as_ref()).map(|origin| origin.role);
        let (managed, origin) = match loaded.live {
            Some((mut pair, origin)) => {
                pair.facts.self_signed = local_ca.as_ref().is_some_and(|ca| ca.signed(&pair));
                (Some(Arc::new(pair)), origin)
            }
            None => (None, None),
        };
        mend::recall(&store, board).await;
        board.write(|notes| notes.certificate = managed.as_ref().map(|pair| pair.facts.clone()));
        installed.send_replace(managed.clone());
        let mut driver = Self {
            orders: Orders::of(context, board, &store, local_ca.as_ref()),
            fixed: context.config.https.fixed_pair.clone().map(FixedPair::new),
            context: Rc::clone(context),
            board: Rc::clone(board),
            notifier: Rc::clone(notifier),
            store,
            local_ca,
            managed,
            issued: None,
            wants: None,
            stand_in: None,
            installed,
            tasks: JoinSet::new(),
        };
        let memory = driver.remembered().await;
        if let Some(orders) = &driver.orders {
            let held = match (&loaded.expired, stands_in) {
                (Some((pair, origin)), _) => Some(orders.held(pair, origin.as_ref())),
                (None, Some(Role::StandIn)) => None,
                (None, Some(Role::Issued) | None) => {
                    driver.managed.as_ref().map(|pair| orders.held(pair, origin.as_ref()))
                }
            };
            let terms = orders.terms().clone();
            driver.restore(terms, held, memory);
            if stands_in == Some(Role::StandIn) {
                driver.stand_in = driver.managed.clone();
                driver.stands_in().await;
            }
        } else {
            board.write(|notes| notes.watch = Some(Watch::restore(memory)));
        }
        driver.serve();
        driver
    }

    fn restore(&self, terms: Terms, held: Option<Held>, memory: Memory) {
        let now = clock::now();
        let lifecycle = Lifecycle::restore(terms, held, self.ports(), memory, (now, dice()));
        info!(
            state = %lifecycle.word(now),
            next = lifecycle.next_renewal_at().map(when::text),
            failures = lifecycle.failures(),
            "the certificate's life goes on"
        );
        self.board.write(|notes| notes.lifecycle = Some(lifecycle));
    }

    /// Looks at everything that may have changed, and says how long nothing will.
    async fn look(&mut self) -> Duration {
        if self.fixed.as_mut().is_some_and(FixedPair::changed) {
            self.serve();
        }
        self.mend_store().await;
        self.mend_export().await;
        self.see(work::doors(&self.context)).await;
        self.tell(Event::Ports(self.ports())).await;
        self.keep_up_appearances().await;
        let now = clock::now();
        let (wake, trouble) = self.board.read_with(|notes| {
            let watch = || notes.watch.as_ref().and_then(|watch| watch.next_wakeup(now));
            let wake = notes.lifecycle.as_ref().map(|it| it.next_wakeup(now)).or_else(watch);
            (wake, !notes.troubles.is_empty())
        });
        let watching = trouble || self.fixed.is_some();
        let longest = if watching { SLEEP_WHILE_WATCHING } else { LONGEST_SLEEP };
        wake.map_or(longest, |wake| until(now, wake)).clamp(SHORTEST_SLEEP, longest)
    }

    async fn asked(&mut self, ask: Ask) {
        match ask {
            Ask::Look => {} // the loop looks after every ask
            Ask::Tell(alert, written) => {
                self.alert(clock::now(), alert);
                if self.notifier.save().await {
                    let _ = written.send(()); // the daemon may be ending
                }
            }
            Ask::Renew { insistence, answer } => {
                self.tell(Event::Ports(self.ports())).await;
                let said = self.tell(Event::Requested(insistence)).await;
                let _ = answer.send(said.unwrap_or(Answer::Disabled)); // the client may be gone
            }
        }
    }

    /// Tells the lifecycle, and does what it says.
    async fn tell(&mut self, event: Event) -> Option<Answer> {
        let now = clock::now();
        let actions = self.board.write(|notes| Some(notes.lifecycle.as_mut()?.handle(now, event, dice())))?;
        self.act(now, actions).await
    }

    async fn act(&mut self, now: OffsetDateTime, actions: Vec<Action>) -> Option<Answer> {
        let mut answer = None;
        let mut persist = false;
        for action in actions {
            match action {
                Action::Order(approach, way) => self.order(now, (approach, way)),
                Action::AskRenewalInfo => self.ask_renewal_info(),
                Action::StandIn => self.wants = Some(stand_in::Want::StandIn),
                Action::Reinstate => self.wants = Some(stand_in::Want::Reinstate),
                Action::Tell(alert) => self.alert(now, alert),
                Action::Persist => persist = true,
                Action::Accept(how) => answer = Some(Answer::Accepted(how)),
                Action::Refuse(why) => answer = Some(Answer::Refused(why)),
            }
        }
        if persist {
            self.persist().await;
        }
        answer
    }

    fn order(&mut self, now: OffsetDateTime, how: (Approach, Challenge)) {
        self.board.begin_or_go_on(now);
        let Some(orders) = &self.orders else { return };
        match self.issued.take().filter(|pair| orders.still_good(pair, now)) {
            Some(pair) => self.install(pair),
            None => {
                let replaces = self.board.read_with(|notes| {
                    notes
                        .lifecycle
                        .as_ref()
                        .and_then(|lifecycle| lifecycle.replaces(now).map(ToOwned::to_owned))
                });
                self.tasks.spawn_local(orders.begin(how, replaces));
            }
        }
    }

    fn ask_renewal_info(&mut self) {
        let held = self.board.read_with(|notes| notes.lifecycle.as_ref().and_then(|it| it.held().cloned()));
        if let Some((orders, held)) = self.orders.as_ref().zip(held) {
            self.tasks.spawn_local(orders.renewal_info(held));
        }
    }

    fn install(&mut self, pair: Arc<Pair>) {
        self.issued = Some(Arc::clone(&pair));
        self.managed = Some(Arc::clone(&pair));
        self.board.write(|notes| notes.certificate = Some(pair.facts.clone()));
        self.serve();
        let Some(orders) = &self.orders else { return };
        let install = install::Install {
            context: Rc::clone(&self.context),
            board: Rc::clone(&self.board),
            store: self.store.clone(),
            terms: orders.terms().name.clone(),
            installed: self.installed.clone(),
            pair,
        };
        self.tasks.spawn_local(install.run());
    }

    async fn ended(&mut self, done: Result<Done, JoinError>) {
        match done {
            Ok(Done::Issued(Ok(Issuance { pair, at }))) => {
                let fingerprint = pair.facts.fingerprint_sha256.clone();
                self.tell(Event::Issued { at, fate: Fate::InHand { fingerprint } }).await;
                self.install(Arc::new(pair));
            }
            Ok(Done::Issued(Err(error))) => self.not_issued(&error).await,
            Ok(Done::Advised(event)) => {
                self.tell(event).await;
            }
            Ok(Done::Installed(Ok(()))) => self.renewed().await,
            Ok(Done::Installed(Err(error))) => {
                let failure = Failure {
                    class: error.class(),
                    sentence: error.in_words(),
                    disposition: Disposition::Retry,
                };
                self.failed(failure).await;
            }
            Err(panicked) => {
                let failure = Failure {
                    class: Class::Fault,
                    sentence: Sentence::new(
                        format!("a fault of doorman itself: {panicked}; please report it"),
                        format!("doorman 自身故障：{panicked}；请反馈给我们"),
                    ),
                    disposition: Disposition::Retry,
                };
                self.failed(failure).await;
            }
        }
    }

    /// Publishes what the HTTPS listeners are to present.
    fn serve(&mut self) {
        served::serve(
            &self.context,
            &self.board,
            self.fixed.as_mut(),
            self.managed.as_deref(),
            self.local_ca.as_deref(),
        );
    }

    fn ports(&self) -> Ports {
        let ports = work::ports(&self.context);
        debug!(?ports, "ports");
        ports
    }
}

fn until(now: OffsetDateTime, then: OffsetDateTime) -> Duration {
    (then - now).try_into().unwrap_or_default()
}

/// A random number; none where the system has none to give, for it only spreads load.
fn dice() -> Jitter {
    let mut bytes = [0; 4];
    let thrown = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
    thrown.map_or(Jitter::NONE, |()| {
        Jitter::new(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX) * 2.0 - 1.0)
    })
}
