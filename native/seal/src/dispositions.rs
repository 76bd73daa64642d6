//! What the application believes of its signals: dispositions, masks, alternate stacks; and what the kernel is told instead.

use crate::abi::{self, AltStack, Context, Mailbox, RSP, SIGNALS, SigAction};
use crate::{entry, sys};

pub const SIGILL: u32 = 4;
pub const SIGTRAP: u32 = 5;
pub const SIGBUS: u32 = 7;
const SIGFPE: u32 = 8;
const SIGKILL: u32 = 9;
pub const SIGSEGV: u32 = 11;
const SIGSTOP: u32 = 19;
/// What an instruction can raise by itself; the engine has the handler even where the application has none.
pub const FAULTS: [u32; 5] = [SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV];

/// What a program may block.
pub const MASKABLE: u64 = !(bit(SIGKILL) | bit(SIGSTOP));
/// Never blocked in the kernel: the engine needs them.
pub const OPEN: u64 = bit(SIGSEGV) | bit(SIGBUS) | bit(SIGTRAP);

pub const DEFAULT: u64 = 0;
pub const IGNORE: u64 = 1;
const SA_NOCLDSTOP: u64 = 1;
const SA_NOCLDWAIT: u64 = 2;
const SA_SIGINFO: u64 = 4;
const SA_RESTORER: u64 = 0x0400_0000;
pub const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTART: u64 = 0x1000_0000;
pub const SA_NODEFER: u64 = 0x4000_0000;
pub const SA_RESETHAND: u64 = 0x8000_0000;

pub const SS_ONSTACK: u32 = 1;
pub const SS_DISABLE: u32 = 2;
pub const SS_AUTODISARM: u32 = 1 << 31;

pub const fn bit(signal: u32) -> u64 {
    1 << (signal - 1)
}

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
