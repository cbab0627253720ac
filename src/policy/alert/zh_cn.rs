//! Simplified Chinese.

use super::Kind;
use super::reply::Said;
use super::text::{Doing, Lasts, Span, Words};
use crate::policy::failure::Class;
use crate::policy::finding::{About, Level};
use crate::policy::lifecycle::Word;

pub(super) const WORDS: Words = Words {
    title,
    reminder: "（每日提醒）",
    host: "💻 主机名：",
    addresses: "🌐 IP：",
    lasts,
    span,
    reason: |class, error| format!("原因（{}）：{error}", class_name(class)),
    detail: |detail| format!("具体情况：{detail}"),
    doing,
    remedy: |kind, class| remedy(kind, class).to_owned(),
    more: |kind| format!("详细说明：docs/runbook.md 中的 {} 一节", kind.as_str()),
    late: |age, at| format!("本消息迟到了 {age}，因为之前无法发出。产生时间：{at}。"),
    dropped: |count| format!("另有 {count} 条更早的告警始终无法发出，已被丢弃。"),
    state: |word| match word {
        Word::Valid => "有效：一切正常",
        Word::Renewing => "续期中：正在获取新证书",
        Word::Failed => "失败：上次尝试失败，稍后会重试",
        Word::Critical => "告急：证书即将过期",
        Word::Expired => "已过期：证书已过期",
        Word::Disabled => "未启用：没有配置证书",
    },
    next: |at| format!("下次尝试时间：{at}。"),
    pending: |count| format!("还有 {count} 条告警等待发送。"),
    renewal,
    verdict: |verdict| match verdict {
        Level::Fine => "一切正常",
        Level::Warning => "可以工作，但有需要留意的地方",
        Level::Broken => "有东西坏了",
    },
    about,
    colon: "：",
    fine: |fine| format!("正常：{}", fine.join("、")),
    test: ("这是 doorman 的测试消息", "一切正常。有人运行了“doorman alert test”，今后的告警会这样送到这里。"),
};

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::PortJoined => "另有程序也在监听 doorman 的端口",
        Kind::SecondWay => "80 端口无法使用，证书改由 443 端口验证",
        Kind::PortLost => "原属 doorman 的端口被其他程序占用",
        Kind::RateLimited => "CA 要等到证书过期之后才允许再次申请",
        Kind::PortMissing => "doorman 没有拿到 80 端口，证书无法续期",
        Kind::PortTaken => "80 端口被其他程序占用，证书无法续期",
        Kind::RenewalFailing => "证书续期连续失败",
        Kind::XrayStale => "Xray 仍在使用旧证书",
        Kind::Critical => "证书即将过期",
        Kind::Expired => "证书已过期",
        Kind::Recovered => "一切恢复正常",
        Kind::Renewed => "证书续期成功",
    }
}

fn about(about: About) -> &'static str {
    match about {
        About::Config => "配置",
        About::Daemon => "守护进程",
        About::Port => "端口",
        About::Panel => "面板",
        About::Address => "地址",
        About::Ca => "CA",
        About::Clock => "时钟",
        About::Store => "存储目录",
        About::Xray => "Xray",
        About::AcmeClient => "ACME 客户端",
        About::Telegram => "Telegram",
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Network => "网络",
        Class::Ca => "CA 故障",
        Class::RateLimit => "CA 限额",
        Class::Validation => "CA 验证失败",
        Class::Configuration => "配置",
        Class::Clock => "时钟",
        Class::Store => "磁盘",
        Class::Installation => "安装",
        Class::Fault => "doorman 自身故障",
    }
}

fn lasts(lasts: Lasts<'_>) -> String {
    match lasts {
        Lasts::Missing => "目前还没有证书。".to_owned(),
        Lasts::Left { span, until } => format!("证书将在 {span}后到期，到期时间为 {until}。"),
        Lasts::Over { span, since } => format!("证书已于 {since} 过期（{span}前）。"),
    }
}

fn span(span: Span) -> String {
    match (span.days, span.hours, span.minutes) {
        (0, 0, 0) => "不到 1 分钟".to_owned(),
        (0, 0, minutes) => format!("{minutes} 分钟"),
        (0, hours, 0) => format!("{hours} 小时"),
        (0, hours, minutes) => format!("{hours} 小时 {minutes} 分钟"),
        (days, 0, _) => format!("{days} 天"),
        (days, hours, _) => format!("{days} 天 {hours} 小时"),
    }
}

