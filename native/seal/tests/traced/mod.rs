//! A program's native run, instruction by instruction, and where a run in the engine left translated code for the sake of tags.
//!
//! Natively the processor traps behind each instruction. Inside, the gate's call of the dispatcher is led here first. Both happen in this
//! process, on stacks of their own, and note what the application's state is: registers, flags, a sum of all memory.

pub mod moving;

use std::sync::Once;

use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};
use seal::abi::{self, Context};
use seal::cache::ExitKind;
use seal::{dispatch, sys};

use crate::generate::world::{self, World};

pub const TRAP_FLAG: u64 = 0x100;
pub const DIRECTION: u64 = 0x400;
const ARITHMETIC: u64 = 0x8d5;
const SIGTRAP: u64 = 5;
const SIGVTALRM: u64 = 26;
/// Of processor time.
const MICROSECONDS_MAX: u64 = 50_000;
const NOTES_MAX: usize = 2000;
const CHANGES_MAX: usize = 0x4_0000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    pub rip: u64,
    pub regs: abi::Registers,
    pub flags: u64,
    pub memory: u64,
}

pub struct Exit {
    pub tagged: bool, // a test has found a tag; else the engine sees to this instruction's tags always
    pub state: State,
}

// What the handler and the hook write: memory is there beforehand, none may be asked for in them.
struct Notes {
    text: core::ops::Range<u64>,
    stepped: Vec<State>,
    changes: Vec<(usize, u64)>, // bytes that the instruction before this place has changed
    exits: Vec<Exit>,
    copy: Vec<u64>,
    memory: u64,
    fault: u64,
    lost: bool,
    keeps_fs: bool,
}

static mut NOTES: Option<Box<Notes>> = None;

fn notes() -> &'static mut Notes {
    let at = &raw mut NOTES;
    // SAFETY: one thread, under the lock of `inside`; handler and hook do not interrupt who uses them.
    unsafe { &mut *at }.as_mut().expect("prepared")
}

fn weight(at: usize) -> u64 {
    0x9e37_79b9_7f4a_7c15 ^ (at as u64) << 1
}

fn words() -> impl Iterator<Item = (usize, u64, u64)> {
    let all = world::regions().into_iter().flat_map(|region| {
        let words = sys::words(region.begin, region.bytes as usize / 8);
        words.iter().enumerate().map(move |(at, &word)| (region.begin + at as u64 * 8, word))
    });
    all.enumerate().map(|(at, (address, word))| (at, address, word))
}

fn memory() -> u64 {
    words().fold(0, |sum, (at, _, word)| sum.wrapping_add(word.wrapping_mul(weight(at))))
}

// ---- natively

const UC_REGS: usize = 5;
const UC_RIP: usize = UC_REGS + 16;
const UC_FLAGS: usize = UC_REGS + 17;
/// Where each of `Registers` stands in a ucontext.
const ORDER: [usize; 16] = [13, 14, 12, 11, 15, 10, 9, 8, 0, 1, 2, 3, 4, 5, 6, 7];

