//! Tags of registers and memory: how rules see them, and where a possessed thread keeps them.
//!
//! Owns the parts of registers: which bytes a name means, and which others a write of it clears. Memory's tags are `shadow`'s.

use iced_x86::{Instruction, Register};

use crate::abi::{Context, VECTOR_BYTES};
use crate::translate::number;
use crate::{shadow, sys};

/// Tags of up to 64 bytes, the lowest address or the least significant byte first; those behind them are 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(align(16))]
pub struct Tags(pub [u8; VECTOR_BYTES]);

impl Tags {
    pub const CLEAN: Tags = Tags([0; VECTOR_BYTES]);
    pub const BYTES_MAX: usize = VECTOR_BYTES;

    /// The same tag for each of the first bytes.
    pub fn all(tag: u8, bytes: usize) -> Tags {
        Tags::from_fn(|at| if at < bytes { tag } else { 0 })
    }

    /// Those of a general register.
    pub fn of_word(word: u64) -> Tags {
        let mut tags = Tags::CLEAN;
        tags.0[..8].copy_from_slice(&word.to_le_bytes());
        tags
    }

    pub fn word(&self) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|at| self.0[at]))
    }

    pub fn from_fn(tag: impl FnMut(usize) -> u8) -> Tags {
        Tags(core::array::from_fn(tag))
    }

    pub fn union(&self) -> u8 {
        self.0.iter().fold(0, |all, tag| all | tag)
    }

    pub fn is_clean(&self) -> bool {
        self.union() == 0
    }

    /// Byte by byte.
    pub fn or(&self, other: &Tags) -> Tags {
        Tags::from_fn(|at| self.0[at] | other.0[at])
    }

    /// Of two, the first where a bit of `bits` says so, for each byte.
    pub fn choose(bits: u64, yes: &Tags, no: &Tags) -> Tags {
        let mut chosen = *no;
        for (at, byte) in bits.to_le_bytes().into_iter().enumerate().filter(|&(_, byte)| byte != 0) {
            // Of eight bits, each to a byte of its own, and from there into all its bits.
            let apart = (u64::from(byte) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
            let whole = ((apart + 0x7f7f_7f7f_7f7f_7f7f) >> 7 & 0x0101_0101_0101_0101) * 0xff;
            let word = |tags: &Tags| u64::from_le_bytes(core::array::from_fn(|within| tags.0[8 * at + within]));
            let of_both = word(yes) & whole | word(no) & !whole;
            chosen.0[8 * at..][..8].copy_from_slice(&of_both.to_le_bytes());
        }
        chosen
    }

    /// The first bytes alone.
    pub fn first(&self, bytes: usize) -> Tags {
        Tags::from_fn(|at| if at < bytes { self.0[at] } else { 0 })
    }
}

/// Where tags are read and written, and values that addresses are made of.
pub trait Tagged {
    /// Of a register of any width.
    fn register(&self, register: Register) -> Tags;
    /// As the processor writes it: 32 bits clear the upper half; of a vector register what is beyond the name's width stays.
    fn set_register(&mut self, register: Register, tags: &Tags);
    /// What any of these bytes of memory has.
    fn any(&self, address: u64, bytes: u64) -> u8;
    /// Of at most 64 bytes of memory.
    fn memory(&self, address: u64, bytes: usize) -> Tags;
    fn set_memory(&mut self, address: u64, bytes: usize, tags: &Tags);
    /// Give all these bytes of memory one tag.
    fn fill(&mut self, address: u64, bytes: u64, tag: u8);
    /// The value of a general register, zeros above it; or a segment's base.
    fn value(&self, register: Register) -> Option<u64>;
    /// The value of a vector register.
    fn vector(&self, register: Register) -> [u8; VECTOR_BYTES];
    /// The value of a mask register, if that can be told.
    fn mask(&self, register: Register) -> Option<u64>;
    /// Read memory; answer how many bytes that was.
    fn read(&self, address: u64, into: &mut [u8]) -> usize;
    fn rflags(&self) -> u64;
    /// Which register of the x87 unit stands on top.
    fn x87_top(&self) -> usize;
    /// How often a string instruction will be repeated, at the most; its operands lie at `places`.
    fn repetitions(&self, instruction: &Instruction, places: [Option<u64>; 2]) -> u64;

    /// As `rep movs` does it: elements one after another, downwards in memory if `back`, also onto each other. Both addresses are the lowest.
    fn copy(&mut self, from: u64, to: u64, bytes: u64, element: u64, back: bool) {
        if self.any(from, bytes) == 0 {
            return self.fill(to, bytes, 0);
        }
        // Of what a piece is made, no piece before it may have yet to write.
        let ahead = if back { from.wrapping_sub(to) } else { to.wrapping_sub(from) };
        let piece = if ahead < element { element } else { ahead.min(Tags::BYTES_MAX as u64) };
        let mut done = 0;
        while done < bytes {
            let count = piece.min(bytes - done);
            let at = if back { bytes - done - count } else { done };
            let tags = self.memory(from.wrapping_add(at), count as usize);
            self.set_memory(to.wrapping_add(at), count as usize, &tags);
            done += count;
        }
    }
}

