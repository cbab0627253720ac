//! Telegram's Bot API made of a socket. It checks every call as strictly as the documentation is, takes nothing that a
//! panel's bot could suffer from, and answers what the story scripts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

use super::client::{Connection, Message};
use super::tls::Pair;
use super::upstream::Stream;

/// The token of every story; its second half must not be seen anywhere.
pub const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_";

/// The part of it that is secret.
pub const SECRET: &str = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw_";

/// What a call is answered with.
#[derive(Clone, Debug)]
pub enum Reply {
    /// It is delivered.
    Taken,
    /// 429 with `parameters.retry_after`.
    TooMany(u64),
    /// An error: code and description.
    Error(u16, &'static str),
    /// The group has moved.
    Moved(i64),
    /// It is delivered, and the answer comes later.
    Slow(Duration),
    /// It is delivered, and no answer ever comes.
    Silent,
    /// It is not delivered, and no answer ever comes.
    Hanging,
    /// Something that is not the Bot API.
    Garbage,
    /// It is delivered, in words that no library knows.
    Unknown,
}

/// A `sendMessage`.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub at: Instant,
    /// To whom.
    pub chat: i64,
    /// In HTML.
    pub html: String,
    /// Whether it was delivered.
    pub delivered: bool,
}

#[derive(Debug, Default)]
struct Seen {
    calls: Vec<Call>,
    faults: Vec<String>,
    /// Messages from people that wait to be fetched, and how often somebody asked.
    updates: Vec<Value>,
    polls: usize,
    conflict: bool,
}

/// The running simulator; dropped, it is gone.
#[derive(Debug)]
pub struct Telegram {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

type Script = Arc<dyn Fn(&Call, usize) -> Reply + Send + Sync>;

impl Telegram {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::scripted(|_, _| Reply::Taken).await
    }

    /// Answers what `script` says of each call and its number, from 0.
    pub async fn scripted(script: impl Fn(&Call, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap(), None, Arc::new(script))
    }

    /// One that takes everything, at an address that was free before.
    pub async fn start_at(address: SocketAddr) -> Self {
        Self::listen(TcpListener::bind(address).await.unwrap(), None, Arc::new(|_, _| Reply::Taken))
    }

    /// One that takes everything over TLS.
    pub async fn with_tls(pair: &Pair) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::listen(listener, Some(pair.acceptor()), Arc::new(|_, _| Reply::Taken))
    }

    fn listen(listener: TcpListener, tls: Option<tokio_rustls::TlsAcceptor>, script: Script) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, script, tls) = (Arc::clone(&shared), Arc::clone(&script), tls.clone());
                connections.spawn(async move {
                    let stream: Box<dyn Stream> = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    serve(Connection::over(stream), &seen, &script).await;
                });
            }
        });
        Self { address, seen, task }
    }

    /// The calls so far, each of which was as the documentation wants it.
    pub fn calls(&self) -> Vec<Call> {
        let seen = self.seen.lock().unwrap();
        assert!(seen.faults.is_empty(), "{:#?}", seen.faults);
        seen.calls.clone()
    }

    /// The texts that were delivered to a chat, in order.
    pub fn heard(&self, chat: i64) -> Vec<String> {
        let calls = self.calls();
        calls.into_iter().filter(|call| call.chat == chat && call.delivered).map(|call| call.html).collect()
    }

    /// Waits until a chat has heard so many messages.
    pub async fn hears(&self, chat: i64, count: usize, limit: Duration) -> Vec<String> {
        super::until(&format!("chat {chat} hears {count} messages"), limit, async || {
            let heard = self.heard(chat);
            (heard.len() >= count).then_some(heard)
        })
        .await
    }

    /// Waits for the first so many calls, whatever became of them.
    pub async fn called(&self, count: usize, limit: Duration) -> Vec<Call> {
        super::until(&format!("{count} calls"), limit, async || {
            let calls = self.calls();
            (calls.len() >= count).then_some(calls)
        })
        .await
    }

    /// Somebody writes to the bot, `age` seconds ago.
    pub fn write(&self, chat: i64, text: &str, age: i64) {
        let mut seen = self.seen.lock().unwrap();
        let id = 1000 + seen.updates.len();
        let message = message(chat, text, now() - age);
        seen.updates.push(json!({ "update_id": id, "message": message }));
    }

    /// Another program polls with the same token from now on.
    pub fn conflict(&self) {
        self.seen.lock().unwrap().conflict = true;
    }

    /// How often somebody asked for messages.
    pub fn polls(&self) -> usize {
        self.seen.lock().unwrap().polls
    }
}

