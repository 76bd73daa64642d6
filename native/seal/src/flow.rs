//! Which tags an instruction's outputs get. Asked before the instruction executes: its addresses are made of what registers hold then.
//!
//! The general rule: every byte that is written gets the union of the tags of all that is read. It holds for every instruction; where it
//! says more than is so, a row of `table` says better. The processor is the judge of both (tests/oracle.rs).
//!
//! What is not followed, on purpose:
//! - *Flags have no tags*: neither `cmp` and `jcc` nor `setcc`, `adc`'s carry, `cmpxchg`'s comparison, or which of both `cmov` takes. What is
//!   decided by input is not input. The same goes for the status words of x87 and SSE. Masks (`k1`) are registers, and have tags.
//! - *Addresses do not taint what they lead to*: the base and index of a load are not among its inputs. `lea` is arithmetic.
//! - rsp by `push`, `pop` and their like, rsi and rdi by the size of an element: what is added is a constant.
//!
//! | module | owns |
//! |---|---|
//! | `table` | which instruction goes by which rule, and why |
//! | `scalar` | general registers, the stack |
//! | `vector` | lanes, shuffles, conversions |
//! | `strings` | `movs`, `stos` and their like |
//! | `elements` | gathers, scatters, stores by mask |
//! | `images` | `xsave`, `fxsave`, `fnsave` and back |

mod elements;
mod images;
mod scalar;
mod strings;
mod table;
mod vector;

use iced_x86::{EncodingKind, Instruction, InstructionInfo, OpAccess, OpKind, Register, UsedMemory};

use crate::tags::{Tagged, Tags};
use crate::{shadow, sys};

pub use table::{Rule, is_vector_move, rule};
pub use vector::{Vector, moved_bytes};

const DIRECTION: u64 = 0x400;
const LINE_BYTES: u64 = 64;

/// Let tags flow as `instruction`, which is about to execute, will let bytes.
pub fn follow(instruction: &Instruction, info: &InstructionInfo, state: &mut impl Tagged) {
    let mut flow = Flow { instruction, info, state };
    if instruction.is_string_instruction() {
        return flow.string();
    }
    match rule(instruction.mnemonic()) {
        Rule::General => flow.general(),
        Rule::Cancels(_) if flow.is_cancelled() => flow.write(0, &Tags::CLEAN),
        Rule::Cancels(rule) => flow.by(rule),
        rule => flow.by(&rule),
    }
}

struct Flow<'a, T> {
    instruction: &'a Instruction,
    info: &'a InstructionInfo,
    state: &'a mut T,
}