fn is_high_byte(register: Register) -> bool {
    matches!(register, Register::AH | Register::CH | Register::DH | Register::BH)
}

/// The x87 unit's registers are those of MMX; `st0` is the one that stands on top.
fn x87_number(register: Register, top: usize) -> usize {
    if register.is_st() { (top + register.number()) % 8 } else { register.number() }
}

impl Tagged for Context {
    fn register(&self, register: Register) -> Tags {
        let bytes = register.size();
        if let Some(number) = number(register) {
            let word = self.tags[usize::from(number)] >> if is_high_byte(register) { 8 } else { 0 };
            return Tags::of_word(word & !0 >> (64 - 8 * bytes));
        }
        if register.is_vector_register() {
            return Tags(self.vector_tags[register.number()]).first(bytes);
        }
        if register.is_k() {
            return Tags::of_word(self.mask_tags[register.number()]);
        }
        if register.is_st() || register.is_mm() {
            return Tags::all(self.x87_tags[x87_number(register, self.x87_top())], bytes);
        }
        Tags::CLEAN
    }

    fn set_register(&mut self, register: Register, tags: &Tags) {
        let bytes = register.size();
        if let Some(number) = number(register) {
            let slot = &mut self.tags[usize::from(number)];
            let kept = if bytes == 4 { 0 } else { *slot };
            let shift = if is_high_byte(register) { 8 } else { 0 };
            let written = !0 >> (64 - 8 * bytes) << shift;
            *slot = kept & !written | tags.word() << shift & written;
        } else if register.is_vector_register() {
            let slot = &mut self.vector_tags[register.number()];
            *slot = core::array::from_fn(|at| if at < bytes { tags.0[at] } else { slot[at] });
        } else if register.is_k() {
            self.mask_tags[register.number()] = tags.word();
        } else if register.is_st() || register.is_mm() {
            self.x87_tags[x87_number(register, self.x87_top())] = tags.union();
        }
    }

    fn any(&self, address: u64, bytes: u64) -> u8 {
        shadow::union_of_tags(address, bytes)
    }

    fn memory(&self, address: u64, bytes: usize) -> Tags {
        shadow::tags_at(address, bytes)
    }

    fn set_memory(&mut self, address: u64, bytes: usize, tags: &Tags) {
        shadow::write_tags(address, &tags.0[..bytes]);
    }

    fn fill(&mut self, address: u64, bytes: u64, tag: u8) {
        if tag == 0 {
            shadow::clear_tags(address, bytes);
        } else {
            shadow::set_tags(address, bytes, tag);
        }
    }

    fn value(&self, register: Register) -> Option<u64> {
        if number(register).is_none() {
            return shadow::value(self, register);
        }
        let whole = self.regs[usize::from(number(register)?)];
        Some(match register.size() {
            1 if is_high_byte(register) => whole >> 8 & 0xff,
            1 => whole & 0xff,
            2 => whole & 0xffff,
            4 => whole & 0xffff_ffff,
            _ => whole,
        })
    }

    fn vector(&self, register: Register) -> [u8; VECTOR_BYTES] {
        const XMM: usize = 160;
        if register.is_xmm() && register.number() < 16 && self.vectors_in_context != 0 {
            let [low, high] = self.xmm.0[register.number()];
            let mut value = [0; VECTOR_BYTES];
            value[..16].copy_from_slice(&(u128::from(high) << 64 | u128::from(low)).to_le_bytes());
            return value;
        }
        let mut image = sys::VectorImage([0; 4096]);
        sys::store_vectors(&mut image);
        let at = |component: usize, bytes: usize, number: usize| {
            let begin = sys::component(component).offset as usize + bytes * number;
            &image.0[begin..begin + bytes]
        };
        let number = register.number();
        let mut value = [0; VECTOR_BYTES];
        if number >= 16 {
            value.copy_from_slice(at(7, 64, number - 16));
            return value;
        }
        if self.vectors_in_context != 0 {
            let [low, high] = self.xmm.0[number].map(u64::to_le_bytes);
            value[..8].copy_from_slice(&low);
            value[8..16].copy_from_slice(&high);
        } else {
            value[..16].copy_from_slice(&image.0[XMM + 16 * number..][..16]);
        }
        value[16..32].copy_from_slice(at(2, 16, number));
        if sys::vector_features() & 0x40 != 0 {
            value[32..].copy_from_slice(at(6, 32, number));
        }
        value
    }

    fn mask(&self, register: Register) -> Option<u64> {
        sys::mask(register.number())
    }

    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        sys::read_guest(address, into)
    }

    fn rflags(&self) -> u64 {
        self.rflags
    }

    fn x87_top(&self) -> usize {
        sys::x87_top()
    }

    fn repetitions(&self, instruction: &Instruction, places: [Option<u64>; 2]) -> u64 {
        shadow::repetitions(self, instruction, places.into_iter().flatten())
    }
}
