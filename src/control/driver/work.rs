//! The orders themselves: whom they go to, and under which terms.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use thiserror::Error;
use time::OffsetDateTime;

use super::install::InstallError;
use crate::config::{self, IpCert, Language, Profile};
use crate::control::acme::{
    Issuance, IssueError, Job, RenewalInfo, RenewalInfoError, ask_renewal_info, is_a_way_of_tls,
};
use crate::control::board::{Board, Stage};
use crate::control::chain::Chain;
use crate::control::local_ca::{LocalCa, LocalCaError};
use crate::control::pair::{Pair, hex};
use crate::control::store::{Origin, Store, StoreError};
use crate::control::zh_cn::InWords;
use crate::control::{Context, Issuer, when};
use crate::policy::failure::{Approach, Challenge, Class, Disposition, Failure};
use crate::policy::lifecycle::{Doors, Event, Fallback, Fate, Held, Ports, Standing, Terms};
use crate::policy::renewal_info::Advice;
use crate::policy::schedule::Jitter;
use crate::policy::sentence::Sentence;
use crate::shared::clock;
use crate::shared::listeners::{Holder, Kind, Listener, State};
use crate::shared::tls::sha256;

/// What a task of the driver ends with.
pub(super) enum Done {
    /// The CA's part is over.
    Issued(Result<Issuance, OrderError>),
    /// The CA was asked for its window.
    Advised(Event),
    /// Our part is over.
    Installed(Result<(), InstallError>),
}

