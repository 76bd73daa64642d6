//! Tracking mode: some register may have a tag, and each instruction's tags are seen to right before it.
//!
//! | instruction | its tags |
//! |---|---|
//! | moves between registers and memory | moved likewise, through rcx, which leaves flags alone |
//! | `xor r,r` and its like, `mov r,imm` | cleared |
//! | compares and branches: what writes neither register nor memory | none, for flags have no tags |
//! | arithmetic between general registers | reckoned in code (`reckon`) |
//! | vectors and masks: moves, byte by byte, comparisons | likewise (`lanes`) |
//! | anything else | nothing where all that it reads and writes is clean; or else the engine does it (`flow`) |
//! | indirect branches, returns | where what leads them has a tag, to the engine, which raises the alert |
//! | jumps backwards, returns | every so often by the engine, which sees whether any tag is left to follow |
//!
//! Owns the second column. The tags of general registers lie in the Context, a byte for each of theirs; those of memory under `gs:` (`shadow`).
//!
//! Tags go first and the instruction second. If it faults, or a signal comes between, it is made again from the beginning: its tags too. That
//! changes nothing but for exchanges, which the engine does.

use alloc::vec::Vec;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, Ordering};

use iced_x86::{Code as Op, ConditionCode, FlowControl, Instruction, Mnemonic, OpAccess, OpKind, Register, UsedMemory};

use crate::abi::{Context, RAX, RBX, RCX, RDI, RDX, RSI, RSP, VECTOR_BYTES};
use crate::cache::{ExitKind, Thread, kind};
use crate::emit::{Code, GuestPc, HostPc, JMP_SHORT, JRCXZ, Operand};
use crate::lower::Lower;
use crate::translate::{Step, number};
use crate::{frames, lanes, reckon, shadow, sys};

/// After how many jumps backwards a thread sees whether there are tags left: at first, and where there have been some for long. So it follows
/// none for at most as long as it has followed some.
const OFTEN: u64 = 64;
const SELDOM: u64 = 4096;
/// How many jumps backwards count as much as one return.
const JUMPS_A_RETURN: u64 = 2;

/// Where tags lie.
#[derive(Clone, Copy)]
pub struct Place {
    pub operand: Operand,
    pub bytes: u32,
}

/// A move: `bytes` tags from one place to another, and zeros behind them.
pub struct Move {
    pub to: Operand,
    pub from: Option<Operand>, // none: zeros
    pub bytes: u32,
    pub zeros: u32,
}

/// For tests: the engine does it for each instruction, as `flow` says.
pub static BY_ENGINE: AtomicBool = AtomicBool::new(false);

/// Write what is done about the tags of `step` before it.
pub fn before(lower: &mut Lower<'_>, step: &Step) {
    let pc = GuestPc(step.instruction.ip());
    let branches = matches!(step.instruction.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch);
    if branches || step.instruction.mnemonic() == Mnemonic::Syscall {
        return;
    }
    let needs = Needs::of(lower.thread, &step.instruction);
    if !needs.writes {
        return;
    }
    if needs.by_engine || BY_ENGINE.load(Ordering::Relaxed) {
        lower.by_way_of_engine(ExitKind::Follow, pc);
        return;
    }
    let looks_at_address = needs.stores && sys::mailbox().store_alerts != 0;
    if let Some(moved) = as_move(lower.thread, &step.instruction).filter(|_| !looks_at_address) {
        write_move(lower, &moved, pc);
        return;
    }
    if !looks_at_address && (reckon::before(lower, step) || lanes::before(lower, step)) {
        return;
    }
    lower.restore_rcx(pc); // so that it is the same on both ways
    let (id, stub) = lower.thread.exit(lower.arena, ExitKind::Follow, pc);
    for place in &needs.places {
        if names_rcx(&place.operand) {
            lower.restore_rcx(pc);
        }
        shadow::test_tag(lower, &place.operand, place.bytes, step.live != 0, stub, pc);
    }
    lower.restore_rcx(pc);
    lower.thread.exits[id as usize].field = lower.code.here();
    lower.record(0, pc);
}

/// Write what goes before a jump at `pc` to `target`, which may close a loop.
pub fn before_jump(lower: &mut Lower<'_>, pc: GuestPc, target: GuestPc) {
    if target > pc {
        return;
    }
    let left = lower.thread.field(offset_of!(Context, followed_left));
    let (_, stub) = lower.thread.exit(lower.arena, ExitKind::Often, pc);
    lower.use_rcx(pc);
    count_down(lower, &left, stub);
}

