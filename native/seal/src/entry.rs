//! Where threads come in and go out: the machine code between the application, the translated code and Rust.
//!
//! Owns assembly. Every symbol that the controller may name is here (docs/decisions/possession.md).
//!
//! ```text
//!   translated code ──stub──► gate ──► seal_gate ──► dispatch::from_exit ──► seal_resume ──► enter ──► translated code
//!                                     (registers to Context)              (registers from Context)
//! ```
//! A signal or a stop finds a thread either in translated code, where `recover` knows the application's state exactly,
//! or between `seal_text_begin` and `seal_text_end`, where the Context holds it, or about to.

use core::arch::global_asm;
use core::mem::offset_of;

use crate::abi::{self, Context};
use crate::{dispatch, recover, signals, start};

unsafe extern "C" {
    pub fn seal_gate();
    pub fn seal_handler();
    pub fn seal_sigreturn();
    pub fn seal_redispatch();
    pub fn seal_resume_begin();
    pub fn seal_resume_end();
    pub fn seal_issue_begin();
    pub fn seal_issue_syscall();
    pub fn seal_issue_after();
    pub fn seal_copy_begin();
    pub fn seal_copy_end();
    pub fn seal_copy_fault();
    fn seal_parked();
    fn seal_held();
    fn seal_copy(to: *mut u8, from: *const u8, bytes: usize) -> usize;
    fn seal_issue(context: *mut Context) -> i64;
    fn seal_issue_fork(context: *mut Context) -> i64;
    fn seal_issue_clone(context: *mut Context, child: *mut Context) -> i64;
    fn seal_set_mask(context: *const Context, mask: *const u64);
    fn seal_mask_begin();
    fn seal_mask_syscall();
    fn seal_mask_end();
    fn seal_issue_exit(number: u64, status: u64, mark: *mut u32) -> !;
    fn seal_leave(context: *mut Context) -> !;
    fn seal_fpu_store(area: *mut u8);
    fn seal_fpu_load(area: *const u8);
    fn seal_vectors_save(area: *mut u8, context: *const Context, features: u64);
    fn seal_vectors_load(area: *const u8, context: *mut Context, features: u64);
}

