//! Tags of vectors, in translated code: what `flow` says, by eight at a time.
//!
//! | instruction | tags of what it writes |
//! |---|---|
//! | moves, of parts too; `pinsr`, `pextr`, `punpcklqdq`, `shufpd`, mask registers | moved likewise, without touching a flag |
//! | byte by byte: `pxor`, `por`, what works on elements of a byte | both operands', where no flag lives |
//! | comparisons into a mask, `pmovmskb` | a byte of the mask's has those of its eight elements, where no flag lives |
//!
//! Which is which the rules say (`flow::rule`). Where a mask decides, or what is read is repeated, it is `track`'s.

use core::mem::offset_of;

use iced_x86::{EncodingKind, Instruction, OpAccess, OpKind, Register};

use crate::abi::{Context, RCX, VECTOR_BYTES};
use crate::emit::{GuestPc, JRCXZ, Operand};
use crate::flow::{self, Rule, Vector};
use crate::lower::Lower;
use crate::reckon;
use crate::track::{self, Move, Place};
use crate::translate::Step;

const WORD_BYTES: u32 = 8;
const LANE_BYTES: u32 = 16;

/// Write the tags of `step` before it, if they can be moved or reckoned; answer whether they have been.
pub fn before(lower: &mut Lower<'_>, step: &Step) -> bool {
    let instruction = &step.instruction;
    let pc = GuestPc(instruction.ip());
    if instruction.has_op_mask() || instruction.is_broadcast() {
        return false;
    }
    let Some((rule, cancels)) = rule(instruction) else { return false };
    let Some(shape) = Shape::of(lower, instruction) else { return false };
    if cancels && shape.is_of_one() {
        track::write_move(lower, &shape.part(0, None, shape.bytes + shape.cleared), pc);
        return true;
    }
    if let Some(parts) = shape.parts(instruction, rule) {
        let parts = parts.into_iter().flatten();
        parts.for_each(|part| track::write_move(lower, &part, pc));
        return true;
    }
    let element = instruction.memory_size().element_size() as u32;
    let how = match rule {
        Vector::Each if shape.to_mask => How::Compared { element },
        Vector::Mask(1) => How::Compared { element: 1 },
        Vector::Bytes => How::United,
        Vector::Each | Vector::Carry if element == 1 => How::United,
        _ => return false,
    };
    if !shape.can_be(how) {
        return false;
    }
    lower.with_flags_of_its_own(step.live != 0, pc, |lower| match how {
        How::United => shape.unite(lower, pc),
        How::Compared { element } => shape.compare(lower, element, pc),
    });
    true
}

#[derive(Clone, Copy)]
enum How {
    United,                    // byte by byte
    Compared { element: u32 }, // a bit for each element of so many bytes
}

// The rule, and whether the same register twice makes a constant.
fn rule(instruction: &Instruction) -> Option<(Vector, bool)> {
    match flow::rule(instruction.mnemonic()) {
        Rule::Vector(rule) => Some((rule, false)),
        Rule::Cancels(&Rule::Vector(rule)) => Some((rule, true)),
        _ => None,
    }
}

/// Where the tags of an instruction's operands are.
struct Shape {
    to: Operand,
    inputs: [Option<Place>; 2], // in the order of the operands; what is written counts where it is read
    bytes: u32,                 // of what is written
    cleared: u32,               // behind that, in a register
    to_mask: bool,
    is_legacy: bool,
}

/// At most so many moves make up an instruction's.
type Parts = [Option<Move>; 3];

