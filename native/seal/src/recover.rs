//! From where a thread stands in translated code to where the application is: exactly, at every host instruction.

use crate::abi::{self, Context, RCX, RDX, RSP, recovered, user_regs};
use crate::cache::{ARENA_BYTES, ENTER_BYTES, STUB_BYTES, Thread, kind};
use crate::emit::{GuestPc, HostPc};
use crate::{entry, start, sys, threads};

// What the Context and the record for `host` say: the kind of place, and the application's address.
fn place(thread: &Thread, context: &Context, host: HostPc) -> Option<(u32, GuestPc)> {
    if host.0.wrapping_sub(context.enter) < ENTER_BYTES {
        return Some((kind::RCX, GuestPc(context.rip)));
    }
    let arena = thread.arena_of(host)?;
    if host >= arena.cold {
        // A stub: its first instruction saves rcx.
        let at = (arena.begin.0 + ARENA_BYTES - host.0 - 1) / STUB_BYTES;
        let exit = thread.exits.get(*arena.stubs.get(at as usize)? as usize)?;
        return Some((if host == exit.stub { 0 } else { kind::RCX }, exit.target));
    }
    let offset = (host.0 - arena.begin.0) as u32;
    let at = arena.records.partition_point(|r| r.host <= offset).checked_sub(1)?;
    let record = arena.records[at];
    if record.kind & kind::VERBATIM != 0 {
        return Some((0, GuestPc(record.pc.0 + u64::from(offset - record.host))));
    }
    Some((record.kind, record.pc))
}

/// Turn the registers that the processor had at `host` into the application's, in `context`; repair what the fragment
/// had changed of the stack. Answers false if `host` is not in this thread's translated code.
pub fn take(thread: &Thread, context: &mut Context, live: &abi::Registers, rflags: u64, host: HostPc) -> bool {
    let Some((kind, pc)) = place(thread, context, host) else { return false };
    let (rcx, rdx) = (context.regs[RCX], context.regs[RDX]);
    context.regs = *live;
    context.rip = if kind & kind::TARGET != 0 { context.target } else { pc.0 };
    if kind & kind::FLAGS == 0 {
        context.rflags = rflags;
    }
    if kind & kind::RCX != 0 {
        context.regs[RCX] = rcx;
    }
    if kind & kind::RDX != 0 {
        context.regs[RDX] = rdx;
    }
    if kind & kind::SCRATCH != 0 {
        context.regs[(kind >> kind::SCRATCH_SHIFT & 15) as usize] = context.spare[0];
    }
    if kind & kind::CALLED != 0 {
        context.regs[RCX] = pc.0;
    }
    if kind & kind::PUSHED != 0 {
        context.regs[RSP] = context.regs[RSP].wrapping_add(8);
    }
    if kind & kind::RETURN != 0 {
        sys::write_guest_u64(context.regs[RSP], context.target);
    }
    if kind & (kind::BELOW | kind::PUSHED) != 0 {
        let word = if kind & kind::TARGET != 0 { context.target } else { 0 };
        sys::write_guest_u64(context.regs[RSP].wrapping_sub(8), word);
    }
    true
}

/// Answer for every snapshot of the mailbox where the application is. The controller calls this with all threads stopped.
pub extern "C" fn recover_all() -> i64 {
    let mailbox = sys::mailbox();
    for at in 0..mailbox.snapshot_count as usize {
        let snapshot = &mut mailbox.snapshots[at];
        snapshot.status = recovered::NATIVE;
        let Some(context) = threads::context_of(snapshot.tid) else { continue };
        if context.state == abi::state::AMBUSHED {
            continue;
        }
        snapshot.status = snapshot_of(context, &mut snapshot.regs);
    }
    0
}

fn snapshot_of(context: &mut Context, regs: &mut [u64; 27]) -> u32 {
    let host = regs[user_regs::RIP];
    if host == entry::issue_after() && context.pending_signal == 0 {
        // In a system call that the engine issues for the application: the Context has everything but the answer.
        context.regs[abi::RAX] = regs[user_regs::RAX];
        context.vectors_in_context = 1;
        write_back(context, regs);
        return recovered::EXACT;
    }
    if (entry::resume_begin()..entry::resume_end()).contains(&host) && context.pending_signal == 0 {
        context.vectors_in_context = 1;
        write_back(context, regs);
        return recovered::EXACT;
    }
    if start::is_image(host) {
        return recovered::BUSY;
    }
    let Some(service) = sys::service(context) else { return recovered::BUSY };
    let mut live = [0; 16];
    for (at, &place) in user_regs::ORDER.iter().enumerate() {
        live[at] = regs[place];
    }
    if !service.peek(|thread| take(thread, context, &live, regs[user_regs::EFLAGS], HostPc(host))) {
        let ours = service.peek(|thread| thread.arena_of(HostPc(host)).is_some());
        return if ours { recovered::BUSY } else { recovered::NATIVE };
    }
    context.vectors_in_context = 0;
    write_back(context, regs);
    recovered::EXACT
}

fn write_back(context: &Context, regs: &mut [u64; 27]) {
    for (at, &place) in user_regs::ORDER.iter().enumerate() {
        regs[place] = context.regs[at];
    }
    regs[user_regs::RIP] = context.rip;
    regs[user_regs::EFLAGS] = context.rflags;
}