#[rustfmt::skip]
global_asm!(
    ".text",
    ".balign 16",
    ".globl seal_text_begin", "seal_text_begin:",

    // ---- from translated code into Rust. rcx: Context, its own value already in the Context.
    ".globl seal_gate", "seal_gate:",
    "mov [rcx+{rax}], rax", "mov [rcx+{rdx}], rdx", "mov [rcx+{rbx}], rbx", "mov [rcx+{rsp}], rsp", "mov [rcx+{rbp}], rbp",
    "mov [rcx+{rsi}], rsi", "mov [rcx+{rdi}], rdi", "mov [rcx+{r8}], r8", "mov [rcx+{r9}], r9", "mov [rcx+{r10}], r10",
    "mov [rcx+{r11}], r11", "mov [rcx+{r12}], r12", "mov [rcx+{r13}], r13", "mov [rcx+{r14}], r14", "mov [rcx+{r15}], r15",
    "lea rsp, [rcx+{stack}]",
    "pushfq", "pop qword ptr [rcx+{rflags}]", "cld",
    "movaps [rcx+{xmm}+0x00], xmm0", "movaps [rcx+{xmm}+0x10], xmm1", "movaps [rcx+{xmm}+0x20], xmm2", "movaps [rcx+{xmm}+0x30], xmm3",
    "movaps [rcx+{xmm}+0x40], xmm4", "movaps [rcx+{xmm}+0x50], xmm5", "movaps [rcx+{xmm}+0x60], xmm6", "movaps [rcx+{xmm}+0x70], xmm7",
    "movaps [rcx+{xmm}+0x80], xmm8", "movaps [rcx+{xmm}+0x90], xmm9", "movaps [rcx+{xmm}+0xa0], xmm10", "movaps [rcx+{xmm}+0xb0], xmm11",
    "movaps [rcx+{xmm}+0xc0], xmm12", "movaps [rcx+{xmm}+0xd0], xmm13", "movaps [rcx+{xmm}+0xe0], xmm14", "movaps [rcx+{xmm}+0xf0], xmm15",
    "mov dword ptr [rcx+{vectors}], 1",
    "mov rdi, rcx", "mov rbx, rcx",
    "call {from_exit}",
    "mov rcx, rbx",

    // ---- from Rust into translated code. rcx: Context. A signal in here starts over at seal_redispatch: nothing in
    // the Context is consumed before the last jump.
    ".globl seal_resume_begin", "seal_resume_begin:",
    "cmp dword ptr [rcx+{pending}], 0", "jne seal_redispatch",
    "cmp dword ptr [rcx+{request}], 0", "je 9f",
    "cmp qword ptr [rcx+{moved}], 0", "je seal_redispatch", // or else a call goes on first
    "9:",
    "movaps xmm0, [rcx+{xmm}+0x00]", "movaps xmm1, [rcx+{xmm}+0x10]", "movaps xmm2, [rcx+{xmm}+0x20]", "movaps xmm3, [rcx+{xmm}+0x30]",
    "movaps xmm4, [rcx+{xmm}+0x40]", "movaps xmm5, [rcx+{xmm}+0x50]", "movaps xmm6, [rcx+{xmm}+0x60]", "movaps xmm7, [rcx+{xmm}+0x70]",
    "movaps xmm8, [rcx+{xmm}+0x80]", "movaps xmm9, [rcx+{xmm}+0x90]", "movaps xmm10, [rcx+{xmm}+0xa0]", "movaps xmm11, [rcx+{xmm}+0xb0]",
    "movaps xmm12, [rcx+{xmm}+0xc0]", "movaps xmm13, [rcx+{xmm}+0xd0]", "movaps xmm14, [rcx+{xmm}+0xe0]", "movaps xmm15, [rcx+{xmm}+0xf0]",
    "lea rsp, [rcx+{stack}]",
    "push qword ptr [rcx+{rflags}]", "popfq",
    "mov rax, [rcx+{rax}]", "mov rdx, [rcx+{rdx}]", "mov rbx, [rcx+{rbx}]", "mov rsp, [rcx+{rsp}]", "mov rbp, [rcx+{rbp}]",
    "mov rsi, [rcx+{rsi}]", "mov rdi, [rcx+{rdi}]", "mov r8, [rcx+{r8}]", "mov r9, [rcx+{r9}]", "mov r10, [rcx+{r10}]",
    "mov r11, [rcx+{r11}]", "mov r12, [rcx+{r12}]", "mov r13, [rcx+{r13}]", "mov r14, [rcx+{r14}]", "mov r15, [rcx+{r15}]",
    "jmp [rcx+{enter}]",
    ".globl seal_resume_end", "seal_resume_end:",

    // ---- the Context is right, the stack is not: begin again. rcx: Context.
    ".globl seal_redispatch", "seal_redispatch:",
    "lea rsp, [rcx+{stack}]", "cld", "mov rbx, rcx", "mov rdi, rcx",
    "call {again}",
    "mov rcx, rbx", "jmp seal_resume_begin",
    ".globl seal_leave", "seal_leave:", // fn(context) -> !: go on with what the Context says, as it is
    "mov rcx, rdi", "jmp seal_resume_begin",

    // ---- the controller starts a thread here. rdi: Context, with the application's registers; vectors are live.
    ".globl seal_wake", "seal_wake:",
    "mov rcx, rdi",
    "movaps [rcx+{xmm}+0x00], xmm0", "movaps [rcx+{xmm}+0x10], xmm1", "movaps [rcx+{xmm}+0x20], xmm2", "movaps [rcx+{xmm}+0x30], xmm3",
    "movaps [rcx+{xmm}+0x40], xmm4", "movaps [rcx+{xmm}+0x50], xmm5", "movaps [rcx+{xmm}+0x60], xmm6", "movaps [rcx+{xmm}+0x70], xmm7",
    "movaps [rcx+{xmm}+0x80], xmm8", "movaps [rcx+{xmm}+0x90], xmm9", "movaps [rcx+{xmm}+0xa0], xmm10", "movaps [rcx+{xmm}+0xb0], xmm11",
    "movaps [rcx+{xmm}+0xc0], xmm12", "movaps [rcx+{xmm}+0xd0], xmm13", "movaps [rcx+{xmm}+0xe0], xmm14", "movaps [rcx+{xmm}+0xf0], xmm15",
    "mov dword ptr [rcx+{vectors}], 1",
    "lea rsp, [rcx+{stack}]", "cld", "mov rbx, rcx",
    "call {prologue}",
    "cmp dword ptr [rbx+{hold}], 0", "je 2f",
    ".globl seal_held", "seal_held:", "int3",
    "2:", "mov rcx, rbx", "jmp seal_redispatch",

    // ---- stop here until the controller says otherwise.
    ".globl seal_parked", "seal_parked:", "int3", "ret",

    // ---- the signal handler that the kernel knows, and its way back.
    ".globl seal_handler", "seal_handler:",
    "push rbp", "mov rbp, rsp", "and rsp, -16", "cld", "call {on_signal}", "mov rsp, rbp", "pop rbp", "ret",
    ".globl seal_sigreturn", "seal_sigreturn:", "mov eax, 15", "syscall", "ud2",

    // ---- the application's system call with the application's registers. fn(context) -> answer
    ".globl seal_issue", "seal_issue:",
    "push rbx", "push rbp", "push r12", "mov rbx, rdi",
    "mov rax, [rbx+{rax}]", "mov rdi, [rbx+{rdi}]", "mov rsi, [rbx+{rsi}]", "mov rdx, [rbx+{rdx}]", "mov r10, [rbx+{r10}]",
    "mov r8, [rbx+{r8}]", "mov r9, [rbx+{r9}]",
    ".globl seal_issue_begin", "seal_issue_begin:",
    "cmp dword ptr [rbx+{pending}], 0", "jne 3f", // a signal came just before: as if it had come before the call
    ".globl seal_issue_syscall", "seal_issue_syscall:", "syscall",
    ".globl seal_issue_after", "seal_issue_after:",
    "pop r12", "pop rbp", "pop rbx", "ret",
    "3:", "mov rax, {not_issued}", "jmp seal_issue_after",

    // ---- a child with memory of its own comes back from here like its parent, whatever stack was asked for. fn(context) -> answer
    ".globl seal_issue_fork", "seal_issue_fork:",
    "push rbx", "push rbp", "push r12", "mov rbx, rdi", "mov rbp, rsp",
    "mov rax, [rbx+{rax}]", "mov rdi, [rbx+{rdi}]", "mov rsi, [rbx+{rsi}]", "mov rdx, [rbx+{rdx}]", "mov r10, [rbx+{r10}]",
    "mov r8, [rbx+{r8}]", "mov r9, [rbx+{r9}]",
    "syscall", "mov rsp, rbp", "pop r12", "pop rbp", "pop rbx", "ret",

    // ---- clone and its like. fn(context, child) -> answer, in the parent. The child wakes with rsp of its own choosing,
    // so it finds its Context in a register that the kernel keeps.
    ".globl seal_issue_clone", "seal_issue_clone:",
    "push rbx", "push rbp", "push r12", "mov rbx, rdi", "mov rbp, rsi",
    "mov rax, [rbx+{rax}]", "mov rdi, [rbx+{rdi}]", "mov rsi, [rbx+{rsi}]", "mov rdx, [rbx+{rdx}]", "mov r10, [rbx+{r10}]",
    "mov r8, [rbx+{r8}]", "mov r9, [rbx+{r9}]",
    "syscall",
    "test rax, rax", "jz 4f",
    "pop r12", "pop rbp", "pop rbx", "ret",
    "4:", "mov rdi, rbp", "lea rsp, [rdi+{stack}]", "mov rbx, rdi",
    "call {child}",
    "mov rcx, rbx", "jmp seal_redispatch",

    // ---- set the mask, unless a signal waits in the Context: then all stay blocked. A signal that comes in between
    // sends the thread to the end. fn(context, mask)
    ".globl seal_set_mask", "seal_set_mask:",
    "mov r8, rdi", "mov eax, 14", "mov edi, 2", "xor edx, edx", "mov r10d, 8",
    ".globl seal_mask_begin", "seal_mask_begin:", "cmp dword ptr [r8+{pending}], 0", "jne seal_mask_end",
    ".globl seal_mask_syscall", "seal_mask_syscall:", "syscall",
    ".globl seal_mask_end", "seal_mask_end:", "ret",

    // ---- the last call of a thread: the slot is free for others before it is made. fn(number, status, mark)
    ".globl seal_issue_exit", "seal_issue_exit:",
    "mov rax, rdi", "mov rdi, rsi", "mov dword ptr [rdx], {free}", "syscall", "ud2",

    // ---- copy between application and engine, ending early at a fault. fn(to, from, bytes) -> bytes copied
    ".globl seal_copy", "seal_copy:",
    "mov rcx, rdx",
    ".globl seal_copy_begin", "seal_copy_begin:", "rep movsb", ".globl seal_copy_end", "seal_copy_end:",
    "mov rax, rdx", "sub rax, rcx", "ret",
    ".globl seal_copy_fault", "seal_copy_fault:", "mov rax, rdx", "sub rax, rcx", "ret",

    // ---- the vector state of the application, as the kernel would store it. fn(area, context, features)
    ".globl seal_vectors_save", "seal_vectors_save:",
    "movaps xmm0, [rsi+{xmm}+0x00]", "movaps xmm1, [rsi+{xmm}+0x10]", "movaps xmm2, [rsi+{xmm}+0x20]", "movaps xmm3, [rsi+{xmm}+0x30]",
    "movaps xmm4, [rsi+{xmm}+0x40]", "movaps xmm5, [rsi+{xmm}+0x50]", "movaps xmm6, [rsi+{xmm}+0x60]", "movaps xmm7, [rsi+{xmm}+0x70]",
    "movaps xmm8, [rsi+{xmm}+0x80]", "movaps xmm9, [rsi+{xmm}+0x90]", "movaps xmm10, [rsi+{xmm}+0xa0]", "movaps xmm11, [rsi+{xmm}+0xb0]",
    "movaps xmm12, [rsi+{xmm}+0xc0]", "movaps xmm13, [rsi+{xmm}+0xd0]", "movaps xmm14, [rsi+{xmm}+0xe0]", "movaps xmm15, [rsi+{xmm}+0xf0]",
    "mov eax, edx", "shr rdx, 32", "xsave64 [rdi]", "ret",
    ".globl seal_vectors_load", "seal_vectors_load:",
    "mov eax, edx", "shr rdx, 32", "xrstor64 [rdi]",
    "movaps [rsi+{xmm}+0x00], xmm0", "movaps [rsi+{xmm}+0x10], xmm1", "movaps [rsi+{xmm}+0x20], xmm2", "movaps [rsi+{xmm}+0x30], xmm3",
    "movaps [rsi+{xmm}+0x40], xmm4", "movaps [rsi+{xmm}+0x50], xmm5", "movaps [rsi+{xmm}+0x60], xmm6", "movaps [rsi+{xmm}+0x70], xmm7",
    "movaps [rsi+{xmm}+0x80], xmm8", "movaps [rsi+{xmm}+0x90], xmm9", "movaps [rsi+{xmm}+0xa0], xmm10", "movaps [rsi+{xmm}+0xb0], xmm11",
    "movaps [rsi+{xmm}+0xc0], xmm12", "movaps [rsi+{xmm}+0xd0], xmm13", "movaps [rsi+{xmm}+0xe0], xmm14", "movaps [rsi+{xmm}+0xf0], xmm15",
    "ret",

    // ---- the x87 unit's environment. fn(area)
    ".globl seal_fpu_store", "seal_fpu_store:", "fnstenv [rdi]", "ret",
    ".globl seal_fpu_load", "seal_fpu_load:", "fldenv [rdi]", "ret",

    // ---- what the controller calls on the service stack. The thread's vectors are as they were when it is over.
    ".macro seal_service name, function",
    ".globl \\name", "\\name:",
    "mov r12, rsp", "and rsp, -16", "sub rsp, 0x110", "mov rbx, rsp", "cld",
    "movups [rbx+0x00], xmm0", "movups [rbx+0x10], xmm1", "movups [rbx+0x20], xmm2", "movups [rbx+0x30], xmm3",
    "movups [rbx+0x40], xmm4", "movups [rbx+0x50], xmm5", "movups [rbx+0x60], xmm6", "movups [rbx+0x70], xmm7",
    "movups [rbx+0x80], xmm8", "movups [rbx+0x90], xmm9", "movups [rbx+0xa0], xmm10", "movups [rbx+0xb0], xmm11",
    "movups [rbx+0xc0], xmm12", "movups [rbx+0xd0], xmm13", "movups [rbx+0xe0], xmm14", "movups [rbx+0xf0], xmm15",
    "call \\function",
    "test rax, rax", "cmovg rbx, rax", "jle 8f", "xor eax, eax", "8:", // a context's vectors instead, if it says so
    "movups xmm0, [rbx+0x00]", "movups xmm1, [rbx+0x10]", "movups xmm2, [rbx+0x20]", "movups xmm3, [rbx+0x30]",
    "movups xmm4, [rbx+0x40]", "movups xmm5, [rbx+0x50]", "movups xmm6, [rbx+0x60]", "movups xmm7, [rbx+0x70]",
    "movups xmm8, [rbx+0x80]", "movups xmm9, [rbx+0x90]", "movups xmm10, [rbx+0xa0]", "movups xmm11, [rbx+0xb0]",
    "movups xmm12, [rbx+0xc0]", "movups xmm13, [rbx+0xd0]", "movups xmm14, [rbx+0xe0]", "movups xmm15, [rbx+0xf0]",
    // By an address that the controller wrote there: should it be killed meanwhile, the thread finds home by itself.
    "mov rsp, r12", "ret",
    ".endm",
    "seal_service seal_prepare, {prepare}",
    "seal_service seal_take_over, {take_over}",
    "seal_service seal_recover, {recover_all}",
    "seal_service seal_farewell, {farewell}",
    "seal_service seal_restore, {restore}",
    ".globl seal_text_end", "seal_text_end:",
    not_issued = const NOT_ISSUED,
    rax = const offset_of!(Context, regs) + 8 * abi::RAX,
    rdx = const offset_of!(Context, regs) + 8 * abi::RDX, rbx = const offset_of!(Context, regs) + 8 * abi::RBX,
    rsp = const offset_of!(Context, regs) + 8 * abi::RSP, rbp = const offset_of!(Context, regs) + 8 * abi::RBP,
    rsi = const offset_of!(Context, regs) + 8 * abi::RSI, rdi = const offset_of!(Context, regs) + 8 * abi::RDI,
    r8 = const offset_of!(Context, regs) + 8 * 8, r9 = const offset_of!(Context, regs) + 8 * 9,
    r10 = const offset_of!(Context, regs) + 8 * 10, r11 = const offset_of!(Context, regs) + 8 * 11,
    r12 = const offset_of!(Context, regs) + 8 * 12, r13 = const offset_of!(Context, regs) + 8 * 13,
    r14 = const offset_of!(Context, regs) + 8 * 14, r15 = const offset_of!(Context, regs) + 8 * 15,
    rflags = const offset_of!(Context, rflags), enter = const offset_of!(Context, enter), xmm = const offset_of!(Context, xmm),
    vectors = const offset_of!(Context, vectors_in_context), hold = const offset_of!(Context, hold),
    moved = const offset_of!(Context, moved),
    pending = const offset_of!(Context, pending_signal), request = const offset_of!(Context, request),
    stack = const abi::SLOT_STACK_TOP,
    free = const abi::state::FREE,
    from_exit = sym dispatch::from_exit, again = sym dispatch::again, prologue = sym start::prologue, child = sym start::child,
    on_signal = sym signals::on_signal, prepare = sym start::prepare, take_over = sym start::take_over,
    recover_all = sym recover::recover_all, farewell = sym start::farewell, restore = sym start::restore,
);

