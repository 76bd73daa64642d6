//! From application code to a fragment: what is decoded, in which order it is laid out, which flags live where.
//!
//! Owns the shape of a fragment. How one instruction is written is `lower`'s.
//!
//! A fragment has one entry and follows the fall-through: past conditional branches, past calls (the return lands in the
//! middle), past a jump to code close by that has no fragment yet. It ends at a jump elsewhere, an indirect jump, a return.

use alloc::vec::Vec;
use core::ops::Range;

use iced_x86::{
    Code as Op, ConstantOffsets, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, Register,
};

use crate::cache::{Full, Thread};
use crate::emit::GuestPc;
use crate::plan::{self, Test};
use crate::sys::Lock;
use crate::transfer::Through;
use crate::{heap, lower, pages, shadow, sinks, sys, window};

const INSTRUCTIONS_MAX: usize = 96;
/// Those of a fragment that follows tags: it is longer.
const FOLLOWED_MAX: usize = 32;
const WINDOW_BYTES: usize = 256;
const INSTRUCTION_BYTES_MAX: usize = 15;
/// How far away a jump's target may lie for the fragment to go on there.
const FOLLOW_BYTES_MAX: u64 = 0x4000;
const PEEK_MAX: usize = 8;
/// What making one fragment takes for the while.
const WORK_BYTES_MAX: u64 = 64 << 10;
const PEEKED: usize = 1024;

/// No memory: nothing lies in it, and it grows by the minimum and the maximum.
pub const NONE: Range<u64> = Range { start: u64::MAX, end: 0 };

/// The six arithmetic flags, as iced counts them.
pub const FLAGS: u32 = 0x3f;

/// One decoded instruction and what is to be known of it besides.
#[derive(Clone, Copy, Default)]
pub struct Step {
    pub instruction: Instruction,
    pub bytes_at: u32,       // where its bytes stand in `Scratch::bytes`
    pub displacement_at: u8, // within the instruction; 0: none
    pub followed: bool,      // a jump that the fragment goes on behind
    pub live: u8,            // flags that somebody may read, at its begin
    pub target: u64,         // where a branch goes, if that is known; else 0
    pub by_engine: bool,     // in shadow mode: its tags are the engine's to see to
    pub tests_at: u16,       // likewise: the tests that go before it, in `Scratch::tests`
    pub tests_end: u16,
}

/// Room for one translation at a time, kept so that none is asked for each time.
pub struct Scratch {
    pub steps: Vec<Step>,
    pub bytes: Vec<u8>,
    pub tests: Vec<Test>,
    pub info: InstructionInfoFactory,
    pub relied: Range<u64>, // constants that branches are known by lie in there
    pub most: usize,        // instructions to a fragment
    pub watched: bool,      // the code may be changed unseen: a short fragment, compared at each entry
    pub live_out: u32,      // flags that live where the fragment's end falls through to
    peeked: Vec<(u64, u8)>,
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch {
            steps: Vec::with_capacity(INSTRUCTIONS_MAX + 1),
            bytes: Vec::with_capacity(INSTRUCTIONS_MAX * INSTRUCTION_BYTES_MAX),
            tests: Vec::new(),
            info: InstructionInfoFactory::new(),
            relied: NONE,
            most: INSTRUCTIONS_MAX,
            watched: false,
            live_out: FLAGS,
            peeked: Vec::new(),
        }
    }

    pub fn forget(&mut self) {
        self.peeked.clear();
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch::new()
    }
}

/// Why there is no fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Unreadable,   // no code can be read there
    Inexecutable, // it can be read, but not executed
    Undecodable,  // no instruction that the processor could have
    Tagged,       // what stands there came in from outside
    Full(Full),
}

/// What a fragment does about tags.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    Nothing,
    Test,   // clean mode: no register has a tag, and what is found in memory is the engine's to see to
    Follow, // tracking mode
}

/// How a fragment is wanted.
#[derive(Clone, Copy)]
pub struct Wish {
    pub pc: GuestPc,
    pub through: Option<Through>, // reached by one of the tables: begin with a landing
    pub work: Work,
    pub alone: bool, // one instruction
    pub once: bool,  // likewise, and for one use: it is about to write into code, perhaps its own
}

/// Translate what stands at `wish.pc`; answer the fragment's number.
pub fn translate(thread: &mut Thread, wish: Wish) -> Result<u32, Refusal> {
    let most = match wish.work {
        _ if wish.alone => 1,
        Work::Follow => FOLLOWED_MAX,
        Work::Nothing | Work::Test => INSTRUCTIONS_MAX,
    };
    // When there is little left, one thread at a time: or else what all need for the while might be too much.
    static ALONE: Lock = Lock::new();
    let _alone = heap::is_low().then(|| ALONE.hold());
    if !thread.is_starved && !heap::has_room(WORK_BYTES_MAX) {
        return Err(Refusal::Full(Full::Flush));
    }
    let most = if thread.is_starved { 1 } else { most.min(thread.scratch.most) };
    let next = decode(thread, wish, most)?;
    liveness(thread, next);
    if wish.work == Work::Test {
        plan::plan(thread);
    }
    lower::fragment(thread, wish, next).map_err(Refusal::Full)
}

