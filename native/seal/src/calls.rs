//! The application's system calls that the engine must know of. All others go straight to the kernel.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::abi::{AltStack, Context, R8, R10, R11, RAX, RCX, RDI, RDX, RSI, Registers, SigAction, alert, mode, state};
use crate::cache::Thread;
use crate::{dispositions, effects, entry, frames, pages, pieces, shadow, sinks, start, sys, threads, window};

const NUMBERS: usize = 0x1_0000;
static WANTED: [AtomicU8; NUMBERS] = [const { AtomicU8::new(0) }; NUMBERS];

/// How the engine makes a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Memory,   // mmap and its like: code may come, change or go
    Break,    // the end of the main heap
    Actions,  // rt_sigaction
    Mask,     // rt_sigprocmask
    Return,   // rt_sigreturn
    AltStack, // sigaltstack
    Multiply, // clone, fork, vfork
    Execute,  // execve
    Exit,     // of this thread
    Rseq,     // remembered, and registered at the release
    Suspend,  // a mask for the time of the call: 64-bit pointer in the register that the row names
    Segment,  // arch_prctl, of which gs is the shadow's
    Filter,   // seccomp and its like: what the engine needs may be forbidden afterwards
}

/// Number, way, and for Suspend the register that points to the mask.
const CALLS: &[(u64, Way, usize)] = &[
    (9, Way::Memory, 0),
    (10, Way::Memory, 0),
    (11, Way::Memory, 0),
    (25, Way::Memory, 0),
    (30, Way::Memory, 0),
    (329, Way::Memory, 0),
    (12, Way::Break, 0),
    (13, Way::Actions, 0),
    (14, Way::Mask, 0),
    (15, Way::Return, 0),
    (131, Way::AltStack, 0),
    (56, Way::Multiply, 0),
    (57, Way::Multiply, 0),
    (58, Way::Multiply, 0),
    (435, Way::Multiply, 0),
    (59, Way::Execute, 0),
    (322, Way::Execute, 0),
    (60, Way::Exit, 0),
    (334, Way::Rseq, 0),
    (158, Way::Segment, 0),
    (157, Way::Filter, 0),
    (317, Way::Filter, 0),
    (130, Way::Suspend, RDI),
    (271, Way::Suspend, R10),
    (270, Way::Suspend, usize::MAX), // pselect6: a pointer to the pointer, in r9
    (281, Way::Suspend, R8),
    (441, Way::Suspend, R8),
];

const NUMBERED: usize = 512;

// By a call's number: which row is its, counted from 1.
static ROWS: [u8; NUMBERED] = {
    let mut rows = [0; NUMBERED];
    let mut at = 0;
    while at < CALLS.len() {
        rows[CALLS[at].0 as usize] = at as u8 + 1;
        at += 1;
    }
    rows
};

fn row(number: u64) -> Option<&'static (u64, Way, usize)> {
    let row = *ROWS.get(number as usize)?;
    CALLS.get(usize::from(row).checked_sub(1)?)
}

/// Enter which calls the translated code hands to the engine.
pub fn fill_wanted_table(mode: u32) {
    if mode == mode::TAINT {
        WANTED.iter().for_each(|wanted| wanted.store(1, Ordering::Relaxed));
    }
    for number in CALLS.iter().map(|row| row.0).chain(pieces::numbers()) {
        WANTED[number as usize].store(1, Ordering::Relaxed);
    }
}

/// Return where translated code looks a number up.
pub fn wanted_table() -> u64 {
    WANTED.as_ptr() as u64
}

/// Make the call that the registers describe. `context.rip` is the address of the `syscall` instruction, and behind it afterwards,
/// unless the application goes on elsewhere.
pub fn make(context: &mut Context) {
    context.calls += 1;
    if shadow::is_followed() {
        sinks::call(context);
        for register in [RAX, RCX, R11] {
            context.tags[register] = 0; // what the kernel leaves there
        }
    }
    let number = context.regs[RAX] & 0xffff_ffff;
    let at = context.rip;
    context.rip = at + 2;
    context.regs[RCX] = context.rip;
    context.regs[R11] = context.rflags;
    let row = row(number);
    match row.map(|row| row.1) {
        Some(Way::Memory) => memory(context, number),
        Some(Way::Break) => match window::before(number, &context.regs) {
            Some(answer) => context.regs[RAX] = answer as u64,
            None => plain(context),
        },
        Some(Way::Actions) => instead(context, actions),
        Some(Way::Mask) => instead(context, mask),
        Some(Way::Return) => frames::sigreturn(context),
        Some(Way::AltStack) => instead(context, altstack),
        Some(Way::Multiply) => {
            let registers = context.regs;
            threads::multiply(context);
            effects::after(context, &registers, context.regs[RAX] as i64);
        }
        Some(Way::Execute) => execute(context),
        Some(Way::Exit) => exit(context),
        Some(Way::Rseq) => instead(context, rseq),
        Some(Way::Suspend) => suspend(context, row.map_or(0, |row| row.2)),
        Some(Way::Segment) => segment(context),
        Some(Way::Filter) => filter(context, number),
        None => pieces::make(context),
    }
}

