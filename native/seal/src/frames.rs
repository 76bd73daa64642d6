//! Signal frames: written onto the application's stack as the kernel would write them, and read back by `rt_sigreturn`.
//!
//! ```text
//!   frame (struct rt_sigframe)      0 return address | 8 ucontext, 304 bytes | 312 siginfo, 128 bytes
//!   ucontext      0 flags, 8 link, 16 stack, 40 registers (23 words), 224 -> vectors, 296 mask
//!   registers     r8 … r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags, segments, error, trap, old mask, cr2
//! ```

use crate::abi::{self, AltStack, Context, RAX, RDI, RDX, RSI, RSP, SigAction, alert};
use crate::dispositions::{
    DEFAULT, IGNORE, MASKABLE, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SIGSEGV, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, action,
    altstack_seen, bit, default_effect, set_action, set_altstack, set_kernel_mask,
};
use crate::{entry, pieces, recover, sinks, sys, track};

const FRAME_BYTES: u64 = 440;
pub const UC_WORDS: usize = 38;
pub const UC_STACK: usize = 2;
const UC_REGS: usize = 5;
pub const UC_VECTORS: usize = 28;
pub const UC_MASK: usize = 37;
pub const REG_RSP: usize = UC_REGS + 15;
pub const REG_RIP: usize = UC_REGS + 16;
pub const REG_FLAGS: usize = UC_REGS + 17;
pub const REG_SEGMENTS: usize = UC_REGS + 18;
pub const REG_ERROR: usize = UC_REGS + 19;
pub const REG_RCX: usize = UC_REGS + 14;
/// Where each of `Registers` stands among the ucontext's words.
#[rustfmt::skip]
pub const ORDER: [usize; 16] = [
    UC_REGS + 13, UC_REGS + 14, UC_REGS + 12, UC_REGS + 11, UC_REGS + 15, UC_REGS + 10, UC_REGS + 9, UC_REGS + 8,
    UC_REGS, UC_REGS + 1, UC_REGS + 2, UC_REGS + 3, UC_REGS + 4, UC_REGS + 5, UC_REGS + 6, UC_REGS + 7,
];

const FX_BYTES: usize = 512;
const FX_MXCSR: usize = 24;
pub const FX_XMM: usize = 160;
const FX_SOFTWARE: usize = 464;
const MXCSR_INITIAL: u32 = 0x1f80;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
pub const RESUME: u64 = 0x1_0000;
/// DF, TF and RF are clear in a handler.
pub const HANDLER_FLAGS: u64 = !(0x400 | 0x100 | 0x1_0000);

/// One signal to be delivered: number, siginfo, and the words of a ucontext that only the kernel knows.
pub struct Signal {
    pub number: u32,
    pub info: [u64; 16],
    pub flags: u64, // uc_flags
    pub segments: u64,
    pub error: [u64; 4], // error, trap, old mask, cr2
}

pub fn take_xmm(context: &mut Context, uc: &[u64]) {
    let words = sys::words(uc[UC_VECTORS] + FX_XMM as u64, 32);
    for (at, register) in context.xmm.0.iter_mut().enumerate() {
        register.copy_from_slice(&words[at * 2..at * 2 + 2]);
    }
    context.vectors_in_context = 1;
}

pub fn put_xmm(uc: &[u64], xmm: &[[u64; 2]; 16]) {
    let words = sys::words(uc[UC_VECTORS] + FX_XMM as u64, 32);
    for (at, register) in xmm.iter().enumerate() {
        words[at * 2..at * 2 + 2].copy_from_slice(register);
    }
    let header = sys::words(uc[UC_VECTORS] + FX_BYTES as u64, 1);
    header[0] |= 2; // SSE state is there
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
pub fn deliver(context: &mut Context, signal: &Signal, vectors: u64) {
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
    track::into_frame(context, frame, frame + FRAME_BYTES, area, area + vector_bytes);
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
    sinks::handler(context, alert::RETURN, uc_at + REG_RIP as u64 * 8, uc[REG_RIP]);
    track::from_frame(context, uc_at, uc[UC_VECTORS]);
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
