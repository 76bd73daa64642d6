//! Tags of arithmetic between general registers, in translated code: what `flow` says, in a handful of instructions. Where flags live they are
//! kept meanwhile.
//!
//! | instruction | tags of what it writes |
//! |---|---|
//! | `and`, `or`, `xor`, `not` | both operands', byte by byte; not where an immediate decides |
//! | `add`, `sub`, `inc`, `dec`, `neg`, `lea` | both operands', and each byte has those of all below it |
//! | shifts and rotations by a number | moved by whole bytes, and once more by the next if it is not a whole number of them |
//! | `shl`, `shr` by cl | likewise by what cl is, if that has no tag |
//! | `bswap`, `movsx` | turned round; the topmost byte's in all above it |
//! | `tzcnt` and its like | all of them in the lowest byte, for it counts to 64 |
//! | `bzhi` | all of them in each byte |
//! | `cmov` | both operands', without touching a flag: it reads them |
//!
//! Anything else is `track`'s.

use core::mem::offset_of;

use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind, Register};

use crate::abi::{Context, RAX, RBX, RCX, RDX};
use crate::cache::{ExitKind, kind};
use crate::emit::{Code, GuestPc, JRCXZ, Operand};
use crate::lower::{Lower, Rcx};
use crate::translate::Step;
use crate::{shadow, track};

const SHL: u8 = 4;
const SHR: u8 = 5;
const SAR: u8 = 7;
const ROL: u8 = 0;
const ROR: u8 = 1;

enum How {
    Bytes,
    Kept(u64), // those bytes alone
    Carried,
    Moved { shift: u8, bits: u32 }, // by which of the processor's own shifts
    Turned,
    Extended { from: u32 },
    Counted,
    All, // in each byte
}

/// How a register's tags are made of those of up to two places.
pub struct Reckoning {
    to: Operand,
    from: [Option<Operand>; 2], // memory first
    bytes: u32,                 // of what is read
    stored: u32,                // of what is written: a write of 32 bits clears the upper half of a register
    how: How,
}

/// Write the tags of `step` before it, if they can be reckoned; answer whether they have been.
pub fn before(lower: &mut Lower<'_>, step: &Step) -> bool {
    if is_cmov(&step.instruction) && lower.thread.has_bmi2 {
        return either(lower, &step.instruction);
    }
    if is_shift_by_cl(&step.instruction) {
        return shift_by_cl(lower, &step.instruction, step.live != 0);
    }
    let Some(reckoning) = reckoning(lower, &step.instruction) else { return false };
    let pc = GuestPc(step.instruction.ip());
    lower.with_flags_of_its_own(step.live != 0, pc, |lower| write(lower, &reckoning, pc));
    true
}