impl Shape {
    // None: it has other operands than these rules are for.
    fn of(lower: &mut Lower<'_>, instruction: &Instruction) -> Option<Shape> {
        let count = instruction.op_count();
        let mut places = [None; 4];
        let mut last = 0;
        for at in 0..count {
            if instruction.op_kind(at) == OpKind::Register {
                let register = instruction.op_register(at);
                (register.is_vector_register() || register.is_k() || register.is_gpr()).then_some(())?;
                let is_high = matches!(register, Register::AH | Register::BH | Register::CH | Register::DH);
                (!is_high).then_some(())?;
            } else if instruction.op_kind(at) != OpKind::Memory {
                continue;
            }
            let place = track::place(lower.thread, instruction, at)?;
            let bytes = match instruction.op_kind(at) {
                OpKind::Register if instruction.op_register(at).is_gpr() => instruction.op_register(at).size() as u32,
                _ => place.bytes,
            };
            places[at as usize] = Some(Place { bytes, ..place });
            last = at as usize;
        }
        let to = places[0]?;
        let reads_first = matches!(
            lower.thread.scratch.info.info(instruction).op_access(0),
            OpAccess::Read | OpAccess::ReadWrite | OpAccess::ReadCondWrite | OpAccess::CondRead
        );
        let inputs = match (last, reads_first) {
            (1, true) => [places[0], places[1]],
            (1, false) => [places[1], None],
            (2, false) => [places[1], places[2]],
            _ => return None,
        };
        let is_legacy = instruction.code().encoding() == EncodingKind::Legacy;
        let register = if instruction.op0_kind() == OpKind::Register { instruction.op0_register() } else { Register::None };
        let whole = match register {
            _ if register.is_vector_register() && is_legacy => register.size() as u32,
            _ if register.is_vector_register() => VECTOR_BYTES as u32,
            _ if register.is_gpr32() || register.is_k() => WORD_BYTES,
            _ => to.bytes,
        };
        let bytes = to.bytes;
        Some(Shape { to: to.operand, inputs, bytes, cleared: whole - bytes, to_mask: register.is_k(), is_legacy })
    }

    fn is_of_one(&self) -> bool {
        matches!(self.inputs, [Some(a), Some(b)] if a.operand == b.operand)
    }

    fn part(&self, at: u32, from: Option<Operand>, bytes: u32) -> Move {
        Move { to: self.to.plus(at as i32), from, bytes, zeros: 0 }
    }

    // From `offset` of an input on.
    fn moved(&self, at: u32, input: Place, offset: u32, bytes: u32) -> Option<Move> {
        Some(self.part(at, Some(input.operand.plus(offset as i32)), bytes))
    }

    // The moves that an instruction is made of; no later one reads what an earlier one has written.
    fn parts(&self, instruction: &Instruction, rule: Vector) -> Option<Parts> {
        let [one, other] = self.inputs;
        let last = other.or(one)?;
        let first = if self.is_legacy { Place { operand: self.to, bytes: self.bytes } } else { one? };
        let has_memory = (0..2).any(|at| instruction.op_kind(at) == OpKind::Memory);
        let is_register = instruction.op0_kind() == OpKind::Register;
        let rest =
            |from: u32| (self.bytes + self.cleared > from).then(|| self.part(from, None, self.bytes + self.cleared - from));
        let lane = self.bytes == LANE_BYTES;
        let parts = match rule {
            Vector::Move => {
                let bytes =
                    flow::moved_bytes(instruction).map_or(self.bytes, |bytes| self.bytes.min(bytes as u32)).min(last.bytes);
                [self.moved(0, last, 0, bytes), if is_register { rest(bytes) } else { None }, None]
            }
            Vector::MoveLow(bytes) if has_memory => {
                let bytes = bytes as u32;
                [self.moved(0, last, 0, bytes), if is_register { rest(bytes) } else { None }, None]
            }
            Vector::MoveLow(bytes) if self.is_legacy => [self.moved(0, last, 0, bytes as u32), None, None],
            Vector::MoveHalf { high } if !is_register => [self.moved(0, last, if high { 8 } else { 0 }, 8), None, None],
            Vector::MoveHalf { high } if self.is_legacy => [self.moved(if high { 8 } else { 0 }, last, 0, 8), None, None],
            Vector::Cross { up } if self.is_legacy => {
                let (to, from) = if up { (8, 0) } else { (0, 8) };
                [self.moved(to, last, from, 8), None, None]
            }
            Vector::Interleave { size: 8, high } if lane && self.is_legacy => {
                let half = if high { 8 } else { 0 };
                [if high { self.moved(0, first, 8, 8) } else { None }, self.moved(8, last, half, 8), None]
            }
            Vector::Interleave { size: 8, high } if lane && last.operand != self.to => {
                let half = if high { 8 } else { 0 };
                [self.moved(0, first, half, 8), self.moved(8, last, half, 8), rest(LANE_BYTES)]
            }
            Vector::Two(8) if lane && last.operand != self.to => {
                let by = instruction.immediate8();
                let low = self.moved(0, first, u32::from(by & 1) * 8, 8);
                [low, self.moved(8, last, u32::from(by >> 1 & 1) * 8, 8), rest(LANE_BYTES)]
            }
            Vector::Insert(size) if self.is_legacy => {
                let size = size as u32;
                let to = u32::from(instruction.immediate8()) % (self.bytes / size) * size;
                [self.moved(to, last, 0, size), None, None]
            }
            Vector::Extract(size) => {
                let size = size as u32;
                let from = u32::from(instruction.immediate8()) % (last.bytes / size) * size;
                [self.moved(0, last, from, size), if is_register { rest(size) } else { None }, None]
            }
            _ => return None,
        };
        Some(parts)
    }

