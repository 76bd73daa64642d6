//! What engine and controller agree on: the layout of everything that both touch.
//!
//! Owns numbers and `repr(C)` records, nothing that acts. The controller learns offsets and constants from
//! `examples/abi.rs`, which prints this file's facts as JSON; neither side writes one down twice.
//!
//! All of it lies below 2 GiB in the possessed process, so that translated code reaches it with an absolute
//! 32-bit displacement from wherever it is, without a register:
//!
//! ```text
//!  low + 0          image (text, constants, data)
//!      + mailbox    Mailbox, then the service stack
//!      + heap       the engine's allocator; most of it lies elsewhere, for no translated code reads it
//!      + slots      one Slot a thread; more are mapped later, each with its address in `Mailbox::slots`
//!
//!  Slot (2 MiB, aligned to its size, so that a stack pointer into it finds its context)
//!   0x000000 Context     0x004000 engine stack      0x040000 signal stack
//!   0x080000 return targets      0x100000 jump targets      0x180000 vector state      0x18e000 notes      0x190000 constants
//! ```

#![allow(missing_docs)] // a field's name and comment are its documentation

pub const MAGIC: u64 = u64::from_le_bytes(*b"SEALMBX1");
pub const VERSION: u32 = 5;

pub const THREADS_MAX: usize = 1000;
pub const MAPPINGS_MAX: usize = 16_384;
pub const CODE_MAX: usize = 1024;
pub const SIGNALS: usize = 65; // 1 to 64; 0 stands empty

pub const SERVICE_STACK_BYTES: u64 = 0x1_0000;
pub const HEAP_BYTES: u64 = 16 << 20; // reserved here, not touched
pub const HEAP_BYTES_MAX: u64 = 2 << 30; // with what is reserved elsewhere
pub const HEAP_BYTES_MIN: u64 = 2 << 20; // the decoder's tables, and what cannot be refused
pub const HEAP_THREAD_BYTES_MIN: u64 = 0x1_0000; // and for each thread, to translate an instruction at a time

pub const SLOT_BYTES: u64 = 0x20_0000;
pub const SLOT_STACK_TOP: u64 = 0x2_0000;
pub const SLOT_SIGNAL_STACK: u64 = 0x2_0000;
pub const SLOT_SIGNAL_STACK_BYTES: u64 = 0x1_0000;
pub const SLOT_RETURNS: u64 = 0x3_0000; // 65,536 host addresses, by the low 16 bits of the application's
pub const SLOT_JUMPS: u64 = 0xb_0000; // likewise
pub const SLOT_FOLLOWED: u64 = 0x13_0000; // likewise, of jumps and returns while tags are followed
pub const SLOT_VECTORS: u64 = 0x1b_0000;
pub const SLOT_VECTORS_BYTES: u64 = 0x1_0000;
pub const SLOT_NOTES: u64 = 0x1b_e000; // of `effects`, for the call that is under way
pub const NOTES: u64 = 1024;
pub const SLOT_CONSTANTS: u64 = 0x1c_0000;
pub const SLOT_CONSTANTS_BYTES: u64 = SLOT_BYTES - SLOT_CONSTANTS;

/// What the translator adds to the application's code.
pub mod mode {
    pub const NONE: u32 = 0;
    pub const SHADOW: u32 = 1; // the tests of clean mode, for measuring: nothing ever gets a tag
    pub const TAINT: u32 = 2; // what sources deliver gets tags, which are followed
}

/// `Mailbox::sources`: from which descriptors what is read gets a tag.
pub mod source {
    pub const INET: u32 = 1; // IPv4 and IPv6 sockets
    pub const UNIX: u32 = 2; // Unix sockets, and pipes but for standard input
    pub const STDIN: u32 = 4;
    pub const FILE: u32 = 8; // those of `Mailbox::files`
}

/// `Alert::kind`: where what came in from outside took control, or was about to.
pub mod alert {
    pub const RETURN: u32 = 1; // the return address has a tag
    pub const JUMP: u32 = 2; // the target of an indirect jump
    pub const CALL: u32 = 3; // the target of an indirect call
    pub const CODE: u32 = 4; // the instructions themselves
    pub const EXECUTE: u32 = 5; // path or arguments of execve
    pub const CALL_NUMBER: u32 = 6; // which system call it is
    pub const RIGHTS: u32 = 7; // address, length or rights of mprotect and mmap, with PROT_EXEC
    pub const FORMAT: u32 = 8; // a format string
    pub const STORE: u32 = 9; // the address of a store, if that is asked for
}

