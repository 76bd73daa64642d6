//! Signals: the application's handlers run translated, with the frame that the kernel would have built for them.
//!
//! The kernel knows one handler, `seal_handler`. It finds the application's exact state (`recover`), writes the frame onto the
//! application's stack, and goes on at the application's handler by the ordinary way into translated code. A signal that comes while the
//! engine is at work is kept in the Context, all others blocked, until the engine is done.
//!
//! ```text
//!   frame (struct rt_sigframe)      0 return address | 8 ucontext, 304 bytes | 312 siginfo, 128 bytes
//!   ucontext      0 flags, 8 link, 16 stack, 40 registers (23 words), 224 -> vectors, 296 mask
//!   registers     r8 … r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags, segments, error, trap, old mask, cr2
//! ```

use iced_x86::FlowControl;

use crate::abi::{self, AltStack, Context, Mailbox, RAX, RDI, RDX, RSI, RSP, SIGNALS, SigAction, state, trouble};

use crate::emit::{GuestPc, HostPc};
use crate::translate::{Refusal, decode_one};
use crate::{entry, pages, pieces, recover, shadow, start, sys, threads};

const SIGILL: u32 = 4;
const SIGTRAP: u32 = 5;
const SIGBUS: u32 = 7;
const SIGFPE: u32 = 8;
const SIGKILL: u32 = 9;
const SIGSEGV: u32 = 11;
const SIGSTOP: u32 = 19;
/// What an instruction can raise by itself; the engine has the handler even where the application has none.
const FAULTS: [u32; 5] = [SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV];

/// What a program may block.
pub const MASKABLE: u64 = !(bit(SIGKILL) | bit(SIGSTOP));
/// Never blocked in the kernel: the engine needs them.
const OPEN: u64 = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGTRAP);

const DEFAULT: u64 = 0;
const IGNORE: u64 = 1;
const SA_NOCLDSTOP: u64 = 1;
const SA_NOCLDWAIT: u64 = 2;
const SA_SIGINFO: u64 = 4;
const SA_RESTORER: u64 = 0x0400_0000;
const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTART: u64 = 0x1000_0000;
const SA_NODEFER: u64 = 0x4000_0000;
const SA_RESETHAND: u64 = 0x8000_0000;

const SS_ONSTACK: u32 = 1;
const SS_DISABLE: u32 = 2;
const SS_AUTODISARM: u32 = 1 << 31;

const FRAME_BYTES: u64 = 440;
const UC_WORDS: usize = 38;
const UC_STACK: usize = 2;
const UC_REGS: usize = 5;
const UC_VECTORS: usize = 28;
const UC_MASK: usize = 37;
const REG_RSP: usize = UC_REGS + 15;
const REG_RIP: usize = UC_REGS + 16;
const REG_FLAGS: usize = UC_REGS + 17;
const REG_SEGMENTS: usize = UC_REGS + 18;
const REG_ERROR: usize = UC_REGS + 19;
const REG_RCX: usize = UC_REGS + 14;
/// Where each of `Registers` stands among the ucontext's words.
#[rustfmt::skip]
const ORDER: [usize; 16] = [
    UC_REGS + 13, UC_REGS + 14, UC_REGS + 12, UC_REGS + 11, UC_REGS + 15, UC_REGS + 10, UC_REGS + 9, UC_REGS + 8,
    UC_REGS, UC_REGS + 1, UC_REGS + 2, UC_REGS + 3, UC_REGS + 4, UC_REGS + 5, UC_REGS + 6, UC_REGS + 7,
];

const FX_BYTES: usize = 512;
const FX_MXCSR: usize = 24;
const FX_XMM: usize = 160;
const FX_SOFTWARE: usize = 464;
const MXCSR_INITIAL: u32 = 0x1f80;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const RESUME: u64 = 0x1_0000;
/// DF, TF and RF are clear in a handler.
const HANDLER_FLAGS: u64 = !(0x400 | 0x100 | 0x1_0000);

const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

// ---- dispositions

fn actions_of(context: &Context) -> &'static mut [u64] {
    sys::words(context.actions, SIGNALS * 4)
}

/// Return what the application believes a signal's disposition to be.
pub fn action(context: &Context, signal: u32) -> SigAction {
    let words = &actions_of(context)[signal as usize * 4..][..4];
    SigAction { handler: words[0], flags: words[1], restorer: words[2], mask: words[3] }
}

