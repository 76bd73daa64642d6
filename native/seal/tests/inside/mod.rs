//! The engine inside the test's own process: one thread of it goes in at a function and comes out at its return.
//!
//! A stand-in for planting and waking, which need a controller; everything from there on is the real thing. What the image
//! supplies of a libc is supplied here too: the C library's copies use vector registers that the engine must leave alone.

#![allow(dead_code)] // each test uses a part

use core::alloc::{GlobalAlloc, Layout};
use core::arch::global_asm;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use seal::abi::{self, Context, Mailbox, SLOT_BYTES};
use seal::{start, sys};

unsafe extern "C" {
    fn inside_go(context: *mut Context);
    fn inside_left();
}

// Keep the caller's registers, go to `seal_wake`; at `inside_left` everything that the application had is stored.
#[rustfmt::skip]
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

// As in bin/image.rs.
#[rustfmt::skip]
global_asm!(
    ".globl memcpy", "memcpy:", "mov rax, rdi", "mov rcx, rdx", "rep movsb", "ret",
    ".globl memmove", "memmove:", "mov rax, rdi", "mov rcx, rdx", "mov r8, rdi", "sub r8, rsi", "cmp r8, rdx", "jb 2f", "rep movsb", "ret",
    "2:", "std", "lea rsi, [rsi+rcx-1]", "lea rdi, [rdi+rcx-1]", "rep movsb", "cld", "ret",
    ".globl memset", "memset:", "mov r8, rdi", "mov eax, esi", "mov rcx, rdx", "rep stosb", "mov rax, r8", "ret",
    ".globl memcmp", "memcmp:", ".globl bcmp", "bcmp:", "xor eax, eax", "mov rcx, rdx", "test rcx, rcx", "jz 3f", "repe cmpsb", "je 3f",
    "movzx eax, byte ptr [rdi-1]", "movzx ecx, byte ptr [rsi-1]", "sub eax, ecx", "3:", "ret",
);

unsafe extern "C" {
    static inside_regs: [u64; 17];
}

/// Two heaps. The engine's is shared with the children of this process, so that a parent can read what the engine in its child
/// knows; which one a block is taken from is switched, which one it returns to its address says.
struct Heaps {
    own: Blocks,
    engine: Blocks,
    in_engine: AtomicBool,
}

struct Blocks {
    lock: sys::Lock,
    begin: AtomicU64,
}

/// Stands at the begin of the memory that it is about, so that it is shared like that.
struct State {
    free: [*mut u8; 40], // lists by power of two
    next: u64,
}

const HEAP_BYTES: u64 = 1 << 32;

impl Blocks {
    const fn new() -> Blocks {
        Blocks { lock: sys::Lock::new(), begin: AtomicU64::new(0) }
    }

    fn class(layout: Layout) -> usize {
        layout.size().max(layout.align()).max(16).next_power_of_two().trailing_zeros() as usize
    }

    fn take(&self, layout: Layout, shared: bool) -> *mut u8 {
        let class = Blocks::class(layout);
        let _held = self.lock.hold();
        if self.begin.load(Ordering::Relaxed) == 0 {
            let flags = if shared { 0x21 } else { 0x22 } | 0x4000;
            self.begin.store(sys::call(sys::MMAP, [0, HEAP_BYTES, 3, flags, u64::MAX, 0]) as u64, Ordering::Relaxed);
        }
        let begin = self.begin.load(Ordering::Relaxed);
        // SAFETY: under the lock, fresh memory is zeros, which are a State; a free block's first word is the next one.
        unsafe {
            let state = &mut *(begin as *mut State);
            let first = state.free[class];
            if !first.is_null() {
                state.free[class] = first.cast::<*mut u8>().read();
                return first;
            }
            let next = state.next.max(begin + size_of::<State>() as u64);
            let at = next.next_multiple_of((1u64 << class).min(4096));
            state.next = at + (1 << class);
            if state.next > begin + HEAP_BYTES { core::ptr::null_mut() } else { at as *mut u8 }
        }
    }