/// Write what goes before an indirect jump or call to `Context::target`: rcx holds the low 16 bits of that, before and after. False: the engine
/// makes the branch.
pub fn before_branch(lower: &mut Lower<'_>, instruction: &Instruction, pc: GuestPc) -> bool {
    let Some(tag) = tag_of_target(lower.thread, instruction) else {
        lower.leave(ExitKind::Branch, pc);
        return false;
    };
    if names_rcx(&tag) {
        lower.restore_rcx(pc);
    }
    let (_, stub) = lower.thread.exit(lower.arena, ExitKind::Branch, pc);
    shadow::test_tag(lower, &tag, WORD_BYTES as u32, true, stub, pc);
    let target = lower.target();
    lower.use_rcx(pc);
    lower.code.movzx_ecx_mem(&target);
    true
}

fn tag_of_target(thread: &mut Thread, instruction: &Instruction) -> Option<Operand> {
    if instruction.op0_kind() == OpKind::Register {
        return Some(tags_of(thread, instruction.op0_register()));
    }
    let fs = fs_base(thread);
    let mut read = thread.scratch.info.info(instruction).used_memory().iter().filter(|m| m.access() == OpAccess::Read);
    tag_of(read.next()?, fs)
}

/// Write what goes before a return to `Context::target`.
pub fn before_return(lower: &mut Lower<'_>, pc: GuestPc) {
    let (_, stub) = lower.thread.exit(lower.arena, ExitKind::Branch, pc);
    let tag = shadow::tag_of(Some(RSP as u8), None, 1, 0);
    shadow::test_tag(lower, &tag, WORD_BYTES as u32, true, stub, pc);
    let left = lower.thread.field(offset_of!(Context, returns_left));
    count_down(lower, &left, stub);
}

// Go to the stub where a counter comes to nought; rcx is saved.
fn count_down(lower: &mut Lower<'_>, left: &Operand, stub: HostPc) {
    lower.code.mov_reg_mem(RCX, left);
    lower.code.lea(RCX, &Operand::at(RCX, -1));
    lower.code.mov_mem_reg(left, RCX);
    let over = lower.code.short(JRCXZ);
    let on = lower.code.short(JMP_SHORT);
    lower.code.land(over);
    let to = lower.stub_as_rcx_is(stub);
    lower.code.jmp(to);
    lower.code.land(on);
}

/// Whether an address is made of rcx.
pub fn names_rcx(operand: &Operand) -> bool {
    [operand.base, operand.index].contains(&Some(RCX as u8))
}

/// The tags that an instruction's own depend on or replace.
struct Needs {
    places: Vec<Place>,
    writes: bool,
    stores: bool, // at an address that registers say, other than the stack's top
    by_engine: bool,
}

impl Needs {
    fn of(thread: &mut Thread, instruction: &Instruction) -> Needs {
        let (fs, fields) = (fs_base(thread), thread.slot as u32);
        let info = thread.scratch.info.info(instruction);
        let mut needs = Needs { places: Vec::new(), writes: false, stores: false, by_engine: false };
        for register in info.used_registers() {
            let written = !matches!(register.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None);
            let Some((at, bytes)) = tags_at(register.register()) else { continue };
            let moves_stack = register.register() == Register::RSP && instruction.stack_pointer_increment() != 0;
            if moves_stack {
                continue;
            }
            needs.writes |= written;
            needs.cover(Operand::absolute(fields + at), bytes);
        }
        needs.by_engine = shadow::is_for_engine(instruction, info.used_memory());
        for memory in info.used_memory() {
            if memory.vsib_size() != 0 {
                needs.by_engine = true;
            }
            if !shadow::touches(memory) {
                continue;
            }
            let written = !matches!(memory.access(), OpAccess::Read | OpAccess::CondRead);
            needs.writes |= written;
            needs.stores |= written && [memory.base(), memory.index()].iter().any(|&r| r != Register::RSP && number(r).is_some());
            match tag_of(memory, fs) {
                Some(operand) if !needs.by_engine => needs.cover(operand, memory.memory_size().size() as u32),
                _ => needs.by_engine = true,
            }
        }
        needs.writes |= needs.by_engine;
        needs
    }

    fn cover(&mut self, operand: Operand, bytes: u32) {
        let mut at = 0;
        while at < bytes {
            let piece = (bytes - at).min(8).next_power_of_two();
            self.places.push(Place { operand: operand.plus(at as i32), bytes: piece });
            at += piece;
        }
    }
}