/// `Alert::state` and `Alert::verdict`.
pub mod verdict {
    pub const NONE: u32 = 0;
    pub const OBSERVE: u32 = 1; // go on as if nothing were
    pub const CONTAIN: u32 = 2; // the thread ends where it is
    pub const KILL: u32 = 3; // the process ends
}

/// `Context::state`: who may touch the slot, and where its thread is.
pub mod state {
    pub const FREE: u32 = 0;
    pub const PREPARED: u32 = 1; // filled in, not running yet
    pub const RUNNING: u32 = 2;
    pub const PARKED: u32 = 3; // stands at `seal_parked`; `regs` are the application's
    pub const LEFT: u32 = 4; // has run its farewell
}

/// `Context::request`: what the controller asks of a thread that is inside the engine.
pub mod request {
    pub const NOTHING: u32 = 0;
    pub const PARK: u32 = 1;
}

/// `Context::once`: whether one instruction at `rip` is to be translated for one use.
pub mod once {
    pub const NO: u64 = 0;
    pub const YES: u64 = 1; // it writes into code
    pub const WITHOUT_TAGS: u64 = 2; // its tags have been seen to
    pub const UNTESTED: u64 = 3; // what it touches has no tag after all; it is kept, for that comes again
}

/// `Snapshot::status`, the answer of `seal_recover`.
pub mod recovered {
    pub const EXACT: u32 = 0; // `regs` are now the application's
    pub const BUSY: u32 = 1; // inside the engine: set `request`, let it run to `seal_parked`
    pub const NATIVE: u32 = 2; // was never in the engine: `regs` untouched
    pub const PIECES: u32 = 3; // in the middle of a call that moves in pieces: ask it to park, and let all others run meanwhile
}

/// `Mapping::kind`.
pub mod mapping {
    pub const LOW: u32 = 1; // the reservation that the controller made
    pub const SLOT: u32 = 2;
    pub const ARENA: u32 = 3;
    pub const SHADOW: u32 = 4;
    pub const INPUT: u32 = 5;
    pub const WINDOW: u32 = 6; // which pages have their tags where
    pub const HEAP: u32 = 7; // what the engine's allocator has besides
}

/// The tag of the byte at `address` lies at `Mailbox::shadow_offset` + this + `address` modulo 2 to the 32.
pub const SHADOW_ASIDE: u64 = 0x44;

/// Tags of an application byte are bits, one for each input stream that is followed at a time.
pub const LABELS: usize = 8;
/// How much of each stream's raw input is kept: its latest bytes, a ring.
pub const INPUT_BYTES: u64 = 0x1_0000;
pub const ALERTS_MAX: usize = 32;
pub const FILES_MAX: usize = 64;
pub const FORMATS_MAX: usize = 128;
pub const VECTOR_BYTES: usize = 64;
pub const VECTOR_REGISTERS: usize = 32;
pub const ADDRESS_BYTES: usize = 28; // struct sockaddr_in6

/// General registers in the order in which instructions number them: rax rcx rdx rbx rsp rbp rsi rdi r8 … r15.
pub type Registers = [u64; 16];
pub const RAX: usize = 0;
pub const RCX: usize = 1;
pub const RDX: usize = 2;
pub const RBX: usize = 3;
pub const RSP: usize = 4;
pub const RBP: usize = 5;
pub const RSI: usize = 6;
pub const RDI: usize = 7;
pub const R8: usize = 8;
pub const R9: usize = 9;
pub const R10: usize = 10;
pub const R11: usize = 11;

/// The kernel's `struct sigaction` of x86-64.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct SigAction {
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: u64,
}

/// `stack_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct AltStack {
    pub sp: u64,
    pub flags: u32,
    pub pad: u32,
    pub bytes: u64,
}

/// The low halves of the vector registers; the others are never touched by the engine.
#[repr(C, align(64))]
#[derive(Clone, Copy, Default)]
pub struct Vectors(pub [[u64; 2]; 16]);