extern "C" fn on_stop(signal: u64, _: *const u64, uc: *mut u64) {
    const SYSCALL: [u8; 2] = [0x0f, 0x05];
    let notes = notes();
    // SAFETY: the kernel's ucontext.
    let uc = unsafe { core::slice::from_raw_parts_mut(uc, UC_FLAGS + 1) };
    let rip = uc[UC_RIP];
    if signal != SIGTRAP || notes.stepped.len() + 2 > NOTES_MAX || notes.changes.len() + 0x1000 > CHANGES_MAX {
        notes.fault = signal;
        uc[UC_RIP] = world::store();
        uc[UC_FLAGS] &= !TRAP_FLAG;
        return;
    }
    let inside = notes.text.contains(&rip);
    if !inside && !notes.stepped.is_empty() && rip != world::store() {
        notes.fault = SIGTRAP; // it has gone astray
    }
    if inside || rip == world::store() {
        for (at, address, word) in words() {
            if notes.copy[at] != word {
                notes.memory = notes.memory.wrapping_add(word.wrapping_sub(notes.copy[at]).wrapping_mul(weight(at)));
                let differ = word ^ notes.copy[at];
                for byte in (0..8).filter(|byte| differ >> (8 * byte) & 0xff != 0) {
                    notes.changes.push((notes.stepped.len(), address + byte));
                }
                notes.copy[at] = word;
            }
        }
    }
    if rip == world::store() {
        uc[UC_FLAGS] &= !TRAP_FLAG;
    }
    if inside {
        let mut regs = [0; 16];
        let last = notes.stepped.last().map_or(0, |state| state.rip);
        let after_call = last != 0 && rip == last + 3 && sys::octets(last, 2) == SYSCALL;
        if after_call {
            uc[UC_REGS + ORDER[abi::R11]] &= !TRAP_FLAG; // which the call has left in it
        }
        for (register, at) in regs.iter_mut().zip(ORDER) {
            *register = uc[UC_REGS + at];
        }
        let state = State { rip, regs, flags: uc[UC_FLAGS] & (ARITHMETIC | DIRECTION), memory: notes.memory };
        if after_call {
            notes.stepped.push(State { rip: rip - 1, ..state }); // the processor does not stop behind the call, only behind the nop
        }
        notes.stepped.push(state);
    }
}

unsafe extern "C" {
    fn world_sigreturn();
    fn seal_gate();
}

/// Run natively, with a trap behind each instruction or without; answer the signal that ended it, or 0.
pub fn run_natively(world: &mut World, entry: u64, text: core::ops::Range<u64>, stepwise: bool) -> u64 {
    prepare();
    world.reset();
    let frame = world::frame();
    frame.entry = entry;
    let notes = notes();
    notes.text = text;
    notes.stepped.clear();
    notes.changes.clear();
    notes.fault = 0;
    if stepwise {
        words().for_each(|(at, _, word)| notes.copy[at] = word);
        notes.memory = memory();
        frame.before.flags |= TRAP_FLAG;
    }
    world.native_handlers(true);
    let altstack = Altstack::new();
    for signal in [4, 5, 7, 8, 11, SIGVTALRM] {
        let wanted: [u64; 4] = [
            on_stop as *const () as u64,
            4 | 0x0400_0000 | 0x0800_0000 | 0x4000_0000, // SA_SIGINFO, SA_RESTORER, SA_ONSTACK, SA_NODEFER
            world_sigreturn as *const () as u64,
            0,
        ];
        sys::call(sys::RT_SIGACTION, [signal, wanted.as_ptr() as u64, 0, 8, 0, 0]);
    }
    limit(true);
    // SAFETY: a function of no arguments that keeps what a function must.
    unsafe { core::mem::transmute::<u64, extern "C" fn()>(world::harness())() };
    limit(false);
    frame.before.flags &= !TRAP_FLAG;
    world.native_handlers(false);
    drop(altstack);
    notes.fault
}

// A program may return to where it has been, for ever.
fn limit(wanted: bool) {
    const SETITIMER: u64 = 38;
    const ITIMER_VIRTUAL: u64 = 1;
    let wanted = [0, 0, 0, u64::from(wanted) * MICROSECONDS_MAX];
    sys::call3(SETITIMER, ITIMER_VIRTUAL, wanted.as_ptr() as u64, 0);
}

// Programs put their stack pointer where a signal frame would do harm.
struct Altstack {
    before: [u64; 3],
}

impl Altstack {
    const SIGALTSTACK: u64 = 131;

    fn new() -> Altstack {
        static ONCE: Once = Once::new();
        static mut STACK: u64 = 0;
        const BYTES: u64 = 0x2_0000;
        let at = &raw mut STACK;
        // SAFETY: written once.
        ONCE.call_once(|| unsafe { at.write(sys::call(sys::MMAP, [0, BYTES, 3, 0x22, u64::MAX, 0]) as u64) });
        let mut before = [0; 3];
        // SAFETY: as above.
        let wanted = [unsafe { at.read() }, 0, BYTES];
        sys::call3(Altstack::SIGALTSTACK, wanted.as_ptr() as u64, before.as_mut_ptr() as u64, 0);
        Altstack { before }
    }
}

