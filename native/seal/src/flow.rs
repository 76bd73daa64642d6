//! Which tags an instruction's outputs get. Asked before the instruction executes: its addresses are made of what registers hold then.
//!
//! The general rule: every byte that is written gets the union of the tags of all that is read. It holds for every instruction; where it
//! says more than is so, the table of exceptions says better.
//!
//! What is not followed, on purpose:
//! - *Flags have no tags*: neither `cmp` and `jcc` nor `setcc`, `adc`'s carry, or which of both `cmov` takes. What is decided by input is
//!   not input.
//! - *Addresses do not taint what they lead to*: the base and index of a load are not among its inputs. `lea` is arithmetic.
//! - rsp by `push`, `pop` and their like, rsi and rdi by the size of an element: what is added is a constant.

use iced_x86::{EncodingKind, Instruction, InstructionInfo, Mnemonic, OpAccess, OpKind, Register, UsedMemory};

use crate::sys;
use crate::tags::{Tagged, Tags};

const DIRECTION: u64 = 0x400;
const LINE_BYTES: u64 = 64;

/// Let tags flow as `instruction`, which is about to execute, will let bytes.
pub fn follow(instruction: &Instruction, info: &InstructionInfo, state: &mut impl Tagged) {
    let mut flow = Flow { instruction, info, state };
    if instruction.is_string_instruction() {
        return flow.string();
    }
    match instruction.mnemonic() {
        Mnemonic::Call => flow.pushes(0), // a return address is the code's own
        Mnemonic::Push => flow.push(),
        Mnemonic::Clzero => flow.line(),
        _ => flow.general(),
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
    // ---- the general rule

    fn general(&mut self) {
        let tag = self.inputs();
        for used in self.info.used_registers() {
            let named = self.operand_of(used.register());
            let implied_stack = used.register().full_register() == Register::RSP && named.is_none();
            if writes(used.access()) && !implied_stack {
                let register = named.unwrap_or(used.register());
                let tag = if may_leave(used.access()) { tag | self.state.register(register).union() } else { tag };
                self.set_register(register, &Tags::all(tag, register.size()));
            }
        }
        self.pushes(tag);
    }

    // What is read: registers, but not for addresses, and memory.
    fn inputs(&self) -> u8 {
        let registers = self.info.used_registers().iter();
        let read = registers.filter(|used| reads(used.access()) && self.is_data(used.register()));
        let tag = read.fold(0, |tag, used| tag | self.state.register(used.register()).union());
        let memory = self.info.used_memory().iter().filter(|memory| reads(memory.access()));
        memory.fold(tag, |tag, memory| tag | self.place(memory).map_or(0, |at| self.state.any(at, self.bytes(memory))))
    }

    /// Let all that is written to memory have this tag.
    fn pushes(&mut self, tag: u8) {
        for memory in self.info.used_memory().iter().filter(|memory| writes(memory.access())) {
            if let Some(at) = self.place(memory) {
                let bytes = self.bytes(memory);
                let tag = if may_leave(memory.access()) { tag | self.state.any(at, bytes) } else { tag };
                self.state.fill(at, bytes, tag);
            }
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

    // ---- memory

    /// Where an operand lies. Those of gathers and scatters are many.
    fn place(&self, memory: &UsedMemory) -> Option<u64> {
        if memory.vsib_size() != 0 {
            return None;
        }
        memory.virtual_address(0, |register, _, _| self.state.value(register))
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

    fn push(&mut self) {
        let memory = self.info.used_memory().iter();
        let bytes = self.instruction.stack_pointer_increment().unsigned_abs() as usize;
        let read = memory.clone().find(|memory| reads(memory.access())).and_then(|memory| self.place(memory));
        let tags = match (self.explicit(0), read) {
            (Some(register), _) => self.state.register(register),
            (None, Some(at)) => self.state.memory(at, bytes),
            (None, None) => Tags::CLEAN,
        };
        if let Some(at) = memory.clone().find(|memory| writes(memory.access())).and_then(|memory| self.place(memory)) {
            self.state.set_memory(at, bytes, &tags);
        }
    }

    // ---- strings

    fn string(&mut self) {
        let instruction = self.instruction;
        let repeated = instruction.has_rep_prefix() || instruction.has_repne_prefix();
        let size = instruction.memory_size().size() as u64;
        let place = |wanted: fn(OpAccess) -> bool| {
            self.info.used_memory().iter().filter(move |memory| wanted(memory.access())).filter_map(|memory| self.place(memory))
        };
        let (mut from, mut to) = (place(reads), place(writes));
        let (from, other, to) = (from.next(), from.next(), to.next());
        let count = if repeated { self.state.repetitions(instruction, [from.or(to), other]) } else { 1 };
        let back = repeated && self.state.rflags() & DIRECTION != 0;
        let bytes = size.saturating_mul(count).min(1 << 32);
        let lowest = |at: u64| if back { at.wrapping_sub(bytes.wrapping_sub(size)) } else { at };
        let accumulator = match size {
            1 => Register::AL,
            2 => Register::AX,
            4 => Register::EAX,
            _ => Register::RAX,
        };
        let counter = if repeated { self.state.register(Register::RCX).union() } else { 0 };
        let mut decided = 0; // by which data it ends
        match (instruction.mnemonic(), from, to) {
            _ if count == 0 => {}
            (_, Some(from), Some(to)) => self.state.copy(lowest(from), lowest(to), bytes, size, back),
            (Mnemonic::Lodsb | Mnemonic::Lodsw | Mnemonic::Lodsd | Mnemonic::Lodsq, Some(from), None) => {
                let last = if back { lowest(from) } else { from.wrapping_add(bytes - size) };
                let tags = self.state.memory(last, size as usize);
                self.state.set_register(accumulator, &tags);
            }
            (Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq, None, Some(to)) => {
                let tags = self.state.register(accumulator);
                self.repeat(&tags, lowest(to), bytes, size);
            }
            // ins: from outside, but from no source.
            (_, None, Some(to)) => self.state.fill(lowest(to), bytes, 0),
            (_, Some(from), None) if repeated => {
                decided = self.state.any(lowest(from), bytes);
                decided |= match other {
                    Some(other) => self.state.any(lowest(other), bytes),
                    None => self.state.register(accumulator).union(),
                };
            }
            _ => {}
        }
        if repeated {
            self.end_repetition(counter | decided, decided);
        }
    }

    fn repeat(&mut self, tags: &Tags, to: u64, bytes: u64, size: u64) {
        let same = (1..size as usize).all(|at| tags.0[at] == tags.0[0]);
        if same {
            return self.state.fill(to, bytes, tags.0[0]);
        }
        for at in (0..bytes).step_by(size as usize) {
            self.state.set_memory(to.wrapping_add(at), size as usize, tags);
        }
    }

    // The pointers have moved by as much as the counter and what was found say, and the counter says how much is left.
    fn end_repetition(&mut self, moved: u8, left: u8) {
        for used in self.info.used_registers().iter().filter(|used| writes(used.access())) {
            let full = used.register().full_register();
            match full {
                Register::RCX if left == 0 => self.state.set_register(full, &Tags::CLEAN),
                Register::RCX | Register::RSI | Register::RDI if moved != 0 => {
                    let tag = self.state.register(full).union() | moved;
                    self.state.set_register(full, &Tags::all(tag, 8));
                }
                _ => {}
            }
        }
    }
}