/// Copy until a fault on either side; answer how many bytes were copied.
///
/// # Safety
/// The engine's side must be valid for `bytes`; the application's may be anything.
pub unsafe fn guarded_copy(to: *mut u8, from: *const u8, bytes: usize) -> usize {
    // SAFETY: the caller's; a fault between seal_copy_begin and seal_copy_end is turned into an early return.
    unsafe { seal_copy(to, from, bytes) }
}

/// The answer of `issue` where a signal came first: the call has not been made. No application ever sees it from the kernel.
pub const NOT_ISSUED: i64 = -512;

/// Issue the system call that the registers in `context` describe. Answers -512 if a signal came first.
pub fn issue(context: &mut Context) -> i64 {
    // SAFETY: the application's own call with its own arguments.
    unsafe { seal_issue(context) }
}

/// Issue fork or its like; parent and child, each in its own memory, come back.
pub fn issue_fork(context: &mut Context) -> i64 {
    // SAFETY: the application's own call; the child's engine is a copy.
    unsafe { seal_issue_fork(context) }
}

/// Issue clone or its like; the child, in its own slot, never comes back here.
pub fn issue_clone(context: &mut Context, child: &mut Context) -> i64 {
    // SAFETY: the application's own call; `child` is prepared and its slot's stack unused.
    unsafe { seal_issue_clone(context, child) }
}