impl Drop for Altstack {
    fn drop(&mut self) {
        sys::call3(Altstack::SIGALTSTACK, self.before.as_ptr() as u64, 0, 0);
    }
}

// ---- inside

extern "C" fn on_exit(context: &mut Context) {
    let notes = notes();
    if let Some(service) = sys::service(context) {
        let id = context.exit as usize;
        let exit = service.peek(|thread| thread.exits.get(id).map(|exit| (exit.kind, exit.target.0)));
        // The harness moves fs, the program may not: so that both ways of a test under fs are seen.
        let next = exit.map_or(context.target, |(_, target)| target);
        let keeps = notes.keeps_fs && notes.text.contains(&next);
        service.with(|thread| thread.fs_changes = !keeps);
        if let Some((kind @ (ExitKind::Tagged | ExitKind::Shadow), rip)) = exit
            && notes.text.contains(&rip)
        {
            let flags = context.rflags & (ARITHMETIC | DIRECTION);
            let state = State { rip, regs: context.regs, flags, memory: memory() };
            if notes.exits.len() < NOTES_MAX {
                notes.exits.push(Exit { tagged: kind == ExitKind::Tagged, state });
            } else {
                notes.lost = true;
            }
        }
    }
    dispatch::from_exit(context);
}

// Let the gate call `on_exit`, once and for all.
fn hook() {
    const CALL: u8 = 0xe8;
    let gate = seal_gate as *const () as u64;
    let wanted = dispatch::from_exit as *const () as u64;
    let mut at = gate;
    loop {
        let displacement = i32::from_le_bytes(sys::octets(at + 1, 4).try_into().expect("4 bytes"));
        if sys::octets(at, 1)[0] == CALL && (at + 5).wrapping_add(displacement as u64) == wanted {
            break;
        }
        at += 1;
        assert!(at < gate + 0x400, "the gate calls no dispatcher");
    }
    let displacement = (on_exit as *const () as u64).wrapping_sub(at + 5) as i32;
    sys::call3(sys::MPROTECT, at & !0xfff, 0x2000, 7);
    sys::octets(at + 1, 4).copy_from_slice(&displacement.to_le_bytes());
    sys::call3(sys::MPROTECT, at & !0xfff, 0x2000, 5);
}

fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let fresh = Notes {
            text: 0..0,
            stepped: Vec::with_capacity(NOTES_MAX),
            changes: Vec::with_capacity(CHANGES_MAX),
            exits: Vec::with_capacity(NOTES_MAX),
            copy: vec![0; words().count()],
            memory: 0,
            fault: 0,
            lost: false,
            keeps_fs: false,
        };
        let at = &raw mut NOTES;
        // SAFETY: before anybody else looks.
        unsafe { at.write(Some(Box::new(fresh))) };
        hook();
    });
}

/// Whether the program that comes next leaves the base of fs alone.
pub fn keep_fs(keeps: bool) {
    notes().keeps_fs = keeps;
}

/// The exits since this was last asked.
pub fn exits() -> Vec<Exit> {
    let notes = notes();
    assert!(!notes.lost, "too many exits");
    notes.exits.drain(..).collect()
}

// ---- what a native run touches

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access {
    pub address: u64,
    pub bytes: u64,
    pub reads: bool,
}

/// An instruction that was executed, all repetitions of it together.
pub struct Executed {
    pub before: State,
    pub instruction: Instruction,
    pub accesses: Vec<Access>,
    pub live: u64, // flags that somebody reads later on
}

