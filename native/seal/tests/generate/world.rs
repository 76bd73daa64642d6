//! Where generated programs live, how they are run, and what must agree afterwards.
//!
//! Code is written through one mapping and runs in another, private one, which follows it: so the engine does not see it being written.
//! Regions of code lie
//! so far apart that each needs an arena of its own, one of them below 2 GiB. Data and stack are shared memory: a parent sees a
//! child's. All begin as `pristine` says.
//!
//! ```text
//!   harness: vectors, flags and registers of Frame::before ──► program ──► store: to Frame::after
//!                                  a fault in the program ──► on_fault ──► store
//! ```

use core::arch::global_asm;
use core::mem::offset_of;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use seal::sys;

use super::Dice;
use crate::inside::Inside;

#[derive(Clone, Copy)]
pub struct Region {
    pub begin: u64,
    pub bytes: u64,
}

impl Region {
    pub const fn end(&self) -> u64 {
        self.begin + self.bytes
    }

    pub fn holds(&self, address: u64) -> bool {
        (self.begin..self.end()).contains(&address)
    }
}

const CODE_BYTES: u64 = 0x10_0000;
const DATA_BYTES: u64 = 0x3000;
const HIGH: u64 = 0x2345_0000_0000;
/// Code regions: low as in a non-PIE program, high, and high more than 2 GiB away.
pub const CODE: [Region; 3] = [
    Region { begin: 0x1000_0000, bytes: CODE_BYTES },
    Region { begin: HIGH, bytes: CODE_BYTES },
    Region { begin: HIGH + 0x1_4000_0000, bytes: CODE_BYTES },
];
pub const LOW: usize = 0;
/// Data regions: below 2 GiB; near the high code; as far from it as a displacement reaches, so that it is out of reach of any
/// arena; near the code that is farther away.
pub const DATA: [Region; 4] = [
    Region { begin: 0x2000_0000, bytes: DATA_BYTES },
    Region { begin: HIGH + 0x800_0000, bytes: DATA_BYTES },
    Region { begin: HIGH + 0x7fe0_0000, bytes: DATA_BYTES },
    Region { begin: HIGH + 0x1_4800_0000, bytes: DATA_BYTES },
];
/// Which of them a region's code reaches by rip.
pub const REACHED: [&[usize]; 3] = [&[0], &[1, 2], &[3]];
pub const STACK: Region = Region { begin: HIGH + 0x2_0000_0000, bytes: 0x8000 };
pub const STACK_BEGIN: u64 = STACK.begin + 0x6000;
/// Where code is written by programs: see `set_changing`.
pub const CHANGING: Region = Region { begin: HIGH + 0x1000_0000, bytes: 0x4000 };
/// The first part of a data region holds what nobody writes: cells with code addresses, and the vector indices here.
pub const CELLS_BYTES: u64 = 0x800;
pub const INDICES32: u64 = 0x800;
pub const INDICES64: u64 = 0x840;
/// A counter for loops.
pub const COUNTER: u64 = 0x880;
/// Operands lie from here on.
pub const TARGETS: u64 = 0x1800;
const REGIONS: usize = 5;

pub fn regions() -> [Region; REGIONS] {
    [DATA[0], DATA[1], DATA[2], DATA[3], STACK]
}

pub const VECTORS_BYTES: usize = 4096;
/// Programs will be run step by step: threads are switched all the time, and a switch loses the x87 unit's pointers.
pub static STEPPED: AtomicBool = AtomicBool::new(false);
pub const ALL_FEATURES: u64 = 0xe7; // x87, SSE, AVX, AVX-512

#[repr(C, align(64))]
pub struct State {
    pub vectors: [u8; VECTORS_BYTES],
    pub regs: [u64; 16],
    pub flags: u64,
}

impl State {
    pub fn zeroed() -> Box<State> {
        Box::new(State { vectors: [0; VECTORS_BYTES], regs: [0; 16], flags: 0 })
    }
}