/// End this thread, and free its slot in the last moment at which it is still needed.
pub fn issue_exit(context: &mut Context, number: u64, status: u64) -> ! {
    // SAFETY: nothing of the slot is used after the mark is written.
    unsafe { seal_issue_exit(number, status, &raw mut context.state) }
}

/// Let the kernel block these signals, unless one waits to be delivered: then all stay blocked until it is.
pub fn set_mask(context: &Context, mask: u64) {
    // SAFETY: a system call that reads `mask`.
    unsafe { seal_set_mask(context, &raw const mask) }
}

/// Go on with what `context` says, as it is. Nothing on the engine's stack is needed any more.
pub fn leave(context: &mut Context) -> ! {
    // SAFETY: `enter` and `resume` are set.
    unsafe { seal_leave(context) }
}

/// Stand still until the controller has moved this thread, or lets it go on.
pub fn park() {
    // SAFETY: an int3; the controller is attached, which is why `request` was set.
    unsafe { seal_parked() }
}

/// Store the application's vector state at `area` (64-byte aligned, of the size that CPUID says).
pub fn save_vectors(area: u64, context: &Context, features: u64) {
    // SAFETY: `area` is the slot's vector area, zeroed header, large enough (checked at start).
    unsafe { seal_vectors_save(area as *mut u8, context, features) }
}

