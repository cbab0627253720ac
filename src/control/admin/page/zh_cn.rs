//! Simplified Chinese.

use super::words::{Prospects, Words};
use crate::config::Language;
use crate::policy::failure::Class;
use crate::policy::lifecycle::Word;
use crate::policy::sentence::to_the_minute;
use crate::shared::listeners::Kind;

pub(super) const WORDS: Words = Words {
    tag: "zh-CN",
    state: |state| match state {
        Word::Valid => "有效",
        Word::Renewing => "续期中",
        Word::Failed => "续期失败",
        Word::Critical => "即将过期",
        Word::Expired => "已过期",
        Word::Disabled => "未启用",
    },
    meaning,
    span: |span| to_the_minute(span).in_language(Language::Chinese).to_owned(),
    ahead: |span| format!("{span}后"),
    ago: |span| format!("{span}前"),
    address: "地址",
    good_until: "有效期至",
    next_try: "下次续期",
    not_planned: "未安排",
    why: "最近的错误：",
    alerts: "未解除的告警",
    life: "证书的生命周期",
    picture: "从签发到过期，以及计划的续期时间；下面的列表内容相同。",
    issued: "签发",
    window: "CA 建议的续期窗口",
    planned: "计划续期",
    threshold: "最迟续期",
    critical: "进入危急期",
    expiry: "过期",
    now: "现在",
    traffic: "请求",
    last: |span| format!("最近 {span}"),
    requests: "请求数",
    server_errors: "5xx 响应",
    upstream_errors: "面板无响应",
    connections: "当前连接",
    tunnels: "当前隧道",
    challenges: "ACME 验证",
    bars: |minutes, most| format!("每条柱代表 {minutes} 分钟，最高 {most} 次。"),
    renewals: "续期记录",
    no_renewals: "还没有。",
    when: "时间",
    outcome: "结果",
    detail: "详情",
    renewed: "成功",
    failed: "失败",
    tries: |tries| format!("共 {tries} 次"),
    new_until: "新证书有效期至",
    class: |class| match class {
        Class::Network => "无法连接 CA",
        Class::Ca => "CA 故障",
        Class::RateLimit => "CA 限额",
        Class::Validation => "CA 无法访问本机",
        Class::Configuration => "配置有误",
        Class::Clock => "本机时钟",
        Class::Store => "本机磁盘",
        Class::Installation => "未能看到新证书生效",
        Class::Fault => "doorman 自身故障",
    },
    older: "更早的记录",
    inbound: "入站",
    serves: |serves| match serves {
        "current" => "最新",
        "stale" => "旧证书",
        _ => "未知",
    },
    listeners: "端口",
    listener: |kind| match kind {
        Kind::Http => "HTTP",
        Kind::Https => "HTTPS",
        Kind::Forward => "转发",
    },
    listening: "监听中",
    waiting: "等待中",
    held_by: "占用者：",
    joined_by: "同时在监听：",
    certificate: "证书",
    no_certificate: "还没有证书。",
    issuer: "签发者",
    local_ca: "本地 CA，SHA-256",
    as_of: "截至",
    zone: "时区",
    since: "启动于",
    lost: "doorman 没有响应。这里显示的是它最后一次的回答；本页会继续尝试。",
};

fn meaning(state: Word, prospects: &Prospects) -> String {
    let left = prospects.left.as_ref().map(|left| format!("证书还有 {left}到期。")).unwrap_or_default();
    let next = prospects.next.as_ref().map(|next| format!("下一次尝试在 {next}。")).unwrap_or_default();
    match state {
        Word::Valid => match (&prospects.left, &prospects.next) {
            (Some(left), Some(next)) => format!("证书还有 {left}到期，计划在 {next}续期。"),
            (Some(left), None) => format!("证书还有 {left}到期，没有安排续期。"),
            (None, _) => "一切正常。".to_owned(),
        },
        Word::Renewing if prospects.left.is_none() => "正在申请第一张证书。".to_owned(),
        Word::Renewing => format!("正在申请新证书。{left}"),
        Word::Failed if prospects.left.is_none() => format!("还没有证书，上一次尝试没有成功。{next}"),
        Word::Failed => format!("上一次尝试没有成功。{next}{left}"),
        Word::Critical => format!("所剩时间不多，续期尚未成功。{left}{next}"),
        Word::Expired => {
            let over = prospects.over.as_deref().unwrap_or("0 秒");
            let instead = if prospects.stands_in {
                "暂时由本地 CA 签发的证书顶替。"
            } else {
                "访问者看到的是已过期的证书。"
            };
            format!("证书已于 {over}前过期。{instead}{next}")
        }
        Word::Disabled => "没有启用证书，只转发请求。".to_owned(),
    }
}