/// What a signal handler was told.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    pub count: u64,
    pub signal: u64,
    pub code: u64,
    pub address: u64,
    pub words: [u64; 38], // struct ucontext
    pub vectors: [u64; 512],
}

/// What harness and handler read and write.
#[repr(C, align(64))]
pub struct Frame {
    pub before: State,
    pub after: State,
    pub entry: u64,
    pub stack: u64,
    pub fs_base: u64,
    pub features: u64,
    pub gs_free: u64, // 1: gs is the programs' to change
    pub fault: Fault,
}

unsafe extern "C" {
    fn world_harness();
    fn world_store();
    static mut world_frame: Frame;
}

#[rustfmt::skip]
global_asm!(
    ".bss", ".balign 64", ".globl world_frame", "world_frame: .skip {bytes}", ".text",
    ".globl world_harness", "world_harness:",
    "push rbx", "push rbp", "push r12", "push r13", "push r14", "push r15",
    "rdfsbase rax", "mov [rip+world_frame+{fs_base}], rax",
    "xor ecx, ecx", "mov ds, ecx", "mov es, ecx", "mov fs, ecx", "wrfsbase rax",
    "cmp [rip+world_frame+{gs_free}], rcx", "je 2f", "mov gs, ecx", "2:",
    "mov [rip+world_frame+{stack}], rsp",
    "mov eax, {all}", "xor edx, edx", "xrstor64 [rip+world_frame+{in_vectors}]",
    "push qword ptr [rip+world_frame+{in_flags}]",
    "mov rax, [rip+world_frame+{in}+0x00]", "mov rcx, [rip+world_frame+{in}+0x08]", "mov rdx, [rip+world_frame+{in}+0x10]",
    "mov rbx, [rip+world_frame+{in}+0x18]", "mov rbp, [rip+world_frame+{in}+0x28]", "mov rsi, [rip+world_frame+{in}+0x30]",
    "mov rdi, [rip+world_frame+{in}+0x38]", "mov r8, [rip+world_frame+{in}+0x40]", "mov r9, [rip+world_frame+{in}+0x48]",
    "mov r10, [rip+world_frame+{in}+0x50]", "mov r11, [rip+world_frame+{in}+0x58]", "mov r12, [rip+world_frame+{in}+0x60]",
    "mov r13, [rip+world_frame+{in}+0x68]", "mov r14, [rip+world_frame+{in}+0x70]", "mov r15, [rip+world_frame+{in}+0x78]",
    "popfq", "mov rsp, [rip+world_frame+{in}+0x20]",
    "jmp [rip+world_frame+{entry}]",
    ".globl world_store", "world_store:",
    "mov [rip+world_frame+{out}+0x00], rax", "mov [rip+world_frame+{out}+0x08], rcx", "mov [rip+world_frame+{out}+0x10], rdx",
    "mov [rip+world_frame+{out}+0x18], rbx", "mov [rip+world_frame+{out}+0x20], rsp", "mov [rip+world_frame+{out}+0x28], rbp",
    "mov [rip+world_frame+{out}+0x30], rsi", "mov [rip+world_frame+{out}+0x38], rdi", "mov [rip+world_frame+{out}+0x40], r8",
    "mov [rip+world_frame+{out}+0x48], r9", "mov [rip+world_frame+{out}+0x50], r10", "mov [rip+world_frame+{out}+0x58], r11",
    "mov [rip+world_frame+{out}+0x60], r12", "mov [rip+world_frame+{out}+0x68], r13", "mov [rip+world_frame+{out}+0x70], r14",
    "mov [rip+world_frame+{out}+0x78], r15",
    "mov rsp, [rip+world_frame+{stack}]", "pushfq", "pop qword ptr [rip+world_frame+{out_flags}]",
    "push 0x202", "popfq",
    "mov eax, {all}", "xor edx, edx", "xsave64 [rip+world_frame+{out_vectors}]",
    "mov rax, [rip+world_frame+{fs_base}]", "wrfsbase rax",
    "xor eax, eax", "cmp [rip+world_frame+{gs_free}], rax", "je 3f", "mov gs, eax", "wrgsbase rax", "3:",
    "fninit", "vzeroupper", "push 0x1f80", "ldmxcsr [rsp]", "pop rax", "xor eax, eax",
    "pop r15", "pop r14", "pop r13", "pop r12", "pop rbp", "pop rbx", "ret",
    bytes = const size_of::<Frame>(), all = const ALL_FEATURES,
    entry = const offset_of!(Frame, entry), stack = const offset_of!(Frame, stack), fs_base = const offset_of!(Frame, fs_base),
    gs_free = const offset_of!(Frame, gs_free),
    in_vectors = const offset_of!(Frame, before) + offset_of!(State, vectors),
    in = const offset_of!(Frame, before) + offset_of!(State, regs),
    in_flags = const offset_of!(Frame, before) + offset_of!(State, flags),
    out_vectors = const offset_of!(Frame, after) + offset_of!(State, vectors),
    out = const offset_of!(Frame, after) + offset_of!(State, regs),
    out_flags = const offset_of!(Frame, after) + offset_of!(State, flags),
);

