//! The processor's state as it is stored in memory: by a dynamic linker around its resolver, by `setjmp` and signal handlers of old.
//!
//! ```text
//!  fxsave, xsave  0 x87's words   32 st0 … st7, 16 bytes each   160 xmm0 … xmm15   512 header: what is there, and how   576 the rest
//!  fnsave         0 words (28 or 14 bytes), then st0 … st7, 10 bytes each
//! ```

use iced_x86::Register;

use super::Flow;
use crate::sys;
use crate::tags::{Tagged, Tags};

#[derive(Clone, Copy)]
pub enum Image {
    SaveOld,     // fxsave
    RestoreOld,  // fxrstor
    Save,        // xsave
    SaveInUse,   // xsaveopt: what is not in use need not be written
    SaveCompact, // xsavec: likewise, and without gaps
    Restore,     // xrstor
    SaveX87,
    RestoreX87,
    Words, // fnstenv
}

const X87: usize = 0;
const SSE: usize = 1;
const AVX: usize = 2;
const MASKS: usize = 5;
const UPPERS: usize = 6; // of zmm0 to zmm15
const LATTER: usize = 7; // zmm16 to zmm31
const COMPONENTS: usize = 32;

const ST0_AT: u64 = 32;
const XMM0_AT: u64 = 160;
const HEADER_AT: u64 = 512;
const REST_AT: u64 = 576;
const ST_BYTES: usize = 10;
const COMPACT: u64 = 1 << 63;

/// Some bytes of a register, and where they stand in the image.
struct Part {
    register: Register,
    from: usize,
    bytes: usize,
    at: u64,
}

impl<T: Tagged> Flow<'_, T> {
    pub fn image(&mut self, rule: Image) {
        let Some((at, _)) = self.operand_memory() else { return };
        let old = 1 << X87 | 1 << SSE;
        match rule {
            Image::SaveOld => self.save(at, old, 0, false),
            Image::RestoreOld => self.restore(at, old, old, 0),
            Image::Save => self.save(at, self.wanted(), 0, false),
            Image::SaveInUse => self.save(at, self.wanted(), 0, true),
            Image::SaveCompact => self.save(at, self.wanted(), COMPACT | self.wanted(), true),
            Image::Restore => {
                let header = |offset: u64| {
                    let mut word = [0; 8];
                    self.state.read(at.wrapping_add(HEADER_AT + offset), &mut word);
                    u64::from_le_bytes(word)
                };
                let (there, form) = (header(0), header(8));
                self.restore(at, self.wanted(), there, form);
            }
            Image::SaveX87 => self.save_x87(at),
            Image::RestoreX87 => self.restore_x87(at),
            Image::Words => {
                self.words(at);
            }
        }
    }

    // The components that edx:eax asks for, of those that there are.
    fn wanted(&self) -> u64 {
        let half = |register| self.state.value(register).unwrap_or(0);
        (half(Register::EDX) << 32 | half(Register::EAX)) & sys::vector_features()
    }

    fn save(&mut self, at: u64, wanted: u64, form: u64, in_use: bool) {
        let st = |number: usize| Register::ST0 + number as u32;
        for component in (0..COMPONENTS).filter(|component| wanted >> component & 1 != 0) {
            each_part(component, form, st, |part| {
                let register = self.state.register(part.register);
                let to = at.wrapping_add(part.at);
                let kept = if in_use { self.state.memory(to, part.bytes) } else { Tags::CLEAN };
                let tags = Tags::from_fn(|byte| if byte < part.bytes { register.0[part.from + byte] | kept.0[byte] } else { 0 });
                self.state.set_memory(to, part.bytes, &tags);
            });
        }
        if wanted & 1 << X87 != 0 && !in_use {
            self.state.fill(at, 24, 0); // control, status, pointers
        }
    }

    // `there`: what the image has; all else begins anew.
    fn restore(&mut self, at: u64, wanted: u64, there: u64, form: u64) {
        let top = self.status(at.wrapping_add(2));
        let st = |number: usize| Register::MM0 + ((top + number) % 8) as u32;
        for component in (0..COMPONENTS).filter(|component| wanted >> component & 1 != 0) {
            each_part(component, form, st, |part| {
                let is_there = there >> component & 1 != 0;
                let tags = if is_there { self.state.memory(at.wrapping_add(part.at), part.bytes) } else { Tags::CLEAN };
                let mut register = self.state.register(part.register);
                register.0[part.from..part.from + part.bytes].copy_from_slice(&tags.0[..part.bytes]);
                if part.register.is_mm() {
                    register = tags; // two bytes more than MMX has names for
                }
                self.state.set_register(part.register, &register);
            });
        }
    }

    // Which register stands on top, by a status word in memory.
    fn status(&self, at: u64) -> usize {
        let mut word = [0; 2];
        self.state.read(at, &mut word);
        usize::from(u16::from_le_bytes(word) >> 11 & 7)
    }

    // x87's words; one of them tells of what kind each register's number is. Answers how many bytes they are.
    fn words(&mut self, at: u64) -> u64 {
        let bytes = if matches!(self.instruction.memory_size().size(), 14 | 94) { 14 } else { 28 };
        let tag = (0..8).fold(0, |all, number| all | self.state.register(Register::MM0 + number).union());
        self.state.fill(at, bytes, 0);
        self.state.fill(at.wrapping_add(2 * bytes / 7), 2, tag);
        bytes
    }

    fn save_x87(&mut self, at: u64) {
        let first = self.words(at);
        for number in 0..8u32 {
            let tags = self.state.register(Register::ST0 + number);
            self.state.set_memory(at.wrapping_add(first + u64::from(number) * ST_BYTES as u64), ST_BYTES, &tags);
        }
    }

    fn restore_x87(&mut self, at: u64) {
        let first = if self.instruction.memory_size().size() == 94 { 14 } else { 28 };
        let top = self.status(at.wrapping_add(first / 7));
        for number in 0..8 {
            let tags = self.state.memory(at.wrapping_add(first + number * ST_BYTES as u64), ST_BYTES);
            let register = Register::MM0 + ((top + number as usize) % 8) as u32;
            self.state.set_register(register, &Tags::all(tags.union(), 8));
        }
    }
}