// The thread's base of fs, if translated code may know it.
fn fs_base(thread: &Thread) -> Option<i32> {
    (!thread.fs_changes).then(|| sys::fs_base() as i32)
}

// The place of a register's tags in the Context, and how many they are. None: it has none.
fn tags_at(register: Register) -> Option<(u32, u32)> {
    let full = register.full_register();
    if full.is_gpr64() {
        let high = matches!(register, Register::AH | Register::BH | Register::CH | Register::DH);
        let at = offset_of!(Context, tags) + 8 * full.number() + usize::from(high);
        return Some((at as u32, if register.is_gpr32() { 8 } else { register.size() as u32 }));
    }
    if register.is_vector_register() {
        let at = offset_of!(Context, vector_tags) + VECTOR_BYTES * register.number();
        return Some((at as u32, register.size() as u32));
    }
    if register.is_k() {
        return Some(((offset_of!(Context, mask_tags) + 8 * register.number()) as u32, 8));
    }
    // Which one of them it is depends on what stands on top.
    (register.is_st() || register.is_mm()).then_some((offset_of!(Context, x87_tags) as u32, 8))
}

// The tags of a memory operand. None: its address is not one that code can reckon.
fn tag_of(memory: &UsedMemory, fs: Option<i32>) -> Option<Operand> {
    let mut displacement = memory.displacement() as i32;
    if memory.segment() == Register::FS {
        displacement = displacement.wrapping_add(fs?);
    }
    let of = |register| if register == Register::None { Some(None) } else { number(register).map(Some) };
    Some(shadow::tag_of(of(memory.base())?, of(memory.index())?, memory.scale() as u8, displacement))
}

/// Return where the tags of a register lie.
pub fn tags_of(thread: &Thread, register: Register) -> Operand {
    Operand::absolute(thread.slot as u32 + tags_at(register).map_or(0, |(at, _)| at))
}

/// Return where the tags of an operand lie, a register or memory.
pub fn place(thread: &mut Thread, instruction: &Instruction, operand: u32) -> Option<Place> {
    let (fs, fields) = (fs_base(thread), thread.slot as u32);
    match instruction.op_kind(operand) {
        OpKind::Register => {
            let (at, bytes) = tags_at(instruction.op_register(operand))?;
            Some(Place { operand: Operand::absolute(fields + at), bytes })
        }
        OpKind::Memory => match thread.scratch.info.info(instruction).used_memory() {
            [one] => Some(Place { operand: tag_of(one, fs)?, bytes: one.memory_size().size() as u32 }),
            _ => None,
        },
        _ => None,
    }
}

// How the tags of a move are moved.
fn as_move(thread: &mut Thread, instruction: &Instruction) -> Option<Move> {
    let (fs, fields) = (fs_base(thread), thread.slot as u32);
    let info = thread.scratch.info.info(instruction);
    let tags = |register: Register| tags_at(register).map(|(at, _)| Operand::absolute(fields + at));
    let memory = || match info.used_memory() {
        [one] => tag_of(one, fs),
        _ => None,
    };
    let place = |operand: u32| match instruction.op_kind(operand) {
        OpKind::Register => tags(instruction.op_register(operand)).map(Some),
        OpKind::Memory => memory().map(Some),
        kind if is_immediate(kind) => Some(None),
        _ => None,
    };
    let size = |operand: u32| match instruction.op_kind(operand) {
        OpKind::Register => instruction.op_register(operand).size() as u32,
        _ => instruction.memory_size().size() as u32,
    };
    let general = |operand: u32| instruction.op_kind(operand) != OpKind::Register || instruction.op_register(operand).is_gpr();
    let widened = |operand: u32| instruction.op_kind(operand) == OpKind::Register && instruction.op_register(operand).is_gpr32();
    match instruction.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movnti if general(0) && general(1) => {
            let bytes = size(0);
            Some(Move { to: place(0)??, from: place(1)?, bytes, zeros: if widened(0) { 4 } else { 0 } })
        }
        _ if instruction.op_count() == 1 && instruction.condition_code() != ConditionCode::None && size(0) == 1 => {
            Some(Move { to: place(0)??, from: None, bytes: 1, zeros: 0 }) // a flag's value
        }
        Mnemonic::Movzx => {
            let bytes = size(1);
            let whole = if widened(0) { 8 } else { size(0) };
            Some(Move { to: place(0)??, from: place(1)?, bytes, zeros: whole - bytes })
        }
        Mnemonic::Xor | Mnemonic::Sub | Mnemonic::Sbb
            if instruction.op0_kind() == OpKind::Register
                && instruction.op1_kind() == OpKind::Register
                && instruction.op0_register() == instruction.op1_register() =>
        {
            Some(Move { to: place(0)??, from: None, bytes: if widened(0) { 8 } else { size(0) }, zeros: 0 })
        }
        Mnemonic::Push if instruction.op0_kind() != OpKind::Memory => {
            let from = place(0)?;
            (instruction.stack_pointer_increment() == -8 && (from.is_none() || instruction.op0_register().is_gpr64()))
                .then_some(Move { to: memory()?, from, bytes: 8, zeros: 0 })
        }
        Mnemonic::Pop if instruction.code() == Op::Pop_r64 && instruction.op0_register() != Register::RSP => {
            Some(Move { to: place(0)??, from: Some(memory()?), bytes: 8, zeros: 0 })
        }
        Mnemonic::Call => {
            let to = info.used_memory().iter().find(|m| m.base() == Register::RSP && m.access() == OpAccess::Write)?;
            (instruction.stack_pointer_increment() == -8).then_some(Move { to: tag_of(to, fs)?, from: None, bytes: 8, zeros: 0 })
        }
        Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq if !instruction.has_rep_prefix() => {
            Some(Move { to: memory()?, from: tags(Register::RAX), bytes: size(0), zeros: 0 })
        }
        _ => None,
    }
}

