//! Whether Telegram can be reached, by the way that alerts take. The bot is not asked for anything.

use super::Machine;
use crate::control::notify;
use crate::policy::finding::{About, Finding};
use crate::policy::sentence::Sentence;

pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let Some(telegram) = machine.config().and_then(|config| config.telegram.as_ref()) else {
        return Vec::new();
    };
    vec![match notify::reach_telegram(telegram) {
        Ok(host) => {
            Finding::fine(About::Telegram, Sentence::new(format!("{host} answers"), format!("{host} 有应答")))
        }
        Err(why) => Finding::warning(About::Telegram, why, remedy(telegram.proxy.is_some())),
    }]
}

fn remedy(over_a_proxy: bool) -> Sentence {
    if over_a_proxy {
        Sentence::new(
            "look at telegram.proxy; alerts wait until it works",
            "请检查 telegram.proxy；在恢复之前告警会一直等待",
        )
    } else {
        Sentence::new(
            "look at DNS and an outgoing firewall; where Telegram is blocked, set telegram.proxy or telegram.api_url; \
             alerts wait until it works",
            "请检查 DNS 和出站防火墙；若 Telegram 被屏蔽，请设置 telegram.proxy 或 telegram.api_url；在恢复之前告警会一直等待",
        )
    }
}