    fn can_be(&self, how: How) -> bool {
        match how {
            How::United => self.bytes.is_multiple_of(WORD_BYTES),
            How::Compared { element } => {
                let names_rcx = self.sorted().is_some_and(|(one, _)| track::names_rcx(&one));
                matches!(element, 1 | 2 | 4 | 8) && !(names_rcx && element != 1)
            }
        }
    }

    // Each byte has both inputs' tags.
    fn unite(&self, lower: &mut Lower<'_>, pc: GuestPc) {
        let Some((one, other)) = self.sorted() else { return };
        for at in (0..self.bytes).step_by(WORD_BYTES as usize) {
            load(lower, &one, other.as_ref(), at, pc);
            let to = self.to.plus(at as i32);
            track::store(&mut lower.code, RCX, &to, WORD_BYTES);
        }
        if self.cleared != 0 {
            track::write_move(lower, &self.part(self.bytes, None, self.cleared), pc);
        }
    }

    // A byte of what is written has the tags of eight elements.
    fn compare(&self, lower: &mut Lower<'_>, element: u32, pc: GuestPc) {
        let Some((one, other)) = self.sorted() else { return };
        let width = self.inputs.iter().flatten().map(|place| place.bytes).max().unwrap_or(0);
        let spare = lower.thread.field(offset_of!(Context, spare));
        let bytes = width.div_ceil(WORD_BYTES * element);
        for at in 0..bytes {
            let (begin, end) = (at * WORD_BYTES * element, ((at + 1) * WORD_BYTES * element).min(width));
            load(lower, &one, other.as_ref(), begin, pc);
            for more in (begin + WORD_BYTES..end).step_by(WORD_BYTES as usize) {
                reckon::or(&mut lower.code, WORD_BYTES, &one.plus(more as i32));
                other.iter().for_each(|other| reckon::or(&mut lower.code, WORD_BYTES, &other.plus(more as i32)));
            }
            let none = lower.code.short(JRCXZ);
            [32, 16, 8].iter().for_each(|&bits| reckon::fold(&mut lower.code, bits, &spare));
            lower.code.land(none);
            track::store(&mut lower.code, RCX, &self.to.plus(at as i32), 1);
        }
        track::write_move(lower, &self.part(bytes, None, self.bytes + self.cleared - bytes), pc);
    }

    // Memory first, whose address may be of rcx.
    fn sorted(&self) -> Option<(Operand, Option<Operand>)> {
        let [first, second] = self.inputs.map(|input| input.map(|place| place.operand));
        match second {
            Some(second) if track::names_rcx(&second) => Some((second, first)),
            _ => Some((first?, second)),
        }
    }
}

// Let rcx be the tags from `at` on of one place, or of both.
fn load(lower: &mut Lower<'_>, one: &Operand, other: Option<&Operand>, at: u32, pc: GuestPc) {
    if track::names_rcx(one) {
        lower.restore_rcx(pc);
    }
    lower.save_rcx(pc);
    lower.record(0, pc);
    track::load(&mut lower.code, RCX, &one.plus(at as i32), WORD_BYTES);
    lower.use_rcx(pc);
    if let Some(other) = other {
        reckon::or(&mut lower.code, WORD_BYTES, &other.plus(at as i32));
    }
}