fn reckoning(lower: &mut Lower<'_>, instruction: &Instruction) -> Option<Reckoning> {
    if instruction.mnemonic() == Mnemonic::Cdqe {
        let to = track::tags_of(lower.thread, Register::RAX);
        return Some(Reckoning { to, from: [Some(to), None], bytes: 4, stored: 8, how: How::Extended { from: 4 } });
    }
    let to_memory = instruction.op0_kind() == OpKind::Memory;
    if instruction.op_count() == 0
        || !(to_memory || instruction.op0_kind() == OpKind::Register && instruction.op0_register().is_gpr())
    {
        return None;
    }
    let bytes = size(instruction, 0);
    let bits = 8 * bytes;
    let own = track::place(lower.thread, instruction, 0)?;
    let second = instruction.op_count() == 2;
    let is_immediate = second && track::is_immediate(instruction.op1_kind());
    let count = if is_immediate { instruction.immediate(1) as u32 & if bytes == 8 { 63 } else { 31 } } else { 0 };
    let is_shift = is_immediate || instruction.op_count() == 1;
    let shift = |shift| (is_shift && count < bits).then_some(How::Moved { shift, bits: count });
    let how = match instruction.mnemonic() {
        Mnemonic::Xor | Mnemonic::Not => How::Bytes,
        Mnemonic::And | Mnemonic::Or if is_immediate => How::Kept(kept(instruction)),
        Mnemonic::And | Mnemonic::Or => How::Bytes,
        Mnemonic::Andn => How::Bytes,
        Mnemonic::Blsi | Mnemonic::Blsr | Mnemonic::Blsmsk => How::Carried,
        Mnemonic::Bzhi => How::All,
        Mnemonic::Add | Mnemonic::Sub | Mnemonic::Adc | Mnemonic::Sbb | Mnemonic::Inc | Mnemonic::Dec | Mnemonic::Neg => {
            How::Carried
        }
        Mnemonic::Lea if bytes >= 4 => How::Carried,
        Mnemonic::Imul if second || instruction.op_count() == 3 => How::Carried,
        Mnemonic::Shl if is_immediate => shift(SHL)?,
        Mnemonic::Shr if is_immediate => shift(SHR)?,
        Mnemonic::Sar if is_immediate => shift(SAR)?,
        Mnemonic::Rol if is_immediate && bytes >= 4 => shift(ROL)?,
        Mnemonic::Ror if is_immediate && bytes >= 4 => shift(ROR)?,
        Mnemonic::Bswap if bytes >= 4 => How::Turned,
        Mnemonic::Movsx | Mnemonic::Movsxd if bytes >= 4 && size(instruction, 1) < bytes => {
            How::Extended { from: size(instruction, 1) }
        }
        Mnemonic::Tzcnt | Mnemonic::Lzcnt | Mnemonic::Popcnt if bytes >= 4 => How::Counted,
        _ => return None,
    };
    let from = match instruction.mnemonic() {
        Mnemonic::Lea => lea_parts(lower, instruction)?,
        Mnemonic::Movsx | Mnemonic::Movsxd | Mnemonic::Tzcnt | Mnemonic::Lzcnt | Mnemonic::Popcnt => {
            [Some(track::place(lower.thread, instruction, 1)?.operand), None]
        }
        Mnemonic::Blsi | Mnemonic::Blsr | Mnemonic::Blsmsk => [Some(track::place(lower.thread, instruction, 1)?.operand), None],
        Mnemonic::Andn | Mnemonic::Bzhi => {
            let place = |lower: &mut Lower<'_>, at| track::place(lower.thread, instruction, at).map(|place| place.operand);
            let (one, other) = (place(lower, 1)?, place(lower, 2)?);
            if instruction.op2_kind() == OpKind::Memory { [Some(other), Some(one)] } else { [Some(one), Some(other)] }
        }
        Mnemonic::Imul if instruction.op_count() == 3 => [Some(track::place(lower.thread, instruction, 1)?.operand), None],
        _ if second && !is_immediate => {
            let other = track::place(lower.thread, instruction, 1)?;
            (size(instruction, 1) == bytes).then_some(())?;
            if to_memory { [Some(own.operand), Some(other.operand)] } else { [Some(other.operand), Some(own.operand)] }
        }
        _ => [Some(own.operand), None],
    };
    let bytes = if let How::Extended { from } = how { from } else { bytes };
    let whole = size(instruction, 0);
    let stored = if to_memory || whole < 4 { whole } else { 8 };
    Some(Reckoning { to: own.operand, from, bytes, stored, how })
}

fn size(instruction: &Instruction, operand: u32) -> u32 {
    match instruction.op_kind(operand) {
        OpKind::Register => instruction.op_register(operand).size() as u32,
        _ => instruction.memory_size().size() as u32,
    }
}

// Which bytes an immediate leaves to the other operand: `x & 0` is 0, and `x | ff` is ff.
fn kept(instruction: &Instruction) -> u64 {
    let deciding = if instruction.mnemonic() == Mnemonic::And { 0x00 } else { 0xff };
    let bytes = instruction.immediate(1).to_le_bytes();
    u64::from_le_bytes(bytes.map(|byte| if byte == deciding { 0 } else { 0xff }))
}

fn lea_parts(lower: &Lower<'_>, instruction: &Instruction) -> Option<[Option<Operand>; 2]> {
    let part = |register: Register| match register {
        Register::None | Register::RIP => Some(None),
        register if register.is_gpr64() => Some(Some(track::tags_of(lower.thread, register))),
        _ => None,
    };
    let (base, index) = (part(instruction.memory_base())?, part(instruction.memory_index())?);
    Some(if base.is_some() { [base, index] } else { [index, None] })
}

