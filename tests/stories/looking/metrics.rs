use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::process::Process;
use crate::support::upstream::Upstream;
use crate::support::{free_port, until};

/// Until a Prometheus has started and scraped once, on a machine that has much else to do.
const SCRAPED: Duration = Duration::from_secs(60);

/// By name: the type, and the names of the labels.
type Metrics = BTreeMap<String, (String, BTreeSet<String>)>;

/// What `/metrics` said: the text, and of each metric its type and the names of its labels.
async fn metrics() -> (String, Metrics) {
    let panel = Upstream::panel().await;
    let door = Doorman::start(&Settings::panel(panel.url())).await;
    let text = door.admin("GET", "/metrics").await.text().to_owned();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' ')) {
            found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let labels =
                rest.split('}').next().unwrap().split(',').map(|label| label.split('=').next().unwrap());
            let labels = labels.map(ToOwned::to_owned);
            found.get_mut(name).unwrap_or_else(|| panic!("{name} has no TYPE")).1.extend(labels);
        }
    }
    assert!(found.len() > 15, "{text}");
    (text, found)
}

#[tokio::test]
async fn prometheus_own_tool_has_nothing_to_say_against_the_metrics() {
    let (text, _) = metrics().await;
    let (good, said) = promtool(&["check", "metrics"], &text);
    assert!(good && said.is_empty(), "{said}");
    let (good, _) = promtool(&["check", "metrics"], "# TYPE doorman_things counter\ndoorman_things 1\n");
    assert!(!good, "a tool that passes everything proves nothing");
}

#[tokio::test]
async fn the_document_names_each_metric_with_its_type_and_labels_and_no_other() {
    let (text, metrics) = metrics().await;
    let document = read("docs/monitoring.md");
    let rows = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|row| row.starts_with("doorman_") || row.starts_with("process_"));
    let mut documented: Metrics = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_end_matches('`')).collect();
            let labels = cells[2].split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| label.trim_matches('`').to_owned()).collect();
            (cells[0].to_owned(), (cells[1].to_owned(), labels))
        })
        .collect();
    for (name, (_, labels)) in &mut documented {
        let has_a_value = text
            .lines()
            .any(|line| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{")));
        if !has_a_value {
            labels.clear(); // nothing to compare with, e.g. the certificate's dates where there is none
        }
    }
    assert_eq!(documented, metrics);
}

#[tokio::test]
async fn every_query_of_the_dashboard_names_metrics_that_exist_and_can_be_asked() {
    let (_, metrics) = metrics().await;
    let dashboard: Value = serde_json::from_str(&read("conf/grafana-dashboard.json")).unwrap();
    let mut queries = Vec::new();
    let mut legends = BTreeMap::new();
    collect(&dashboard, &mut queries, &mut legends);
    let document = read("docs/monitoring.md");
    assert!(queries.len() > 10, "{queries:?}");
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: Vec<_> =
            words.filter(|word| word.starts_with("doorman_") || word.starts_with("process_")).collect();
        assert!(!named.is_empty(), "{query} names no metric of ours");
        let labels: BTreeSet<_> = named
            .iter()
            .flat_map(|name| {
                let (_, labels) =
                    metrics.get(*name).unwrap_or_else(|| panic!("{name}, in {query}, is no metric"));
                labels.iter().map(String::as_str).chain(documented(&document, name))
            })
            .collect();
        for label in labels_of(query).chain(legends.get(query).into_iter().flat_map(|legend| braced(legend)))
        {
            assert!(labels.contains(label), "{label}, in {query}, is no label of {named:?}");
        }
        let query = query.replace("$__rate_interval", "5m");
        rules.push_str(&format!("  - record: query:n{number}\n    expr: {}\n", Value::from(query)));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let (good, said) = promtool(&["check", "rules", file.path().to_str().unwrap()], "");
    assert!(good, "{said}");
}

/// A real Prometheus, which scrapes a real doorman and answers each query of the dashboard.
#[tokio::test]
async fn a_prometheus_that_scrapes_it_answers_every_query_of_the_dashboard() {
    let panel = Upstream::panel().await;
    let door = super::OverTcp::start(&panel.url(), "").await;
    let home = tempfile::TempDir::new().unwrap();
    let file = home.path().join("prometheus.yml");
    let targets = format!("static_configs: [{{ targets: [\"{}\"] }}]", door.admin);
    let text = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n- job_name: doorman\n  {targets}\n"
    );
    std::fs::write(&file, text).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", home.path().join("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    let _prometheus = Process::start("prometheus", &mut command);
    let ask = async |query: &str| {
        let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let stream = TcpStream::connect(address).await.ok()?;
        let answer = Connection::over(stream).get(&format!("/api/v1/query?query={query}")).await;
        serde_json::from_slice::<Value>(&answer.body).ok()
    };
    until("it has scraped", SCRAPED, async || {
        let answer = ask("up == 1").await?;
        (!answer["data"]["result"].as_array()?.is_empty()).then_some(())
    })
    .await;

    let mut queries = Vec::new();
    let dashboard: Value = serde_json::from_str(&read("conf/grafana-dashboard.json")).unwrap();
    collect(&dashboard, &mut queries, &mut BTreeMap::new());
    for query in queries {
        let answer = ask(&query.replace("$__rate_interval", "5m")).await.unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer:#}");
    }
    for plain in ["doorman_state == 1", "doorman_listener_up", "doorman_connections"] {
        let answer = ask(plain).await.unwrap();
        assert!(!answer["data"]["result"].as_array().unwrap().is_empty(), "{plain}: {answer:#}");
    }
}

/// The labels that a query names: those it groups by and those it selects.
fn labels_of(query: &str) -> impl Iterator<Item = &str> {
    let grouped = query.split("by (").skip(1).filter_map(|rest| rest.split(')').next());
    let selected = query.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    let selected = selected.flat_map(|all| all.split(',')).filter_map(|one| one.split(['=', '!']).next());
    grouped.flat_map(|all| all.split(',')).chain(selected).map(str::trim)
}

/// What stands in `{{ }}`.
fn braced(legend: &str) -> impl Iterator<Item = &str> {
    legend.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim)
}

/// The labels of a metric in the document, for one that has no value now.
fn documented<'a>(document: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let row = document.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
    let labels = row.and_then(|row| row.split('|').nth(3)).into_iter().flat_map(|cell| cell.split(','));
    labels.map(|label| label.trim().trim_matches('`'))
}

/// Every query in the dashboard, with the legend of those that have one: panels', variables' and annotations'.
fn collect(value: &Value, queries: &mut Vec<String>, legends: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
            queries.extend(text("expr"));
            legends.extend(text("expr").zip(text("legendFormat")));
            fields.values().for_each(|value| collect(value, queries, legends));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, queries, legends)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut tool = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool: {error}; tests/run installs it"));
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}