/// Let a disposition be what the application wants, and the kernel know what that means for the engine's.
pub fn set_action(context: &Context, signal: u32, action: SigAction) {
    actions_of(context)[signal as usize * 4..][..4].copy_from_slice(&[
        action.handler,
        action.flags,
        action.restorer,
        action.mask & MASKABLE,
    ]);
    install(signal, &action);
}

fn install(signal: u32, action: &SigAction) {
    let own = action.handler > IGNORE || FAULTS.contains(&signal);
    let kernel = if own {
        let kept = action.flags & (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_RESTART);
        SigAction {
            handler: entry::handler(),
            flags: kept | SA_SIGINFO | SA_ONSTACK | SA_RESTORER | if OPEN & bit(signal) != 0 { SA_NODEFER } else { 0 },
            restorer: entry::sigreturn(),
            mask: !OPEN,
        }
    } else {
        *action
    };
    sys::call(sys::RT_SIGACTION, [u64::from(signal), (&raw const kernel) as u64, 0, 8, 0, 0]);
}

/// Copy dispositions for a child that has its own. `cleared`: handlers become defaults.
pub fn copy_actions(from: u64, to: u64, cleared: bool) {
    for at in 0..SIGNALS * 4 {
        let mut word = sys::words(from, SIGNALS * 4)[at];
        if cleared && at % 4 == 0 && word > IGNORE {
            word = DEFAULT;
        }
        sys::words(to, SIGNALS * 4)[at] = word;
    }
}

/// Read all dispositions, and put the engine's in their place.
pub fn take_over(mailbox: &mut Mailbox) {
    for signal in 1..SIGNALS as u32 {
        let mut old = SigAction::default();
        sys::call(sys::RT_SIGACTION, [u64::from(signal), 0, (&raw mut old) as u64, 8, 0, 0]);
        mailbox.actions[signal as usize] = old;
        if signal != SIGKILL && signal != SIGSTOP && (old.handler > IGNORE || FAULTS.contains(&signal)) {
            install(signal, &old);
        }
    }
}

/// Let the kernel have the application's dispositions again.
pub fn give_back(mailbox: &mut Mailbox) {
    for signal in 1..SIGNALS as u32 {
        let action = mailbox.actions[signal as usize];
        if signal != SIGKILL && signal != SIGSTOP && (action.handler > IGNORE || FAULTS.contains(&signal)) {
            sys::call(sys::RT_SIGACTION, [u64::from(signal), (&raw const action) as u64, 0, 8, 0, 0]);
        }
    }
}

// ---- masks and stacks

/// Let the kernel block what the application blocks, less what the engine needs.
pub fn set_kernel_mask(context: &Context) {
    entry::set_mask(context, context.mask & !OPEN);
}

pub fn set_exact_mask(mask: u64) {
    const SET: u64 = 2;
    sys::call(sys::RT_SIGPROCMASK, [SET, (&raw const mask) as u64, 0, 8, 0, 0]);
}

/// Block all signals but those that the engine needs: an int3 with SIGTRAP blocked would cost the process its handler.
pub fn block_all() {
    set_exact_mask(!OPEN);
}

/// Give the kernel the slot's signal stack; answer what it had.
pub fn exchange_altstack(context: &Context) -> AltStack {
    let slot = (&raw const *context) as u64;
    let own = AltStack { sp: slot + abi::SLOT_SIGNAL_STACK, flags: 0, pad: 0, bytes: abi::SLOT_SIGNAL_STACK_BYTES };
    let mut before = AltStack::default();
    sys::call3(sys::SIGALTSTACK, (&raw const own) as u64, (&raw mut before) as u64, 0);
    before
}

fn is_on(stack: &AltStack, sp: u64) -> bool {
    stack.flags & (SS_DISABLE | SS_AUTODISARM) == 0 && sp > stack.sp && sp - stack.sp <= stack.bytes
}

/// Return the alternate stack as the application would be told of it.
pub fn altstack_seen(context: &Context) -> AltStack {
    let stack = context.altstack;
    let state = if stack.bytes == 0 {
        SS_DISABLE
    } else if is_on(&stack, context.regs[RSP]) {
        SS_ONSTACK
    } else {
        0
    };
    AltStack { flags: state | (stack.flags & SS_AUTODISARM), ..stack }
}

