//! One instruction of a kind (an iced `Code`), with operands that work, and what must be set up before it.
//!
//! What iced knows of an instruction says which operands it takes; the rows below say what it needs besides: a divisor that is no
//! zero, a selector that may be loaded, an image that may be restored.

use std::sync::atomic::Ordering;

use iced_x86::{
    Code, EncodingKind, Instruction, Mnemonic, OpCodeInfo, OpCodeOperandKind as K, OpKind, Register, RoundingControl,
};

use super::Dice;
use super::world::{self, DATA, INDICES32, INDICES64, LOW, REACHED, TARGETS};

/// Why an instruction is not run here.
pub fn excluded(code: Code) -> Option<&'static str> {
    let op = code.op_code();
    Some(match code.mnemonic() {
        _ if !op.is_instruction() => "stands for data or for two instructions (wait and another)",
        _ if !op.mode64() => "does not exist in 64-bit mode",
        Mnemonic::Rdtsc | Mnemonic::Rdtscp | Mnemonic::Rdpmc => "reads the time",
        Mnemonic::Rdrand | Mnemonic::Rdseed => "reads random numbers",
        Mnemonic::Syscall => {
            "asks the kernel, which answers differently each time: the victims' tests; harmless calls are among the programs here"
        }
        Mnemonic::Sysenter | Mnemonic::Sysexit | Mnemonic::Sysexitq | Mnemonic::Sysret | Mnemonic::Sysretq => "asks the kernel",
        Mnemonic::Vmcall | Mnemonic::Vmmcall | Mnemonic::Vmgexit | Mnemonic::Tdcall | Mnemonic::Seamcall => "asks the hypervisor",
        Mnemonic::Mwait | Mnemonic::Mwaitx | Mnemonic::Umwait | Mnemonic::Tpause => "waits for a time",
        Mnemonic::Retf | Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq | Mnemonic::Uiret => {
            "far transfer: cannot be followed"
        }
        Mnemonic::Call | Mnemonic::Jmp if has_far(op) => "far transfer: cannot be followed",
        _ if is_transfer16(code) => "16-bit near transfer: would cut rip to 16 bits",
        _ => return None,
    })
}

fn has_far(op: &OpCodeInfo) -> bool {
    let far = [
        Code::Call_m1616,
        Code::Call_m1632,
        Code::Call_m1664,
        Code::Jmp_m1616,
        Code::Jmp_m1632,
        Code::Jmp_m1664,
        Code::Call_ptr1616,
        Code::Call_ptr1632,
        Code::Jmp_ptr1616,
        Code::Jmp_ptr1632,
    ];
    far.contains(&op.code())
}

fn is_transfer16(code: Code) -> bool {
    let op = code.op_code();
    let by_operand = op.op_kinds().iter().any(|k| matches!(k, K::br16_1 | K::br16_2 | K::xbegin_2));
    by_operand || matches!(code, Code::Call_rm16 | Code::Jmp_rm16 | Code::Retnw | Code::Retnw_imm16)
}

/// Whether programs have this instruction from `program`, which knows where it leads.
pub fn is_transfer(code: Code) -> bool {
    let op = code.op_code();
    let by_operand = op.op_kinds().iter().any(|k| matches!(k, K::br32_1 | K::br64_1 | K::br32_4 | K::br64_4));
    by_operand || matches!(code, Code::Call_rm64 | Code::Jmp_rm64 | Code::Retnq | Code::Retnq_imm16)
}

/// Where a form is to work.
pub struct Place {
    pub region: usize,   // of code: decides what is reached by rip
    pub fs: Option<u64>, // the base of fs, while nothing has changed it
    pub may_change_fs: bool,
    pub aligned: bool, // operands in memory at multiples of 64
    pub plain: bool,   // nothing that is optional
}

pub struct Form {
    pub before: Vec<Instruction>,
    pub instruction: Instruction,
    pub after: Vec<Instruction>,
}

const R64: [Register; 15] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RBX,
    Register::RBP,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// Return `mov register, value`.
pub fn mov(register: Register, value: u64) -> Instruction {
    Instruction::with2(Code::Mov_r64_imm64, register, value).expect("mov")
}

/// Return `lea rsp, [rsp + bytes]`.
pub fn move_stack(bytes: i64) -> Instruction {
    use iced_x86::MemoryOperand as M;
    Instruction::with2(Code::Lea_r64_m, Register::RSP, M::with_base_displ(Register::RSP, bytes)).expect("lea")
}

