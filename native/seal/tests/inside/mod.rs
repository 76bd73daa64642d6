//! The engine inside the test's own process: one thread of it goes in at a function and comes out at its return.
//!
//! A stand-in for planting and waking, which need a controller; everything from there on is the real thing.

use core::arch::global_asm;
use std::sync::Mutex;

use seal::abi::{self, Context, Mailbox, SLOT_BYTES};
use seal::{start, sys};

unsafe extern "C" {
    fn inside_go(context: *mut Context);
    fn inside_left();
}

// Keep the caller's registers, go to `seal_wake`; at `inside_left` everything that the application had is stored.
global_asm!(
    ".globl inside_go", "inside_go:",
    "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15", "mov [rip+inside_stack], rsp", "jmp seal_wake",
    ".globl inside_left", "inside_left:",
    "mov [rip+inside_regs+0x00], rax", "mov [rip+inside_regs+0x08], rcx", "mov [rip+inside_regs+0x10], rdx", "mov [rip+inside_regs+0x18], rbx",
    "mov [rip+inside_regs+0x20], rsp", "mov [rip+inside_regs+0x28], rbp", "mov [rip+inside_regs+0x30], rsi", "mov [rip+inside_regs+0x38], rdi",
    "mov [rip+inside_regs+0x40], r8", "mov [rip+inside_regs+0x48], r9", "mov [rip+inside_regs+0x50], r10", "mov [rip+inside_regs+0x58], r11",
    "mov [rip+inside_regs+0x60], r12", "mov [rip+inside_regs+0x68], r13", "mov [rip+inside_regs+0x70], r14", "mov [rip+inside_regs+0x78], r15",
    "mov rsp, [rip+inside_stack]", "pushfq", "pop qword ptr [rip+inside_regs+0x80]", "cld",
    "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx", "ret",
    ".data", ".balign 64", "inside_stack: .quad 0", ".globl inside_regs", "inside_regs: .fill 17, 8, 0", ".text",
);

unsafe extern "C" {
    static inside_regs: [u64; 17];
}

pub struct Inside {
    pub context: &'static mut Context,
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Run `work` with an engine, one at a time in this process.
pub fn with<R>(mode: u32, work: impl FnOnce(&mut Inside) -> R) -> R {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let mut inside = Inside::new(mode);
    work(&mut inside)
}

impl Inside {
    fn new(mode: u32) -> Inside {
        let mailbox_bytes = size_of::<Mailbox>().next_multiple_of(4096) as u64;
        let bytes = mailbox_bytes + 3 * SLOT_BYTES;
        let low = sys::call(sys::MMAP, [0, bytes, 3, 0x22 | 0x40, u64::MAX, 0]);
        assert!(low > 0);
        let low = low as u64;
        // SAFETY: fresh zeroed memory of the right size.
        let mailbox = unsafe { &mut *(low as *mut Mailbox) };
        let slot = (low + mailbox_bytes).next_multiple_of(SLOT_BYTES);
        mailbox.magic = abi::MAGIC;
        mailbox.mode = mode;
        mailbox.low = low;
        mailbox.low_bytes = bytes;
        mailbox.slots[0] = slot as u32;
        assert_eq!(start::prepare(mailbox), 0);
        start::take_over(mailbox);
        Inside { context: sys::context(slot) }
    }

    /// Run code at `entry` until it returns, with these registers (rsp and rip are ours); answer registers and flags.
    pub fn call(&mut self, entry: u64, regs: &abi::Registers, rflags: u64, stack_top: u64) -> ([u64; 16], u64) {
        let context = &mut *self.context;
        let back = inside_left as *const () as u64;
        context.regs = *regs;
        // SAFETY: the caller's stack.
        unsafe { ((stack_top - 8) as *mut u64).write(back) };
        context.regs[abi::RSP] = stack_top - 8;
        context.rip = entry;
        context.rflags = rflags;
        context.leave_at = back;
        context.tid = sys::call(sys::GETTID, [0; 6]) as u32;
        context.state = abi::state::PREPARED;
        // SAFETY: the context is complete; the thread comes back at `inside_left`.
        let out = unsafe {
            inside_go(context);
            inside_regs
        };
        let mut answer = [0; 16];
        answer.copy_from_slice(&out[..16]);
        (answer, out[16])
    }
}