/// Set the application's alternate stack, under the kernel's rules.
pub fn set_altstack(context: &mut Context, stack: AltStack) -> Result<(), i64> {
    const EPERM: i64 = -1;
    const BYTES_MIN: u64 = 2048;
    if is_on(&context.altstack, context.regs[RSP]) {
        return Err(EPERM);
    }
    match stack.flags & !SS_AUTODISARM {
        SS_DISABLE => context.altstack = AltStack { flags: SS_DISABLE, ..AltStack::default() },
        0 | SS_ONSTACK if stack.bytes < BYTES_MIN => return Err(sys::ENOMEM),
        0 | SS_ONSTACK => context.altstack = AltStack { flags: stack.flags & SS_AUTODISARM, ..stack },
        _ => return Err(sys::EINVAL),
    }
    Ok(())
}

// ---- a signal comes

/// One signal to be delivered: number, siginfo, and the words of a ucontext that only the kernel knows.
struct Signal {
    number: u32,
    info: [u64; 16],
    flags: u64, // uc_flags
    segments: u64,
    error: [u64; 4], // error, trap, old mask, cr2
}

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
    // No address at all gives SIGBUS where the base is rsp or rbp.
    if matches!(number, SIGSEGV | SIGBUS)
        && fault
        && let Some(pc) = service.peek(|thread| recover::shadow_at(thread, context, HostPc(host)))
    {
        return shadow_missing(context, info, uc, live, host, pc);
    }
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