/// Application code as it is in memory.
pub struct Window {
    bytes: [u8; WINDOW_BYTES],
    begin: u64,
    length: usize,
}

impl Window {
    pub fn new() -> Window {
        Window { bytes: [0; WINDOW_BYTES], begin: 0, length: 0 }
    }

    /// Return the bytes from `pc` on, at most `INSTRUCTION_BYTES_MAX` of them, fewer where memory ends.
    pub fn at(&mut self, pc: u64) -> &[u8] {
        let offset = pc.wrapping_sub(self.begin) as usize;
        if offset >= self.length || self.length - offset < INSTRUCTION_BYTES_MAX {
            self.begin = pc;
            self.length = sys::read_guest(pc, &mut self.bytes);
            return &self.bytes[..self.length.min(INSTRUCTION_BYTES_MAX)];
        }
        &self.bytes[offset..offset + INSTRUCTION_BYTES_MAX]
    }
}

impl Default for Window {
    fn default() -> Self {
        Window::new()
    }
}

/// Decode one instruction at `pc`.
pub fn decode_one(pc: u64) -> Option<Instruction> {
    let mut window = Window::new();
    let bytes = window.at(pc);
    let mut decoder = Decoder::with_ip(64, bytes, pc, DecoderOptions::NONE);
    let instruction = decoder.decode();
    (!instruction.is_invalid()).then_some(instruction)
}

// Fill `scratch.steps`; answer where the fragment goes on if its last instruction falls through.
fn decode(thread: &mut Thread, wish: Wish, most: usize) -> Result<GuestPc, Refusal> {
    let mut scratch = core::mem::take(&mut thread.scratch);
    let outcome = decode_into(thread, &mut scratch, wish, most);
    thread.scratch = scratch;
    outcome
}

fn decode_into(thread: &Thread, scratch: &mut Scratch, wish: Wish, most: usize) -> Result<GuestPc, Refusal> {
    let start = wish.pc;
    let heeds_tags = wish.work != Work::Nothing && shadow::is_followed();
    scratch.steps.clear();
    scratch.bytes.clear();
    scratch.relied = NONE;
    let mut window = Window::new();
    let mut pc = start.0;
    let mut range = pages::executable(pc).ok_or(Refusal::Inexecutable)?;
    scratch.watched = range.shared;
    while scratch.steps.len() < most {
        let bytes = window.at(pc);
        if bytes.is_empty() {
            if scratch.steps.is_empty() {
                return Err(Refusal::Unreadable);
            }
            break;
        }
        let last_byte = pc + bytes.len() as u64 - 1;
        if !(range.low..range.high).contains(&pc) || !(range.low..range.high).contains(&last_byte) {
            match pages::executable(pc) {
                Some(next) if next.shared == scratch.watched => range = next,
                _ => break,
            }
        }
        let bytes = &bytes[..bytes.len().min(INSTRUCTION_BYTES_MAX)];
        let mut decoder = Decoder::with_ip(64, bytes, pc, DecoderOptions::NONE);
        let mut step = Step::default();
        decoder.decode_out(&mut step.instruction);
        if step.instruction.is_invalid() {
            if scratch.steps.is_empty() {
                let short = decoder.last_error() == DecoderError::NoMoreBytes;
                return Err(if short { Refusal::Unreadable } else { Refusal::Undecodable });
            }
            break;
        }
        let offsets = decoder.get_constant_offsets(&step.instruction);
        if heeds_tags && is_from_outside(&step.instruction, &offsets) {
            if scratch.steps.is_empty() {
                return Err(Refusal::Tagged);
            }
            break;
        }
        if heeds_tags && !scratch.steps.is_empty() && sinks::takes_format(pc) {
            break; // a fragment begins there
        }
        step.displacement_at = offsets.displacement_offset() as u8;
        step.bytes_at = scratch.bytes.len() as u32;
        let length = step.instruction.len();
        scratch.bytes.extend_from_slice(&bytes[..length]);
        let flow = step.instruction.flow_control();
        step.target = target_of(&step.instruction, &mut scratch.relied);
        let mut next = pc + length as u64;
        let mut last = false;
        match flow {
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                let target = step.target;
                let near = target != 0
                    && !scratch.watched
                    && target.abs_diff(start.0) < FOLLOW_BYTES_MAX
                    && scratch.steps.len() < INSTRUCTIONS_MAX / 2
                    && target != start.0
                    && thread.lookup(GuestPc(target), wish.work).is_none()
                    && !scratch.steps.iter().any(|s| s.instruction.ip() == target);
                step.followed = near;
                next = if near { target } else { next };
                last = !near;
            }
            FlowControl::Return | FlowControl::Exception | FlowControl::XbeginXabortXend => last = true,
            FlowControl::ConditionalBranch | FlowControl::Call | FlowControl::IndirectCall => {
                last = is_far(step.instruction.code());
                if thread.lookup(GuestPc(next), wish.work).is_some()
                    || thread.landing(GuestPc(next)).is_some() && is_near_call(&step.instruction)
                {
                    scratch.steps.push(step);
                    return Ok(GuestPc(next));
                }
            }
            FlowControl::Interrupt => last = step.instruction.mnemonic() == Mnemonic::Iretq,
            FlowControl::Next => {}
        }
        scratch.steps.push(step);
        pc = next;
        if last || (scratch.watched && flow != FlowControl::Next) {
            break;
        }
    }
    Ok(GuestPc(pc))
}

