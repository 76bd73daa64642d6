//! A thread stands before what its input would have it do, and the controller says what becomes of it.
//!
//! Owns the places for alerts in the mailbox. A thread waits in the engine, with nothing of the application held; a controller that is not
//! there, or comes to let go, finds the verdict of the policy heeded after `patience_ms`, or at once.

use core::sync::atomic::{Ordering, fence};

use crate::abi::{Context, RAX, RDI, request, state, verdict};
use crate::{calls, dispositions, start, sys, threads};

/// What a sink has found.
pub struct Finding {
    pub kind: u32,   // `alert`
    pub target: u64, // where it would go on, or the value that has the tag
    pub place: u64,  // where in memory that lies; 0: in registers alone
    pub tags: u64,   // of its bytes
}

/// Tell of a finding at `context.rip`, and wait for the verdict. Comes back if the thread is to go on as if nothing were.
pub fn raise(context: &mut Context, finding: &Finding) {
    let verdict = match enter(context, finding) {
        Some(at) => wait(context, at),
        None => sys::mailbox().on_alert,
    };
    match verdict {
        verdict::OBSERVE => {}
        verdict::KILL => kill(),
        _ => end_thread(context),
    }
}

// Take a place. None: all are taken by alerts that wait.
fn enter(context: &Context, finding: &Finding) -> Option<usize> {
    let _held = start::PROCESS.hold();
    let mailbox = sys::mailbox();
    let free = |&at: &usize| mailbox.alerts[at].serial == 0 || mailbox.alerts[at].state != verdict::NONE;
    // The one that was answered the longest ago.
    let Some(at) = (0..mailbox.alerts.len()).filter(free).min_by_key(|&at| mailbox.alerts[at].serial) else {
        mailbox.alerts_missed += 1;
        return None;
    };
    let entry = &mut mailbox.alerts[at];
    entry.serial = 0;
    fence(Ordering::Release);
    entry.kind = finding.kind;
    entry.tid = context.tid;
    entry.state = verdict::NONE;
    entry.verdict = verdict::NONE;
    entry.pc = context.rip;
    entry.target = finding.target;
    entry.place = finding.place;
    entry.tags = finding.tags;
    entry.rflags = context.rflags;
    entry.at_ns = now_ns();
    entry.regs = context.regs;
    entry.register_tags = context.tags;
    fence(Ordering::Release);
    mailbox.alert_count += 1;
    entry.serial = mailbox.alert_count;
    Some(at)
}

fn wait(context: &Context, at: usize) -> u32 {
    let mailbox = sys::mailbox();
    let mut waited_ms = 0;
    let answer = loop {
        match sys::reread(&mailbox.alerts[at].verdict) {
            verdict::NONE => {}
            answer => break answer,
        }
        let is_wanted = sys::reread(&context.request) == request::PARK || sys::reread(&mailbox.park) != 0;
        if is_wanted || waited_ms >= mailbox.patience_ms {
            break mailbox.on_alert;
        }
        nap();
        waited_ms += 1;
    };
    mailbox.alerts[at].state = if answer == verdict::NONE { verdict::CONTAIN } else { answer };
    answer
}

// A millisecond. Under seccomp no call is made that the application does not make: then the processor waits.
fn nap() {
    const NANOSLEEP: u64 = 35;
    const MILLISECOND: [u64; 2] = [0, 1_000_000];
    if sys::mailbox().confined == 0 {
        sys::call3(NANOSLEEP, MILLISECOND.as_ptr() as u64, 0, 0);
        return;
    }
    const ABOUT_TICKS: u64 = 3_000_000;
    let began = sys::timestamp();
    while sys::timestamp().wrapping_sub(began) < ABOUT_TICKS {
        core::hint::spin_loop();
    }
}

fn now_ns() -> u64 {
    const CLOCK_GETTIME: u64 = 228;
    if sys::mailbox().confined != 0 {
        return 0;
    }
    let mut time = [0u64; 2];
    sys::call3(CLOCK_GETTIME, 0, (&raw mut time) as u64, 0);
    time[0] * 1_000_000_000 + time[1]
}

fn kill() -> ! {
    const KILL: u64 = 62;
    const SIGKILL: u64 = 9;
    dispositions::block_all();
    loop {
        sys::call3(KILL, sys::call(sys::GETPID, [0; 6]) as u64, SIGKILL, 0);
    }
}

// The thread ends; with the last one the process.
fn end_thread(context: &mut Context) -> ! {
    const EXIT_GROUP: u64 = 231;
    const STATUS: u64 = 1;
    let is_alone = threads::slots().map(sys::context).filter(|c| c.tid != 0 && c.state == state::RUNNING).count() <= 1;
    context.regs[RAX] = if is_alone { EXIT_GROUP } else { sys::EXIT };
    context.regs[RDI] = STATUS;
    calls::exit(context)
}
