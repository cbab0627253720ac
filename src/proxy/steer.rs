//! Which of our sockets a new connection goes to: one of ours at random, so that a program which joins the group later
//! gets none. Without it the kernel gives every member its share.

use std::io;
use std::os::fd::AsFd;

use nix::libc::{BPF_ABS, BPF_ALU, BPF_K, BPF_LD, BPF_MOD, BPF_RET, BPF_W, SKF_AD_OFF, SKF_AD_RANDOM};
use nix::libc::{sock_filter, sock_fprog};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;

/// `BPF_A` of <linux/filter.h>: return what was calculated.
const BPF_A: u32 = 0x10;

/// Has the kernel choose among the first `members` sockets of the group that `socket` is in. Their order is that of
/// their `listen`.
///
/// Random, and not by processor: a network card with a single queue would leave all but one worker idle.
///
/// # Errors
/// The kernel or what confines this process does not allow it.
pub(super) fn to_the_first(members: usize, socket: &impl AsFd) -> io::Result<()> {
    let members = u32::try_from(members).map_err(io::Error::other)?;
    let mut program = [
        step(BPF_LD | BPF_W | BPF_ABS, (SKF_AD_OFF + SKF_AD_RANDOM).cast_unsigned()),
        step(BPF_ALU | BPF_MOD | BPF_K, members),
        step(BPF_RET | BPF_A, 0),
    ];
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    // The kernel copies the program while the call lasts; it keeps no pointer to it.
    let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
    Ok(setsockopt(socket, AttachReusePortCbpf, &program)?)
}

fn step(code: u32, k: u32) -> sock_filter {
    // The largest code that is made here is 0x94.
    sock_filter { code: u16::try_from(code).unwrap_or_default(), jt: 0, jf: 0, k }
}