/// What one thread is, while it is possessed. Translated code reads and writes the first part by absolute address.
#[repr(C, align(64))]
pub struct Context {
    pub regs: Registers, // also where translated code spills rcx and rdx
    pub rip: u64,
    pub rflags: u64,
    pub target: u64, // where an indirect branch or return goes: an application address
    pub resume: u64, // where the engine enters translated code: a host address
    pub spare: u64,  // a further spill of translated code
    pub branch: u64, // the indirect branch that missed its table: a host address
    pub exit: u32,   // which exit of which fragment was taken
    pub tid: u32,
    pub state: u32,
    pub request: u32,
    pub mask: u64, // signals that the application has blocked, as it believes
    pub altstack: AltStack,
    pub rseq_address: u64, // 0: not registered
    pub rseq_bytes: u32,
    pub rseq_signature: u32,
    pub hold: u32,           // stop at `seal_held` when the prologue is done (for a process under seccomp)
    pub pending_signal: u32, // came while the engine was at work; 0: none
    pub pending_mask: u64,
    pub pending_info: [u64; 16],
    pub pending_error: [u64; 4], // error code, trap number, -, fault address
    pub call_number: u64,        // the system call that the engine issues for the application just now
    pub moved: u64, // of a call that moves in pieces: how much it has moved (also by the controller, that the call goes on)
    pub whole: [u64; 3], // rsi, rdx, r10 of such a call while the registers describe its rest
    pub in_pieces: u32, // 1: such a call is under way; 2: for its rest
    pub cut: u32,   // 1: its last part was cut short by a controller
    pub service: u64, // the engine's own record of this thread
    pub fault_resume: u64, // where a guarded access of the engine goes on after a fault; 0: none is under way
    pub enter: u64, // thread-private code: `rcx` from `regs`, then to `resume`
    pub actions: u64, // address of the dispositions that hold for this thread: Mailbox::actions or its own copy
    pub suspended_mask: u64, // what sigsuspend, ppoll and their like have put in the mask's place for a while
    pub has_suspended_mask: u32,
    pub vectors_in_context: u32, // 1: `xmm` holds the application's, the registers do not
    pub issued: u64,             // number of the last system call that translated code has made
    pub once: u64,               // `once`
    pub leave_at: u64,           // 0, or where the thread goes on natively by itself as soon as the application gets there
    pub xmm: Vectors,
    // Counters, for people.
    pub fragments: u64,
    pub instructions: u64, // translated
    pub cache_bytes: u64,
    pub dispatches: u64,
    pub flushes: u64,
    pub calls: u64, // system calls that the engine looked at
    pub signals: u64,
    pub tagged_reads: u64,  // tests of clean mode that found a tag
    pub second_spare: u64,  // a further place for translated code that follows tags
    pub kept_flags: u64,    // as lahf and seto leave them in ax, while translated code needs its own
    pub followed_left: u64, // jumps backwards until the engine sees whether tags are left
    pub returns_left: u64,  // likewise of returns
    pub often: u64,         // jumps backwards between two looks
    pub tracked: u64,       // instructions whose tags the engine has seen to
    // A tag for each byte of each register, the least significant first. All are 0 in clean mode.
    pub tracking: u32,       // 1: some may not be 0; the thread runs the fragments that follow tags
    pub is_warm: u32,        // 1: the slot is free, and what its last thread had translated is there for another
    pub mask_tags: [u64; 8], // of k0 to k7
    pub x87_tags: [u8; 8],   // one for each register of the x87 unit, as MMX counts them, whatever stands on top
    pub tags: Registers,
    pub vector_tags: [[u8; VECTOR_BYTES]; VECTOR_REGISTERS],
}

/// Part of the process that the engine has mapped, and that a release unmaps.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Mapping {
    pub address: u64,
    pub bytes: u64,
    pub kind: u32,
    pub pad: u32,
}

/// Memory that may be executed, as the kernel lists it. `protection` in the numbers of `mprotect`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Code {
    pub low: u64,
    pub high: u64,
    pub protection: u32,
    pub shared: u32,
}

/// One thread of a withdrawal: `regs` are `struct user_regs_struct`, in and out.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Snapshot {
    pub tid: u32,
    pub status: u32,
    pub regs: [u64; 27],
}

/// A function that takes a format string, and the register that says where that is.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Format {
    pub address: u64,
    pub register: u32,
    pub pad: u32,
}

/// One stream of input, whose tag is the bit of its place in `Mailbox::streams`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Stream {
    pub serial: u64,   // counts the streams; 0: none has had this label yet
    pub received: u64, // bytes since the stream was first read while possessed; the last INPUT_BYTES of them are kept
    pub inode: u64,    // of the socket or file
    pub descriptor: u32,
    pub kind: u32, // `source`
    pub local: [u8; ADDRESS_BYTES],
    pub peer: [u8; ADDRESS_BYTES],
}

/// A file that is a source.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct File {
    pub device: u64,
    pub inode: u64,
}

