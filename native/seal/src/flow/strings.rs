//! String instructions: each byte's tag goes where the byte goes, as often as it does.

use iced_x86::{Mnemonic, OpAccess, Register};

use super::{DIRECTION, Flow, reads, writes};
use crate::tags::{Tagged, Tags};

impl<T: Tagged> Flow<'_, T> {
    /// See to the tags of a string instruction, repeated or not.
    pub fn string(&mut self) {
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