/// Why there is no certificate.
#[derive(Debug, Error)]
pub(super) enum OrderError {
    /// Nothing was ordered, because it could not have been kept.
    #[error("no order is made while the store cannot be written: {0}")]
    Store(#[from] StoreError),
    /// The CA's side.
    #[error(transparent)]
    Acme(#[from] IssueError),
    /// The local CA's side.
    #[error(transparent)]
    LocalCa(#[from] LocalCaError),
}

/// Makes orders, always the same one.
pub(super) struct Orders {
    terms: Terms,
    ips: Vec<IpAddr>,
    board: Rc<Board>,
    store: Store,
    ca: Ca,
}

/// Whom an order goes to.
#[derive(Clone)]
enum Ca {
    Acme(Box<Job>),
    Local { ca: Option<Rc<LocalCa>>, life: Duration },
}

impl Orders {
    /// `None` where no certificate is wanted.
    pub(super) fn of(
        context: &Context,
        board: &Rc<Board>,
        store: &Store,
        local_ca: Option<&Rc<LocalCa>>,
    ) -> Option<Self> {
        let config = context.config.ip_cert.as_ref()?;
        let terms = terms(config, context.issuer);
        let ca = match context.issuer {
            Issuer::Acme => Ca::Acme(Box::new(Job {
                config: config.clone(),
                terms: terms.name.clone(),
                counted: terms.counted.clone(),
                approach: Approach::Straight,
                way: Challenge::Http01,
                replaces: None,
                store: store.clone(),
                answers: context.answers.clone(),
                listeners: context.listeners.clone(),
                board: Rc::clone(board),
            })),
            Issuer::LocalCa { life } => Ca::Local { ca: local_ca.cloned(), life },
        };
        Some(Self { terms, ips: config.ips.clone(), board: Rc::clone(board), store: store.clone(), ca })
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// An order as a task.
    pub(super) fn begin(
        &self,
        (approach, way): (Approach, Challenge),
        replaces: Option<String>,
    ) -> Pin<Box<dyn Future<Output = Done>>> {
        let (store, ca, ips, board) =
            (self.store.clone(), self.ca.clone(), self.ips.clone(), Rc::clone(&self.board));
        Box::pin(async move {
            let issued = async {
                store.off_thread(Store::probe).await?;
                match ca {
                    Ca::Acme(job) => Ok(Job { approach, way, replaces, ..*job }.run().await?),
                    Ca::Local { ca, life } => {
                        let ca = ca.ok_or(LocalCaError::Missing)?;
                        let pair = ca.issue(&ips, life, clock::now())?;
                        board.step(
                            Stage::Issued,
                            format!("by the local CA, until {}", when::text(pair.facts.not_after)),
                        );
                        Ok(Issuance { pair, at: clock::now() })
                    }
                }
            };
            Done::Issued(issued.await)
        })
    }

    pub(super) fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    /// Asks when the CA wants a certificate renewed, as a task.
    pub(super) fn renewal_info(&self, held: Held) -> Pin<Box<dyn Future<Output = Done>>> {
        let ca = self.ca.clone();
        Box::pin(async move {
            let certificate_id = held.certificate_id.unwrap_or_default();
            let (advice, retry_after) = match ca {
                Ca::Acme(job) => {
                    advice(ask_renewal_info(&job.config.directory, &certificate_id, held.life).await)
                }
                Ca::Local { .. } => (Advice::Unsupported, None),
            };
            Done::Advised(Event::Advised { certificate_id, advice, retry_after })
        })
    }

    /// The pair as the lifecycle sees it; without an origin it counts as ours when it is for our addresses.
    pub(super) fn held(&self, pair: &Pair, origin: Option<&Origin>) -> Held {
        let wanted: BTreeSet<IpAddr> = self.ips.iter().copied().collect();
        Held {
            fingerprint: pair.facts.fingerprint_sha256.clone(),
            certificate_id: match self.ca {
                Ca::Acme(_) => pair.facts.certificate_id.clone(),
                Ca::Local { .. } => None,
            },
            life: pair.facts.life(),
            of_these_terms: pair.facts.identifiers == wanted
                && origin.is_none_or(|origin| origin.terms == self.terms.name),
        }
    }

    /// Whether a certificate that was issued but never installed is as good as a new one.
    pub(super) fn still_good(&self, pair: &Pair, now: OffsetDateTime) -> bool {
        let due = pair.facts.life().due(self.terms.renew_threshold, Jitter::NONE);
        pair.check(&self.ips, now).is_ok() && now < due
    }
}

impl OrderError {
    pub(super) fn spent_a_certificate(&self) -> Option<(OffsetDateTime, Fate)> {
        match self {
            Self::Acme(error) => error.spent_a_certificate(),
            Self::Store(_) | Self::LocalCa(_) => None,
        }
    }

    /// Whether a new order may fare better at once.
    pub(super) fn is_of_an_earlier_try(&self) -> bool {
        match self {
            Self::Acme(error) => error.is_of_an_earlier_try(),
            Self::Store(_) | Self::LocalCa(_) => false,
        }
    }

    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Acme(error) => error.failure(),
            Self::Store(_) | Self::LocalCa(_) => Failure {
                class: if matches!(self, Self::Store(_)) { Class::Store } else { Class::Fault },
                sentence: self.in_words(),
                disposition: Disposition::Retry,
            },
        }
    }
}

/// What the lifecycle is told of the CA's answer; one that makes no sense is said and means nothing.
fn advice(answer: Result<RenewalInfo, RenewalInfoError>) -> (Advice, Option<Duration>) {
    match answer {
        Ok(info) => {
            if let Some(page) = info.explanation {
                tracing::info!(page, "the CA explains its renewal window");
            }
            let retry_after = info.retry_at.and_then(|at| Duration::try_from(at - clock::now()).ok());
            (info.window.map_or(Advice::Unsupported, Advice::Window), retry_after)
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "the CA's renewal window is not known");
            (Advice::Silence, None)
        }
    }
}

/// Whether the CA's validation can reach us.
pub(super) fn ports(context: &Context) -> Ports {
    match (&context.config.ip_cert, context.issuer) {
        (None, _) | (Some(_), Issuer::LocalCa { .. }) => Ports::Ours,
        (Some(config), Issuer::Acme) => reachable(&config.ips, &context.listeners.load()),
    }
}

/// Who has our ports, and who listens beside us.
pub(super) fn doors(context: &Context) -> Doors {
    let listeners = context.listeners.load();
    let those = |is: fn(&Listener) -> bool| {
        listeners.iter().filter(|listener| is(listener)).map(|listener| listener.address).collect()
    };
    Doors {
        ours: those(|listener| listener.state == State::Listening),
        taken: those(|listener| listener.state == State::Waiting && listener.holder.is_some()),
        shared: those(|listener| listener.joined.is_some()),
        http: standing(&listeners),
    }
}

fn standing(listeners: &[Listener]) -> Standing {
    let mut http = listeners.iter().filter(|listener| listener.kind == Kind::Http).peekable();
    if http.peek().is_none() {
        return Standing::Missing;
    }
    let waiting: Vec<_> = http.filter(|listener| listener.state == State::Waiting).collect();
    if waiting.iter().any(|listener| listener.holder.is_some()) {
        Standing::Taken
    } else if waiting.is_empty() {
        Standing::Ours
    } else {
        Standing::Missing
    }
}

/// The ways that are open.
fn reachable(ips: &[IpAddr], listeners: &[Listener]) -> Ports {
    let http = way(ips, listeners, |listener| listener.kind == Kind::Http);
    Ports::new(http, way(ips, listeners, is_a_way_of_tls))
}

/// Who has the listeners of HTTP-01 that are not ours, or why else they are not, for people.
pub(super) fn why_not_ours(context: &Context) -> Sentence {
    let listeners = context.listeners.load();
    let waiting = listeners.iter().filter(|it| it.kind == Kind::Http && it.state == State::Waiting);
    let told = waiting.map(in_words).reduce(|told, one| told.and(&one));
    told.unwrap_or_else(|| Sentence::new("http.listen names no listener", "http.listen 中没有监听地址"))
}

/// A listener and who has it, `0.0.0.0:80: nginx (pid 42, nginx.service, of root)`, or why else it is not ours.
fn in_words(listener: &Listener) -> Sentence {
    let address = listener.address;
    let held_by = listener.holder.as_ref().map(Holder::in_words);
    match held_by.as_ref().or(listener.detail_words.as_ref()) {
        Some(why) => Sentence::new(
            format!("{address}: {why}"),
            format!("{address}：{}", why.in_language(Language::Chinese)),
        ),
        None => Sentence::same(address.to_string()),
    }
}

/// A listener in the family of each address must be ours; where none of that family is configured something before us
/// translates, as a container's proxy does, and any listener will do.
fn way(ips: &[IpAddr], listeners: &[Listener], is: fn(&Listener) -> bool) -> Option<()> {
    let all = || listeners.iter().filter(|listener| is(listener));
    let ours = |listener: &Listener| listener.state == State::Listening;
    let open = ips.iter().all(|ip| {
        let mut family = all().filter(|listener| listener.address.is_ipv4() == ip.is_ipv4()).peekable();
        if family.peek().is_some() { family.any(ours) } else { all().any(ours) }
    });
    open.then_some(())
}

fn terms(config: &IpCert, issuer: Issuer) -> Terms {
    let ips: BTreeSet<String> = config.ips.iter().map(ToString::to_string).collect();
    let ips = ips.into_iter().collect::<Vec<_>>().join(",");
    let profile = config.profile.as_ref().map(Profile::name).unwrap_or_default();
    let eab = config.eab.as_ref().map(|(kid, key)| (kid, key.expose()));
    let asking = format!("{:?} {eab:?} {:?}", config.email, config.profile);
    let (name, counted) = match issuer {
        Issuer::Acme => {
            let url = &config.directory.url;
            (format!("{url} {profile} {ips}"), format!("{url} {ips}"))
        }
        Issuer::LocalCa { .. } => (format!("local {ips}"), format!("local {ips}")),
    };
    Terms {
        name,
        counted,
        asking: hex(&sha256(asking.as_bytes())),
        auto_renew: config.auto_renew,
        renew_threshold: config.renew_threshold,
        check_interval: config.check_interval,
        fallback: match config.fallback {
            config::Fallback::SelfSigned => Fallback::SelfSigned,
            config::Fallback::None => Fallback::Expired,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::occupant::Occupant;

    fn listener(address: &str, state: State) -> Listener {
        Listener {
            address: address.parse().unwrap(),
            kind: Kind::Http,
            state,
            detail: None,
            detail_words: None,
            holder: None,
            joined: None,
            remedy: None,
            remedy_words: None,
        }
    }

    #[test]
    fn each_family_that_has_a_listener_needs_one_that_is_ours() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let taken_on_v6 = [listener("0.0.0.0:80", State::Listening), listener("[::]:80", State::Waiting)];
        assert_eq!(reachable(&[v4], &taken_on_v6), Ports::Ours);
        assert_eq!(reachable(&[v4, v6], &taken_on_v6), Ports::Taken);
        assert_eq!(reachable(&[v4, v6], &taken_on_v6[..1]), Ports::Ours);
        assert_eq!(reachable(&[v4], &taken_on_v6[1..]), Ports::Taken);
        assert_eq!(reachable(&[v4], &[]), Ports::Taken);
    }

    #[test]
    fn a_port_is_taken_only_if_another_program_has_it() {
        let at = |state| listener("0.0.0.0:80", state);
        let holder = Holder {
            pid: None,
            program: None,
            command: None,
            unit: None,
            user: Some("root".to_owned()),
            kind: Occupant::Unknown,
        };
        let taken = Listener { holder: Some(holder), ..at(State::Waiting) };
        assert_eq!(standing(&[at(State::Listening)]), Standing::Ours);
        assert_eq!(standing(&[at(State::Listening), taken]), Standing::Taken);
        assert_eq!(standing(&[at(State::Waiting)]), Standing::Missing, "no privilege, for instance");
        assert_eq!(standing(&[]), Standing::Missing);
    }

    #[test]
    fn https_on_443_is_the_second_way() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let https =
            |port: u16, state| Listener { kind: Kind::Https, ..listener(&format!("0.0.0.0:{port}"), state) };
        let http = |state| listener("0.0.0.0:80", state);
        let (up, down) = (State::Listening, State::Waiting);
        assert_eq!(reachable(&[v4], &[http(up), https(443, up)]), Ports::Both);
        assert_eq!(reachable(&[v4], &[http(down), https(443, up)]), Ports::OnlyTls);
        assert_eq!(reachable(&[v4], &[http(down), https(8443, up)]), Ports::Taken);
        assert_eq!(reachable(&[v4], &[http(down), https(443, down)]), Ports::Taken);
    }
}
