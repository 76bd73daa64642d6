//! Rules for general registers and the stack.

use iced_x86::{Mnemonic, OpKind, Register};

use super::{Flow, reads, writes};
use crate::tags::{Tagged, Tags};

#[derive(Clone, Copy)]
pub enum Scalar {
    Move,       // byte to byte, zeros above
    Extend,     // above stands what the topmost bit says
    ExtendHigh, // likewise, in another register: cwd
    Bitwise,    // byte by byte, save where an immediate decides
    Carry,      // a byte depends on those below it
    Lea,
    Count,    // a small number, of all bytes
    CountOld, // ... and nothing where there is none to count
    Either,   // byte to byte, or what was there
    Bit,
    Reverse,
    Shift(Shift),
    Double, // shld and shrd
    Multiply,
    Divide,
    Exchange,
    ExchangeAdd,
    CompareExchange,
    CompareExchangeWide,
    Push,
    PushClean,
    Pop,
    Leave,
    Byte, // xlat
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    Left,
    Right,
    RightSigned,
    RotateLeft,
    RotateRight,
}

/// Move the first `width` bytes' tags by `bits`, within themselves.
pub fn shifted(tags: &Tags, width: usize, shift: Shift, bits: usize) -> Tags {
    let total = 8 * width as i64;
    let left = match shift {
        Shift::Left => bits as i64,
        Shift::RotateLeft => bits as i64 % total,
        Shift::Right | Shift::RightSigned => -(bits as i64),
        Shift::RotateRight => -(bits as i64 % total),
    };
    let from = |bit: i64| match shift {
        Shift::RotateLeft | Shift::RotateRight => tags.0[(bit.rem_euclid(total) / 8) as usize],
        Shift::RightSigned if bit >= total => tags.0[width - 1],
        _ if (0..total).contains(&bit) => tags.0[(bit / 8) as usize],
        _ => 0,
    };
    Tags::from_fn(|at| {
        let low = 8 * at as i64 - left;
        if at < width { from(low) | from(low + 7) } else { 0 }
    })
}

fn accumulator(width: usize) -> Register {
    match width {
        1 => Register::AL,
        2 => Register::AX,
        4 => Register::EAX,
        _ => Register::RAX,
    }
}

fn upper(width: usize) -> Register {
    match width {
        2 => Register::DX,
        4 => Register::EDX,
        _ => Register::RDX,
    }
}