fn doing(doing: Doing<'_>) -> String {
    let does = match doing.kind {
        Kind::PortJoined => "doorman 照常提供服务，对方通常得不到任何连接。",
        Kind::SecondWay => "只要可行，doorman 就继续通过 443 端口续期，80 端口可用后会自动恢复。",
        Kind::PortLost => "doorman 每两秒尝试一次接管该端口。",
        Kind::RateLimited => "doorman 会等到 CA 指定的时间再试。",
        Kind::PortMissing => "doorman 每两秒尝试一次接管 http.listen 中的端口，一旦拿到便立即续期。",
        Kind::PortTaken => "doorman 每两秒尝试一次接管该端口，一旦空出便立即续期。",
        Kind::RenewalFailing => "doorman 会自动继续重试。",
        Kind::XrayStale => "doorman 会继续观察；只要旧证书仍然有效，就不会做任何会让用户断线的事。",
        Kind::Critical => "doorman 大约每小时重试一次，直到成功。",
        Kind::Expired if doing.stands_in => "doorman 暂时使用本地 CA 签发的证书顶替，并大约每小时重试一次。",
        Kind::Expired => "doorman 仍在使用已过期的证书，并大约每小时重试一次。",
        Kind::Recovered => "doorman 照常运行。",
        Kind::Renewed => "doorman 已启用新证书，并会按时续期。",
    };
    let mut text = does.to_owned();
    match doing.kind {
        Kind::XrayStale | Kind::Recovered | Kind::Renewed => {}
        Kind::PortJoined
        | Kind::SecondWay
        | Kind::PortLost
        | Kind::RateLimited
        | Kind::PortMissing
        | Kind::PortTaken
        | Kind::RenewalFailing
        | Kind::Critical
        | Kind::Expired => {
            if doing.failures > 0 {
                text.push_str(&format!("已连续失败 {} 次。", doing.failures));
            }
            if let Some(next) = doing.next_try {
                text.push_str(&format!("下次尝试时间：{next}。"));
            }
        }
    }
    text
}

fn renewal(said: Said<'_>) -> String {
    match said {
        Said::Began => "续期已开始。可用 /status 查看结果。".to_owned(),
        Said::Joined => "续期正在进行中。".to_owned(),
        Said::BackOff(at) => format!("现在不行：上次尝试失败，下次尝试时间为 {at}。"),
        Said::Budget(at) => format!("现在不行：在 {at} 之前，CA 不再允许验证失败。"),
        Said::Governor(at) => format!("现在不行：近期已签发四张证书，{at} 起才能再签发。"),
        Said::Refused(at) => format!("现在不行：CA 拒绝了当前配置，将于 {at} 再次询问。"),
        Said::Port => "现在不行：80 端口不在 doorman 手中。“doorman status”会说明原因。".to_owned(),
        Said::Disabled => "没有需要续期的证书。".to_owned(),
        Said::Busy => "doorman 正忙，请稍后再试。".to_owned(),
    }
}

fn remedy(kind: Kind, class: Option<Class>) -> &'static str {
    match kind {
        Kind::RateLimited => {
            "用“doorman status”查看是哪一项限额。如果有其他程序或机器在为同一地址申请证书，请停掉它；否则可把 ip_cert.directory 改为其他 CA。"
        }
        Kind::PortJoined => {
            "请停掉后来加入的那个程序，或让它监听其他端口。“doorman status”会显示是哪个程序。"
        }
        Kind::SecondWay => {
            "如果 80 端口被其他程序占用，请释放它；否则请在服务商的防火墙中放行 80 端口。“doorman doctor”会指出障碍所在。"
        }
        Kind::PortLost => "请停掉占用该端口的程序，或让它改用其他端口。“doorman status”会显示是哪个程序。",
        Kind::PortMissing => {
            "并没有其他程序占用它：缺的是权限、本机地址，或 http.listen 中的监听项。“doorman status”会指出是哪一样。"
        }
        Kind::PortTaken => "请停掉占用 80 端口的程序，或让它改用其他端口。“doorman status”会显示是哪个程序。",
        Kind::XrayStale => {
            "“doorman status”会显示是哪个入站。请在面板页面中原样保存一次该入站：新证书立即生效。tcp、ws 和 httpupgrade 的已有连接不会断开；grpc 和 xhttp 的会断开，请选择空闲时段。"
        }
        Kind::Recovered | Kind::Renewed => "您无需做任何事。",
        Kind::RenewalFailing | Kind::Critical | Kind::Expired => {
            class.map_or("请用“doorman status”查看障碍所在，排除后运行“doorman renew”。", remedy_by_class)
        }
    }
}

fn remedy_by_class(class: Class) -> &'static str {
    match class {
        Class::Network => "本机无法连接 CA：请检查 DNS、路由和出站防火墙，然后运行“doorman renew”。",
        Class::Ca => "CA 出现故障：请查看它的状态页。如果持续不恢复，可把 ip_cert.directory 改为其他 CA。",
        Class::RateLimit => {
            "CA 的限额已用完：请找出还有谁在为该地址申请证书并停掉它。CA 允许时 doorman 会自动重试。"
        }
        Class::Validation => {
            "CA 无法访问本机：请在服务商的防火墙中放行 80 端口，并确认该 IP 仍属于本机，然后运行“doorman renew”。"
        }
        Class::Configuration => "CA 拒绝了当前配置：请按上述原因修改配置，并重启 doorman。",
        Class::Clock => "请校准时钟，例如运行“timedatectl set-ntp true”，然后运行“doorman renew”。",
        Class::Store => "磁盘无法写入：请查看“df -h”和“mount”并腾出空间，然后运行“doorman renew”。",
        Class::Installation => "新证书已签发，但某个监听端口仍在使用旧证书：请重启 doorman。",
        Class::Fault => "这是 doorman 自身的故障：请附上日志反馈，并重启 doorman。",
    }
}