impl Drop for Telegram {
    fn drop(&mut self) {
        self.task.abort();
        if !std::thread::panicking() {
            let faults = &self.seen.lock().unwrap().faults;
            assert!(faults.is_empty(), "{faults:#?}");
        }
    }
}

async fn serve(mut connection: Connection<Box<dyn Stream>>, seen: &Mutex<Seen>, script: &Script) {
    while let Some(request) = connection.request().await {
        let asks = request.start.to_lowercase().contains("/getupdates ");
        let answer = match () {
            () if asks => updates(&request, seen).await,
            // The doctor looks whether anybody is there, without the token.
            () if request.start == "GET / HTTP/1.1" => Some(answer(302, &json!({}))),
            () => taken(&request, seen, script).await,
        };
        let Some(answer) = answer else { return std::future::pending().await };
        if connection.stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// Answers a `sendMessage`; `None`: never.
async fn taken(request: &Message, seen: &Mutex<Seen>, script: &Script) -> Option<Vec<u8>> {
    let (call, reply) = match checked(request) {
        Ok(call) => {
            let mut seen = seen.lock().unwrap();
            let reply = script(&call, seen.calls.len());
            let delivered = matches!(reply, Reply::Taken | Reply::Slow(_) | Reply::Silent | Reply::Unknown);
            let call = Call { delivered, ..call };
            seen.calls.push(call.clone());
            (call, reply)
        }
        Err(fault) => {
            seen.lock().unwrap().faults.push(format!("{fault}: {}", request.head_and_body()));
            return Some(refusal(400, "Bad Request: see the story's log", None));
        }
    };
    let result = json!({ "ok": true, "result": message(call.chat, &call.html, now()) });
    Some(match reply {
        Reply::Taken => answer(200, &result),
        Reply::TooMany(seconds) => {
            let parameters = json!({ "retry_after": seconds });
            refusal(429, &format!("Too Many Requests: retry after {seconds}"), Some(parameters))
        }
        Reply::Error(code, description) => refusal(code, description, None),
        Reply::Moved(chat) => {
            let parameters = json!({ "migrate_to_chat_id": chat });
            refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", Some(parameters))
        }
        Reply::Slow(pause) => {
            tokio::time::sleep(pause).await;
            answer(200, &result)
        }
        Reply::Silent | Reply::Hanging => return None,
        Reply::Garbage => b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>".to_vec(),
        Reply::Unknown => answer(200, &json!({ "ok": true, "result": { "novelty": 1 } })),
    })
}

/// Answers a `getUpdates` as long polling does: at once if there is something, else after a moment.
async fn updates(request: &Message, seen: &Mutex<Seen>) -> Option<Vec<u8>> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let offset = body["offset"].as_u64().unwrap_or(0);
    let after = |update: &&Value| update["update_id"].as_u64() >= Some(offset);
    {
        let mut seen = seen.lock().unwrap();
        seen.polls += 1;
        if body["allowed_updates"] != json!(["message"]) || body["timeout"].as_u64().is_none() {
            seen.faults.push(format!("asked for more than messages, or without a timeout: {body}"));
        }
    }
    for _ in 0..30 {
        {
            let seen = seen.lock().unwrap();
            if seen.conflict {
                let description = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
                return Some(refusal(409, description, None));
            }
            let waiting: Vec<_> = seen.updates.iter().filter(after).cloned().collect();
            if !waiting.is_empty() {
                return Some(answer(200, &json!({ "ok": true, "result": waiting })));
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Some(answer(200, &json!({ "ok": true, "result": [] })))
}

/// What the documentation says about `sendMessage`, and what the panel's bot needs.
fn checked(request: &Message) -> Result<Call, String> {
    let line: Vec<_> = request.start.split(' ').collect();
    let path = line.get(1).copied().unwrap_or_default();
    let path = path.strip_prefix("http://").map_or(path, |rest| &rest[rest.find('/').unwrap_or(0)..]);
    // The token counts to the letter, the method's name does not: "all methods in the Bot API are case-insensitive".
    let method = path.strip_prefix(&format!("/bot{TOKEN}/")).unwrap_or_default();
    if line.first() != Some(&"POST") || !method.eq_ignore_ascii_case("sendMessage") {
        return Err("not a POST of sendMessage with the token".to_owned());
    }
    if request.field("content-type") != Some("application/json") {
        return Err("not JSON".to_owned());
    }
    let body: BTreeMap<String, Value> =
        serde_json::from_slice(&request.body).map_err(|error| error.to_string())?;
    let known = ["chat_id", "text", "parse_mode", "link_preview_options"];
    if let Some(other) = body.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("{other} is no parameter that is wanted"));
    }
    let chat = body.get("chat_id").and_then(Value::as_i64).ok_or("no number in chat_id")?;
    let html = body.get("text").and_then(Value::as_str).ok_or("no text")?;
    if body.get("parse_mode").and_then(Value::as_str) != Some("HTML") {
        return Err("the mode is not HTML".to_owned());
    }
    parsed(html)?;
    Ok(Call { at: Instant::now(), chat, html: html.to_owned(), delivered: false })
}

/// Telegram's HTML, as far as doorman writes it: balanced tags and the entities that it knows.
fn parsed(html: &str) -> Result<(), String> {
    let mut text = String::new();
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(character) = rest.chars().next() {
        let length = match character {
            '<' => {
                let end = rest.find('>').ok_or("a tag does not end")?;
                match &rest[1..end] {
                    tag @ ("b" | "i" | "code") => open.push(tag),
                    tag => {
                        let closes = tag.strip_prefix('/').is_some_and(|tag| open.pop() == Some(tag));
                        closes.then_some(()).ok_or_else(|| format!("<{tag}> is not expected"))?;
                    }
                }
                end + 1
            }
            '&' => {
                let end = rest.find(';').ok_or("an entity does not end")?;
                let entity = &rest[1..end];
                let known = ["lt", "gt", "amp", "quot"].contains(&entity);
                known.then_some(()).ok_or_else(|| format!("&{entity}; is not known"))?;
                text.push('x');
                end + 1
            }
            '>' => return Err("a > is not escaped".to_owned()),
            other => {
                text.push(other);
                other.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    let units = text.encode_utf16().count();
    if !open.is_empty() || text.trim().is_empty() || units > 4096 {
        return Err(format!("{units} units, {} tags are open", open.len()));
    }
    Ok(())
}

fn message(chat: i64, text: &str, at: i64) -> Value {
    let chat = if chat < 0 {
        json!({ "id": chat, "type": "supergroup", "title": "ops" })
    } else {
        json!({ "id": chat, "type": "private", "first_name": "Ada" })
    };
    let from = json!({ "id": 4711, "is_bot": false, "first_name": "Ada" });
    json!({ "message_id": 1, "from": from, "chat": chat, "date": at, "text": text })
}

fn refusal(code: u16, description: &str, parameters: Option<Value>) -> Vec<u8> {
    let mut body = json!({ "ok": false, "error_code": code, "description": description });
    if let Some(parameters) = parameters {
        body["parameters"] = parameters;
    }
    answer(code, &body)
}

fn answer(code: u16, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "HTTP/1.1 {code} Scripted\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn now() -> i64 {
    doorman::shared::clock::now().unix_timestamp()
}