impl<T: Tagged> Flow<'_, T> {
    pub fn scalar(&mut self, rule: Scalar) {
        match rule {
            Scalar::Move => {
                let tags = self.operand(1);
                self.write(0, &tags);
            }
            Scalar::Extend => self.extend(),
            Scalar::ExtendHigh => self.extend_high(),
            Scalar::Bitwise => {
                let tags = self.bitwise();
                self.write(0, &tags);
            }
            Scalar::Carry => {
                let tags = self.carried(&self.both());
                self.write(0, &tags);
            }
            Scalar::Lea => self.lea(),
            Scalar::Count => {
                let tags = Tags::all(self.operand(1).union(), 1);
                self.write(0, &tags);
            }
            Scalar::CountOld => {
                let register = self.instruction.op0_register().full_register();
                let tags = Tags::all(self.operand(1).union(), 1).or(&self.state.register(register));
                self.state.set_register(register, &tags);
            }
            Scalar::Either => {
                let tags = self.operand(0).or(&self.operand(1));
                self.write(0, &tags);
            }
            Scalar::Bit => {
                let tags = self.operand(0).or(&Tags::all(self.operand(1).union(), Tags::BYTES_MAX));
                self.write(0, &tags);
            }
            Scalar::Reverse => self.reverse(),
            Scalar::Shift(shift) => self.shift(shift),
            Scalar::Double => self.double_shift(),
            Scalar::Multiply => self.multiply(),
            Scalar::Divide => self.divide(),
            Scalar::Exchange => {
                let (first, second) = (self.operand(0), self.operand(1));
                self.write_second(&first);
                self.write(0, &second);
            }
            Scalar::ExchangeAdd => {
                let (sum, old) = (self.carried(&self.both()), self.operand(0));
                self.write_second(&old);
                self.write(0, &sum);
            }
            Scalar::CompareExchange => self.compare_exchange(),
            Scalar::CompareExchangeWide => self.compare_exchange_wide(),
            Scalar::Push => self.push(),
            Scalar::PushClean => {
                for memory in self.info.used_memory().iter().filter(|memory| writes(memory.access())) {
                    if let Some(at) = self.place(memory) {
                        self.state.fill(at, self.bytes(memory), 0);
                    }
                }
            }
            Scalar::Pop => self.pop(),
            Scalar::Leave => self.leave(),
            Scalar::Byte => {
                let tags = self.operand_memory().map_or(Tags::CLEAN, |(at, _)| self.state.memory(at, 1));
                self.state.set_register(Register::AL, &tags);
            }
        }
    }

    // Byte by byte of all operands that are read.
    fn both(&self) -> Tags {
        let read = (0..self.instruction.op_count()).filter(|&at| reads(self.info.op_access(at)));
        read.fold(Tags::CLEAN, |tags, at| tags.or(&self.operand(at)))
    }

    fn carried(&self, tags: &Tags) -> Tags {
        let mut below = 0;
        Tags::from_fn(|at| {
            below |= tags.0[at];
            below
        })
    }

    fn write_second(&mut self, tags: &Tags) {
        if let Some(register) = self.explicit(1) {
            self.state.set_register(register, tags);
        }
    }

    fn extend(&mut self) {
        // cbw, cwde and cdqe name neither.
        let (from, to) = match self.instruction.mnemonic() {
            Mnemonic::Cbw => (Register::AL, Register::AX),
            Mnemonic::Cwde => (Register::AX, Register::EAX),
            Mnemonic::Cdqe => (Register::EAX, Register::RAX),
            _ => {
                let (tags, bytes) = (self.operand(1), self.width(1));
                let tags = Tags::from_fn(|at| tags.0[at.min(bytes - 1)]);
                return self.write(0, &tags);
            }
        };
        let tags = self.state.register(from);
        let tags = Tags::from_fn(|at| tags.0[at.min(from.size() - 1)]);
        self.state.set_register(to, &tags);
    }

    fn extend_high(&mut self) {
        let width = match self.instruction.mnemonic() {
            Mnemonic::Cwd => 2,
            Mnemonic::Cdq => 4,
            _ => 8,
        };
        let sign = self.state.register(accumulator(width)).0[width - 1];
        self.state.set_register(upper(width), &Tags::all(sign, width));
    }

    fn bitwise(&self) -> Tags {
        let tags = self.both();
        let last = self.instruction.op_count() - 1;
        if matches!(self.instruction.op_kind(last), OpKind::Register | OpKind::Memory) {
            return tags;
        }
        let Ok(immediate) = self.instruction.try_immediate(last) else { return tags };
        let deciding = match self.instruction.mnemonic() {
            Mnemonic::And => 0x00,
            Mnemonic::Or => 0xff,
            _ => return tags,
        };
        Tags::from_fn(|at| if at < 8 && immediate.to_le_bytes()[at] == deciding { 0 } else { tags.0[at] })
    }

    fn lea(&mut self) {
        let part = |register: Register| if register.is_gpr() { self.state.register(register) } else { Tags::CLEAN };
        let tags = part(self.instruction.memory_base()).or(&part(self.instruction.memory_index()));
        let tags = self.carried(&tags);
        self.write(0, &tags);
    }

    fn reverse(&mut self) {
        let from = self.instruction.op_count() - 1; // bswap has one operand
        let (tags, bytes) = (self.operand(from), self.width(from));
        let turned = if self.instruction.op_count() == 1 && bytes == 2 {
            Tags::all(tags.union(), bytes) // undefined
        } else {
            Tags::from_fn(|at| if at < bytes { tags.0[bytes - 1 - at] } else { 0 })
        };
        self.write(0, &turned);
    }

    fn shift(&mut self, shift: Shift) {
        // shlx and its like have three operands.
        let three = self.instruction.op_count() == 3;
        let (from, by) = if three { (1, 2) } else { (0, 1) };
        let (tags, width) = (self.operand(from), self.width(0));
        let mask = if width == 8 { 63 } else { 31 };
        let (count, tag) = match self.explicit(by) {
            Some(register) => (self.state.value(register), self.state.register(register).0[0]),
            None => (Some(u64::from(self.instruction.immediate8())), 0),
        };
        let moved = count.map(|count| shifted(&tags, width, shift, count as usize & mask));
        let moved = moved.filter(|_| tag == 0).unwrap_or(Tags::all(tag | tags.union(), width));
        self.write(0, &moved);
    }

    fn double_shift(&mut self) {
        let (to, from, width) = (self.operand(0), self.operand(1), self.width(0));
        let mask = if width == 8 { 63 } else { 31 };
        let (count, tag) = match self.explicit(2) {
            Some(register) => (self.state.value(register), self.state.register(register).0[0]),
            None => (Some(u64::from(self.instruction.immediate8())), 0),
        };
        let (out, other) = match self.instruction.mnemonic() {
            Mnemonic::Shld => (Shift::Left, Shift::Right),
            _ => (Shift::Right, Shift::Left),
        };
        let tags = match count.map(|count| count as usize & mask) {
            Some(0) if tag == 0 => to,
            Some(count) if tag == 0 && count <= 8 * width => {
                shifted(&to, width, out, count).or(&shifted(&from, width, other, 8 * width - count))
            }
            _ => Tags::all(tag | to.union() | from.union(), width),
        };
        self.write(0, &tags);
    }

    fn multiply(&mut self) {
        if self.instruction.op_count() > 1 {
            let tags = self.carried(&self.both());
            return self.write(0, &tags);
        }
        let (tags, width) = (self.operand(0), self.width(0));
        let factors = tags.or(&self.state.register(accumulator(width)));
        if width == 1 {
            return self.state.set_register(Register::AX, &Tags::all(factors.union(), 2));
        }
        let product = self.carried(&factors);
        self.state.set_register(accumulator(width), &product);
        self.state.set_register(upper(width), &Tags::all(factors.union(), width));
    }

    fn divide(&mut self) {
        let (divisor, width) = (self.operand(0).union(), self.width(0));
        if width == 1 {
            let tag = divisor | self.state.register(Register::AX).union();
            return self.state.set_register(Register::AX, &Tags::all(tag, 2));
        }
        let tag = divisor | self.state.register(accumulator(width)).union() | self.state.register(upper(width)).union();
        self.state.set_register(accumulator(width), &Tags::all(tag, width));
        self.state.set_register(upper(width), &Tags::all(tag, width));
    }

    // One of both registers stays whole, also above 32 bits.
    fn compare_exchange(&mut self) {
        let (to, from, width) = (self.operand(0), self.operand(1), self.width(0));
        let kept = self.state.register(Register::RAX).or(&to);
        self.state.set_register(Register::RAX, &kept);
        match self.explicit(0) {
            Some(register) if width > 1 => {
                let full = register.full_register();
                let tags = self.state.register(full).or(&from);
                self.state.set_register(full, &tags);
            }
            _ => self.write(0, &to.or(&from)),
        }
    }

    fn compare_exchange_wide(&mut self) {
        let Some((at, bytes)) = self.operand_memory() else { return };
        let half = bytes / 2;
        let old = self.state.memory(at, bytes);
        let (low, high) = (accumulator(half), upper(half));
        let (new_low, new_high) = if half == 4 { (Register::EBX, Register::ECX) } else { (Register::RBX, Register::RCX) };
        let pair = |low: &Tags, high: &Tags| Tags::from_fn(|at| if at < half { low.0[at] } else { high.0[(at - half) % half] });
        let new = pair(&self.state.register(new_low), &self.state.register(new_high));
        self.state.set_memory(at, bytes, &old.or(&new));
        let kept = old.or(&pair(&self.state.register(low), &self.state.register(high)));
        self.state.set_register(low, &kept.first(half));
        self.state.set_register(high, &Tags::from_fn(|at| if at < half { kept.0[half + at] } else { 0 }));
    }

    // ---- the stack

    fn push(&mut self) {
        let bytes = self.instruction.stack_pointer_increment().unsigned_abs() as usize;
        let tags = self.operand(0);
        let written = self.info.used_memory().iter().find(|memory| writes(memory.access()));
        if let Some(at) = written.and_then(|memory| self.place(memory)) {
            self.state.set_memory(at, bytes, &tags);
        }
    }

    fn pop(&mut self) {
        let bytes = self.instruction.stack_pointer_increment().unsigned_abs() as usize;
        let Some(at) = self.state.value(Register::RSP) else { return };
        let tags = self.state.memory(at, bytes);
        self.write(0, &tags);
    }

    // rsp becomes what rbp was, so far as tags go.
    fn leave(&mut self) {
        let bytes = if self.instruction.code() == iced_x86::Code::Leavew { 2 } else { 8 };
        let Some(at) = self.state.value(Register::RBP) else { return };
        let frame = self.state.register(Register::RBP);
        self.state.set_register(Register::RSP, &frame);
        let saved = self.state.memory(at, bytes);
        self.state.set_register(if bytes == 2 { Register::BP } else { Register::RBP }, &saved);
    }
}
