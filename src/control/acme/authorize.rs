//! That an address is ours: its challenge is answered, the answer is seen through our own doors, and the CA is told.

use std::net::IpAddr;

use instant_acme::{AuthorizationStatus, ChallengeHandle, ChallengeStatus, ChallengeType, Order};

use super::answers::Answer;
use super::error::IssueError;
use super::{POLL, Session, selfcheck, tls_alpn};
use crate::control::board::Stage;
use crate::control::store::KeptAnswer;
use crate::policy::failure::Challenge;

/// A CA that was to be told that an answer is published.
struct NotTold {
    ip: IpAddr,
    error: IssueError,
}

impl Session<'_> {
    /// Answers the challenge of each address that is not authorized yet, sees that through our own doors, and tells the CA.
    pub(super) async fn authorize(&self, order: &mut Order) -> Result<(), IssueError> {
        self.load_authorizations(order).await?;
        loop {
            match self.answer(order).await? {
                Ok(()) => return Ok(()),
                // Each round leaves one address fewer to be told of.
                Err(NotTold { ip, error }) if error.may_be_news() && self.was_told(order, ip).await => {
                    tracing::debug!(%ip, %error, "the CA was told all the same");
                }
                Err(NotTold { error, .. }) => return Err(error),
            }
        }
    }

    async fn answer(&self, order: &mut Order) -> Result<Result<(), NotTold>, IssueError> {
        let way = self.job.way;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.library(error))?;
            let ip = self.ours(authorization.identifier().identifier)?;
            if authorization.status != AuthorizationStatus::Pending {
                if authorization.status == AuthorizationStatus::Valid {
                    self.job.board.step(Stage::AlreadyAuthorized, ip.to_string());
                }
                continue; // else the order says what became of it
            }
            let mut challenge =
                authorization.challenge(kind_of(way)).ok_or(IssueError::NoChallenge(ip, way))?;
            self.give(ip, &challenge).await?;
            // Else an earlier try said so already.
            if challenge.status == ChallengeStatus::Pending
                && let Err(error) = self.ask(async || challenge.set_ready().await).await
            {
                return Ok(Err(NotTold { ip, error }));
            }
            self.job.board.step(Stage::ValidationRequested, ip.to_string());
        }
        Ok(Ok(()))
    }

    /// Whether the CA was told though its answer was lost: then it has come already, or does within seconds.
    async fn was_told(&self, order: &mut Order, ip: IpAddr) -> bool {
        for pause in POLL {
            tokio::time::sleep(pause).await;
            match self.is_open(order, ip).await {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false, // the first error says what is wrong
            }
        }
        false
    }

    /// Whether the CA has still to come, or to be told to, as it says itself.
    async fn is_open(&self, order: &mut Order, ip: IpAddr) -> Result<bool, IssueError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|error| self.library(error))?;
            if self.ours(authorization.identifier().identifier)? != ip {
                continue;
            }
            self.ask(async || authorization.refresh().await.map(|_| ())).await?;
            let kind = kind_of(self.job.way);
            let challenge = authorization.challenges.iter().find(|challenge| challenge.r#type == kind);
            return Ok(authorization.status == AuthorizationStatus::Pending
                && challenge.is_some_and(|challenge| challenge.status == ChallengeStatus::Pending));
        }
        Ok(false)
    }

    /// Fetches what of the authorizations is not known yet; afterwards going through them needs no network.
    async fn load_authorizations(&self, order: &mut Order) -> Result<(), IssueError> {
        self.ask(async || {
            let mut authorizations = order.authorizations();
            while let Some(authorization) = authorizations.next().await {
                authorization?;
            }
            Ok(())
        })
        .await
    }

    /// Answers the challenge of an address, and sees that through our own doors.
    async fn give(&self, ip: IpAddr, challenge: &ChallengeHandle<'_>) -> Result<(), IssueError> {
        let (token, key_authorization) = (challenge.token.as_str(), challenge.key_authorization());
        let answer = KeptAnswer {
            ip,
            way: self.job.way,
            token: token.to_owned(),
            key_authorization: key_authorization.as_str().to_owned(),
        };
        match self.job.answers.give(answer).await? {
            Answer::Token => {
                let doors: Vec<_> = selfcheck::doors(&self.job.listeners.load()).collect();
                for address in doors {
                    let seen = selfcheck::fetch(address, ip, token, key_authorization.as_str()).await;
                    seen.map_err(|source| IssueError::SelfCheck { address, source })?;
                    self.job.board.step(Stage::TokenChecked, format!("{ip} through {address}"));
                }
            }
            Answer::Certificate(certificate) => {
                let doors: Vec<_> = tls_alpn::doors(&self.job.listeners.load()).collect();
                for address in doors {
                    let seen = tls_alpn::look(address, ip, &certificate).await;
                    seen.map_err(|source| IssueError::TlsCheck { address, source })?;
                    self.job.board.step(Stage::TokenChecked, format!("{ip} through {address}, over TLS"));
                }
            }
        }
        Ok(())
    }
}

/// Which of our ways a challenge is for.
pub(super) fn way_of(kind: &ChallengeType) -> Option<Challenge> {
    [Challenge::Http01, Challenge::TlsAlpn01].into_iter().find(|way| kind_of(*way) == *kind)
}

fn kind_of(way: Challenge) -> ChallengeType {
    match way {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}