// A tag was not where it was looked for: either there is no shadow there yet, or `gs` does not lead to it from this address.
fn shadow_missing(context: &mut Context, info: &[u64], uc: &mut [u64], live: &abi::Registers, host: u64, pc: GuestPc) {
    const SEGV_MAPERR: u32 = 1;
    if info[1] as u32 == SEGV_MAPERR && shadow::map_around(info[2]) {
        return;
    }
    let Some(service) = sys::service(context) else { return };
    service.with(|thread| {
        recover::take(thread, context, live, uc[REG_FLAGS], HostPc(host));
        let known = thread.low_sites.get(pc);
        let now = shadow::after_miss(known);
        if known == Some(now) {
            context.once = 1; // nobody's memory: the instruction without tests, which faults as it does natively
            return;
        }
        thread.low_sites.set(pc, now);
        thread.kill(pc.0, pc.0 + 1);
    });
    take_xmm(context, uc);
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

fn take_xmm(context: &mut Context, uc: &[u64]) {
    let words = sys::words(uc[UC_VECTORS] + FX_XMM as u64, 32);
    for (at, register) in context.xmm.0.iter_mut().enumerate() {
        register.copy_from_slice(&words[at * 2..at * 2 + 2]);
    }
    context.vectors_in_context = 1;
}

fn put_xmm(uc: &[u64], xmm: &[[u64; 2]; 16]) {
    let words = sys::words(uc[UC_VECTORS] + FX_XMM as u64, 32);
    for (at, register) in xmm.iter().enumerate() {
        words[at * 2..at * 2 + 2].copy_from_slice(register);
    }
    let header = sys::words(uc[UC_VECTORS] + FX_BYTES as u64, 1);
    header[0] |= 2; // SSE state is there
}

// Let the kernel's own return lead to the dispatcher. The vectors that it loads are those in its frame.
fn go_to_dispatch(context: &mut Context, uc: &mut [u64]) {
    uc[REG_RIP] = entry::redispatch();
    uc[REG_RCX] = (&raw const *context) as u64;
    uc[REG_RSP] = (&raw const *context) as u64 + abi::SLOT_STACK_TOP;
    uc[REG_FLAGS] &= HANDLER_FLAGS;
    uc[UC_MASK] = context.mask & !OPEN;
}

/// A signal that came while the engine was at work is delivered now. All others are still blocked.
pub fn deliver_pending(context: &mut Context) {
    let number = core::mem::replace(&mut context.pending_signal, 0);
    let area = (&raw const *context) as u64 + abi::SLOT_VECTORS;
    sys::octets(area, 1024).fill(0);
    entry::save_vectors(area, context, u64::MAX);
    let bytes = sys::vector_bytes();
    write_software_bytes(area, bytes);
    const UC_FLAGS: u64 = 7;
    const SEGMENTS: u64 = 0x002b_0000_0000_0033;
    let signal = Signal { number, info: context.pending_info, flags: UC_FLAGS, segments: SEGMENTS, error: context.pending_error };
    deliver(context, &signal, area);
    entry::load_vectors(area, context, u64::MAX);
    set_kernel_mask(context);
}

fn write_software_bytes(area: u64, bytes: u64) {
    let software = sys::octets(area + FX_SOFTWARE as u64, 48);
    software[..4].copy_from_slice(&MAGIC1.to_le_bytes());
    software[4..8].copy_from_slice(&(bytes as u32 + 4).to_le_bytes());
    software[8..16].copy_from_slice(&sys::vector_features().to_le_bytes());
    software[16..20].copy_from_slice(&(bytes as u32).to_le_bytes());
    software[20..].fill(0);
    sys::octets(area + bytes, 4).copy_from_slice(&MAGIC2.to_le_bytes());
}

// Build the frame on the application's stack and let the application be at its handler. `vectors`: the state to be stored in
// the frame, as XSAVE leaves it; what is there afterwards is the state that a handler begins with.
fn deliver(context: &mut Context, signal: &Signal, vectors: u64) {
    let action = action(context, signal.number);
    let mask_before = context.mask;
    let base = if context.has_suspended_mask != 0 { context.suspended_mask } else { mask_before };
    context.has_suspended_mask = 0;
    if action.handler == IGNORE {
        return;
    }
    if action.handler == DEFAULT {
        return default_effect(signal.number);
    }
    pieces::give_up_the_rest(context);
    let software = sys::octets(vectors + FX_SOFTWARE as u64, 20);
    let magic = u32::from_le_bytes([software[0], software[1], software[2], software[3]]);
    let size = u32::from_le_bytes([software[16], software[17], software[18], software[19]]);
    let vector_bytes = if magic == MAGIC1 { u64::from(size) + 4 } else { FX_BYTES as u64 };

    if let Some(service) = sys::service(context) {
        service.peek(|thread| recover::mend_fpu_image(thread, vectors));
    }
    let stack = context.altstack;
    let seen = altstack_seen(context);
    let mut sp = context.regs[RSP].wrapping_sub(128);
    if action.flags & SA_ONSTACK != 0 && seen.flags & (SS_DISABLE | SS_ONSTACK) == 0 {
        sp = stack.sp + stack.bytes;
    }
    let area = sp.wrapping_sub(vector_bytes) & !63;
    let frame = (area.wrapping_sub(FRAME_BYTES) & !15).wrapping_sub(8);

    let mut words = [0u64; (FRAME_BYTES / 8) as usize];
    words[0] = action.restorer;
    let uc = &mut words[1..1 + UC_WORDS];
    uc[0] = signal.flags;
    uc[UC_STACK] = stack.sp;
    uc[UC_STACK + 1] = u64::from(seen.flags);
    uc[UC_STACK + 2] = stack.bytes;
    for (at, &place) in ORDER.iter().enumerate() {
        uc[place] = context.regs[at];
    }
    uc[REG_RIP] = context.rip;
    uc[REG_FLAGS] = context.rflags;
    uc[REG_SEGMENTS] = signal.segments;
    uc[REG_ERROR..REG_ERROR + 4].copy_from_slice(&signal.error);
    uc[REG_ERROR + 2] = mask_before;
    uc[UC_VECTORS] = area;
    uc[UC_MASK] = mask_before;
    words[1 + UC_WORDS..].copy_from_slice(&signal.info);

    let written = sys::write_guest(area, sys::octets(vectors, vector_bytes as usize)) == vector_bytes as usize
        && write_words(frame, &words);
    if !written {
        return overflow();
    }
    if action.flags & SA_RESETHAND != 0 {
        set_action(context, signal.number, SigAction { handler: DEFAULT, ..action });
    }
    if stack.flags & SS_AUTODISARM != 0 {
        context.altstack = AltStack { flags: SS_DISABLE, ..AltStack::default() };
    }
    context.mask = (base | action.mask | if action.flags & SA_NODEFER != 0 { 0 } else { bit(signal.number) }) & MASKABLE;
    context.regs[RDI] = u64::from(signal.number);
    context.regs[RSI] = frame + 8 + UC_WORDS as u64 * 8;
    context.regs[RDX] = frame + 8;
    context.regs[RAX] = 0;
    context.regs[RSP] = frame;
    context.rip = action.handler;
    context.rflags &= HANDLER_FLAGS;
    context.xmm = abi::Vectors::default();
    // A handler begins with vectors as they are at a program's start.
    sys::words(vectors + FX_BYTES as u64, 1)[0] = 0;
    sys::octets(vectors + FX_MXCSR as u64, 4).copy_from_slice(&MXCSR_INITIAL.to_le_bytes());
    context.signals += 1;
}

fn write_words(address: u64, words: &[u64]) -> bool {
    words.iter().enumerate().all(|(at, &word)| sys::write_guest_u64(address + at as u64 * 8, word))
}

// The stack has no room for the frame: as natively, the process ends by SIGSEGV.
fn overflow() {
    default_effect(SIGSEGV);
}

/// Send this thread a signal that has its default effect, with nothing in its way.
pub fn default_effect(number: u32) {
    let default = SigAction::default();
    sys::call(sys::RT_SIGACTION, [u64::from(number), (&raw const default) as u64, 0, 8, 0, 0]);
    let (pid, tid) = (sys::call(sys::GETPID, [0; 6]) as u64, sys::call(sys::GETTID, [0; 6]) as u64);
    sys::call3(sys::TGKILL, pid, tid, u64::from(number));
    const UNBLOCK: u64 = 1;
    let set = bit(number);
    sys::call(sys::RT_SIGPROCMASK, [UNBLOCK, (&raw const set) as u64, 0, 8, 0, 0]);
}

/// Do what `rt_sigreturn` does: everything is as the frame on the stack says.
pub fn sigreturn(context: &mut Context) {
    let uc_at = context.regs[RSP];
    let mut uc = [0u64; UC_WORDS];
    let readable = uc
        .iter_mut()
        .enumerate()
        .all(|(at, word)| sys::read_guest_u64(uc_at + at as u64 * 8).map(|value| *word = value).is_some());
    if !readable {
        return overflow();
    }
    for (at, &place) in ORDER.iter().enumerate() {
        context.regs[at] = uc[place];
    }
    const USER_FLAGS: u64 = 0x0005_0dd5; // FIX_EFLAGS of the kernel
    context.rip = uc[REG_RIP];
    context.rflags = (context.rflags & !USER_FLAGS) | (uc[REG_FLAGS] & USER_FLAGS);
    context.mask = uc[UC_MASK] & MASKABLE;
    let stack = AltStack { sp: uc[UC_STACK], flags: uc[UC_STACK + 1] as u32, pad: 0, bytes: uc[UC_STACK + 2] };
    let _ = set_altstack(context, AltStack { flags: stack.flags & !SS_ONSTACK, ..stack });
    load_frame_vectors(context, uc[UC_VECTORS]);
    set_kernel_mask(context);
}

fn load_frame_vectors(context: &mut Context, from: u64) {
    let area = (&raw const *context) as u64 + abi::SLOT_VECTORS;
    let bytes = sys::vector_bytes() as usize;
    sys::octets(area, bytes).fill(0);
    if from != 0 {
        let copied = sys::read_guest(from, sys::octets(area, bytes));
        let software = sys::octets(area + FX_SOFTWARE as u64, 16);
        let magic = u32::from_le_bytes([software[0], software[1], software[2], software[3]]);
        let header = sys::words(area + FX_BYTES as u64, 8);
        if copied < FX_BYTES {
            return overflow();
        }
        if magic == MAGIC1 && copied == bytes {
            header[0] &= sys::vector_features();
        } else {
            header[0] = 3;
        }
        header[1..].fill(0); // the standard form, nothing reserved
        let mxcsr = sys::octets(area + FX_MXCSR as u64, 4);
        mxcsr[2..].fill(0);
    } else {
        sys::octets(area + FX_MXCSR as u64, 4).copy_from_slice(&MXCSR_INITIAL.to_le_bytes());
    }
    entry::load_vectors(area, context, u64::MAX);
}

/// The instruction at `context.rip` is one that cannot be copied: a far transfer. It cannot be followed.
pub fn special(context: &mut Context) {
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

/// Whether no processor could go on at `pc`: the fault is the branch's own then.
pub fn is_no_address(pc: u64) -> bool {
    !matches!((pc as i64) >> 47, 0 | -1)
}

/// The branch that led to `context.rip` faults: its effects on the stack are undone, and it has not happened.
pub fn cannot_branch(context: &mut Context, branch: Option<GuestPc>) {
    const SI_KERNEL: u64 = 0x80;
    const GENERAL_PROTECTION: u64 = 13;
    if let Some(pc) = branch {
        context.rip = pc.0;
        if let Some(instruction) = decode_one(pc.0) {
            match instruction.flow_control() {
                FlowControl::IndirectCall => context.regs[RSP] += 8,
                FlowControl::Return if instruction.op_count() == 0 => context.regs[RSP] -= 8,
                FlowControl::Return => context.regs[RSP] -= 8 + u64::from(instruction.immediate16()),
                _ => {}
            }
        }
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