// Where a branch goes: what it says, or what stands in memory that nobody writes, as the linker has left it.
fn target_of(instruction: &Instruction, relied: &mut Range<u64>) -> u64 {
    match instruction.code() {
        Op::Jmp_rel8_64 | Op::Jmp_rel32_64 | Op::Call_rel32_64 => {
            let target = instruction.near_branch_target();
            past_stub(target, relied).unwrap_or(target)
        }
        Op::Jmp_rm64 | Op::Call_rm64 => linked(instruction, relied).unwrap_or(0),
        _ => 0,
    }
}

// Where a stub of the linker's at `pc` leads: it does nothing else.
fn past_stub(pc: u64, relied: &mut Range<u64>) -> Option<u64> {
    let mut window = Window::new();
    let mut decoder = Decoder::with_ip(64, window.at(pc), pc, DecoderOptions::NONE);
    let mut instruction = decoder.decode();
    if instruction.code() == Op::Endbr64 {
        instruction = decoder.decode();
    }
    if instruction.code() != Op::Jmp_rm64 || pages::executable(pc).is_none_or(|range| range.shared) {
        return None;
    }
    let target = linked(&instruction, relied)?;
    rely(pc, instruction.next_ip(), relied);
    Some(target)
}

fn linked(branch: &Instruction, relied: &mut Range<u64>) -> Option<u64> {
    let at = branch.ip_rel_memory_address();
    if !branch.is_ip_rel_memory_operand() || branch.has_segment_prefix() {
        return None;
    }
    pages::translated(at, at + 8); // first: should its rights change meanwhile, it is heard of
    let target = if pages::is_constant(at, at + 8) { sys::read_guest_u64(at) } else { None };
    target.inspect(|_| rely(at, at + 8, relied))
}

fn rely(low: u64, high: u64, relied: &mut Range<u64>) {
    pages::translated(low, high);
    *relied = relied.start.min(low)..relied.end.max(high);
}

// Whether what an instruction does came in from outside. Constants and displacements may: compilers at run time write what they are told.
fn is_from_outside(instruction: &Instruction, offsets: &ConstantOffsets) -> bool {
    const WORD_BYTES: usize = 8;
    let (pc, length) = (instruction.ip(), instruction.len());
    if !shadow::any_tag(pc, length as u64) || window::shares(pc, length as u64) && !pages::may_be_written(pc) {
        return false;
    }
    let constants = [
        (offsets.displacement_offset(), offsets.displacement_size()),
        (offsets.immediate_offset(), offsets.immediate_size()),
        (offsets.immediate_offset2(), offsets.immediate_size2()),
    ];
    let is_constant = |at: usize| constants.iter().any(|&(begin, bytes)| (begin..begin + bytes).contains(&at));
    let tags = [shadow::word(pc).to_le_bytes(), shadow::word(pc + WORD_BYTES as u64).to_le_bytes()];
    (0..length).any(|at| tags[at / WORD_BYTES][at % WORD_BYTES] != 0 && !is_constant(at))
}

fn is_near_call(instruction: &Instruction) -> bool {
    instruction.code() == Op::Call_rel32_64 || instruction.flow_control() == FlowControl::IndirectCall
}

fn is_near(code: Op) -> bool {
    matches!(code, Op::Jmp_rel8_64 | Op::Jmp_rel32_64)
}

