//! The settings: as written -> checked, all problems at once -> typed.
//!
//! What is in a [`Config`] is usable as it stands.

mod problem;
mod settings;
mod values;
mod written;

pub use problem::{Found, Problem, Warning};
pub use settings::{
    AccessLog, Address, Admin, AdminAddress, AllowPaths, Config, Directory, Export, Fallback, Forward, Http,
    Https, IpCert, Language, Limits, Rung, Scheme, Store, Telegram, Upstream, UpstreamTrust, Webhook, Xray,
};
pub use values::{Network, Secret};