/// Make the call before `context.rip` once more: its answer was EFAULT, and the pages are open now.
pub fn again(context: &mut Context) {
    context.regs[RAX] = context.issued;
    plain(context);
}

fn plain(context: &mut Context) {
    issue(context, |_, answer| answer);
}

// Make the call; `settle` may change what it has come to, before the tags follow.
fn issue(context: &mut Context, settle: impl FnOnce(&Registers, i64) -> i64) {
    let number = context.regs[RAX];
    effects::before(context);
    let answer = entry::issue(context);
    if answer == entry::NOT_ISSUED {
        // A signal came first: as if it had come before the call.
        context.regs[RAX] = number;
        context.rip -= 2;
        return;
    }
    let answer = settle(&context.regs, answer);
    effects::after(context, &context.regs, answer);
    context.regs[RAX] = answer as u64;
}

// Let the engine do what the kernel would.
fn instead(context: &mut Context, work: fn(&mut Context) -> i64) {
    let registers = context.regs;
    effects::before(context);
    let answer = work(context);
    effects::after(context, &registers, answer);
    context.regs[RAX] = answer as u64;
}

fn suspend(context: &mut Context, register: usize) {
    let pointer = if register == usize::MAX {
        let pair = context.regs[9];
        if pair == 0 { 0 } else { sys::read_guest_u64(pair).unwrap_or(0) }
    } else {
        context.regs[register]
    };
    if pointer != 0
        && let Some(mask) = sys::read_guest_u64(pointer)
    {
        context.suspended_mask = mask;
        context.has_suspended_mask = 1;
    }
    plain(context);
    if context.pending_signal == 0 {
        context.has_suspended_mask = 0;
    }
}

// What changes is dead before, so that nobody runs it any more, and after, in case somebody has translated it meanwhile.
fn memory(context: &mut Context, number: u64) {
    const MMAP: u64 = 9;
    const MREMAP: u64 = 25;
    const MAP_FIXED: u64 = 0x10;
    const MAP_SHARED: u64 = 1;
    let [address, length, rights, flags] = [context.regs[RDI], context.regs[RSI], context.regs[RDX], context.regs[R10]];
    let pages = |bytes: u64| bytes.next_multiple_of(pages::PAGE);
    let end = address.saturating_add(pages(length));
    if number != MMAP || flags & MAP_FIXED != 0 {
        pages::gone(address, end);
    }
    window::before(number, &context.regs);
    issue(context, |registers, answer| window::settle(number, registers, answer));
    let answer = context.regs[RAX];
    if (answer as i64) < 0 {
        return;
    }
    match number {
        MMAP => {
            pages::gone(answer, answer + pages(length));
            pages::has_rights(answer, answer + pages(length), rights, flags & MAP_SHARED != 0);
        }
        MREMAP => {
            pages::gone(address, end);
            pages::gone(answer, answer + pages(rights)); // the third argument is the new length
        }
        // What is mapped there, privately or shared, only the kernel's list tells: it is read when code is wanted from there.
        _ => pages::gone(address, end),
    }
    if matches!(number, 10 | 329) && !pages::may_learn() {
        pages::has_rights(address, end, rights, false);
    }
}

fn actions(context: &mut Context) -> i64 {
    let [signal, new, old, bytes] = [context.regs[RDI], context.regs[RSI], context.regs[RDX], context.regs[R10]];
    const KILL: u64 = 9;
    const STOP: u64 = 19;
    if bytes != 8 || signal == 0 || signal > 64 || (new != 0 && (signal == KILL || signal == STOP)) {
        return sys::EINVAL;
    }
    let wanted = if new == 0 {
        None
    } else {
        let Some(action) = sys::read_guest_record::<SigAction>(new) else { return sys::EFAULT };
        sinks::handler(context, alert::CALL, new, action.handler);
        Some(action)
    };
    let before = dispositions::action(context, signal as u32);
    if let Some(action) = wanted {
        dispositions::set_action(context, signal as u32, action);
    }
    if old != 0 && !sys::write_guest_record(old, &before) {
        return sys::EFAULT;
    }
    0
}

