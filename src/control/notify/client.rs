//! The HTTP client that alerts are sent with.

use std::net::ToSocketAddrs;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::config::UpstreamTrust;
use crate::machine::words::foreign;
use crate::policy::sentence::Sentence;
use crate::shared::trust::{self, TrustError};

/// For a connection, TLS and the proxy's part included.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// For a whole request. `doorman alert test` waits for it, and gives up after 20 s.
pub(super) const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// Kept for the next piece or chat.
const IDLE_LIFE: Duration = Duration::from_secs(30);

/// One name is looked up at a time: a lookup that hangs takes one thread, and the store and the CA have theirs.
static LOOKUPS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1)));

/// Why there is no client.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
}

/// A client with nothing of the environment in it: no proxy but this one, no redirect that could carry a secret away.
pub(super) fn client(proxy: Option<&str>, limit: Duration) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .use_preconfigured_tls(trust::client_config(&UpstreamTrust::PublicRoots)?)
        .no_proxy()
        .redirect(Policy::none())
        .http1_only()
        .connect_timeout(CONNECT_LIMIT)
        .timeout(limit)
        .pool_idle_timeout(IDLE_LIFE)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("doorman/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Resolver));
    if let Some(proxy) = proxy {
        builder = builder.proxy(Proxy::all(remote_lookup(proxy)).map_err(ClientError::Client)?);
    }
    builder.build().map_err(ClientError::Client)
}

/// Names are looked up by the proxy: where Telegram is blocked, so is the name, or it leads elsewhere.
fn remote_lookup(proxy: &str) -> String {
    proxy.strip_prefix("socks5://").map_or_else(|| proxy.to_owned(), |rest| format!("socks5h://{rest}"))
}

/// What an error of the client says of its causes; its own words have the URL in them, and with it the secret.
pub(super) fn causes(error: &reqwest::Error) -> Sentence {
    let mut said: Vec<String> = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        cause = error.source();
    }
    match std::error::Error::source(error) {
        Some(cause) => Sentence::new(said.join(": "), foreign(cause)),
        None => Sentence::new("the request broke off", "请求中断"),
    }
}

struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let turn = Arc::clone(&LOOKUPS).acquire_owned().await?;
            let look = move || {
                let _turn = turn; // until the lookup has really ended, whoever still waits for it
                (name.as_str(), 0).to_socket_addrs().map(Vec::from_iter)
            };
            let found = tokio::task::spawn_blocking(look).await??;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Language;

    #[test]
    fn a_socks_proxy_looks_names_up_itself() {
        assert_eq!(remote_lookup("socks5://u:p@127.0.0.1:1080"), "socks5h://u:p@127.0.0.1:1080");
        assert_eq!(remote_lookup("http://127.0.0.1:8080"), "http://127.0.0.1:8080");
    }

    #[tokio::test]
    async fn an_error_says_why_and_not_where() {
        let secret = "http://127.0.0.1:1/bot123:SECRET/sendMessage";
        let client = client(None, REQUEST_LIMIT).unwrap();
        let error = client.get(secret).send().await.unwrap_err();
        assert!(error.to_string().contains("SECRET"), "it does by itself: {error}");
        let said = causes(&error);
        let (en, zh_cn) = (said.english(), said.in_language(Language::Chinese));
        assert!(en.contains("refused") && !en.contains("SECRET"), "{en}");
        assert_eq!(zh_cn, "连接被拒绝");
    }
}
