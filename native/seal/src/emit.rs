//! Writing machine code: bytes at a host address, and the few instruction forms that the translator adds.
//!
//! Owns encodings. Knows nothing of fragments. Names are `verb_to_from`; an `abs32` operand is an absolute address
//! below 2 GiB, which needs neither a register nor rip (ModRM rm=100, SIB=0x25).

use crate::abi;

/// An address in the code cache, as opposed to `GuestPc`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct HostPc(pub u64);

/// An address of the application's code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Hash)]
pub struct GuestPc(pub u64);

impl HostPc {
    pub const NONE: HostPc = HostPc(0);

    pub fn offset(self, bytes: u64) -> HostPc {
        HostPc(self.0.wrapping_add(bytes))
    }

    /// Return the displacement that a rel32 whose field ends at `self` needs to reach `target`, if there is one.
    pub fn rel32(self, target: HostPc) -> Option<i32> {
        i32::try_from(target.0.wrapping_sub(self.0) as i64).ok()
    }
}

/// A memory operand as the encoder wants it. `base`, `index`: register numbers 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    pub base: Option<u8>,
    pub index: Option<u8>,
    pub scale: u8, // 1, 2, 4, 8
    pub displacement: i32,
    pub address32: bool,     // 67: 32-bit address size
    pub segment: Option<u8>, // prefix byte: 0x64 fs, 0x65 gs
}

impl Operand {
    pub fn absolute(address: u32) -> Operand {
        Operand { base: None, index: None, scale: 1, displacement: address as i32, address32: false, segment: None }
    }

    pub fn at(base: usize, displacement: i32) -> Operand {
        Operand { base: Some(base as u8), index: None, scale: 1, displacement, address32: false, segment: None }
    }

    pub fn plus(mut self, bytes: i32) -> Operand {
        self.displacement = self.displacement.wrapping_add(bytes);
        self
    }
}

/// Where code is being written. All writes of the engine into code go through here.
pub struct Code {
    at: u64,
    end: u64,
    pub overflow: bool,
}

impl Code {
    /// Begin to write at `at`, at most up to `end`. What lies between is the caller's own code memory, writable.
    pub fn new(at: HostPc, end: HostPc) -> Code {
        Code { at: at.0, end: end.0, overflow: false }
    }

    pub fn here(&self) -> HostPc {
        HostPc(self.at)
    }

    pub fn byte(&mut self, value: u8) {
        if self.at >= self.end {
            self.overflow = true;
            return;
        }
        // SAFETY: `at` lies in the code memory that `new` was given, and before its end.
        unsafe { (self.at as *mut u8).write(value) };
        self.at += 1;
    }

    pub fn bytes(&mut self, values: &[u8]) {
        if self.at + values.len() as u64 > self.end {
            self.overflow = true;
            return;
        }
        // SAFETY: as in `byte`, for the whole run.
        unsafe { core::ptr::copy_nonoverlapping(values.as_ptr(), self.at as *mut u8, values.len()) };
        self.at += values.len() as u64;
    }

    pub fn int32(&mut self, value: i32) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn int64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    // ModRM (+SIB, displacement) of `operand` with `reg` in the reg field, after the opcode has been written.
    fn modrm(&mut self, reg: u8, operand: &Operand) {
        let reg = (reg & 7) << 3;
        let Some(base) = operand.base else {
            let index = operand.index.map_or(4, |i| i & 7);
            self.byte(reg | 4);
            self.byte(scale_bits(operand.scale) | (index << 3) | 5);
            self.int32(operand.displacement);
            return;
        };
        let short = i8::try_from(operand.displacement).is_ok();
        let mode = if operand.displacement == 0 && base & 7 != 5 {
            0
        } else if short {
            0x40
        } else {
            0x80
        };
        if operand.index.is_some() || base & 7 == 4 {
            self.byte(mode | reg | 4);
            let index = operand.index.map_or(4, |i| i & 7);
            self.byte(scale_bits(operand.scale) | (index << 3) | (base & 7));
        } else {
            self.byte(mode | reg | (base & 7));
        }
        match mode {
            0x40 => self.byte(operand.displacement as u8),
            0x80 => self.int32(operand.displacement),
            _ => {}
        }
    }

    /// Write `prefixes [REX] opcode modrm` for one register and one memory operand.
    pub fn op_reg_mem(&mut self, wide: bool, opcode: &[u8], reg: u8, operand: &Operand) {
        if let Some(segment) = operand.segment {
            self.byte(segment);
        }
        if operand.address32 {
            self.byte(0x67);
        }
        let rex = (u8::from(wide) << 3)
            | ((reg >> 3) << 2)
            | (operand.index.map_or(0, |i| i >> 3) << 1)
            | operand.base.map_or(0, |b| b >> 3);
        if rex != 0 {
            self.byte(0x40 | rex);
        }
        self.bytes(opcode);
        self.modrm(reg, operand);
    }

    pub fn mov_mem_reg(&mut self, operand: &Operand, reg: usize) {
        self.op_reg_mem(true, &[0x89], reg as u8, operand);
    }

