use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::Upstream;

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
    collect(&dashboard, &mut queries);
    assert!(queries.len() > 10, "{queries:?}");
    let mut rules = "groups:\n- name: dashboard\n  rules:\n".to_owned();
    for (number, query) in queries.iter().enumerate() {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: Vec<_> =
            words.filter(|word| word.starts_with("doorman_") || word.starts_with("process_")).collect();
        assert!(!named.is_empty(), "{query} names no metric of ours");
        for name in named {
            assert!(metrics.contains_key(name), "{name}, in {query}, is no metric");
        }
        let query = query.replace("$__rate_interval", "5m");
        rules.push_str(&format!("  - record: query:n{number}\n    expr: {}\n", Value::from(query)));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    let (good, said) = promtool(&["check", "rules", file.path().to_str().unwrap()], "");
    assert!(good, "{said}");
}

/// Every query in the dashboard: panels', variables' and annotations'.
fn collect(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            queries.extend(fields.get("expr").and_then(Value::as_str).map(ToOwned::to_owned));
            fields.values().for_each(|value| collect(value, queries));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
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
