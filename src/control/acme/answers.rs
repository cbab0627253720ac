//! What is published for the order in flight.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::sign::CertifiedKey;
use tracing::warn;

use super::error::IssueError;
use super::tls_alpn;
use crate::config::Config;
use crate::control::Issuer;
use crate::control::chain::Chain;
use crate::control::store::{KeptAnswer, Store};
use crate::policy::failure::Challenge;
use crate::shared::challenges::{Published, Publisher};
use crate::shared::clock;
use crate::shared::tls::sha256;

/// The answers to the challenges of the order in flight, by address.
///
/// They outlive a try that breaks off, the control plane, and the process: the CA may have been told and be on its way, and a
/// token that is gone when it comes is a failed validation, and costs the order. The next try, which takes the order up,
/// publishes the same again.
#[derive(Clone, Debug)]
pub struct Answers {
    challenges: Publisher,
    /// Where they are kept, in a file that nobody else writes; `None` where they are not worth it.
    store: Option<Store>,
    published: Arc<Mutex<BTreeMap<IpAddr, (KeptAnswer, Published)>>>,
}

/// An answer that was just published.
pub(super) enum Answer {
    Token,
    Certificate(Arc<CertifiedKey>),
}

impl Answers {
    /// Those that the store has of a process before this one, published again. Blocks for as long as it takes to read a
    /// small file.
    #[must_use]
    pub fn of_before(config: &Config, issuer: Issuer, challenges: Publisher) -> Self {
        if config.ip_cert.is_none() || issuer != Issuer::Acme {
            return Self::new(challenges); // no CA comes
        }
        Self::kept_in(Store::new(&config.store), challenges)
    }

    fn kept_in(store: Store, challenges: Publisher) -> Self {
        let kept = store.answers().unwrap_or_else(|error| {
            warn!(error = %Chain(&error), "what the CA may come to see could not be read");
            Vec::new()
        });
        let answers = Self { store: Some(store), ..Self::new(challenges) };
        for answer in kept {
            if let Err(error) = answers.publish(answer) {
                warn!(%error, "what the CA may come to see could not be published again");
            }
        }
        answers
    }

    /// None yet, for another order, of which nothing is kept.
    pub(super) fn apart(&self) -> Self {
        Self::new(self.challenges.clone())
    }

    fn new(challenges: Publisher) -> Self {
        Self { challenges, store: None, published: Arc::default() }
    }

    /// Answers a challenge from now on, and after a restart.
    pub(super) async fn give(&self, answer: KeptAnswer) -> Result<Answer, IssueError> {
        let given = self.publish(answer)?;
        if let Some(store) = &self.store {
            let all = self.published().values().map(|(answer, _)| answer.clone()).collect();
            store.off_thread(|store| store.save_answers(all)).await?;
        }
        Ok(given)
    }

    /// The CA has come, or nothing waits for it any more.
    pub(super) async fn withdraw(&self) {
        self.published().clear();
        if let Some(store) = &self.store
            && let Err(error) = store.off_thread(Store::forget_answers).await
        {
            warn!(error = %Chain(&error), "what nobody comes to see any more is still kept");
        }
    }

    fn publish(&self, answer: KeptAnswer) -> Result<Answer, rcgen::Error> {
        let (given, published) = match answer.way {
            Challenge::Http01 => {
                let published = self.challenges.publish(&answer.token, &answer.key_authorization);
                (Answer::Token, published)
            }
            Challenge::TlsAlpn01 => {
                let digest = sha256(answer.key_authorization.as_bytes());
                let certificate = tls_alpn::certificate(answer.ip, &digest, clock::now())?;
                let published = self.challenges.present(answer.ip, &certificate);
                (Answer::Certificate(certificate), published)
            }
        };
        self.published().insert(answer.ip, (answer, published));
        Ok(given)
    }

    fn published(&self) -> MutexGuard<'_, BTreeMap<IpAddr, (KeptAnswer, Published)>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::challenges;

    #[test]
    fn what_the_ca_was_told_of_is_published_by_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let ways = [("192.0.2.1", Challenge::Http01), ("2001:db8::1", Challenge::TlsAlpn01)];
        let kept = ways.map(|(ip, way)| KeptAnswer {
            ip: ip.parse().unwrap(),
            way,
            token: format!("token of {ip}"),
            key_authorization: format!("key of {ip}"),
        });
        store.save_answers(kept.to_vec()).unwrap();

        let (publisher, lookup) = challenges::table();
        let answers = Answers::kept_in(store, publisher);

        assert_eq!(lookup.answer("token of 192.0.2.1").as_deref(), Some(&b"key of 192.0.2.1"[..]));
        assert!(lookup.certificate(&challenges::reverse_name(kept[1].ip)).is_some());
        drop(answers);
        assert_eq!(lookup.answer("token of 192.0.2.1"), None);
    }

    #[test]
    fn what_belongs_to_an_order_that_is_over_by_now_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let answer = r#"{"ip": "192.0.2.1", "way": "http01", "token": "t", "key_authorization": "k"}"#;
        let written = format!(r#"{{"at": "2020-01-01T00:00:00Z", "answers": [{answer}]}}"#);
        std::fs::write(dir.path().join("answers.json"), written).unwrap();

        let (publisher, lookup) = challenges::table();
        let _answers = Answers::kept_in(Store::at(dir.path()), publisher);

        assert_eq!(lookup.answer("t"), None);
    }
}