    fn give(&self, block: *mut u8, layout: Layout) -> bool {
        let _held = self.lock.hold();
        let begin = self.begin.load(Ordering::Relaxed);
        if begin == 0 || !(begin..begin + HEAP_BYTES).contains(&(block as u64)) {
            return false;
        }
        // SAFETY: under the lock; the block is the caller's to give back.
        unsafe {
            let state = &mut *(begin as *mut State);
            block.cast::<*mut u8>().write(state.free[Blocks::class(layout)]);
            state.free[Blocks::class(layout)] = block;
        }
        true
    }
}

// SAFETY: blocks do not overlap, are as large and as aligned as asked, and stay until they are given back.
unsafe impl GlobalAlloc for Heaps {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.in_engine.load(Ordering::Relaxed) { self.engine.take(layout, true) } else { self.own.take(layout, false) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let _ = self.own.give(block, layout) || self.engine.give(block, layout);
    }
}

#[global_allocator]
static HEAPS: Heaps = Heaps { own: Blocks::new(), engine: Blocks::new(), in_engine: AtomicBool::new(false) };

pub struct Inside {
    pub context: &'static mut Context,
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Run `work` with an engine, one at a time in this process.
pub fn with<R>(mode: u32, work: impl FnOnce(&mut Inside) -> R) -> R {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    run(mode, false, work)
}

/// The same, all that the engine knows being shared with the children of this process. Such an engine must not have to flush.
pub fn with_shared<R>(mode: u32, work: impl FnOnce(&mut Inside) -> R) -> R {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    run(mode, true, work)
}

fn run<R>(mode: u32, shared: bool, work: impl FnOnce(&mut Inside) -> R) -> R {
    let mut inside = Inside::new(mode, shared);
    let answer = work(&mut inside);
    let mailbox = sys::mailbox();
    start::restore(mailbox);
    for mapping in mailbox.mappings[..mailbox.mapping_count as usize].iter().rev() {
        sys::call3(sys::MUNMAP, mapping.address, mapping.bytes, 0);
    }
    answer
}

/// The mode that `MODE=shadow` or `MODE=taint` asks for.
pub fn mode() -> u32 {
    match std::env::var("MODE").as_deref() {
        Ok("shadow") => abi::mode::SHADOW,
        Ok("taint") => abi::mode::TAINT,
        Ok(other) => panic!("MODE is shadow, taint or not there: {other}"),
        Err(_) => abi::mode::NONE,
    }
}

fn as_engine<R>(work: impl FnOnce() -> R) -> R {
    HEAPS.in_engine.store(true, Ordering::Relaxed);
    let answer = work();
    HEAPS.in_engine.store(false, Ordering::Relaxed);
    answer
}

impl Inside {
    fn new(mode: u32, shared: bool) -> Inside {
        let mailbox_bytes = size_of::<Mailbox>().next_multiple_of(4096) as u64;
        let bytes = mailbox_bytes + 3 * SLOT_BYTES;
        const MAP_32BIT: u64 = 0x40;
        let flags = if shared { 0x21 } else { 0x22 } | MAP_32BIT;
        let low = sys::call(sys::MMAP, [0, bytes, 3, flags, u64::MAX, 0]);
        assert!(low > 0);
        let low = low as u64;
        // SAFETY: fresh zeroed memory of the right size.
        let mailbox = unsafe { &mut *(low as *mut Mailbox) };
        let slot = (low + mailbox_bytes).next_multiple_of(SLOT_BYTES);
        mailbox.magic = abi::MAGIC;
        mailbox.mode = mode;
        mailbox.on_alert = abi::verdict::OBSERVE;
        mailbox.low = low;
        mailbox.low_bytes = bytes;
        mailbox.slots[0] = slot as u32;
        as_engine(|| {
            assert_eq!(start::prepare(mailbox), 0);
            start::take_over(mailbox);
        });
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
        let out = as_engine(|| unsafe {
            inside_go(context);
            inside_regs
        });
        start::farewell(context);
        let mut answer = [0; 16];
        answer.copy_from_slice(&out[..16]);
        (answer, out[16])
    }

    /// What the engine knows of the thread.
    pub fn service(&self) -> &'static sys::Locked<seal::cache::Thread> {
        sys::service(self.context).expect("furnished")
    }

    /// Forget all translations: the code has been changed behind the engine's back.
    pub fn flush(&mut self) {
        as_engine(|| self.service().with(seal::cache::Thread::flush));
    }
}