fn write(lower: &mut Lower<'_>, reckoning: &Reckoning, pc: GuestPc) {
    let Reckoning { to, from: [first, second], bytes, stored, how } = reckoning;
    let Some(first) = first else {
        lower.record(0, pc);
        return track::clear(&mut lower.code, to, 8); // an address of the code's own
    };
    if track::names_rcx(first) {
        lower.restore_rcx(pc);
    }
    let wide = if let How::Extended { .. } = how { *stored == 8 } else { *bytes == 8 };
    lower.save_rcx(pc);
    lower.record(0, pc);
    track::load(&mut lower.code, RCX, first, *bytes);
    lower.use_rcx(pc);
    if let Some(second) = second {
        or(&mut lower.code, *bytes, second);
    }
    let spare = lower.thread.field(offset_of!(Context, spare));
    let code = &mut lower.code;
    match *how {
        How::Bytes => {}
        How::Kept(mask) => keep(code, mask),
        How::Carried => {
            let none = code.short(JRCXZ);
            for bits in [8, 16, 32].into_iter().filter(|bits| *bits < 8 * *bytes as u8) {
                with_itself(code, wide, SHL, bits, &spare);
            }
            code.land(none);
        }
        How::Moved { shift: SAR, bits } => move_with_sign(code, *bytes, bits, &spare),
        How::Moved { shift, bits } => {
            if bits % 8 != 0 {
                with_itself(code, wide, shift, 8, &spare);
            }
            by(code, wide, shift, bits as u8 & !7);
        }
        How::Turned => turn(code, wide),
        How::Extended { from } => extend(code, wide, from, &spare),
        How::Counted => to_one(code, *bytes, &spare),
        How::All => {
            to_one(code, *bytes, &spare);
            repeat(code, wide, &spare_half(&spare));
        }
    }
    if track::names_rcx(to) {
        return store_beside_rcx(lower, to, *stored, pc);
    }
    track::store(code, RCX, to, *stored);
}

// Store rcx where an address with the application's rcx in it leads.
fn store_beside_rcx(lower: &mut Lower<'_>, to: &Operand, bytes: u32, pc: GuestPc) {
    let named = |register: usize| [to.base, to.index].contains(&Some(register as u8));
    let scratch = [RDX, RAX, RBX].into_iter().find(|&register| !named(register)).unwrap_or(RBX);
    let (spare, app) = (lower.thread.field(offset_of!(Context, spare)), lower.saved(RCX));
    let saved = kind::SCRATCH | (scratch as u32) << kind::SCRATCH_SHIFT;
    lower.code.mov_mem_reg(&spare, scratch);
    lower.record(saved, pc);
    lower.code.mov_reg_reg(scratch, RCX);
    lower.code.mov_reg_mem(RCX, &app);
    lower.rcx = Rcx::Both;
    lower.record(saved, pc);
    track::store(&mut lower.code, scratch, to, bytes);
    lower.code.mov_reg_mem(scratch, &spare);
    lower.record(0, pc);
}

fn is_cmov(instruction: &Instruction) -> bool {
    let register = instruction.op0_register();
    let decides = instruction.condition_code() != ConditionCode::None && instruction.op_count() == 2;
    decides && instruction.op0_kind() == OpKind::Register && (register.is_gpr32() || register.is_gpr64())
}

