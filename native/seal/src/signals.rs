//! Signals: the application's handlers run translated, with the frame that the kernel would have built for them.
//!
//! The kernel knows one handler, `seal_handler`. It finds the application's exact state (`recover`), writes the frame onto the
//! application's stack, and goes on at the application's handler by the ordinary way into translated code. A signal that comes while the
//! engine is at work is kept in the Context, all others blocked, until the engine is done.

use crate::abi::{self, AltStack, Context, RAX, SigAction, state, trouble};
use crate::dispositions::{FAULTS, IGNORE, OPEN, SIGBUS, SIGILL, SIGSEGV, SIGTRAP, action, bit, block_all, default_effect};
use crate::emit::{GuestPc, HostPc};
use crate::frames::{
    HANDLER_FLAGS, ORDER, REG_ERROR, REG_FLAGS, REG_RCX, REG_RIP, REG_RSP, REG_SEGMENTS, RESUME, Signal, UC_MASK, UC_STACK,
    UC_VECTORS, UC_WORDS, deliver, put_xmm, take_xmm,
};
use crate::translate::{Refusal, decode_one};
use crate::{effects, entry, pages, pieces, recover, shadow, start, sys, threads};

/// What the kernel calls. `info` and `frame`: siginfo and ucontext.
pub extern "C" fn on_signal(number: u32, info: u64, frame: u64) {
    let uc = sys::words(frame, UC_WORDS);
    let info = sys::words(info, 16);
    let host = uc[REG_RIP];
    if (entry::copy_begin()..entry::copy_end()).contains(&host) && matches!(number, SIGSEGV | SIGBUS) && is_fault(info) {
        if is_write_into_code(number, info, uc) {
            return;
        }
        uc[REG_RIP] = entry::copy_fault();
        return;
    }
    if number == SIGTRAP && (host == entry::parked() + 1 || host == entry::held() + 1) {
        sys::mailbox().park = 0; // the controller that this stop was for has gone: go on, and nobody stops for it any more
        return;
    }
    let known = threads::context_around(frame);
    let Some(context) = known.or_else(|| threads::context_of(sys::call(sys::GETTID, [0; 6]) as u32)) else {
        unknown(number, uc);
        return;
    };
    let mut live = [0; 16];
    for (at, &place) in ORDER.iter().enumerate() {
        live[at] = uc[place];
    }
    if host >= entry::issue_begin() && host <= entry::issue_after() {
        in_call(context, number, info, uc, host);
    } else if start::is_image(host) {
        if is_fault(info) && FAULTS.contains(&number) {
            start::failed(format_args!(
                "signal {number} in the engine at image+{:#x}, address {:#x}",
                host - sys::mailbox().low,
                info[2]
            ));
        }
        keep(context, number, info, uc, host);
    } else if context.state == state::PREPARED {
        adopt(context, number, info, uc, &live);
    } else {
        in_cache(context, number, info, uc, &live, host);
    }
}

// Whether a fault was a write into code that the engine has protected, and may go through now.
fn is_write_into_code(number: u32, info: &[u64], uc: &[u64]) -> bool {
    const WRITE: u64 = 2;
    number == SIGSEGV && is_fault(info) && uc[REG_ERROR] & WRITE != 0 && pages::written(info[2])
}

fn is_fault(info: &[u64]) -> bool {
    (info[1] as u32 as i32) > 0 // si_code: the kernel's own
}

// The engine is at work: later. Nothing else may come until then.
fn keep(context: &mut Context, number: u32, info: &[u64], uc: &mut [u64], host: u64) {
    uc[UC_MASK] = !OPEN;
    if context.pending_signal != 0 {
        // A second one slipped in: the kernel keeps it, blocked, until the first is delivered.
        const RT_TGSIGQUEUEINFO: u64 = 297;
        let (pid, tid) = (sys::call(sys::GETPID, [0; 6]) as u64, sys::call(sys::GETTID, [0; 6]) as u64);
        sys::call(RT_TGSIGQUEUEINFO, [pid, tid, u64::from(number), info.as_ptr() as u64, 0, 0]);
        return;
    }
    context.pending_signal = number;
    context.pending_info.copy_from_slice(&info[..16]);
    context.pending_error.copy_from_slice(&uc[REG_ERROR..REG_ERROR + 4]);
    if host >= entry::mask_begin() && host <= entry::mask_syscall() {
        uc[REG_RIP] = entry::mask_end();
    }
    if (entry::resume_begin()..entry::resume_end()).contains(&host) {
        uc[REG_RIP] = entry::redispatch();
        uc[REG_RCX] = (&raw const *context) as u64;
    }
}