// Name the registers of one component, and where they stand. `st` says which the nth from the top is.
fn each_part(component: usize, form: u64, st: impl Fn(usize) -> Register, mut each: impl FnMut(Part)) {
    let begin = if component > SSE { begin_of(component, form) } else { 0 };
    let mut all = |count: usize, at: u64, bytes: usize, from: usize, step: u64, register: &dyn Fn(usize) -> Register| {
        for number in 0..count {
            each(Part { register: register(number), from, bytes, at: at + step * number as u64 });
        }
    };
    match component {
        X87 => all(8, ST0_AT, ST_BYTES, 0, 16, &st),
        SSE => all(16, XMM0_AT, 16, 0, 16, &|number| Register::XMM0 + number as u32),
        AVX => all(16, begin, 16, 16, 16, &|number| Register::YMM0 + number as u32),
        MASKS => all(8, begin, 8, 0, 8, &|number| Register::K0 + number as u32),
        UPPERS => all(16, begin, 32, 32, 32, &|number| Register::ZMM0 + number as u32),
        LATTER => all(16, begin, 64, 0, 64, &|number| Register::ZMM16 + number as u32),
        _ => {}
    }
}

fn begin_of(component: usize, form: u64) -> u64 {
    if form & COMPACT == 0 {
        return u64::from(sys::component(component).offset);
    }
    let mut at = REST_AT;
    for before in (AVX..=component).filter(|before| form >> before & 1 != 0) {
        let known = sys::component(before);
        at = if known.aligned { at.next_multiple_of(64) } else { at };
        if before != component {
            at += u64::from(known.bytes);
        }
    }
    at
}
