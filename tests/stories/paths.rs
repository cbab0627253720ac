//! `allow_paths`: what is listed reaches the panel, however it is spelt, and what two readers might understand in two ways
//! reaches nobody.

use crate::support::client::Connection;
use crate::support::doorman::{Doorman, Settings};
use crate::support::upstream::Upstream;

const LISTED: [&str; 3] = ["", "login", "assets/"];

const OPEN: [&str; 7] = [
    "/secret",
    "/secret/",
    "/secret/login?next=%00",
    "/secret/%6c%6Fgin",
    "/%73ecret/login",
    "/secret/assets/a%20b%2fc",
    "/secret/assets/%E4%B8%AD",
];

const DOUBTFUL: [(&str, &[&str]); 6] = [
    (
        "other segments, once somebody has put it in order",
        &[
            "/secret/assets/./x",
            "/secret/assets/%2e/x",
            "/secret/assets/../x",
            "/secret/assets/.%2E",
            "/secret/assets//x",
            "/secret/assets/%2fx",
        ],
    ),
    ("something else, once it is decoded again", &["/secret/%256cogin", "/secret/assets/%2541"]),
    ("shorter, once it is decoded", &["/secret/login%3fx", "/secret/assets/%3Fx", "/secret/assets/%23x"]),
    (
        "shorter or longer, for who knows parameters or Windows",
        &["/secret/assets/x;y", "/secret/assets/x%3by", "/secret/assets/x%5Cy"],
    ),
    (
        "no text",
        &[
            "/secret/assets/%00",
            "/secret/assets/%7F",
            "/secret/assets/%c2%85",
            "/secret/assets/%ff",
            "/secret/assets/%c0%ae",
        ],
    ),
    (
        "cut off, or no number",
        &[
            "/secret/assets/%",
            "/secret/assets/%6",
            "/secret/assets/%zz",
            "/secret/assets/%+6",
            "/secret/assets/%\u{e9}",
            "/secret/assets/%6\u{e9}",
        ],
    ),
];

#[tokio::test]
async fn what_is_listed_is_open_and_what_has_two_readings_is_not() {
    let panel = Upstream::panel().await;
    let settings = Settings::panel(panel.url()).set("panel", "base_path", "/secret/").set(
        "panel",
        "allow_paths",
        LISTED.to_vec(),
    );
    let door = Doorman::start(&settings).await;
    let mut visitor = Connection::open(door.http().await).await;

    for target in OPEN {
        assert_eq!(visitor.get(target).await.text(), format!("the panel: GET {target} HTTP/1.1"));
    }
    for (reading, targets) in DOUBTFUL {
        for target in targets {
            assert_eq!(visitor.get(target).await.status(), 404, "{target}: {reading}");
        }
    }
    assert_eq!(panel.seen().len(), OPEN.len());
}