// The engine waits in a call for the application, whose state is all in the Context, but for the answer.
fn in_call(context: &mut Context, number: u32, info: &[u64], uc: &mut [u64], host: u64) {
    let answer = (host == entry::issue_after()).then(|| uc[ORDER[RAX]] as i64);
    let answer = answer.filter(|&answer| !pieces::is_refused(context, answer));
    if let Some(answer) = answer {
        effects::after(context, &context.regs, answer);
    }
    if context.in_pieces != 0 && pieces::interrupted(context, answer) {
        // It has its answer.
    } else if let Some(answer) = answer {
        context.regs[RAX] = answer as u64;
    } else {
        context.regs[RAX] = if host == entry::issue_syscall() { uc[ORDER[RAX]] } else { context.regs[RAX] };
        context.rip -= 2;
    }
    let signal = signal_from(number, info, uc);
    // The processor's xmm registers are the engine's: the application's take their place in the kernel's frame.
    put_xmm(uc, &context.xmm.0);
    deliver(context, &signal, uc[UC_VECTORS]);
    context.call_number = 0;
    go_to_dispatch(context, uc);
}

fn in_cache(context: &mut Context, number: u32, info: &mut [u64], uc: &mut [u64], live: &abi::Registers, host: u64) {
    let Some(service) = sys::service(context) else { return unknown(number, uc) };
    if is_write_into_code(number, info, uc) {
        // What follows it may be what it writes: the write alone, then translate anew.
        if service.peek(|thread| recover::take(thread, context, live, uc[REG_FLAGS], HostPc(host))) {
            take_xmm(context, uc);
            context.once = 1;
            go_to_dispatch(context, uc);
        }
        return;
    }
    let fault = is_fault(info) && FAULTS.contains(&number);
    if number == SIGTRAP && fault {
        let entry = HostPc(host - 1);
        let dead = service.peek(|thread| {
            thread.entered_at(entry).filter(|&f| thread.fragments[f as usize].dead).map(|f| thread.fragments[f as usize].pc)
        });
        if let Some(pc) = dead {
            context.regs = *live;
            context.rflags = uc[REG_FLAGS];
            context.rip = pc.0;
            take_xmm(context, uc);
            return go_to_dispatch(context, uc);
        }
    }
    if !service.peek(|thread| recover::take(thread, context, live, uc[REG_FLAGS], HostPc(host))) {
        return if service.peek(|thread| thread.arena_of(HostPc(host)).is_some()) {
            keep(context, number, info, uc, host) // in a gate, on the way into the engine
        } else {
            start::failed(format_args!("signal {number} at {host:#x}, which is neither translated code nor the engine"))
        };
    }
    if fault && number != SIGSEGV && number != SIGBUS && info[2] == host {
        info[2] = context.rip;
    }
    take_xmm(context, uc);
    let signal = signal_from(number, info, uc);
    if fault && !has_handler(context, number) {
        return die(context, number, uc);
    }
    deliver(context, &signal, uc[UC_VECTORS]);
    go_to_dispatch(context, uc);
}

// A thread that runs natively, because the controller ended before it was woken, has got a signal: it comes in now.
fn adopt(context: &mut Context, number: u32, info: &[u64], uc: &mut [u64], live: &abi::Registers) {
    context.regs = *live;
    context.rflags = uc[REG_FLAGS];
    context.rip = uc[REG_RIP];
    context.state = state::RUNNING;
    take_xmm(context, uc);
    shadow::enter();
    threads::furnish(context);
    context.altstack = AltStack { sp: uc[UC_STACK], flags: uc[UC_STACK + 1] as u32, pad: 0, bytes: uc[UC_STACK + 2] };
    let slot = (&raw const *context) as u64;
    uc[UC_STACK] = slot + abi::SLOT_SIGNAL_STACK;
    uc[UC_STACK + 1] = 0;
    uc[UC_STACK + 2] = abi::SLOT_SIGNAL_STACK_BYTES;
    let signal = signal_from(number, info, uc);
    deliver(context, &signal, uc[UC_VECTORS]);
    go_to_dispatch(context, uc);
}

// A thread of which the engine knows nothing: as if the signal had its default effect here.
fn unknown(number: u32, uc: &mut [u64]) {
    let default = SigAction::default();
    sys::call(sys::RT_SIGACTION, [u64::from(number), (&raw const default) as u64, 0, 8, 0, 0]);
    uc[UC_MASK] &= !bit(number);
}