/// A thread that stands before what its input would have it do, until the controller has answered.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Alert {
    pub serial: u64, // counts the alerts; 0: none yet. Written last
    pub kind: u32,   // `alert`
    pub tid: u32,
    pub state: u32,   // `verdict::NONE` while the thread waits; then what it has heeded
    pub verdict: u32, // by the controller
    pub pc: u64,      // the instruction
    pub target: u64,  // where it would go on, or the value that has the tag
    pub place: u64,   // where in memory that value lies; 0: in registers alone
    pub tags: u64,    // of that value's bytes
    pub rflags: u64,
    pub at_ns: u64, // CLOCK_REALTIME
    pub regs: Registers,
    pub register_tags: Registers,
}

/// Of the whole process: what the controller writes for the engine and the engine for the controller.
#[repr(C, align(4096))]
pub struct Mailbox {
    pub magic: u64,
    pub version: u32,
    pub mode: u32,
    pub pid: u32,   // as the process itself sees it
    pub awake: u32, // 1: signal dispositions are the engine's
    pub low: u64,
    pub low_bytes: u64,
    pub heap: u64,
    pub heap_bytes: u64,
    pub heap_bytes_max: u64, // by the controller: with what the engine may map for it elsewhere
    pub shadow_offset: u64,
    pub parent: u64,  // the mailbox's process is a forked child of this possessed pid; 0: possessed by a controller
    pub trouble: u32, // `trouble` below; the controller should let go
    pub mapping_count: u32,
    pub snapshot_count: u32,
    pub confined: u32, // by the controller: 1 where seccomp may forbid what the application does not do itself
    pub park: u32,     // by the controller: 1 while it withdraws: whoever comes out of the engine stops at `seal_parked`
    pub blind: u32,    // 1: the process cannot read /proc/self/maps (it lives in a chroot), and needs the controller's `code`
    pub code_count: u32,
    pub unlinked: u32, // by a test: 1: every fragment comes back to the dispatcher, so that each can be looked at
    pub heap_used: u64, // in blocks that are taken
    pub heap_room: u64, // in all
    pub frozen_ns: u64, // by the controller: how long the last freeze lasted
    pub possessed_at_ns: u64, // by the controller: CLOCK_REALTIME
    pub note: [u8; 192], // what went wrong, in words
    pub slots: [u32; THREADS_MAX], // addresses of slots; 0: none
    pub actions: [SigAction; SIGNALS], // as the application believes them to be
    pub mappings: [Mapping; MAPPINGS_MAX],
    pub code: [Code; CODE_MAX],
    pub snapshots: [Snapshot; THREADS_MAX],
    // In taint mode.
    pub sources: u32,       // by the controller: `source`, or-ed
    pub on_alert: u32,      // by the controller: the verdict where it has not answered within `patience_ms`
    pub patience_ms: u32,   // by the controller
    pub store_alerts: u32,  // by the controller: 1: a tainted address of a store is an alert
    pub file_count: u32,    // by the controller
    pub format_count: u32,  // by the controller
    pub alerts_missed: u32, // those that found all places taken by alerts without an answer
    pub alert_count: u64,   // serial of the latest
    pub stream_count: u64,  // likewise
    pub input: u64,         // where the raw input is kept: LABELS times INPUT_BYTES
    pub files: [File; FILES_MAX],
    pub formats: [Format; FORMATS_MAX],
    pub streams: [Stream; LABELS],
    pub alerts: [Alert; ALERTS_MAX],
}

/// `Mailbox::trouble`.
pub mod trouble {
    pub const NONE: u32 = 0;
    pub const NO_MEMORY: u32 = 1;
    pub const THREADS: u32 = 2; // more than THREADS_MAX
    pub const FAR_TRANSFER: u32 = 3; // a switch of code segment, which cannot be followed
    pub const PANIC: u32 = 4;
}

/// Registers as ptrace names them: `struct user_regs_struct`.
pub mod user_regs {
    pub const R15: usize = 0;
    pub const R14: usize = 1;
    pub const R13: usize = 2;
    pub const R12: usize = 3;
    pub const RBP: usize = 4;
    pub const RBX: usize = 5;
    pub const R11: usize = 6;
    pub const R10: usize = 7;
    pub const R9: usize = 8;
    pub const R8: usize = 9;
    pub const RAX: usize = 10;
    pub const RCX: usize = 11;
    pub const RDX: usize = 12;
    pub const RSI: usize = 13;
    pub const RDI: usize = 14;
    pub const ORIG_RAX: usize = 15;
    pub const RIP: usize = 16;
    pub const CS: usize = 17;
    pub const EFLAGS: usize = 18;
    pub const RSP: usize = 19;
    pub const SS: usize = 20;
    pub const FS_BASE: usize = 21;
    pub const GS_BASE: usize = 22;
    /// Where each of `Registers` stands.
    pub const ORDER: [usize; 16] = [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15];
}