/// What the last native run has executed; what it has written that iced knows nothing of.
pub fn executed(fs_base: u64) -> (Vec<Executed>, Vec<String>) {
    let notes = notes();
    let mut info = InstructionInfoFactory::new();
    let mut out: Vec<Executed> = Vec::new();
    let mut unknown = Vec::new();
    let mut fs = fs_base;
    for (number, state) in notes.stepped.iter().enumerate() {
        let instruction = Decoder::with_ip(64, sys::octets(state.rip, 15), state.rip, DecoderOptions::NONE).decode();
        let repeats = instruction.is_string_instruction() && (instruction.has_rep_prefix() || instruction.has_repne_prefix());
        let accesses = accesses(&instruction, &state.regs, fs, repeats, &mut info);
        for &(_, address) in notes.changes.iter().filter(|(at, _)| *at == number + 1) {
            if !instruction.is_vsib() && !accesses.iter().any(|a| (a.address..a.address + a.bytes).contains(&address)) {
                unknown.push(format!("{:x}: {address:#x} is written", state.rip));
            }
        }
        if instruction.mnemonic() == Mnemonic::Wrfsbase {
            fs = state.regs[instruction.op0_register().number()];
        }
        match out.last_mut().filter(|last| repeats && last.before.rip == state.rip) {
            Some(last) => last.accesses.extend(accesses),
            None => out.push(Executed { before: *state, instruction, accesses, live: 0 }),
        }
    }
    let mut live = ARITHMETIC;
    for one in out.iter_mut().rev() {
        let (read, killed) = flags(&one.instruction);
        live = live & !killed | read;
        one.live = live;
    }
    (out, unknown)
}

// What is not sure to be written counts as left.
fn flags(instruction: &Instruction) -> (u64, u64) {
    use iced_x86::RflagsBits as F;
    const BITS: [(u32, u64); 6] = [(F::OF, 0x800), (F::SF, 0x80), (F::ZF, 0x40), (F::AF, 0x10), (F::CF, 1), (F::PF, 4)];
    let of = |iced: u32| BITS.iter().filter(|(bit, _)| iced & bit != 0).fold(0, |all, (_, flag)| all | flag);
    let shifts = matches!(instruction.mnemonic(), Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar | Mnemonic::Rol | Mnemonic::Ror);
    let repeats = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let killed = if shifts || repeats { 0 } else { of(instruction.rflags_modified()) };
    (of(instruction.rflags_read()), killed)
}

fn accesses(
    instruction: &Instruction,
    regs: &abi::Registers,
    fs: u64,
    repeats: bool,
    info: &mut InstructionInfoFactory,
) -> Vec<Access> {
    let value = |register: Register| match register {
        Register::FS => fs,
        _ if register.is_segment_register() => 0,
        Register::RIP => instruction.next_ip(),
        _ => {
            let whole = regs[register.full_register().number()];
            match register.size() {
                1 => whole & 0xff,
                4 => whole & 0xffff_ffff,
                _ => whole,
            }
        }
    };
    if repeats {
        let counter = if instruction.op_kinds().any(|k| matches!(k, OpKind::MemoryESEDI | OpKind::MemorySegESI)) {
            regs[abi::RCX] & 0xffff_ffff
        } else {
            regs[abi::RCX]
        };
        if counter == 0 {
            return Vec::new();
        }
    }
    let bits = bit_offset(instruction, &value);
    let mut out = Vec::new();
    if instruction.mnemonic() == Mnemonic::Clzero {
        out.push(Access { address: regs[abi::RAX] & !63, bytes: 64, reads: false });
    }
    for memory in info.info(instruction).used_memory() {
        let reads =
            matches!(memory.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite);
        let writes = matches!(memory.access(), OpAccess::Write | OpAccess::CondWrite);
        if !reads && !writes || memory.vsib_size() != 0 {
            continue;
        }
        let bytes = match memory.memory_size().size() as u64 {
            0 if instruction.is_string_instruction() => instruction.memory_size().size() as u64,
            0 => sys::vector_bytes(), // xsave and its like
            bytes => bytes,
        };
        let address = memory.virtual_address(0, |register, _, _| Some(value(register))).expect("an address");
        out.push(Access { address: address.wrapping_add_signed(bits), bytes, reads });
    }
    out
}

// By how much the bit that a bit string instruction is about lies beside its operand.
fn bit_offset(instruction: &Instruction, value: &impl Fn(Register) -> u64) -> i64 {
    let strings = matches!(instruction.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc);
    if !strings || instruction.op0_kind() != OpKind::Memory || instruction.op1_kind() != OpKind::Register {
        return 0;
    }
    let number = value(instruction.op1_register());
    match instruction.op1_register().size() {
        2 => i64::from(number as i16 >> 4) * 2,
        4 => i64::from(number as i32 >> 5) * 4,
        _ => (number as i64 >> 6) * 8,
    }
}