pub fn is_immediate(kind: OpKind) -> bool {
    matches!(
        kind,
        OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64
    )
}

/// Write what moves tags, without touching a flag.
pub fn write_move(lower: &mut Lower<'_>, moved: &Move, pc: GuestPc) {
    if names_rcx(&moved.to) || moved.from.as_ref().is_some_and(names_rcx) {
        lower.restore_rcx(pc);
        let needs_it_twice = names_rcx(&moved.to) && moved.from.is_some();
        if needs_it_twice {
            return write_move_through_spare(lower, moved, pc);
        }
    }
    let mut at = 0;
    while at < moved.bytes {
        let bytes = piece(moved.bytes - at);
        let to = moved.to.plus(at as i32);
        match &moved.from {
            Some(from) if at != 0 && names_rcx(from) => {
                lower.restore_rcx(pc);
                load_store(lower, from.plus(at as i32), to, bytes, pc);
            }
            Some(from) => load_store(lower, from.plus(at as i32), to, bytes, pc),
            None => {
                lower.record(0, pc);
                clear(&mut lower.code, &to, bytes);
            }
        }
        at += bytes;
    }
    lower.record(0, pc);
    while at < moved.bytes + moved.zeros {
        let bytes = piece(moved.bytes + moved.zeros - at);
        clear(&mut lower.code, &moved.to.plus(at as i32), bytes);
        at += bytes;
    }
}

fn load_store(lower: &mut Lower<'_>, from: Operand, to: Operand, bytes: u32, pc: GuestPc) {
    lower.save_rcx(pc);
    lower.record(0, pc);
    load(&mut lower.code, RCX, &from, bytes);
    lower.use_rcx(pc);
    store(&mut lower.code, RCX, &to, bytes);
}

// A store whose address has rcx in it: by way of another register. With rcx and one more, the address leaves one of three.
fn write_move_through_spare(lower: &mut Lower<'_>, moved: &Move, pc: GuestPc) {
    let named = |register: usize| {
        let names = |o: &Operand| [o.base, o.index].contains(&Some(register as u8));
        names(&moved.to) || moved.from.as_ref().is_some_and(names)
    };
    let scratch = [RDX, RAX, RBX].into_iter().find(|&register| !named(register)).unwrap_or(RBX);
    let spare = lower.thread.field(offset_of!(Context, spare));
    let saved = kind::SCRATCH | (scratch as u32) << kind::SCRATCH_SHIFT;
    lower.record(0, pc);
    lower.code.mov_mem_reg(&spare, scratch);
    lower.record(saved, pc);
    let mut at = 0;
    while at < moved.bytes {
        let bytes = piece(moved.bytes - at);
        if let Some(from) = &moved.from {
            load(&mut lower.code, scratch, &from.plus(at as i32), bytes);
        }
        store(&mut lower.code, scratch, &moved.to.plus(at as i32), bytes);
        at += bytes;
    }
    lower.code.mov_reg_mem(scratch, &spare);
    lower.record(0, pc);
}