    pub fn mov_reg_mem(&mut self, reg: usize, operand: &Operand) {
        self.op_reg_mem(true, &[0x8b], reg as u8, operand);
    }

    pub fn mov_reg_reg(&mut self, to: usize, from: usize) {
        self.bytes(&[0x48 | ((from as u8 >> 3) << 2) | (to as u8 >> 3), 0x89, 0xc0 | ((from as u8 & 7) << 3) | (to as u8 & 7)]);
    }

    pub fn lea(&mut self, reg: usize, operand: &Operand) {
        self.op_reg_mem(true, &[0x8d], reg as u8, operand);
    }

    /// Load a constant in the shortest form that leaves flags alone.
    pub fn mov_reg_const(&mut self, reg: usize, value: u64) {
        let high = reg as u8 >> 3;
        if let Ok(short) = u32::try_from(value) {
            if high != 0 {
                self.byte(0x41);
            }
            self.byte(0xb8 | (reg as u8 & 7));
            self.int32(short as i32);
        } else {
            self.byte(0x48 | high);
            self.byte(0xb8 | (reg as u8 & 7));
            self.int64(value);
        }
    }

    pub fn push_mem(&mut self, operand: &Operand) {
        self.op_reg_mem(false, &[0xff], 6, operand);
    }

    pub fn cmp_reg_mem(&mut self, reg: usize, operand: &Operand) {
        self.op_reg_mem(true, &[0x3b], reg as u8, operand);
    }

    /// `movzx ecx, register's low 16 bits`.
    pub fn movzx_ecx(&mut self, register: usize) {
        if register > 7 {
            self.byte(0x41);
        }
        self.bytes(&[0x0f, 0xb7, 0xc8 | (register as u8 & 7)]);
    }

    /// `movzx ecx, word [operand]`.
    pub fn movzx_ecx_mem(&mut self, operand: &Operand) {
        self.op_reg_mem(false, &[0x0f, 0xb7], abi::RCX as u8, operand);
    }

    /// `shrx rcx, [operand], rcx`, an operand without extended registers: a shift that leaves flags alone.
    pub fn shrx_rcx_mem_rcx(&mut self, operand: &Operand) {
        self.bytes(&[0xc4, 0xe2, 0xf3, 0xf7]);
        self.modrm(abi::RCX as u8, operand);
    }

    /// `lea rsp, [rsp + bytes]`, which leaves flags alone.
    pub fn move_stack(&mut self, bytes: i32) {
        self.lea(abi::RSP, &Operand::at(abi::RSP, bytes));
    }

    /// Write `opcode rel32` to a place that is known; answer where the displacement stands.
    pub fn branch(&mut self, opcode: &[u8], target: HostPc) -> HostPc {
        self.bytes(opcode);
        let field = self.here();
        let displacement = field.offset(4).rel32(target);
        if displacement.is_none() {
            self.overflow = true;
        }
        self.int32(displacement.unwrap_or(0));
        field
    }

    pub fn jmp(&mut self, target: HostPc) -> HostPc {
        self.branch(&[0xe9], target)
    }

    pub fn jmp_mem(&mut self, operand: &Operand) {
        self.op_reg_mem(false, &[0xff], 4, operand);
    }

    /// Write a short branch (jrcxz, loop, jmp short) to be closed by `land`.
    pub fn short(&mut self, opcode: u8) -> HostPc {
        self.bytes(&[opcode, 0]);
        self.here()
    }

    /// Let the short branch that ended at `from` come here.
    pub fn land(&mut self, from: HostPc) {
        if self.overflow {
            return;
        }
        let distance = self.at - from.0;
        debug_assert!(distance < 128);
        write_byte(HostPc(from.0 - 1), distance as u8);
    }
}

fn scale_bits(scale: u8) -> u8 {
    match scale {
        2 => 0x40,
        4 => 0x80,
        8 => 0xc0,
        _ => 0,
    }
}

pub const JRCXZ: u8 = 0xe3;
pub const JMP_SHORT: u8 = 0xeb;
pub const INT3: u8 = 0xcc;

/// Let the rel32 at `field` lead to `target`. Both lie in the cache of the thread that calls.
pub fn set_rel32(field: HostPc, target: HostPc) -> bool {
    let Some(displacement) = field.offset(4).rel32(target) else { return false };
    // SAFETY: `field` is a displacement that `Code::branch` wrote into this thread's own cache.
    unsafe { (field.0 as *mut i32).write_unaligned(displacement) };
    true
}

/// Replace one byte of code. A single byte may be replaced while another thread runs over it.
pub fn write_byte(at: HostPc, value: u8) {
    // SAFETY: `at` lies in a code cache; a byte's store is atomic.
    unsafe { (at.0 as *mut u8).write_volatile(value) };
}

pub fn read_byte(at: HostPc) -> u8 {
    // SAFETY: `at` lies in a code cache.
    unsafe { (at.0 as *const u8).read_volatile() }
}
