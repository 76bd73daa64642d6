//! Tags of arithmetic between general registers, in translated code, where no flag lives: what `flow` says, in a handful of instructions.
//!
//! | instruction | tags of what it writes |
//! |---|---|
//! | `and`, `or`, `xor`, `not` | both operands', byte by byte; not where an immediate decides |
//! | `add`, `sub`, `inc`, `dec`, `neg`, `lea` | both operands', and each byte has those of all below it |
//! | shifts and rotations by a number | moved by whole bytes, and once more by the next if it is not a whole number of them |
//! | `bswap`, `movsx` | turned round; the topmost byte's in all above it |
//! | `tzcnt` and its like | all of them in the lowest byte, for it counts to 64 |
//!
//! Anything else is `track`'s.

use core::mem::offset_of;

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use crate::abi::{Context, RCX};
use crate::emit::{Code, GuestPc, JRCXZ, Operand};
use crate::lower::Lower;
use crate::track;
use crate::translate::Step;

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
    if step.live != 0 {
        return false;
    }
    let Some(reckoning) = reckoning(lower, &step.instruction) else { return false };
    write(lower, &reckoning, GuestPc(step.instruction.ip()));
    true
}

fn reckoning(lower: &mut Lower<'_>, instruction: &Instruction) -> Option<Reckoning> {
    let to_memory = instruction.op0_kind() == OpKind::Memory;
    if instruction.op_count() == 0
        || !(to_memory || instruction.op0_kind() == OpKind::Register && instruction.op0_register().is_gpr())
    {
        return None;
    }
    let bytes = size(instruction, 0);
    let bits = 8 * bytes;
    let own = track::place(lower.thread, instruction, 0)?;
    if to_memory && track::names_rcx(&own.operand) {
        return None; // rcx holds tags when they are written
    }
    let second = instruction.op_count() == 2;
    let is_immediate = second && track::is_immediate(instruction.op1_kind());
    let count = if is_immediate { instruction.immediate(1) as u32 & if bytes == 8 { 63 } else { 31 } } else { 0 };
    let is_shift = is_immediate || instruction.op_count() == 1;
    let shift = |shift| (is_shift && count < bits).then_some(How::Moved { shift, bits: count });
    let how = match instruction.mnemonic() {
        Mnemonic::Xor | Mnemonic::Not => How::Bytes,
        Mnemonic::And | Mnemonic::Or if is_immediate => How::Kept(kept(instruction)),
        Mnemonic::And | Mnemonic::Or => How::Bytes,
        Mnemonic::Add | Mnemonic::Sub | Mnemonic::Inc | Mnemonic::Dec | Mnemonic::Neg => How::Carried,
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
        How::Counted => {
            for bits in [32, 16, 8].into_iter().filter(|bits| *bits < 8 * *bytes as u8) {
                with_itself(code, wide, SHR, bits, &spare);
            }
            code.bytes(&[0x0f, 0xb6, 0xc0 | (RCX as u8) << 3 | RCX as u8]); // movzx ecx, cl
        }
    }
    track::store(code, RCX, to, *stored);
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

// `or rcx, [operand]`, as many bytes of it
fn or(code: &mut Code, bytes: u32, operand: &Operand) {
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
