//! What alerts are judged by.

/// How things are, as far as somebody may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Failures in a row.
    pub failures: u32,
    /// What the certificate is worth.
    pub worth: Worth,
    /// What stands between us and the next one.
    pub trouble: Trouble,
    /// Who else is at our ports.
    pub company: Company,
    /// Which way orders go.
    pub route: Route,
}

/// Who else is at our ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nobody.
    Alone,
    /// Another program listens there, too.
    Joined,
    /// Another program has one that was ours.
    Lost,
}

/// Which way orders go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Over port 80.
    Usual,
    /// Over :443, for port 80 does not do.
    Detour,
}

/// What the certificate is worth, in the steps in which it gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// There is time.
    Good,
    /// Less than two days are left, or 30 % of a shorter life; or there is none yet.
    Short,
    /// Less than 24 h are left, or 15 % of a shorter life.
    Critical,
    /// Nothing.
    Expired,
}

/// What stands in the way of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing: it is not due, or being done.
    Nothing,
    /// It is due and another program has the port.
    PortTaken,
    /// It is due and the port is not ours for another reason.
    PortMissing,
    /// The CA wants to be asked again only when the certificate has expired.
    LimitBeyondExpiry,
    /// Something else that may go away by itself.
    Other,
}

impl Situation {
    /// Nothing that anybody would want to know.
    pub const WELL: Self = Self {
        failures: 0,
        worth: Worth::Good,
        trouble: Trouble::Nothing,
        company: Company::Alone,
        route: Route::Usual,
    };
}