fn has_handler(context: &Context, number: u32) -> bool {
    action(context, number).handler > IGNORE && context.mask & bit(number) == 0
}

// A fault that nobody handles: the application's state is put back as it was, and the kernel does natively what it does.
fn die(context: &mut Context, number: u32, uc: &mut [u64]) {
    let default = SigAction::default();
    sys::call(sys::RT_SIGACTION, [u64::from(number), (&raw const default) as u64, 0, 8, 0, 0]);
    for (at, &place) in ORDER.iter().enumerate() {
        uc[place] = context.regs[at];
    }
    uc[REG_RIP] = context.rip;
    uc[REG_FLAGS] = context.rflags;
    uc[UC_MASK] = context.mask & !bit(number);
}

fn signal_from(number: u32, info: &[u64], uc: &[u64]) -> Signal {
    let mut signal = Signal { number, info: [0; 16], flags: uc[0], segments: uc[REG_SEGMENTS], error: [0; 4] };
    signal.info.copy_from_slice(&info[..16]);
    signal.error.copy_from_slice(&uc[REG_ERROR..REG_ERROR + 4]);
    signal
}

// Let the kernel's own return lead to the dispatcher. The vectors that it loads are those in its frame.
fn go_to_dispatch(context: &mut Context, uc: &mut [u64]) {
    uc[REG_RIP] = entry::redispatch();
    uc[REG_RCX] = (&raw const *context) as u64;
    uc[REG_RSP] = (&raw const *context) as u64 + abi::SLOT_STACK_TOP;
    uc[REG_FLAGS] &= HANDLER_FLAGS;
    uc[UC_MASK] = context.mask & !OPEN;
}

/// The instruction at `context.rip` is one that cannot be copied: a far transfer, which cannot be followed, or one about gs, whose base is
/// the shadow's: for the application it is 0, and stays so.
pub fn special(context: &mut Context) {
    if let Some(instruction) = decode_one(context.rip)
        && let Some(next) = shadow::answer_for_gs(context, &instruction)
    {
        context.rip = next;
        return;
    }
    sys::mailbox().trouble = trouble::FAR_TRANSFER;
    cannot_execute(context, Refusal::Undecodable);
}

/// There is no code at `context.rip`, or none that the processor has: the signal that natively comes.
pub fn cannot_execute(context: &mut Context, why: Refusal) {
    const SEGV_MAPERR: u64 = 1;
    const SEGV_ACCERR: u64 = 2;
    const ILL_ILLOPN: u64 = 2;
    const INVALID_OPCODE: u64 = 6;
    const PAGE_FAULT: u64 = 14;
    const FETCH: u64 = 0x14;
    let (number, code) = match why {
        Refusal::Undecodable => (SIGILL, ILL_ILLOPN),
        Refusal::Inexecutable if sys::read_guest(context.rip, &mut [0]) == 1 => (SIGSEGV, SEGV_ACCERR),
        _ => (SIGSEGV, SEGV_MAPERR),
    };
    const USER_END: u64 = 0x7fff_ffff_f000;
    let present = u64::from(code == SEGV_ACCERR || context.rip >= USER_END); // of what is the kernel's, it says nothing else
    let error = match number {
        SIGILL => [0, INVALID_OPCODE, 0, 0],
        _ => [FETCH | present, PAGE_FAULT, 0, context.rip],
    };
    raise(context, number, code, context.rip, error);
}

/// The branch that led to `context.rip` faults: its effects on the stack are undone, and it has not happened.
pub fn cannot_branch(context: &mut Context, branch: Option<GuestPc>) {
    const SI_KERNEL: u64 = 0x80;
    const GENERAL_PROTECTION: u64 = 13;
    if let Some(pc) = branch {
        recover::undo_branch(context, pc);
    }
    raise(context, SIGSEGV, SI_KERNEL, 0, [0, GENERAL_PROTECTION, 0, 0]);
}

fn raise(context: &mut Context, number: u32, code: u64, address: u64, error: [u64; 4]) {
    block_all();
    context.pending_info = [0; 16];
    context.pending_info[0] = u64::from(number);
    context.pending_info[1] = code;
    context.pending_info[2] = address;
    context.pending_error = error;
    if !has_handler(context, number) {
        return default_effect(number);
    }
    context.rflags |= RESUME; // as the processor has it in what it pushes for a fault
    context.pending_signal = number;
}
