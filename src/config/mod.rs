//! The settings: as written -> checked, all problems at once -> typed.
//!
//! [`read`] turns a file (TOML, or JSON with the same keys) and the flags of `doorman run` into a [`Config`], or into
//! every [`Problem`] that it has. Past this module nothing is checked again: what is in a [`Config`] is usable as it
//! stands.
//!
//! `written` is the file as a tree in which every value knows its line, `check` turns that tree into [`Config`] with
//! the words of `parse`, `problem` is what people read when something is wrong.

mod check;
mod defaults;
mod flags;
mod parse;
mod problem;
mod read;
mod settings;
mod values;
mod written;

#[cfg(test)]
mod tests;

pub use flags::Flags;
pub use problem::{Found, Problem, Warning};
pub use read::{Loaded, ReadError, admin_address, default_file, read};
pub use settings::{
    AccessLog, Address, Admin, AdminAddress, AllowPaths, Config, Directory, Export, Fallback, Forward, Http,
    Https, IpCert, Language, Limits, Profile, Rung, Scheme, Store, Telegram, Upstream, UpstreamTrust,
    Webhook, Xray,
};
pub use values::{Network, Secret};