fn reads(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn writes(access: OpAccess) -> bool {
    matches!(access, OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn may_leave(access: OpAccess) -> bool {
    matches!(access, OpAccess::CondWrite | OpAccess::ReadCondWrite)
}

impl<T: Tagged> Flow<'_, T> {
    fn by(&mut self, rule: &Rule) {
        match *rule {
            Rule::General | Rule::Cancels(_) => self.general(),
            Rule::May => self.outputs(self.inputs(), true),
            Rule::Clear => self.outputs(0, false),
            Rule::Keep => {}
            Rule::Line => self.line(),
            Rule::Scalar(rule) => self.scalar(rule),
            Rule::Vector(rule) => self.vector(rule),
            Rule::Elements(rule) => self.elements(rule),
            Rule::Image(rule) => self.image(rule),
        }
    }

    // Whether both inputs are the same register, so that the result is what it is whatever that holds.
    fn is_cancelled(&self) -> bool {
        let count = self.instruction.op_count();
        let immediate = (0..count).any(|at| !matches!(self.instruction.op_kind(at), OpKind::Register));
        count >= 2 && !immediate && self.instruction.op_register(count - 1) == self.instruction.op_register(count - 2)
    }

    // ---- the general rule

    fn general(&mut self) {
        let tag = self.inputs();
        self.outputs(tag, false);
    }

    // What is read: registers, but not for addresses, and memory.
    fn inputs(&self) -> u8 {
        let registers = self.info.used_registers().iter();
        let read = registers.filter(|used| reads(used.access()) && self.is_data(used.register()));
        let tag = read.fold(0, |tag, used| tag | self.state.register(used.register()).union());
        let memory = self.info.used_memory().iter().filter(|memory| reads(memory.access()));
        memory.fold(tag, |tag, memory| tag | self.place(memory).map_or(0, |at| self.state.any(at, self.bytes(memory))))
    }

    // Let all that is written have this tag. `may`: what was there may stay, whatever iced says.
    fn outputs(&mut self, tag: u8, may: bool) {
        for used in self.info.used_registers().iter().filter(|used| writes(used.access())) {
            let named = self.operand_of(used.register());
            if named.is_none() && used.register().full_register() == Register::RSP {
                continue;
            }
            let mut register = named.unwrap_or(used.register());
            let mut tags = Tags::all(tag, register.size());
            if may || may_leave(used.access()) {
                register = if register.is_gpr() { register.full_register() } else { register }; // then its upper half stays too
                tags = tags.or(&self.state.register(register));
            }
            self.set_register(register, &tags);
        }
        self.outputs_on_top(tag);
        for memory in self.info.used_memory().iter().filter(|memory| writes(memory.access())) {
            if let Some(at) = self.place(memory) {
                let bytes = self.bytes(memory);
                let tag = if may || may_leave(memory.access()) { tag | self.state.any(at, bytes) } else { tag };
                self.state.fill(at, bytes, tag);
            }
        }
    }

    // What is pushed onto x87's stack, which is written without being named.
    fn outputs_on_top(&mut self, tag: u8) {
        let stack = self.instruction.fpu_stack_increment_info();
        if stack.increment() < 0 {
            let kept = if stack.conditional() { self.state.register(Register::ST7).union() } else { 0 };
            self.state.set_register(Register::ST7, &Tags::all(tag | kept, 8));
        }
    }

    // Whether a register is read as more than a part of an address, or to be moved by a constant.
    fn is_data(&self, register: Register) -> bool {
        let full = register.full_register();
        // An operand that is only written says nothing: movslq (%r11,%r10,4), %r10 reads %r10 for the address alone.
        let explicit = |at| reads(self.info.op_access(at)) && self.explicit(at).is_some_and(|r| r.full_register() == full);
        if (0..self.instruction.op_count()).any(explicit) {
            return true;
        }
        let used = self.info.used_registers().iter();
        let read = used.filter(|used| reads(used.access()) && used.register().full_register() == full).count();
        let address = [self.instruction.memory_base(), self.instruction.memory_index()];
        let for_address = address.iter().filter(|part| part.full_register() == full).count();
        full != Register::RSP && read > for_address
    }

    fn explicit(&self, operand: u32) -> Option<Register> {
        (self.instruction.op_kind(operand) == OpKind::Register).then(|| self.instruction.op_register(operand))
    }

    // What an operand calls this register that is written.
    fn operand_of(&self, register: Register) -> Option<Register> {
        let written = (0..self.instruction.op_count()).filter(|&at| writes(self.info.op_access(at)));
        written.filter_map(|at| self.explicit(at)).find(|named| named.full_register() == register.full_register())
    }

    // Other than the older ones, VEX and its like clear what they do not write of a vector register.
    fn set_register(&mut self, register: Register, tags: &Tags) {
        let whole = register.is_vector_register() && self.instruction.code().encoding() != EncodingKind::Legacy;
        self.state.set_register(if whole { register.full_register() } else { register }, tags);
    }

    // ---- operands

    /// The memory that an operand names.
    fn operand_memory(&self) -> Option<(u64, usize)> {
        let memory = self.info.used_memory().first()?;
        Some((self.place(memory)?, (self.bytes(memory) as usize).min(Tags::BYTES_MAX)))
    }

    /// An operand's tags; an immediate has none. What is broadcast is repeated.
    fn operand(&self, at: u32) -> Tags {
        match self.instruction.op_kind(at) {
            OpKind::Register => self.state.register(self.instruction.op_register(at)),
            OpKind::Memory => {
                let Some((place, bytes)) = self.operand_memory() else { return Tags::CLEAN };
                let tags = self.state.memory(place, bytes);
                if self.instruction.is_broadcast() { Tags::from_fn(|at| tags.0[at % bytes]) } else { tags }
            }
            _ => Tags::CLEAN,
        }
    }

    /// How many bytes an operand has.
    fn width(&self, at: u32) -> usize {
        match self.instruction.op_kind(at) {
            OpKind::Register => self.instruction.op_register(at).size(),
            OpKind::Memory => self.operand_memory().map_or(0, |(_, bytes)| bytes),
            _ => 0,
        }
    }

    fn immediate(&self) -> Option<u8> {
        let last = self.instruction.op_count().checked_sub(1)?;
        (self.instruction.op_kind(last) == OpKind::Immediate8).then(|| self.instruction.immediate8())
    }

    /// Write operand `at`: all of it; where a mask decides, what was there may stay.
    fn write(&mut self, at: u32, tags: &Tags) {
        let bytes = self.width(at);
        let mut tags = tags.first(bytes);
        if let Some(passes) = self.passes() {
            let old = if self.instruction.merging_masking() { self.operand(at) } else { Tags::CLEAN };
            tags = Tags::choose(passes, &tags, &old).first(bytes);
        } else if self.instruction.has_op_mask() {
            let to_mask = self.instruction.op_register(at).is_k();
            if self.instruction.merging_masking() && !to_mask {
                tags = tags.or(&self.operand(at));
            }
            tags = tags.or(&self.deciding(to_mask)).first(bytes);
        }
        match self.instruction.op_kind(at) {
            OpKind::Register => self.set_register(self.instruction.op_register(at), &tags),
            OpKind::Memory => {
                if let Some((place, bytes)) = self.operand_memory() {
                    self.state.set_memory(place, bytes, &tags);
                }
            }
            _ => {}
        }
    }

    // Which bytes of a move a mask lets go: a bit for each. The C library copies and clears what is short like that; what
    // lies behind must not become input, and that its length is input makes it no more so than a flag does.
    fn passes(&self) -> Option<u64> {
        let element = self.instruction.memory_size().element_size();
        if !self.instruction.has_op_mask()
            || !table::is_vector_move(self.instruction.mnemonic())
            || !matches!(element, 1 | 2 | 4 | 8)
        {
            return None;
        }
        let mask = self.state.mask(self.instruction.op_mask())?;
        if element == 1 {
            return Some(mask);
        }
        let each = !0 >> (64 - element);
        Some((0..64 / element).filter(|at| mask >> at & 1 != 0).fold(0, |all, at| all | each << (at * element)))
    }

    // The tags of the bits that may decide about each byte: an element has at least one byte, and a bit.
    fn deciding(&self, to_mask: bool) -> Tags {
        let mask = self.state.register(self.instruction.op_mask());
        if mask.is_clean() {
            return mask;
        }
        let mut below = 0;
        let below = Tags::from_fn(|at| {
            below |= mask.0[at];
            below
        });
        if to_mask { mask } else { Tags::from_fn(|at| below.0[at / 8]) }
    }

    // ---- memory

    /// Where an operand lies. Those of gathers and scatters are many.
    fn place(&self, memory: &UsedMemory) -> Option<u64> {
        if memory.vsib_size() != 0 {
            return None;
        }
        let value = |register| self.state.value(register);
        let at = memory.virtual_address(0, |register, _, _| value(register))?;
        Some(at.wrapping_add(shadow::beside(self.instruction, value)))
    }

    fn bytes(&self, memory: &UsedMemory) -> u64 {
        match memory.memory_size().size() as u64 {
            0 if self.instruction.is_string_instruction() => self.instruction.memory_size().size() as u64,
            0 => sys::vector_bytes(),
            bytes => bytes,
        }
    }

    fn line(&mut self) {
        if let Some(at) = self.state.value(Register::RAX) {
            self.state.fill(at & !(LINE_BYTES - 1), LINE_BYTES, 0);
        }
    }
}