pub fn frame() -> &'static mut Frame {
    let at = &raw mut world_frame;
    // SAFETY: one at a time: programs are run by one thread, under the lock of `inside`.
    unsafe { &mut *at }
}

pub fn harness() -> u64 {
    world_harness as *const () as u64
}

pub fn store() -> u64 {
    world_store as *const () as u64
}

const UC_REGS: usize = 5;
const UC_RIP: usize = UC_REGS + 16;
const UC_VECTORS: usize = 28;
const SIGNALS: [u64; 5] = [4, 5, 7, 8, 11];

// The application's handler: remembers what it is told, and ends the program. It runs in the engine too.
extern "C" fn on_fault(signal: u64, info: *const u64, uc: *mut u64) {
    // SAFETY: the kernel's, or the engine's, for a handler with SA_SIGINFO.
    unsafe {
        let fault = &raw mut world_frame.fault;
        (*fault).count += 1;
        (*fault).signal = signal;
        (*fault).code = info.add(1).read() & 0xffff_ffff;
        (*fault).address = info.add(2).read();
        for at in 0..38 {
            (*fault).words[at] = uc.add(at).read();
        }
        let vectors = uc.add(UC_VECTORS).read() as *const u64;
        let words = (world_frame.features as usize / 8).min(512);
        for at in 0..words {
            (*fault).vectors[at] = vectors.add(at).read();
        }
        uc.add(UC_RIP).write(world_store as *const () as u64);
    }
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Disposition {
    handler: u64,
    flags: u64,
    restorer: u64,
    mask: u64,
}

unsafe extern "C" {
    fn world_sigreturn();
}
#[rustfmt::skip]
global_asm!(".globl world_sigreturn", "world_sigreturn:", "mov eax, 15", "syscall", "ud2");

/// The mappings, made once in this process. To be made before an engine, which is to find the application's handlers.
pub struct World {
    pub pristine: Vec<u8>, // of all regions, one after another
    code_alias: u64,
    engine: [Disposition; 5],
    offsets: [usize; 12], // of the components in an XSAVE image
    changing: Vec<u8>,    // what `CHANGING` is to be before a program
}

fn map(at: u64, bytes: u64, protection: u64, flags: u64, file: i64, offset: u64) -> u64 {
    let answer = sys::call(sys::MMAP, [at, bytes, protection, flags, file as u64, offset]);
    if answer == sys::EEXIST {
        begin_anew(at);
    }
    assert!(answer > 0, "mmap {at:#x}: {answer}");
    if at != 0 {
        assert_eq!(answer as u64, at);
    }
    answer as u64
}

/// What the kernel places at random lies where the world is to be: the same once more, placed otherwise.
fn begin_anew(at: u64) -> ! {
    const PLACEMENTS: &str = "WORLD_PLACEMENTS";
    const PLACEMENTS_MAX: u32 = 20;
    let tried: u32 = std::env::var(PLACEMENTS).ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    assert!(tried < PLACEMENTS_MAX, "{at:#x} is taken, in {tried} placements");
    let program = std::env::current_exe().expect("a path");
    let error = Command::new(program).args(std::env::args_os().skip(1)).env(PLACEMENTS, (tried + 1).to_string()).exec();
    panic!("{error}");
}

/// On one processor: `rdpid` and `lsl` tell which one it is, and both runs of a program have to be told the same.
fn stay_here() {
    const SCHED_SETAFFINITY: u64 = 203;
    const GETCPU: u64 = 309;
    let mut here = 0u32;
    sys::call(GETCPU, [(&raw mut here) as u64, 0, 0, 0, 0, 0]);
    let mut only = [0u64; 16];
    only[here as usize / 64] = 1 << (here % 64);
    let answer = sys::call(SCHED_SETAFFINITY, [0, size_of_val(&only) as u64, only.as_ptr() as u64, 0, 0, 0]);
    assert!(answer >= 0, "sched_setaffinity: {answer}");
}

impl World {
    pub fn new() -> World {
        const MEMFD_CREATE: u64 = 319;
        const FTRUNCATE: u64 = 77;
        stay_here();
        static FILES: OnceLock<u64> = OnceLock::new();
        let code_alias = *FILES.get_or_init(|| {
            let code = sys::call(MEMFD_CREATE, [c"code".as_ptr() as u64, 0, 0, 0, 0, 0]);
            sys::call(FTRUNCATE, [code as u64, 3 * CODE_BYTES, 0, 0, 0, 0]);
            for (at, region) in CODE.iter().enumerate() {
                map(region.begin, CODE_BYTES, 5, 0x10_0002, code, at as u64 * CODE_BYTES);
            }
            for region in regions() {
                map(region.begin, region.bytes, 3, 0x10_0021, -1, 0);
            }
            map(0, 3 * CODE_BYTES, 3, 1, code, 0)
        });
        let mut offsets = [0; 12];
        for (at, offset) in offsets.iter_mut().enumerate().skip(2) {
            *offset = core::arch::x86_64::__cpuid_count(0xd, at as u32).ebx as usize;
        }
        frame().features = sys::vector_bytes();
        frame().gs_free = u64::from(crate::inside::mode() == seal::abi::mode::NONE);
        let bytes = regions().iter().map(|r| r.bytes as usize).sum();
        let mut world =
            World { pristine: vec![0; bytes], code_alias, engine: [Disposition::default(); 5], offsets, changing: Vec::new() };
        world.native_handlers(true);
        world
    }

    /// Fill the regions as they are to be before a program, and let registers and vectors be anything.
    pub fn shuffle(&mut self, dice: &mut Dice) {
        for word in self.pristine.chunks_exact_mut(8) {
            word.copy_from_slice(&dice.number().to_le_bytes());
        }
        for at in 0..16 {
            let (small, base) = ((dice.below(0x41)) as u32, 0u64);
            self.set_pristine(DATA[0].begin + base + INDICES32 + at * 4, &small.to_le_bytes());
        }
        for at in 0..8 {
            self.set_pristine(DATA[0].begin + INDICES64 + at * 8, &dice.below(0x41).to_le_bytes());
        }
        let state = &mut frame().before;
        for register in &mut state.regs {
            *register = dice.number();
        }
        state.regs[seal::abi::RSP] = STACK_BEGIN;
        state.flags = 0x202 | (dice.next() & 0xcd5);
        self.shuffle_vectors(dice);
    }

    fn shuffle_vectors(&self, dice: &mut Dice) {
        let vectors = &mut frame().before.vectors;
        vectors.fill(0);
        let total = (frame().features as usize).min(VECTORS_BYTES);
        for word in vectors[576..total].chunks_exact_mut(8) {
            word.copy_from_slice(&vector_word(dice).to_le_bytes());
        }
        for word in vectors[160..416].chunks_exact_mut(8) {
            word.copy_from_slice(&vector_word(dice).to_le_bytes());
        }
        // x87: masked, any rounding and precision, any stack.
        let control = 0x7f | (dice.pick(&[0u16, 2, 3]) << 8) | (dice.below(4) as u16) << 10;
        vectors[0..2].copy_from_slice(&control.to_le_bytes());
        let status = (dice.below(8) as u16) << 11 | (dice.next() as u16 & 0x4700);
        vectors[2..4].copy_from_slice(&status.to_le_bytes());
        vectors[4] = dice.next() as u8;
        for at in 0..8 {
            let register = &mut vectors[32 + at * 16..][..10];
            register[..8].copy_from_slice(&(dice.next() | if dice.chance(90) { 1 << 63 } else { 0 }).to_le_bytes());
            let exponent = if dice.chance(70) { 0x3fff - 40 + dice.below(80) } else { dice.next() } as u16 & 0x7fff;
            register[8..].copy_from_slice(&(exponent | (dice.next() as u16 & 0x8000)).to_le_bytes());
        }
        let mxcsr = 0x1f80
            | (dice.below(4) as u32) << 13
            | if dice.chance(20) { 0x8000 } else { 0 }
            | if dice.chance(20) { 0x40 } else { 0 };
        vectors[24..28].copy_from_slice(&mxcsr.to_le_bytes());
        vectors[512..520].copy_from_slice(&(ALL_FEATURES & sys::vector_features()).to_le_bytes());
        vectors[520..576].fill(0);
    }

    fn pristine_at(&self, address: u64) -> usize {
        let mut at = 0;
        for region in regions() {
            if region.holds(address) {
                return at + (address - region.begin) as usize;
            }
            at += region.bytes as usize;
        }
        panic!("{address:#x} is in no region");
    }

    pub fn set_pristine(&mut self, address: u64, bytes: &[u8]) {
        let at = self.pristine_at(address);
        self.pristine[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Put code where it runs.
    pub fn write_code(&self, address: u64, bytes: &[u8]) {
        let at = CODE.iter().position(|r| r.holds(address)).expect("code region") as u64;
        let alias = self.code_alias + at * CODE_BYTES + (address - CODE[at as usize].begin);
        // SAFETY: inside the alias, whose length is that of the regions.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), alias as *mut u8, bytes.len()) };
    }

    /// Let there be memory that may be written and executed, with this code in it before each run.
    pub fn set_changing(&mut self, code: &[u8]) {
        if self.changing.is_empty() {
            map(CHANGING.begin, CHANGING.bytes, 7, 0x10_0022, -1, 0);
        }
        self.changing = code.to_vec();
        self.changing.resize(CHANGING.bytes as usize, 0xcc);
    }

    pub fn reset(&self) {
        if !self.changing.is_empty() {
            seal::pages::open_all();
            // SAFETY: as below.
            unsafe { core::ptr::copy_nonoverlapping(self.changing.as_ptr(), CHANGING.begin as *mut u8, self.changing.len()) };
        }
        let mut at = 0;
        for region in regions() {
            // SAFETY: the regions are mapped, and nothing of Rust's is in them.
            unsafe {
                core::ptr::copy_nonoverlapping(self.pristine[at..].as_ptr(), region.begin as *mut u8, region.bytes as usize)
            };
            at += region.bytes as usize;
        }
        let frame = frame();
        frame.after.vectors.fill(0);
        frame.after.regs = [0; 16];
        frame.fault.count = 0;
        frame.fault.vectors = [0; 512];
    }

    // ---- running

    /// Let the kernel know the application's handler (true) or the engine's.
    pub fn native_handlers(&mut self, native: bool) {
        for (at, &signal) in SIGNALS.iter().enumerate() {
            let own = Disposition {
                handler: on_fault as *const () as u64,
                flags: 4 | 0x0400_0000 | 0x4000_0000, // SA_SIGINFO, SA_RESTORER, SA_NODEFER
                restorer: world_sigreturn as *const () as u64,
                mask: 0,
            };
            let wanted = if native { own } else { self.engine[at] };
            let mut before = Disposition::default();
            sys::call(sys::RT_SIGACTION, [signal, (&raw const wanted) as u64, (&raw mut before) as u64, 8, 0, 0]);
            if native {
                self.engine[at] = before;
            }
        }
    }

    pub fn run_natively(&mut self, entry: u64) -> Outcome {
        self.reset();
        frame().entry = entry;
        self.native_handlers(true);
        // SAFETY: a function of no arguments that keeps what a function must.
        unsafe { core::mem::transmute::<u64, extern "C" fn()>(harness())() };
        self.native_handlers(false);
        self.outcome()
    }

    pub fn run_inside(&mut self, inside: &mut Inside, entry: u64) -> Outcome {
        self.reset();
        frame().entry = entry;
        let top = stack_top();
        let (regs, flags) = inside.call(harness(), &[0; 16], 0x202, top);
        assert_eq!((regs[0], regs[seal::abi::RSP], flags & 0x400), (0, top, 0), "the harness itself");
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        let frame = frame();
        let mut memory = vec![0; self.pristine.len()];
        let mut at = 0;
        for region in regions() {
            // SAFETY: as in `reset`.
            unsafe {
                core::ptr::copy_nonoverlapping(region.begin as *const u8, memory[at..].as_mut_ptr(), region.bytes as usize)
            };
            at += region.bytes as usize;
        }
        if frame.fault.count != 0 {
            // Below the stack pointer lies what the kernel, or the engine, has written for the handler, and the handler's own.
            let sp = frame.fault.words[UC_REGS + 15];
            if STACK.holds(sp) {
                let end = self.pristine_at(sp) - 128;
                let begin = self.pristine_at(STACK.begin);
                memory[begin..end].fill(0);
            }
        }
        Outcome {
            regs: frame.after.regs,
            flags: frame.after.flags,
            vectors: frame.after.vectors,
            memory,
            fault: (frame.fault.count != 0).then_some(frame.fault),
        }
    }

    /// Say in what two outcomes differ.
    pub fn differences(&self, native: &Outcome, inside: &Outcome) -> Vec<String> {
        let mut found = Vec::new();
        let mut differ = |what: String, a: u64, b: u64| {
            if a != b {
                found.push(format!("{what}: {a:#x} natively, {b:#x} inside"));
            }
        };
        const NAMES: [&str; 16] =
            ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
        for (at, name) in NAMES.iter().enumerate() {
            differ((*name).to_string(), native.regs[at], inside.regs[at]);
        }
        // With the shadow's tests, an instruction that would set flags and faults instead is seen without those of before.
        let mask = if crate::inside::mode() == seal::abi::mode::NONE || native.fault.is_none() { !0 } else { !0x8d5 };
        differ("flags".to_string(), native.flags & mask, inside.flags & mask);
        self.vectors_differ("", &native.vectors, &inside.vectors, &mut differ);
        let mut at = 0;
        for region in regions() {
            for word in 0..region.bytes as usize / 8 {
                let value = |o: &Outcome| u64::from_le_bytes(o.memory[at + word * 8..][..8].try_into().expect("8 bytes"));
                differ(format!("[{:#x}]", region.begin + word as u64 * 8), value(native), value(inside));
            }
            at += region.bytes as usize;
        }
        match (&native.fault, &inside.fault) {
            (Some(a), Some(b)) => self.faults_differ(a, b, &mut differ),
            (a, b) => differ("signals".to_string(), a.map_or(0, |f| f.signal), b.map_or(0, |f| f.signal)),
        }
        found
    }

    fn vectors_differ(&self, prefix: &str, native: &[u8], inside: &[u8], differ: &mut impl FnMut(String, u64, u64)) {
        let word = |image: &[u8], at: usize| u64::from_le_bytes(image[at..at + 8].try_into().expect("8 bytes"));
        // A component that is not stored is all zeros; whether the processor has noticed that is its own affair.
        let present = |image: &[u8], bit: u32| word(image, 512) & 1 << bit != 0;
        differ(format!("{prefix}vector components"), u64::from(present(native, 0)), u64::from(present(inside, 0)));
        let mut part = |name: &str, bit: u32, begin: usize, bytes: usize| {
            let value = |image: &[u8], at: usize| if present(image, bit) { word(image, at) } else { 0 };
            for at in (begin..begin + bytes).step_by(8) {
                differ(format!("{prefix}{name}+{:#x}", at - begin), value(native, at), value(inside, at));
            }
        };
        part("fpu", 0, 0, 24);
        part("st", 0, 32, 128);
        part("xmm", 1, 160, 256);
        part("ymm", 2, self.offsets[2], 256);
        part("k", 5, self.offsets[5], 64);
        part("zmm high", 6, self.offsets[6], 512);
        part("zmm16..31", 7, self.offsets[7], 1024);
        let mxcsr = |image: &[u8]| word(image, 24) & 0xffff_ffff;
        differ(format!("{prefix}mxcsr"), mxcsr(native), mxcsr(inside));
    }

    fn faults_differ(&self, native: &Fault, inside: &Fault, differ: &mut impl FnMut(String, u64, u64)) {
        const NAMES: [&str; 23] = [
            "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp", "rip",
            "flags", "segments", "error", "trap", "old mask", "cr2",
        ];
        differ("signals taken".to_string(), native.count, inside.count);
        differ("signal".to_string(), native.signal, inside.signal);
        differ("si_code".to_string(), native.code, inside.code);
        differ("si_addr".to_string(), native.address, inside.address);
        let page_fault = native.words[UC_REGS + 20] == 14;
        for (at, name) in NAMES.iter().enumerate() {
            if *name != "cr2" || page_fault {
                let mask = if crate::inside::mode() == seal::abi::mode::NONE || *name != "flags" { !0 } else { !0x8d5 };
                differ(format!("ucontext {name}"), native.words[UC_REGS + at] & mask, inside.words[UC_REGS + at] & mask);
            }
        }
        differ("uc_flags".to_string(), native.words[0], inside.words[0]);
        differ("uc_link".to_string(), native.words[1], inside.words[1]);
        differ("uc_sigmask".to_string(), native.words[37], inside.words[37]);
        differ("uc_stack.sp".to_string(), native.words[2], inside.words[2]);
        differ("uc_stack.flags".to_string(), native.words[3] & 0xffff_ffff, inside.words[3] & 0xffff_ffff);
        differ("uc_stack.size".to_string(), native.words[4], inside.words[4]);
        differ("uc_mcontext.fpstate".to_string(), native.words[UC_VECTORS], inside.words[UC_VECTORS]);
        let bytes = |f: &Fault| f.vectors.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        let (a, b) = (bytes(native), bytes(inside));
        self.vectors_differ("frame ", &a, &b, differ);
        for at in 58..61 {
            differ(format!("frame software bytes {at}"), native.vectors[at], inside.vectors[at]);
        }
    }
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

// Integers, floats of either width and special values alike.
fn vector_word(dice: &mut Dice) -> u64 {
    let single = |dice: &mut Dice| match dice.below(6) {
        0 => dice.next() as u32,
        1 => dice.pick(&[0, 0x8000_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7f80_0001, 1, 0x0080_0000]),
        _ => ((dice.below(2_000_001) as i64 - 1_000_000) as f32 / 37.0).to_bits(),
    };
    match dice.below(4) {
        0 => u64::from(single(dice)) | u64::from(single(dice)) << 32,
        1 => ((dice.below(2_000_001) as i64 - 1_000_000) as f64 / 13.0).to_bits(),
        _ => dice.number(),
    }
}

fn stack_top() -> u64 {
    static STACK: OnceLock<u64> = OnceLock::new();
    *STACK.get_or_init(|| map(0, 0x4_0000, 3, 0x22, -1, 0) + 0x4_0000)
}

/// What a program has left behind.
pub struct Outcome {
    pub regs: [u64; 16],
    pub flags: u64,
    pub vectors: [u8; VECTORS_BYTES],
    pub memory: Vec<u8>,
    pub fault: Option<Fault>,
}