// Both operands' tags, byte by byte. a | b is not (not a and not b), and x and y is what `pdep` puts where y has ones of what `pext` has taken
// from there in x: no flag is touched.
fn either(lower: &mut Lower<'_>, instruction: &Instruction) -> bool {
    const NOT: [u8; 2] = [0x48, 0xf7];
    const PEXT: [u8; 4] = [0xc4, 0xe2, 0xf2, 0xf5]; // rcx, rcx, …
    const PDEP: [u8; 4] = [0xc4, 0xe2, 0xf3, 0xf5];
    let pc = GuestPc(instruction.ip());
    let (Some(own), Some(other)) = (track::place(lower.thread, instruction, 0), track::place(lower.thread, instruction, 1))
    else {
        return false;
    };
    let bytes = size(instruction, 0);
    if track::names_rcx(&other.operand) {
        lower.restore_rcx(pc);
    }
    let scratch = RDX;
    let spare = lower.thread.field(offset_of!(Context, spare));
    let of_both = |register: usize| 0xc0 | (RCX as u8) << 3 | register as u8;
    lower.save_rcx(pc);
    lower.record(0, pc);
    track::load(&mut lower.code, RCX, &other.operand, bytes);
    lower.use_rcx(pc);
    let none = lower.code.short(JRCXZ);
    lower.code.mov_mem_reg(&spare, scratch);
    lower.record(kind::SCRATCH | (scratch as u32) << kind::SCRATCH_SHIFT, pc);
    let code = &mut lower.code;
    track::load(code, scratch, &own.operand, bytes);
    code.bytes(&NOT);
    code.byte(0xd0 | RCX as u8);
    code.bytes(&NOT);
    code.byte(0xd0 | scratch as u8);
    code.bytes(&PEXT);
    code.byte(of_both(scratch));
    code.bytes(&PDEP);
    code.byte(of_both(scratch));
    code.bytes(&NOT);
    code.byte(0xd0 | RCX as u8);
    code.mov_mem_reg(&own.operand, RCX);
    code.mov_reg_mem(scratch, &spare);
    lower.record(0, pc);
    lower.code.land(none);
    if bytes == 4 {
        track::clear(&mut lower.code, &own.operand.plus(4), 4);
    }
    true
}

fn is_shift_by_cl(instruction: &Instruction) -> bool {
    let register = instruction.op0_register();
    matches!(instruction.mnemonic(), Mnemonic::Shl | Mnemonic::Shr)
        && instruction.op1_kind() == OpKind::Register
        && instruction.op0_kind() == OpKind::Register
        && (register.is_gpr32() || register.is_gpr64())
}

fn shift_by_cl(lower: &mut Lower<'_>, instruction: &Instruction, live: bool) -> bool {
    const TEST_CL_7: [u8; 3] = [0xf6, 0xc1, 7];
    const JZ: u8 = 0x74;
    let pc = GuestPc(instruction.ip());
    let Some(own) = track::place(lower.thread, instruction, 0) else { return false };
    let count = track::tags_of(lower.thread, Register::CL);
    let wide = size(instruction, 0) == 8;
    let shift = if instruction.mnemonic() == Mnemonic::Shl { SHL } else { SHR };
    let (spare, app) = (lower.thread.field(offset_of!(Context, spare)), lower.saved(RCX));
    lower.restore_rcx(pc); // so that it is the same on both ways
    let (id, stub) = lower.thread.exit(lower.arena, ExitKind::Follow, pc);
    shadow::test_tag(lower, &count, 1, live, stub, pc);
    lower.restore_rcx(pc);
    lower.save_rcx(pc);
    lower.with_flags_of_its_own(live, pc, |lower| {
        lower.record(0, pc);
        let scratch = RDX;
        lower.code.mov_mem_reg(&spare, scratch);
        lower.record(kind::SCRATCH | (scratch as u32) << kind::SCRATCH_SHIFT, pc);
        track::load(&mut lower.code, scratch, &own.operand, size(instruction, 0));
        lower.code.bytes(&TEST_CL_7);
        let whole = lower.code.short(JZ);
        let half = spare_half(&spare);
        lower.code.mov_mem_reg(&half, scratch);
        wide_prefix(&mut lower.code, wide);
        lower.code.bytes(&[0xc1, 0xc0 | shift << 3 | scratch as u8, 8]);
        lower.code.op_reg_mem(wide, &[0x0b], scratch as u8, &half);
        lower.code.land(whole);
        lower.rcx = Rcx::Saved;
        lower.record(kind::SCRATCH | (scratch as u32) << kind::SCRATCH_SHIFT, pc);
        lower.code.bytes(&[0x83, 0xe1, if wide { 0x38 } else { 0x18 }]); // and ecx
        wide_prefix(&mut lower.code, wide);
        lower.code.bytes(&[0xd3, 0xc0 | shift << 3 | scratch as u8]); // by cl
        lower.code.mov_mem_reg(&own.operand, scratch);
        lower.code.mov_reg_mem(scratch, &spare);
        lower.record(0, pc);
        lower.code.mov_reg_mem(RCX, &app);
        lower.rcx = Rcx::Both;
    });
    lower.thread.exits[id as usize].field = lower.code.here();
    lower.record(0, pc);
    true
}

