//! An account that the CA takes no orders from any more: made anew once, never once a try.

use std::pin::Pin;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use instant_acme::{Account, BodyWrapper, BytesResponse, HttpClient};
use serde_json::Value;

use super::ORDER;
use super::faults::Faulty;
use crate::support::fault_proxy::{Fault, Resource};

#[tokio::test]
async fn an_account_that_the_ca_has_forgotten_is_made_anew_once() {
    let mut faulty = Faulty::start(|_| {}).await;
    faulty.door.reaches("valid", ORDER).await;
    faulty.pebble.stop();
    faulty.pebble.run().await; // it forgets everything

    let renewed = faulty.door.command(&["renew", "--force"]).await;

    assert!(renewed.status.success(), "{renewed:?}");
    assert_eq!((faulty.pebble.issued(), faulty.pebble.accounts()), (1, 1));
    let again = faulty.door.command(&["renew", "--force"]).await;
    assert!(again.status.success(), "{again:?}");
    assert_eq!((faulty.pebble.issued(), faulty.pebble.accounts()), (2, 1));
}

#[tokio::test]
async fn a_new_account_that_the_ca_does_not_know_either_is_not_followed_by_a_third() {
    let faulty = Faulty::start(|_| {}).await;
    faulty.door.reaches("valid", ORDER).await;
    let unknown = Fault::problem(400, "accountDoesNotExist", "");
    faulty.proxy.plan(Resource::NewOrder, usize::MAX, unknown);
    for _ in 0..2 {
        let renewed = faulty.door.command(&["renew", "--force"]).await;
        assert!(!renewed.status.success(), "{renewed:?}");
        assert_eq!((faulty.proxy.asked(Resource::NewAccount), faulty.pebble.accounts()), (2, 2));
    }

    faulty.heals().await;

    assert_eq!(faulty.pebble.accounts(), 2);
}

#[tokio::test]
async fn an_account_that_was_deactivated_is_made_anew_once() {
    let faulty = Faulty::start(|_| {}).await;
    faulty.door.reaches("valid", ORDER).await;
    deactivate(&faulty).await;

    let renewed = faulty.door.command(&["renew", "--force"]).await;

    assert!(renewed.status.success(), "{renewed:?}");
    assert_eq!((faulty.pebble.issued(), faulty.pebble.accounts()), (2, 2));
    deactivate(&faulty).await;
    // The next one is not taken either.
    faulty.proxy.plan(Resource::NewOrder, usize::MAX, Fault::problem(403, "unauthorized", ""));
    for _ in 0..2 {
        let renewed = faulty.door.command(&["renew", "--force"]).await;
        assert!(!renewed.status.success(), "{renewed:?}");
        assert_eq!((faulty.proxy.asked(Resource::NewAccount), faulty.pebble.accounts()), (3, 3));
    }
    faulty.heals().await;
    assert_eq!(faulty.pebble.accounts(), 3);
}

/// As somebody who has the account's key may do it (RFC 8555 section 7.3.6).
async fn deactivate(faulty: &Faulty) {
    let accounts = std::fs::read_to_string(faulty.door.stored("account.json")).unwrap();
    let accounts: Value = serde_json::from_str(&accounts).unwrap();
    let (_, kept) = accounts.as_object().unwrap().iter().next().expect("an account");
    let mut credentials = kept["credentials"].clone();
    credentials["directory"] = faulty.pebble.directory().into();
    let through_the_proxy = credentials["id"].as_str().unwrap().to_owned();
    let path = through_the_proxy.split_once("/my-account/").expect("Pebble's path").1;
    credentials["id"] = faulty.pebble.directory().replace("/dir", &format!("/my-account/{path}")).into();
    let builder = Account::builder_with_http(Box::new(Plain::of(faulty)));
    let account = builder.from_credentials(serde_json::from_value(credentials).unwrap()).await.unwrap();
    account.deactivate().await.unwrap();
}

/// What the library asks with.
struct Plain(Client<hyper_rustls::HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Plain {
    fn of(faulty: &Faulty) -> Self {
        let mut tls = faulty.pebble.client().clone();
        tls.alpn_protocols.clear(); // the connector knows what it speaks
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_only()
            .enable_http1()
            .build();
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }
}

impl HttpClient for Plain {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let mut request = request;
        request.headers_mut().insert("User-Agent", "story".parse().unwrap());
        let asked = self.0.request(request);
        Box::pin(async move {
            let answer = asked.await.map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
            Ok(BytesResponse { parts, body: Box::new(body.to_bytes()) })
        })
    }
}