struct Maker<'a> {
    dice: &'a mut Dice,
    place: &'a Place,
    op: OpCodeInfo2,
    instruction: Instruction,
    presets: Vec<(u64, u64)>,    // address, value
    fixed: Vec<(Register, u64)>, // of registers that the instruction needs so
    bases: Vec<(Register, u64)>, // of its memory operand
    before: Vec<Instruction>,    // after those
    after: Vec<Instruction>,
    target: u64, // where the memory operand lies
}

type OpCodeInfo2 = &'static OpCodeInfo;

/// Make one of `code`, if the dice allow; a caller tries again.
pub fn make(code: Code, dice: &mut Dice, place: &Place) -> Option<Form> {
    let op: &'static OpCodeInfo = code.op_code();
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    let mut maker = Maker {
        dice,
        place,
        op,
        instruction,
        presets: Vec::new(),
        fixed: Vec::new(),
        bases: Vec::new(),
        before: Vec::new(),
        after: Vec::new(),
        target: 0,
    };
    maker.operands()?;
    maker.extras();
    maker.needs()?;
    maker.finish()
}

impl Maker<'_> {
    fn operands(&mut self) -> Option<()> {
        let memory = self.dice.chance(55);
        for at in 0..self.op.op_count() {
            let kind = self.op.op_kind(at);
            match kind {
                K::mem | K::mem_mpx | K::mem_mib => self.memory(at)?,
                K::mem_vsib32x | K::mem_vsib64x | K::mem_vsib32y | K::mem_vsib64y | K::mem_vsib32z | K::mem_vsib64z => {
                    self.vector_memory(at, kind)?
                }
                K::mem_offs => self.offset(at),
                K::r8_or_mem
                | K::r16_or_mem
                | K::r32_or_mem
                | K::r32_or_mem_mpx
                | K::r64_or_mem
                | K::r64_or_mem_mpx
                | K::mm_or_mem
                | K::xmm_or_mem
                | K::ymm_or_mem
                | K::zmm_or_mem
                | K::bnd_or_mem_mpx
                | K::k_or_mem
                    if memory =>
                {
                    self.memory(at)?;
                }
                K::imm4_m2z
                | K::imm8
                | K::imm8_const_1
                | K::imm8sex16
                | K::imm8sex32
                | K::imm8sex64
                | K::imm16
                | K::imm32
                | K::imm32sex64
                | K::imm64 => self.immediate(at, kind),
                K::seg_rSI | K::es_rDI | K::seg_rDI | K::seg_rBX_al => self.implied(at, kind),
                _ => {
                    let register = self.register(kind)?;
                    self.instruction.set_op_kind(at, OpKind::Register);
                    self.instruction.set_op_register(at, register);
                }
            }
        }
        Some(())
    }

    fn register(&mut self, kind: K) -> Option<Register> {
        let vectors = if self.op.encoding() == EncodingKind::EVEX { 32 } else { 16 };
        let (first, count) = match kind {
            K::r8_or_mem | K::r8_reg | K::r8_opcode => (Register::AL, 20),
            K::r16_or_mem | K::r16_reg | K::r16_rm | K::r16_opcode => (Register::AX, 16),
            K::r32_or_mem | K::r32_or_mem_mpx | K::r32_reg | K::r32_rm | K::r32_opcode | K::r32_vvvv => (Register::EAX, 16),
            K::r64_or_mem | K::r64_or_mem_mpx | K::r64_reg | K::r64_rm | K::r64_opcode | K::r64_vvvv => (Register::RAX, 16),
            K::r32_reg_mem => return self.address_register(Register::EAX, LOW),
            K::r64_reg_mem => {
                let region = self.dice.below(4) as usize;
                return self.address_register(Register::RAX, region);
            }
            K::seg_reg => (Register::ES, 6),
            K::k_or_mem | K::k_reg | K::k_rm | K::k_vvvv => (Register::K0, 8),
            K::kp1_reg => return Some(Register::K0 + self.dice.below(4) as u32 * 2),
            K::mm_or_mem | K::mm_reg | K::mm_rm => (Register::MM0, 8),
            K::xmm_or_mem | K::xmm_reg | K::xmm_rm | K::xmm_vvvv | K::xmm_is4 | K::xmm_is5 => (Register::XMM0, vectors),
            K::ymm_or_mem | K::ymm_reg | K::ymm_rm | K::ymm_vvvv | K::ymm_is4 | K::ymm_is5 => (Register::YMM0, vectors),
            K::zmm_or_mem | K::zmm_reg | K::zmm_rm | K::zmm_vvvv => (Register::ZMM0, vectors),
            K::xmmp3_vvvv => (Register::XMM0, vectors),
            K::zmmp3_vvvv => (Register::ZMM0, vectors),
            K::bnd_or_mem_mpx | K::bnd_reg => (Register::BND0, 4),
            K::tmm_reg | K::tmm_rm | K::tmm_vvvv => (Register::TMM0, 8),
            K::cr_reg => return Some(Register::CR0 + self.dice.pick(&[0u32, 2, 3, 4, 8])),
            K::dr_reg => return Some(Register::DR0 + self.dice.pick(&[0u32, 1, 6, 7])),
            K::es => (Register::ES, 1),
            K::cs => (Register::CS, 1),
            K::ss => (Register::SS, 1),
            K::ds => (Register::DS, 1),
            K::fs => (Register::FS, 1),
            K::gs => (Register::GS, 1),
            K::al => (Register::AL, 1),
            K::cl => (Register::CL, 1),
            K::ax => (Register::AX, 1),
            K::dx => (Register::DX, 1),
            K::eax => (Register::EAX, 1),
            K::rax => (Register::RAX, 1),
            K::st0 => (Register::ST0, 1),
            K::sti_opcode => (Register::ST0, 8),
            _ => return None,
        };
        let register = first + self.dice.below(count) as u32;
        (register.full_register() != Register::RSP).then_some(register)
    }

    fn address_register(&mut self, first: Register, data: usize) -> Option<Register> {
        let register = self.dice.pick(&R64);
        let address = (DATA[data].begin + TARGETS + self.dice.below(0x800)) & !63;
        self.fixed.push((register, address));
        Some(first + register.number() as u32)
    }

    fn immediate(&mut self, at: u32, kind: K) {
        let value = self.dice.number();
        let instruction = &mut self.instruction;
        match kind {
            K::imm8sex16 => {
                instruction.set_op_kind(at, OpKind::Immediate8to16);
                instruction.set_immediate8to16(i16::from(value as i8));
            }
            K::imm8sex32 => {
                instruction.set_op_kind(at, OpKind::Immediate8to32);
                instruction.set_immediate8to32(i32::from(value as i8));
            }
            K::imm8sex64 => {
                instruction.set_op_kind(at, OpKind::Immediate8to64);
                instruction.set_immediate8to64(i64::from(value as i8));
            }
            K::imm16 => {
                instruction.set_op_kind(at, OpKind::Immediate16);
                instruction.set_immediate16(value as u16);
            }
            K::imm32 => {
                instruction.set_op_kind(at, OpKind::Immediate32);
                instruction.set_immediate32(value as u32);
            }
            K::imm32sex64 => {
                instruction.set_op_kind(at, OpKind::Immediate32to64);
                instruction.set_immediate32to64(i64::from(value as i32));
            }
            K::imm64 => {
                instruction.set_op_kind(at, OpKind::Immediate64);
                instruction.set_immediate64(value);
            }
            _ => {
                let value = match kind {
                    K::imm4_m2z => value as u8 & 3,
                    K::imm8_const_1 => 1,
                    _ => value as u8,
                };
                let before = (0..at).any(|a| matches!(instruction.op_kind(a), OpKind::Immediate8 | OpKind::Immediate16));
                if before {
                    instruction.set_op_kind(at, OpKind::Immediate8_2nd);
                    instruction.set_immediate8_2nd(value);
                } else {
                    instruction.set_op_kind(at, OpKind::Immediate8);
                    instruction.set_immediate8(value);
                }
            }
        }
    }

    // ---- memory operands

    // A region of data, and where in it.
    fn aim(&mut self, regions: &[usize]) -> u64 {
        let region = DATA[self.dice.pick(regions)];
        let offset = TARGETS + self.dice.below(0x800);
        let aligned = self.place.aligned || self.dice.chance(40);
        let address = region.begin + if aligned { offset & !63 } else { offset };
        self.target = address;
        address
    }

    fn displacement(&mut self) -> i64 {
        match self.dice.below(4) {
            0 => 0,
            1 => self.dice.next() as i8 as i64,
            2 => self.dice.next() as i16 as i64,
            _ => i64::from(self.dice.next() as i32),
        }
    }

    fn set_memory(&mut self, at: u32, base: Register, index: Register, scale: u32, displacement: i64, address32: bool) {
        let instruction = &mut self.instruction;
        instruction.set_op_kind(at, OpKind::Memory);
        instruction.set_memory_base(base);
        instruction.set_memory_index(index);
        instruction.set_memory_index_scale(scale);
        instruction.set_memory_displacement64(if address32 { u64::from(displacement as u32) } else { displacement as u64 });
        let none = displacement == 0 && base != Register::None;
        let short = i8::try_from(displacement).is_ok() && base != Register::None;
        instruction.set_memory_displ_size(if none {
            0
        } else if short {
            1
        } else if address32 {
            4
        } else {
            8
        });
    }

    fn memory(&mut self, at: u32) -> Option<()> {
        let no_rip = matches!(self.op.op_kind(at), K::mem_mib);
        let only64 =
            matches!(self.op.op_kind(at), K::mem_mib | K::mem_mpx | K::bnd_or_mem_mpx | K::r32_or_mem_mpx | K::r64_or_mem_mpx);
        let segment = self.segment();
        let shift = if segment == Register::FS { self.place.fs? } else { 0 };
        match self.dice.below(10) {
            0 | 1 if !no_rip && shift == 0 => {
                let target = self.aim(REACHED[self.place.region]);
                self.instruction.set_op_kind(at, OpKind::Memory);
                self.instruction.set_memory_base(Register::RIP);
                self.instruction.set_memory_displacement64(target);
                self.instruction.set_memory_displ_size(8);
            }
            2 if !no_rip && !only64 && shift == 0 => {
                let target = self.aim(&[LOW]);
                self.instruction.set_op_kind(at, OpKind::Memory);
                self.instruction.set_memory_base(Register::EIP);
                self.instruction.set_memory_displacement64(target);
                self.instruction.set_memory_displ_size(4);
            }
            3 if shift == 0 => {
                let target = self.aim(&[LOW]);
                let address32 = !only64 && self.dice.chance(50);
                self.set_memory(at, Register::None, Register::None, 1, target as i64, address32);
            }
            4 if !self.place.aligned && shift == 0 && !self.op.is_stack_instruction() => {
                // On the stack, away from what is in use there.
                let displacement = self.dice.pick(&[0x400i64, -0x800]) + self.dice.below(0x300) as i64;
                self.set_memory(at, Register::RSP, Register::None, 1, displacement, false);
                self.target = 0;
            }
            5 | 6 => {
                let (address32, target) = self.width(only64, shift);
                let (base, index) = (self.dice.pick(&R64), self.dice.pick(&R64));
                if base == index {
                    return None;
                }
                let (scale, displacement, steps) =
                    (1 << self.dice.below(4), self.displacement(), self.dice.below(129) as i64 - 64);
                let value =
                    target.wrapping_sub(shift).wrapping_sub(displacement as u64).wrapping_sub((steps * scale as i64) as u64);
                self.set_memory(at, narrow(base, address32), narrow(index, address32), scale, displacement, address32);
                self.base(base, value, address32);
                self.base(index, steps as u64, address32);
            }
            7 => {
                let (address32, target) = self.width(only64, shift);
                let index = self.dice.pick(&R64);
                let scale = 1 << self.dice.below(4);
                let rest = target.wrapping_sub(shift);
                let displacement = self.displacement() & !(i64::from(scale) - 1) | (rest & (u64::from(scale) - 1)) as i64;
                let value = rest.wrapping_sub(displacement as u64);
                // What a 64-bit index cannot be multiplied to is left to the other forms.
                let value = (value as i64).checked_div(i64::from(scale))?;
                self.set_memory(at, Register::None, narrow(index, address32), scale, displacement, address32);
                self.base(index, value as u64, address32);
            }
            _ => {
                let (address32, target) = self.width(only64, shift);
                let base = self.dice.pick(&R64);
                let displacement = self.displacement();
                self.set_memory(at, narrow(base, address32), Register::None, 1, displacement, address32);
                self.base(base, target.wrapping_sub(shift).wrapping_sub(displacement as u64), address32);
            }
        }
        if segment != Register::None {
            self.instruction.set_segment_prefix(segment);
        }
        Some(())
    }

    fn width(&mut self, only64: bool, shift: u64) -> (bool, u64) {
        let address32 = !only64 && shift == 0 && self.dice.chance(20);
        (address32, self.aim(if address32 { &[LOW] } else { &[0, 1, 2, 3] }))
    }

    fn segment(&mut self) -> Register {
        if self.place.plain {
            return Register::None;
        }
        match self.dice.below(20) {
            0 | 1 if self.place.fs.is_some() => Register::FS,
            2 => self.dice.pick(&[Register::ES, Register::CS, Register::SS, Register::DS]),
            _ => Register::None,
        }
    }

    // With a 32-bit address size the upper half of a register does not count: let it be anything.
    fn base(&mut self, register: Register, value: u64, address32: bool) {
        let value = if address32 { (value & 0xffff_ffff) | self.dice.next() << 32 } else { value };
        self.bases.push((register, value));
    }

    fn offset(&mut self, at: u32) {
        let address32 = self.dice.chance(20);
        let target = self.aim(if address32 { &[LOW] } else { &[0, 1, 2, 3] });
        self.instruction.set_op_kind(at, OpKind::Memory);
        self.instruction.set_memory_displacement64(target);
        self.instruction.set_memory_displ_size(if address32 { 4 } else { 8 });
    }

    // The index register is loaded from the table of small indices.
    fn vector_memory(&mut self, at: u32, kind: K) -> Option<()> {
        let evex = self.op.encoding() == EncodingKind::EVEX;
        let first = match kind {
            K::mem_vsib32x | K::mem_vsib64x => Register::XMM0,
            K::mem_vsib32y | K::mem_vsib64y => Register::YMM0,
            _ => Register::ZMM0,
        };
        let number = self.dice.below(if evex { 32 } else { 16 }) as u32;
        let index = first + number;
        let table = DATA[LOW].begin
            + if matches!(kind, K::mem_vsib32x | K::mem_vsib32y | K::mem_vsib32z) { INDICES32 } else { INDICES64 };
        let table = iced_x86::MemoryOperand::with_displ(table, 8);
        let load = if evex {
            Instruction::with2(Code::EVEX_Vmovdqu64_zmm_k1z_zmmm512, Register::ZMM0 + number, table)
        } else {
            Instruction::with2(Code::VEX_Vmovdqu_ymm_ymmm256, Register::YMM0 + number, table)
        };
        self.before.push(load.ok()?);
        let target = self.aim(&[0, 1, 2, 3]);
        let (base, displacement) = (self.dice.pick(&R64), self.displacement());
        let scale = 1 << self.dice.below(4);
        self.set_memory(at, base, index, scale, displacement, false);
        self.base(base, target.wrapping_sub(displacement as u64), false);
        Some(())
    }

    // Operands that are not encoded: [rsi], [rdi], [rbx+al].
    fn implied(&mut self, at: u32, kind: K) {
        let address32 = self.dice.chance(20);
        let target = self.aim(if address32 { &[LOW] } else { &[0, 1, 2, 3] });
        let (register, wide, narrow) = match kind {
            K::seg_rSI => (Register::RSI, OpKind::MemorySegRSI, OpKind::MemorySegESI),
            K::es_rDI => (Register::RDI, OpKind::MemoryESRDI, OpKind::MemoryESEDI),
            K::seg_rDI => (Register::RDI, OpKind::MemorySegRDI, OpKind::MemorySegEDI),
            _ => (Register::RBX, OpKind::Memory, OpKind::Memory),
        };
        // Both operands of one instruction have the same address size.
        let other = (0..at).map(|a| self.instruction.op_kind(a)).find(|k| !matches!(k, OpKind::Register));
        let address32 = match other {
            Some(OpKind::MemorySegESI | OpKind::MemoryESEDI | OpKind::MemorySegEDI) => true,
            Some(_) => false,
            None => address32,
        };
        let target = if address32 { DATA[LOW].begin + TARGETS + (target & 0x7ff) } else { target };
        if kind == K::seg_rBX_al {
            self.set_memory(at, if address32 { Register::EBX } else { Register::RBX }, Register::AL, 1, 0, address32);
        }
        self.instruction.set_op_kind(at, if address32 { narrow } else { wide });
        let value = if address32 { target | self.dice.next() << 32 } else { target };
        self.fixed.push((register, value));
    }

    // ---- prefixes and what EVEX adds

    fn extras(&mut self) {
        let op = self.op;
        let memory = (0..op.op_count()).any(|a| self.instruction.op_kind(a) == OpKind::Memory);
        let stores = self.instruction.op0_kind() == OpKind::Memory;
        if op.require_op_mask_register() || (op.can_use_op_mask_register() && !self.place.plain && self.dice.chance(60)) {
            self.instruction.set_op_mask(Register::K1 + self.dice.below(7) as u32);
            if op.can_use_zeroing_masking() && !stores && self.dice.chance(40) {
                self.instruction.set_zeroing_masking(true);
            }
        }
        if self.place.plain {
            return;
        }
        if op.can_broadcast() && memory && self.dice.chance(40) {
            self.instruction.set_is_broadcast(true);
        }
        if op.can_use_rounding_control() && !memory && self.dice.chance(30) {
            let control = [
                RoundingControl::RoundToNearest,
                RoundingControl::RoundDown,
                RoundingControl::RoundUp,
                RoundingControl::RoundTowardZero,
            ];
            self.instruction.set_rounding_control(self.dice.pick(&control));
        } else if op.can_suppress_all_exceptions() && !memory && self.dice.chance(30) {
            self.instruction.set_suppress_all_exceptions(true);
        }
        if op.can_use_lock_prefix() && stores && self.dice.chance(30) {
            self.instruction.set_has_lock_prefix(true);
            if op.can_use_xacquire_prefix() && self.dice.chance(20) {
                self.instruction.set_has_xacquire_prefix(true);
            } else if op.can_use_xrelease_prefix() && self.dice.chance(20) {
                self.instruction.set_has_xrelease_prefix(true);
            }
        }
        if op.can_use_rep_prefix() && self.dice.chance(60) {
            if op.can_use_repne_prefix() && self.dice.chance(50) {
                self.instruction.set_has_repne_prefix(true);
            } else {
                self.instruction.set_has_rep_prefix(true);
            }
            let count = self.dice.below(12) | if self.is_address32() { self.dice.next() << 32 } else { 0 };
            self.fixed.push((Register::RCX, count));
        }
    }

    fn is_address32(&self) -> bool {
        (0..self.op.op_count())
            .any(|a| matches!(self.instruction.op_kind(a), OpKind::MemorySegESI | OpKind::MemoryESEDI | OpKind::MemorySegEDI))
    }

    // ---- what particular instructions need

    fn op_register(&self, at: u32) -> Option<Register> {
        (at < self.op.op_count() && self.instruction.op_kind(at) == OpKind::Register)
            .then(|| self.instruction.op_register(at).full_register())
    }

    fn is_memory(&self, at: u32) -> bool {
        at < self.op.op_count() && self.instruction.op_kind(at) == OpKind::Memory
    }

    fn preset(&mut self, offset: u64, value: u64) -> Option<()> {
        if self.target == 0 {
            return None; // on the stack
        }
        self.presets.push((self.target + offset, value));
        Some(())
    }

    fn needs(&mut self) -> Option<()> {
        let code = self.instruction.code();
        let uses_gs = matches!(code.mnemonic(), Mnemonic::Rdgsbase | Mnemonic::Wrgsbase | Mnemonic::Lgs)
            || (0..self.op.op_count()).any(|at| self.instruction.op_register(at) == Register::GS);
        // The shadow's; and its own faults lose the x87 unit's pointers, and which components are in use, as a switch of threads may.
        let stores_pointers = matches!(
            code.mnemonic(),
            Mnemonic::Fnstenv
                | Mnemonic::Fstenv
                | Mnemonic::Fsave
                | Mnemonic::Fnsave
                | Mnemonic::Fxsave
                | Mnemonic::Xsave
                | Mnemonic::Xsavec
                | Mnemonic::Xsaveopt
                | Mnemonic::Fldenv
                | Mnemonic::Frstor
                | Mnemonic::Fxrstor
                | Mnemonic::Xrstor
                | Mnemonic::Fxsave64
                | Mnemonic::Fxrstor64
                | Mnemonic::Xsave64
                | Mnemonic::Xsavec64
                | Mnemonic::Xsaveopt64
                | Mnemonic::Xrstor64
        );
        let loses_pointers = world::frame().gs_free == 0 || world::STEPPED.load(Ordering::Relaxed);
        if (uses_gs && world::frame().gs_free == 0) || (stores_pointers && loses_pointers) {
            return None;
        }
        match code.mnemonic() {
            Mnemonic::Div | Mnemonic::Idiv => self.division()?,
            Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc if self.is_memory(0) => {
                if let Some(register) = self.op_register(1) {
                    let bit = self.dice.below(0x2000) as i64 - 0x1000;
                    self.fixed.push((register, bit as u64));
                }
            }
            Mnemonic::Enter => {
                self.instruction.set_immediate16(self.dice.below(0x80) as u16);
                self.instruction.set_immediate8_2nd(self.dice.below(4) as u8);
                self.before.push(Instruction::with2(Code::Mov_r64_rm64, Register::RBP, Register::RSP).ok()?);
                self.after.push(Instruction::with(if code == Code::Enterw_imm16_imm8 { Code::Leavew } else { Code::Leaveq }));
            }
            Mnemonic::Leave => {
                let frame = iced_x86::MemoryOperand::with_base_displ(Register::RSP, -0x20);
                self.before.push(Instruction::with2(Code::Lea_r64_m, Register::RBP, frame).ok()?);
                self.after.push(move_stack(if code == Code::Leavew { 0x1e } else { 0x18 }));
            }
            Mnemonic::Push | Mnemonic::Pushf | Mnemonic::Pushfq => self.after.push(move_stack(i64::from(self.stack_step()))),
            Mnemonic::Pop => {
                let wide = self.stack_step() == 8;
                let segment = self.op_register(0).is_some_and(|r| r.is_segment_register());
                if segment && !self.place.may_change_fs {
                    return None;
                }
                let push = match (segment, wide) {
                    (true, true) => Instruction::with1(Code::Pushq_imm8, 0).ok()?,
                    (true, false) => Instruction::with1(Code::Pushw_imm8, 0).ok()?,
                    (false, true) => Instruction::with1(Code::Push_r64, self.dice.pick(&R64)).ok()?,
                    (false, false) => {
                        Instruction::with1(Code::Push_r16, Register::AX + self.dice.pick(&R64).number() as u32).ok()?
                    }
                };
                self.before.push(push);
            }
            Mnemonic::Popf | Mnemonic::Popfq => {
                let flags = (self.dice.next() as i32 & 0x20_0cd5) | 0x202; // no TF, NT, AC
                let push = if self.stack_step() == 8 {
                    Instruction::with1(Code::Pushq_imm32, flags)
                } else {
                    Instruction::with1(Code::Push_imm16, flags & 0xffff)
                };
                self.before.push(push.ok()?);
            }
            Mnemonic::Xsave
            | Mnemonic::Xsave64
            | Mnemonic::Xsavec
            | Mnemonic::Xsavec64
            | Mnemonic::Xsaveopt
            | Mnemonic::Xsaveopt64 => {
                // Not SSE: the engine's loads make that component one that is in use, though it is zeros.
                let features = self.dice.next() & 0xe5;
                self.fixed.push((Register::RAX, features));
                self.fixed.push((Register::RDX, 0));
                for word in 64..72 {
                    self.preset(word * 8, 0)?;
                }
            }
            Mnemonic::Xrstor | Mnemonic::Xrstor64 => {
                let features = self.dice.next() & 0xe5;
                self.fixed.push((Register::RAX, features));
                self.fixed.push((Register::RDX, 0));
                for word in 64..72 {
                    self.preset(word * 8, 0)?;
                }
                self.paired(if code == Code::Xrstor_mem { Code::Xsave_mem } else { Code::Xsave64_mem })?;
            }
            Mnemonic::Fxrstor => self.paired(Code::Fxsave_m512byte)?,
            Mnemonic::Fxrstor64 => self.paired(Code::Fxsave64_m512byte)?,
            Mnemonic::Fldcw => self.paired(Code::Fnstcw_m2byte)?,
            Mnemonic::Fldenv => {
                self.paired(if code == Code::Fldenv_m14byte { Code::Fnstenv_m14byte } else { Code::Fnstenv_m28byte })?
            }
            Mnemonic::Frstor => {
                self.paired(if code == Code::Frstor_m94byte { Code::Fnsave_m94byte } else { Code::Fnsave_m108byte })?
            }
            Mnemonic::Ldmxcsr => self.paired(Code::Stmxcsr_m32)?,
            Mnemonic::Vldmxcsr => self.paired(Code::VEX_Vstmxcsr_m32)?,
            Mnemonic::Xgetbv => self.fixed.push((Register::RCX, 0)),
            Mnemonic::Cpuid => {
                let leaf = self.dice.pick(&[0, 1, 2, 4, 7, 0xd, 0x8000_0000, 0x8000_0001, 0x8000_0008, 0x8000_001e]);
                self.fixed.push((Register::RAX, leaf));
                let part = self.dice.below(3);
                self.fixed.push((Register::RCX, part));
            }
            Mnemonic::Clzero | Mnemonic::Monitorx => {
                let at = self.aim(&[LOW]); // they have forms with a 32-bit address
                self.fixed.push((Register::RAX, at));
                self.fixed.push((Register::RCX, 0));
                self.fixed.push((Register::RDX, 0));
            }
            Mnemonic::Wrfsbase | Mnemonic::Wrgsbase => {
                if !self.place.may_change_fs {
                    return None;
                }
                let base = self.dice.next() & 0x3fff_ffff_ffff;
                let register = self.op_register(0)?;
                self.fixed.push((register, base));
            }
            Mnemonic::Mov if self.op.op_kind(0) == K::seg_reg => {
                let segment = self.instruction.op0_register();
                if matches!(segment, Register::FS | Register::GS) && !self.place.may_change_fs {
                    return None;
                }
                let selector = if segment == Register::SS || self.dice.chance(50) { 0x2b } else { 0 };
                match self.op_register(1) {
                    Some(register) => self.fixed.push((register, selector)),
                    None => self.preset(0, selector)?,
                }
            }
            Mnemonic::Lss | Mnemonic::Lfs | Mnemonic::Lgs => {
                if !self.place.may_change_fs {
                    return None;
                }
                let offset = u64::from(self.instruction.memory_size().size() as u32) - 2;
                self.preset(offset, if code.mnemonic() == Mnemonic::Lss { 0x2b } else { 0 })?;
            }
            Mnemonic::Int => {
                let vector = self.dice.pick(&[3u8, 4, 0x20, 0x81, 0xff]);
                self.instruction.set_immediate8(vector);
            }
            _ => {}
        }
        Some(())
    }

    fn stack_step(&self) -> i32 {
        self.instruction.stack_pointer_increment().abs()
    }

    // The instruction that has written what this one reads.
    fn paired(&mut self, code: Code) -> Option<()> {
        let mut store = self.instruction;
        store.set_code(code);
        self.before.push(store);
        Some(())
    }

    fn division(&mut self) -> Option<()> {
        let byte = matches!(self.op.op_kind(0), K::r8_or_mem);
        let dividend = if byte { self.dice.below(0x2000) } else { self.dice.next() >> self.dice.below(64) };
        let divisor = 0x4141_4141_4141_4141;
        self.fixed.push((Register::RAX, dividend));
        self.fixed.push((Register::RDX, 0));
        match self.op_register(0) {
            Some(register) => self.fixed.push((register, divisor)),
            None => self.preset(0, divisor)?,
        }
        Some(())
    }

    fn finish(self) -> Option<Form> {
        let Maker { dice, op, mut instruction, presets, fixed, bases, before: later, after, .. } = self;
        for (at, (register, value)) in fixed.iter().chain(&bases).enumerate() {
            if fixed.iter().chain(&bases).skip(at + 1).any(|(r, v)| r == register && v != value) {
                return None;
            }
        }
        // Gathers and their like want all registers to differ.
        if op.requires_unique_reg_nums() || op.requires_unique_dest_reg_num() || instruction.is_vsib() {
            let mut seen: Vec<Register> = Vec::new();
            for at in 0..op.op_count() {
                if instruction.op_kind(at) == OpKind::Register && instruction.op_register(at).is_vector_register() {
                    seen.push(instruction.op_register(at).full_register());
                }
            }
            if instruction.is_vsib() {
                seen.push(instruction.memory_index().full_register());
            }
            if (1..seen.len()).any(|at| seen[..at].contains(&seen[at])) {
                return None;
            }
        }
        if instruction.mnemonic() == Mnemonic::Xlatb {
            instruction.set_segment_prefix(Register::None);
        }
        let mut before = Vec::new();
        if !presets.is_empty() {
            let register = dice.pick(&R64);
            for (address, value) in presets {
                let memory = iced_x86::MemoryOperand::with_base(register);
                before.push(mov(register, address));
                before.push(Instruction::with2(Code::Mov_rm32_imm32, memory, value as u32).ok()?);
                let memory = iced_x86::MemoryOperand::with_base_displ(register, 4);
                before.push(Instruction::with2(Code::Mov_rm32_imm32, memory, (value >> 32) as u32).ok()?);
            }
        }
        before.extend(fixed.iter().chain(&bases).map(|&(register, value)| mov(register, value)));
        before.extend(later);
        Some(Form { before, instruction, after })
    }
}

fn narrow(register: Register, address32: bool) -> Register {
    if address32 { Register::EAX + register.number() as u32 } else { register }
}