/// Load the application's vector state from `area`, whose header has been checked.
pub fn load_vectors(area: u64, context: &mut Context, features: u64) {
    // SAFETY: as in `save_vectors`; a header that the processor refuses was replaced before.
    unsafe { seal_vectors_load(area as *const u8, context, features) }
}

unsafe extern "C" {
    static __ehdr_start: u8; // the linker's: where the image begins,
    static _end: u8; // and where it ends
}

/// Where the engine's image lies, from its first to behind its last byte.
pub fn image() -> core::ops::Range<u64> {
    (&raw const __ehdr_start) as u64..(&raw const _end) as u64
}

/// Store control, status, tags and pointers of the x87 unit at `area`, as FNSTENV does: all its exceptions are masked then.
pub fn store_fpu_environment(area: u64) {
    // SAFETY: 28 bytes of the slot's vector area.
    unsafe { seal_fpu_store(area as *mut u8) }
}

pub fn load_fpu_environment(area: u64) {
    // SAFETY: as above; what is loaded was stored.
    unsafe { seal_fpu_load(area as *const u8) }
}

macro_rules! address_of {
    ($($name:ident = $symbol:ident;)*) => { $(
        pub fn $name() -> u64 { $symbol as *const () as u64 }
    )* };
}

address_of! {
    gate = seal_gate;
    handler = seal_handler;
    sigreturn = seal_sigreturn;
    redispatch = seal_redispatch;
    resume_begin = seal_resume_begin;
    resume_end = seal_resume_end;
    issue_begin = seal_issue_begin;
    issue_syscall = seal_issue_syscall;
    issue_after = seal_issue_after;
    copy_begin = seal_copy_begin;
    copy_end = seal_copy_end;
    copy_fault = seal_copy_fault;
    mask_begin = seal_mask_begin;
    mask_syscall = seal_mask_syscall;
    mask_end = seal_mask_end;
    parked = seal_parked;
    held = seal_held;
}