fn piece(bytes: u32) -> u32 {
    match bytes {
        8.. => 8,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

pub fn load(code: &mut Code, register: usize, from: &Operand, bytes: u32) {
    match bytes {
        1 => code.op_reg_mem(false, &[0x0f, 0xb6], register as u8, from),
        2 => code.op_reg_mem(false, &[0x0f, 0xb7], register as u8, from),
        _ => code.op_reg_mem(bytes == 8, &[0x8b], register as u8, from),
    }
}

pub fn store(code: &mut Code, register: usize, to: &Operand, bytes: u32) {
    match bytes {
        1 => code.op_reg_mem(false, &[0x88], register as u8, to), // of rax, rcx, rdx or rbx
        2 => {
            code.byte(0x66);
            code.op_reg_mem(false, &[0x89], register as u8, to);
        }
        _ => code.op_reg_mem(bytes == 8, &[0x89], register as u8, to),
    }
}

pub fn clear(code: &mut Code, to: &Operand, bytes: u32) {
    if bytes == 2 {
        code.byte(0x66);
    }
    code.op_reg_mem(bytes == 8, &[if bytes == 1 { 0xc6 } else { 0xc7 }], 0, to);
    match bytes {
        1 => code.byte(0),
        2 => code.bytes(&[0, 0]),
        _ => code.int32(0),
    }
}

/// Begin to follow tags.
pub fn begin(context: &mut Context) {
    context.tracking = 1;
    look_again_after(context, OFTEN);
}

fn look_again_after(context: &mut Context, jumps: u64) {
    context.often = jumps;
    context.followed_left = jumps;
    context.returns_left = jumps / JUMPS_A_RETURN;
}

/// A function returns. What the ABI lets each destroy, and none hand over, nobody reads any more: zmm16 to zmm31 and the mask registers,
/// which string functions leave full of what they have searched.
pub fn forget_scratch(context: &mut Context) {
    const FIRST: usize = 16;
    context.vector_tags[FIRST..].iter_mut().for_each(|tags| tags.fill(0));
    context.mask_tags = [0; 8];
}

/// Go on without, if no register has a tag any more.
pub fn see_whether_to_go_on(context: &mut Context) {
    context.tracking = u32::from(!is_clean(context));
    look_again_after(context, (2 * context.often).clamp(OFTEN, SELDOM));
}

fn is_clean(context: &Context) -> bool {
    let words = context.tags.iter().chain(&context.mask_tags).fold(0, |all, tags| all | tags);
    let bytes = context.vector_tags.as_flattened().iter().chain(&context.x87_tags).fold(0, |all, tag| all | tag);
    words == 0 && bytes == 0
}

/// A signal's frame has been written at `frame..end` and vectors at `vectors..vectors_end`, whose tags are those of the registers that it
/// keeps. The handler begins with its own.
pub fn into_frame(context: &mut Context, frame: u64, end: u64, vectors: u64, vectors_end: u64) {
    if !shadow::is_followed() {
        return;
    }
    shadow::clear_tags(frame, end - frame);
    shadow::clear_tags(vectors, vectors_end - vectors);
    if context.tracking == 0 {
        return;
    }
    for (tags, at) in context.tags.iter().zip(frames::ORDER) {
        shadow::write_tags(frame + WORD_BYTES * (1 + at as u64), &tags.to_le_bytes());
    }
    for (tags, at) in context.vector_tags.iter().zip(0..LEGACY_VECTORS) {
        shadow::write_tags(vectors + frames::FX_XMM as u64 + at * XMM_BYTES, &tags[..XMM_BYTES as usize]);
    }
    for register in [RAX, RDX, RSI, RDI, RSP] {
        context.tags[register] = 0;
    }
    context.vector_tags.iter_mut().for_each(|tags| tags.fill(0));
    context.mask_tags = [0; 8];
    context.x87_tags = [0; 8];
}

/// Registers are about to be what the frame's context at `context_at` and the vectors say: so are their tags.
pub fn from_frame(context: &mut Context, context_at: u64, vectors: u64) {
    if !shadow::is_followed() {
        return;
    }
    for (tags, at) in context.tags.iter_mut().zip(frames::ORDER) {
        *tags = shadow::word(context_at + WORD_BYTES * at as u64);
    }
    context.vector_tags.iter_mut().for_each(|tags| tags.fill(0));
    for (tags, at) in context.vector_tags.iter_mut().zip(0..LEGACY_VECTORS) {
        shadow::read_tags(vectors + frames::FX_XMM as u64 + at * XMM_BYTES, &mut tags[..XMM_BYTES as usize]);
    }
    see_whether_to_go_on(context);
}

const WORD_BYTES: u64 = 8;
const XMM_BYTES: u64 = 16;
const LEGACY_VECTORS: u64 = 16;
