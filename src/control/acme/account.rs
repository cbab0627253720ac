//! Our account at a CA: the one of before, or one that is made and kept.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, Key, NewAccount};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;

use super::error::IssueError;
use super::wire::Wire;
use super::{Job, Session, with_patience};
use crate::control::board::Stage;
use crate::control::store::KeptAccount;
use crate::policy::failure::Kind;
use crate::policy::schedule::CLOCK_TOLERANCE;
use crate::shared::clock;

/// An account that the CA forgot without having taken an order from it is made anew once a day.
const ANEW_AFTER: time::Duration = time::Duration::days(1);

impl Job {
    /// A connection to the CA with our account there, made when there is none.
    pub(super) async fn session(&self) -> Result<Session<'_>, IssueError> {
        let wire = Wire::new(&self.config.directory)?;
        let account = match self.kept_account().await? {
            Some(kept) => self.account(&wire, kept).await?,
            None => self.new_account(&wire).await?,
        };
        match wire.clock() {
            Some(ahead) if ahead.unsigned_abs() > CLOCK_TOLERANCE => Err(IssueError::Clock { ahead: -ahead }),
            Some(_) | None => Ok(Session { job: self, wire, account }),
        }
    }

    /// Lets go of an account that the CA does not know any more, or has deactivated, unless a new one would not fare better.
    pub(super) async fn give_account_up(&self, error: IssueError) -> Result<(), IssueError> {
        let may_be_made_anew =
            |kept: &KeptAccount| kept.first_order_at.is_some() || kept.made_at + ANEW_AFTER < clock::now();
        match self.kept_account().await? {
            Some(kept) if !may_be_made_anew(&kept) => return Err(error),
            Some(_) | None => {}
        }
        tracing::warn!(%error, "the CA does not take orders from our account any more; a new one is made, once");
        let nothing =
            KeptAccount { key_pkcs8: None, credentials: None, made_at: clock::now(), first_order_at: None };
        self.keep_account(nothing).await
    }

    /// Notes that the account is one that the CA takes orders from.
    pub(super) async fn account_works(&self) -> Result<(), IssueError> {
        match self.kept_account().await? {
            Some(kept) if kept.first_order_at.is_none() => {
                self.keep_account(KeptAccount { first_order_at: Some(clock::now()), ..kept }).await
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn account(&self, wire: &Wire, kept: KeptAccount) -> Result<Account, IssueError> {
        let credentials = kept.credentials.clone().and_then(|credentials| {
            serde_json::from_value::<AccountCredentials>(credentials)
                .inspect_err(|error| tracing::warn!(%error, "the account in the store is damaged"))
                .ok()
        });
        match (credentials, kept.key_pkcs8) {
            (Some(credentials), _) => Ok(with_patience(wire, async || {
                let again = serde_json::to_value(&credentials).and_then(serde_json::from_value)?;
                Account::builder_with_http(Box::new(wire.clone())).from_credentials(again).await
            })
            .await?),
            (None, Some(key)) => match URL_SAFE_NO_PAD.decode(key) {
                Ok(pkcs8) => self.account_of_key(wire, &pkcs8, kept.made_at).await,
                Err(_) => self.new_account(wire).await,
            },
            (None, None) => self.new_account(wire).await,
        }
    }

    async fn new_account(&self, wire: &Wire) -> Result<Account, IssueError> {
        if let Some(binding) = self.external_account()? {
            return self.bound_account(wire, &binding).await;
        }
        let (_, key) = Key::generate_pkcs8().map_err(|error| IssueError::from_library(error, None))?;
        let pkcs8 = key.secret_pkcs8_der();
        let made_at = clock::now();
        let kept = KeptAccount {
            key_pkcs8: Some(URL_SAFE_NO_PAD.encode(pkcs8)),
            credentials: None,
            made_at,
            first_order_at: None,
        };
        self.keep_account(kept).await?;
        self.account_of_key(wire, pkcs8, made_at).await
    }

    /// The account of a key that is in the store: made, or found when the answer to its making was lost.
    async fn account_of_key(
        &self,
        wire: &Wire,
        pkcs8: &[u8],
        made_at: OffsetDateTime,
    ) -> Result<Account, IssueError> {
        let create = async || {
            let der = || PrivatePkcs8KeyDer::from(pkcs8.to_vec());
            let pair = (Key::from_pkcs8_der(der())?, PrivateKeyDer::Pkcs8(der()));
            let builder = Account::builder_with_http(Box::new(wire.clone()));
            builder.create_from_key(pair, self.config.directory.url.clone()).await
        };
        let (account, credentials) = self.given(with_patience(wire, create).await)?;
        if let Some(email) = &self.config.email {
            let contact = format!("mailto:{email}");
            with_patience(wire, async || account.update_contacts(&[contact.as_str()]).await).await?;
        }
        self.made(Some(URL_SAFE_NO_PAD.encode(pkcs8)), &credentials, made_at).await?;
        Ok(account)
    }

    /// An account that is bound to one at the CA's web site. The library makes its key itself.
    async fn bound_account(&self, wire: &Wire, binding: &ExternalAccountKey) -> Result<Account, IssueError> {
        let contact = self.config.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let create = async || {
            let builder = Account::builder_with_http(Box::new(wire.clone()));
            builder.create(&new, self.config.directory.url.clone(), Some(binding)).await
        };
        let (account, credentials) = self.given(with_patience(wire, create).await)?;
        self.made(None, &credentials, clock::now()).await?;
        Ok(account)
    }

    /// What a CA says that gives no account: who may have one is said by the binding, which only the configuration
    /// changes (RFC 8555 section 7.3.4). A binding that it cannot read is `malformed` to some.
    fn given<T>(&self, answer: Result<T, IssueError>) -> Result<T, IssueError> {
        let final_word =
            |kind| kind == Kind::Unauthorized || kind == Kind::Malformed && self.config.eab.is_some();
        answer.map_err(|error| {
            if let IssueError::Problem { kind, problem, .. } = &error
                && final_word(*kind)
            {
                return IssueError::NoAccount { problem: problem.clone() };
            }
            error
        })
    }

    async fn made(
        &self,
        key_pkcs8: Option<String>,
        credentials: &AccountCredentials,
        made_at: OffsetDateTime,
    ) -> Result<(), IssueError> {
        let credentials = Some(serde_json::to_value(credentials).map_err(IssueError::NotAcme)?);
        self.keep_account(KeptAccount { key_pkcs8, credentials, made_at, first_order_at: None }).await?;
        self.board.step(Stage::Account, format!("a new one at {}", self.config.directory.url));
        Ok(())
    }

    async fn kept_account(&self) -> Result<Option<KeptAccount>, IssueError> {
        let url = self.config.directory.url.clone();
        Ok(self.store.off_thread(move |store| store.account(&url)).await?)
    }

    async fn keep_account(&self, account: KeptAccount) -> Result<(), IssueError> {
        let url = self.config.directory.url.clone();
        Ok(self.store.off_thread(move |store| store.save_account(&url, account)).await?)
    }

    fn external_account(&self) -> Result<Option<ExternalAccountKey>, IssueError> {
        let Some((kid, key)) = &self.config.eab else {
            return Ok(None);
        };
        let url_safe = key.expose().trim().trim_end_matches('=').replace('+', "-").replace('/', "_");
        let key = URL_SAFE_NO_PAD.decode(url_safe).map_err(|_| IssueError::EabKey)?;
        Ok(Some(ExternalAccountKey::new(kid.clone(), &key)))
    }
}