fn mask(context: &mut Context) -> i64 {
    let [how, new, old, bytes] = [context.regs[RDI], context.regs[RSI], context.regs[RDX], context.regs[R10]];
    if bytes != 8 {
        return sys::EINVAL;
    }
    let before = context.mask;
    if new != 0 {
        let Some(set) = sys::read_guest_u64(new) else { return sys::EFAULT };
        let set = set & dispositions::MASKABLE;
        context.mask = match how {
            0 => before | set,
            1 => before & !set,
            2 => set,
            _ => return sys::EINVAL,
        };
        dispositions::set_kernel_mask(context);
    }
    if old != 0 && !sys::write_guest_u64(old, before) {
        return sys::EFAULT;
    }
    0
}

fn altstack(context: &mut Context) -> i64 {
    let [new, old] = [context.regs[RDI], context.regs[RSI]];
    let before = dispositions::altstack_seen(context);
    if new != 0 {
        let Some(stack) = sys::read_guest_record::<AltStack>(new) else { return sys::EFAULT };
        if let Err(error) = dispositions::set_altstack(context, stack) {
            return error;
        }
    }
    if old != 0 && !sys::write_guest_record(old, &before) {
        return sys::EFAULT;
    }
    0
}

fn execute(context: &mut Context) {
    // The new image inherits the mask: it must be the application's own.
    dispositions::set_exact_mask(context.mask);
    plain(context);
    dispositions::set_kernel_mask(context);
}

/// End the thread by the call that the registers describe.
pub fn exit(context: &mut Context) -> ! {
    let (number, status) = (context.regs[RAX], context.regs[RDI]);
    dispositions::block_all();
    context.tid = 0;
    context.state = state::RUNNING;
    entry::issue_exit(context, number, status);
}

fn rseq(context: &mut Context) -> i64 {
    let [address, bytes, flags, signature] = [context.regs[RDI], context.regs[RSI], context.regs[RDX], context.regs[R10]];
    const UNREGISTER: u64 = 1;
    const EBUSY: i64 = -16;
    if flags == UNREGISTER {
        if context.rseq_address != address {
            return sys::EINVAL;
        }
        context.rseq_address = 0;
        return 0;
    }
    if flags != 0 {
        return sys::EINVAL;
    }
    if context.rseq_address != 0 {
        return EBUSY;
    }
    context.rseq_address = address;
    context.rseq_bytes = bytes as u32;
    context.rseq_signature = signature as u32;
    0
}

// The base of gs is 0 for the application, and cannot be another while the shadow has it.
fn segment(context: &mut Context) {
    const SET_GS: u64 = 0x1001;
    const GET_GS: u64 = 0x1004;
    const EPERM: i64 = -1;
    let shadowed = sys::mailbox().shadow_offset != 0;
    match context.regs[RDI] {
        GET_GS if shadowed => {
            instead(context, |context| if sys::write_guest_u64(context.regs[RSI], 0) { 0 } else { sys::EFAULT });
        }
        SET_GS if shadowed => context.regs[RAX] = if context.regs[RSI] == 0 { 0 } else { EPERM as u64 },
        _ => {
            plain(context);
            if let Some(service) = sys::service(context).filter(|_| shadowed) {
                service.with(Thread::flush); // translated code knows the base of fs
            }
        }
    }
}

fn filter(context: &mut Context, number: u64) {
    const PRCTL: u64 = 157;
    const PR_SET_SECCOMP: u64 = 22;
    const SET_MODE_MAX: u64 = 1; // strict and filter; the others only ask
    let sets = if number == PRCTL { context.regs[RDI] == PR_SET_SECCOMP } else { context.regs[RDI] <= SET_MODE_MAX };
    if sets && sys::mailbox().confined == 0 {
        start::confine();
    }
    plain(context);
}

/// The three calls of the vsyscall page, which cannot be read: do what is at its address, and return from it.
pub fn vsyscall(context: &mut Context) -> bool {
    let number = match context.rip {
        0xffff_ffff_ff60_0000 => 96,
        0xffff_ffff_ff60_0400 => 201,
        0xffff_ffff_ff60_0800 => 309,
        _ => return false,
    };
    let arguments = [context.regs[RDI], context.regs[RSI], context.regs[RDX], 0, 0, 0];
    let Some(back) = sys::read_guest_u64(context.regs[crate::abi::RSP]) else { return false };
    context.regs[RAX] = number;
    let answer = sys::call(number, arguments);
    effects::after(context, &context.regs, answer);
    context.regs[RAX] = answer as u64;
    context.regs[crate::abi::RSP] += 8;
    context.rip = back;
    true
}