/// Whether an instruction changes the code segment, or is none that a 64-bit program has.
pub fn is_far(code: Op) -> bool {
    matches!(
        code,
        Op::Call_m1616
            | Op::Call_m1632
            | Op::Call_m1664
            | Op::Jmp_m1616
            | Op::Jmp_m1632
            | Op::Jmp_m1664
            | Op::Retfw
            | Op::Retfd
            | Op::Retfq
            | Op::Retfw_imm16
            | Op::Retfd_imm16
            | Op::Retfq_imm16
            | Op::Iretw
            | Op::Iretd
            | Op::Iretq
            | Op::Sysenter
            | Op::Sysexitd
            | Op::Sysexitq
            | Op::Sysretd
            | Op::Sysretq
            | Op::Retnw
            | Op::Retnw_imm16
            | Op::Call_rm16
            | Op::Jmp_rm16
            | Op::Call_rel16
            | Op::Jmp_rel16
    )
}

// Say of each step which flags live at its begin, from the last to the first.
fn liveness(thread: &mut Thread, next: GuestPc) {
    let mut scratch = core::mem::take(&mut thread.scratch);
    let mut live = match scratch.steps.last().map(|s| s.instruction.flow_control()) {
        Some(FlowControl::UnconditionalBranch | FlowControl::Return | FlowControl::IndirectBranch) => FLAGS,
        _ => peek(&mut scratch.peeked, next.0),
    };
    scratch.live_out = live;
    for at in (0..scratch.steps.len()).rev() {
        let instruction = scratch.steps[at].instruction;
        live = match instruction.flow_control() {
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch if scratch.steps[at].followed => live,
            FlowControl::UnconditionalBranch if is_near(instruction.code()) => {
                peek(&mut scratch.peeked, instruction.near_branch_target())
            }
            FlowControl::ConditionalBranch => {
                live | flags_read(&instruction) | peek(&mut scratch.peeked, instruction.near_branch_target())
            }
            FlowControl::Call if matches!(instruction.code(), Op::Call_rel32_64) => {
                peek(&mut scratch.peeked, instruction.near_branch_target())
            }
            FlowControl::Next => (live & !flags_killed(&instruction)) | flags_read(&instruction),
            _ => FLAGS,
        };
        scratch.steps[at].live = live as u8;
    }
    thread.scratch = scratch;
}

/// Return the flags that code at `pc` may read before it writes them, by a look at its first instructions.
fn peek(memory: &mut Vec<(u64, u8)>, pc: u64) -> u32 {
    if memory.is_empty() {
        if !heap::has_room((PEEKED * size_of::<(u64, u8)>()) as u64) {
            return look(pc);
        }
        memory.resize(PEEKED, (0, 0));
    }
    let cell = (pc.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize % PEEKED;
    if memory[cell].0 == pc {
        return u32::from(memory[cell].1);
    }
    let answer = look(pc);
    memory[cell] = (pc, answer as u8);
    answer
}

fn look(mut pc: u64) -> u32 {
    let mut window = Window::new();
    let (mut read, mut killed) = (0, 0);
    for _ in 0..PEEK_MAX {
        let mut decoder = Decoder::with_ip(64, window.at(pc), pc, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            break;
        }
        read |= flags_read(&instruction) & !killed;
        match instruction.flow_control() {
            FlowControl::Next => killed |= flags_killed(&instruction),
            FlowControl::UnconditionalBranch if is_near(instruction.code()) => {
                pc = instruction.near_branch_target();
                continue;
            }
            _ => break,
        }
        if read | killed == FLAGS {
            return read;
        }
        pc = instruction.next_ip();
    }
    read | (FLAGS & !killed)
}

fn flags_read(instruction: &Instruction) -> u32 {
    instruction.rflags_read() & FLAGS
}

// The flags that are surely not what they were. A shift by zero and a repetition of no times write none; what is called undefined, a
// processor may leave as it was. But of the auxiliary flag behind logic no program may know anything, and there it matters: or else
// hardly a flag would ever be dead.
fn flags_killed(instruction: &Instruction) -> u32 {
    let sure = !matches!(
        instruction.mnemonic(),
        Mnemonic::Shl
            | Mnemonic::Shr
            | Mnemonic::Sar
            | Mnemonic::Sal
            | Mnemonic::Rol
            | Mnemonic::Ror
            | Mnemonic::Rcl
            | Mnemonic::Rcr
            | Mnemonic::Shld
            | Mnemonic::Shrd
    ) && !instruction.has_rep_prefix()
        && !instruction.has_repne_prefix();
    if !sure {
        return 0;
    }
    let undefined = if is_logic(instruction.mnemonic()) { instruction.rflags_undefined() } else { 0 };
    (instruction.rflags_written() | instruction.rflags_cleared() | instruction.rflags_set() | undefined) & FLAGS
}

fn is_logic(mnemonic: Mnemonic) -> bool {
    matches!(mnemonic, Mnemonic::And | Mnemonic::Or | Mnemonic::Xor | Mnemonic::Test)
}

/// Return the number by which instructions name a general register, whatever its width.
pub fn number(register: Register) -> Option<u8> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number() as u8)
}
