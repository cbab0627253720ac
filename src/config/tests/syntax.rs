use super::{Flags, PANEL, outcome, refused};

fn json(text: &str) -> Vec<(Option<usize>, String, String)> {
    let (config, problems, _) = outcome("a.json", text, &Flags::default());
    assert!(config.is_none(), "accepted: {text}");
    problems.into_iter().map(|it| (it.line, it.key.clone(), it.to_string())).collect()
}

#[test]
fn malformed_toml_is_said_with_line_and_column() {
    for (text, line, column) in [
        ("[http]\nlisten = 0.0.0.0:80\n", 2, None),
        ("[panel]\nupstream = \"http://a:1\n", 2, None),
        ("[panel\n", 1, None),
        ("[http]\nworkers = 1\nworkers = 2\n", 3, Some(1)),
        ("[panel]\n[http]\n[panel]\n", 3, None),
        ("upstream\n", 1, None),
        ("a = 1 b = 2\n", 1, None),
    ] {
        let problems = refused(text);
        let problem = &problems[0];
        assert_eq!((problem.line, problem.key.as_str()), (Some(line), ""), "{problem:?} in\n{text}");
        assert!(
            problem.column.is_some() && column.is_none_or(|column| problem.column == Some(column)),
            "{problem:?}"
        );
        assert!(!problem.write.is_empty());
    }
}

#[test]
fn malformed_json_is_said_with_line_and_column() {
    for (text, line) in [
        ("{\"panel\": {\"upstream\": \"http://a:1\",}}", 1),
        ("{\n\"panel\": {}\n", 3),
        ("{\n// no\n}", 2),
        ("", 1),
        ("[1]", 1),
        ("{\"panel\": {}} x", 1),
        ("{'panel': 1}", 1),
    ] {
        let (_, problems, _) = outcome("a.json", text, &Flags::default());
        assert_eq!(problems[0].line, Some(line), "{problems:?} in {text}");
        assert!(problems[0].column.is_some() && problems[0].key.is_empty(), "{problems:?}");
    }
}

#[test]
fn json_knows_its_lines() {
    let text = "{\n \"panel\": {\n  \"upstream\":\n   \"127.0.0.1:9\"},\n \"http\": {\"listen\": [\n  \"0.0.0.0:80\",\n  \"80\"\n ],\n  \"wörkers\": 1}\n}";
    let places: Vec<_> = json(text).into_iter().map(|it| (it.0, it.1)).collect();
    let expected = [(4, "panel.upstream"), (7, "http.listen[1]"), (9, "http.wörkers")];
    assert_eq!(places, expected.map(|(line, key)| (Some(line), key.to_owned())));
}

#[test]
fn json_keys_come_once() {
    let found = json("{\"panel\": {\"upstream\": \"http://a:1\",\n\"upstr\\u0065am\": \"http://b:1\"}}");
    assert_eq!(found[0].0, Some(2));
    assert_eq!(found[0].2, "panel.upstream is given twice, first in line 1");
}

#[test]
fn json_text_that_is_no_text_is_refused() {
    let found = json("{\"panel\":\n{\"upstream\": \"\\ud800\"}}");
    assert_eq!((found[0].0, found[0].1.as_str()), (Some(2), "panel.upstream"));
}

#[test]
fn deep_json_is_cut_short() {
    let deep = format!("{{\"panel\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(json(&deep)[0].1, "panel");
}

#[test]
fn lines_of_toml_survive_comments_and_long_values() {
    let text = format!("# one\n\n{PANEL}[http]\nlisten = [\n  \"0.0.0.0:80\", # first\n  \"1.2.3.4\",\n]\n");
    let problems = refused(&text);
    assert_eq!((problems[0].line, problems[0].key.as_str()), (Some(8), "http.listen[1]"));
    let dotted = "panel.upstream = \"http://a:1\"\nhttp.workers = \"x\"\n";
    assert_eq!(refused(dotted)[0].line, Some(2));
}
