//! Looks at the machine, as any program may: who listens where, and what a process is.
//!
//! Both the data plane and `doctor` ask it. It changes nothing, and no process is ever touched.

pub(crate) mod holder;
mod sock_diag;
pub(crate) mod sockets;
pub(crate) mod words;