// All bytes' tags in the lowest.
fn to_one(code: &mut Code, bytes: u32, spare: &Operand) {
    for bits in [32, 16, 8].into_iter().filter(|bits| *bits < 8 * bytes as u8) {
        with_itself(code, bytes == 8, SHR, bits, spare);
    }
    code.bytes(&[0x0f, 0xb6, 0xc0 | (RCX as u8) << 3 | RCX as u8]); // movzx ecx, cl
}

// Downwards, the topmost byte's tag above.
fn move_with_sign(code: &mut Code, bytes: u32, bits: u32, spare: &Operand) {
    let wide = bytes == 8;
    if !bits.is_multiple_of(8) {
        with_itself(code, wide, SHR, 8, spare);
    }
    let down = bits as u8 & !7;
    if down == 0 {
        return;
    }
    let whole = spare_half(spare);
    code.mov_mem_reg(&whole, RCX);
    by(code, wide, SHR, down);
    code.mov_mem_reg(spare, RCX);
    code.mov_reg_mem(RCX, &whole);
    by(code, wide, SHR, 8 * (bytes as u8 - 1));
    repeat(code, wide, &whole);
    by(code, wide, SHL, 8 * bytes as u8 - down);
    or(code, bytes, spare);
}

// The lowest byte, which is the only one, also in all above it.
fn repeat(code: &mut Code, wide: bool, half: &Operand) {
    const ALL: i32 = 0x0101_0101;
    code.bytes(&[0x48, 0x69, 0xc0 | (RCX as u8) << 3 | RCX as u8]); // imul rcx, rcx, four times the byte
    code.int32(ALL);
    if wide {
        code.mov_mem_reg(half, RCX);
        by(code, true, SHL, 32);
        or(code, 8, half);
    }
}

/// `or rcx, [operand]`, as many bytes of it.
pub fn or(code: &mut Code, bytes: u32, operand: &Operand) {
    if bytes == 2 {
        code.byte(0x66);
    }
    code.op_reg_mem(bytes == 8, &[if bytes == 1 { 0x0a } else { 0x0b }], RCX as u8, operand);
}

fn wide_prefix(code: &mut Code, wide: bool) {
    if wide {
        code.byte(0x48);
    }
}

// `shift rcx, bits`
fn by(code: &mut Code, wide: bool, shift: u8, bits: u8) {
    if bits != 0 {
        wide_prefix(code, wide);
        code.bytes(&[0xc1, 0xc0 | shift << 3 | RCX as u8, bits]);
    }
}

// `rcx |= rcx shifted`
fn with_itself(code: &mut Code, wide: bool, shift: u8, bits: u8, spare: &Operand) {
    code.mov_mem_reg(spare, RCX);
    by(code, wide, shift, bits);
    or(code, if wide { 8 } else { 4 }, spare);
}

/// `rcx |= rcx >> bits`: down to its low bytes.
pub fn fold(code: &mut Code, bits: u8, spare: &Operand) {
    with_itself(code, true, SHR, bits, spare);
}

// `and rcx, mask`, whose upper half is all of one kind.
fn keep(code: &mut Code, mask: u64) {
    const AND: u8 = 4;
    let low = mask as u32 as i32;
    wide_prefix(code, mask >> 32 != 0);
    code.bytes(&[0x81, 0xc0 | AND << 3 | RCX as u8]);
    code.int32(low);
}

// `bswap rcx`
fn turn(code: &mut Code, wide: bool) {
    wide_prefix(code, wide);
    code.bytes(&[0x0f, 0xc8 | RCX as u8]);
}

// The topmost of `from` bytes also in all above it.
fn extend(code: &mut Code, wide: bool, from: u32, spare: &Operand) {
    code.mov_mem_reg(spare, RCX);
    by(code, true, SHR, 8 * (from as u8 - 1));
    repeat(code, wide && from != 4, &spare_half(spare));
    by(code, wide, SHL, 8 * from as u8);
    or(code, if wide { 8 } else { 4 }, spare);
}

// A second place that nobody needs meanwhile.
fn spare_half(spare: &Operand) -> Operand {
    spare.plus(offset_of!(Context, second_spare) as i32 - offset_of!(Context, spare) as i32)
}
