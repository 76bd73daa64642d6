//! Programs whose addresses move: registers are copied, added to, exchanged, reloaded and written in part between the operands they make.
//!
//! No instruction's effect is modelled. The program as far as it goes is run natively behind each item, so what registers hold is known; an
//! item that ends in a fault, or leaves the stack pointer nowhere, is taken back.

use iced_x86::{Code, Instruction, MemoryOperand, Register};

use crate::generate::Dice;
use crate::generate::program::Text;
use crate::generate::world::{self, CODE, DATA, REACHED, World};
use seal::abi;

const MARGIN: u64 = 0x200;
const RSP: usize = abi::RSP;

pub struct Wish {
    pub items: u64,
    pub avx512: bool,
    pub clzero: bool,
    pub moves_fs: bool,
}

pub struct Moving<'a> {
    world: &'a mut World,
    dice: &'a mut Dice,
    wish: Wish,
    pub text: Text,
    region: usize,
    regs: abi::Registers,
    last: u64, // where the last operand was
    fs: u64,
}

/// Write a program at `base`; what it does is in `world.pristine` and the text.
pub fn write(world: &mut World, dice: &mut Dice, base: u64, fs: u64, wish: Wish) -> Text {
    let region = CODE.iter().position(|r| r.holds(base)).expect("code region");
    let last = DATA[REACHED[region][0]].begin + world::TARGETS;
    let regs = world::frame().before.regs;
    let mut moving = Moving { world, dice, wish, text: Text::new(base), region, regs, last, fs };
    for _ in 0..3 {
        moving.attempt(|m| m.pointer());
    }
    for _ in 0..moving.wish.items {
        moving.attempt(|m| m.item(0));
    }
    if moving.wish.moves_fs {
        moving.attempt(|m| m.move_fs());
        for _ in 0..moving.wish.items / 2 {
            moving.attempt(|m| m.item(0));
        }
    }
    let mut text = moving.text;
    text.leave();
    text
}

const R8: [Register; 12] = [
    Register::AL,
    Register::CL,
    Register::DL,
    Register::BL,
    Register::AH,
    Register::CH,
    Register::DH,
    Register::BH,
    Register::SIL,
    Register::DIL,
    Register::R8L,
    Register::R12L,
];

fn gpr(bytes: u64, number: usize) -> Register {
    let first = match bytes {
        2 => Register::AX,
        4 => Register::EAX,
        _ => Register::RAX,
    };
    first + number as u32
}

// Of 8, 16, 32 and 64 bits.
type Widths = [Code; 4];
macro_rules! widths {
    ($($a:ident $b:ident $c:ident $d:ident),* $(,)?) => { &[$([Code::$a, Code::$b, Code::$c, Code::$d]),*] };
}

const BY_REGISTER: &[Widths] = widths![
    Mov_rm8_r8 Mov_rm16_r16 Mov_rm32_r32 Mov_rm64_r64,
    Add_rm8_r8 Add_rm16_r16 Add_rm32_r32 Add_rm64_r64,
    Sub_rm8_r8 Sub_rm16_r16 Sub_rm32_r32 Sub_rm64_r64,
    Cmp_rm8_r8 Cmp_rm16_r16 Cmp_rm32_r32 Cmp_rm64_r64,
    Test_rm8_r8 Test_rm16_r16 Test_rm32_r32 Test_rm64_r64,
    Xor_rm8_r8 Xor_rm16_r16 Xor_rm32_r32 Xor_rm64_r64,
    Xchg_rm8_r8 Xchg_rm16_r16 Xchg_rm32_r32 Xchg_rm64_r64,
    Xadd_rm8_r8 Xadd_rm16_r16 Xadd_rm32_r32 Xadd_rm64_r64,
    Cmpxchg_rm8_r8 Cmpxchg_rm16_r16 Cmpxchg_rm32_r32 Cmpxchg_rm64_r64,
];
const TO_REGISTER: &[Widths] = widths![
    Mov_r8_rm8 Mov_r16_rm16 Mov_r32_rm32 Mov_r64_rm64,
    Add_r8_rm8 Add_r16_rm16 Add_r32_rm32 Add_r64_rm64,
    Cmp_r8_rm8 Cmp_r16_rm16 Cmp_r32_rm32 Cmp_r64_rm64,
    Or_r8_rm8 Or_r16_rm16 Or_r32_rm32 Or_r64_rm64,
    Cmovne_r16_rm16 Cmovne_r16_rm16 Cmovne_r32_rm32 Cmovne_r64_rm64,
    Cmove_r16_rm16 Cmovl_r16_rm16 Cmovb_r32_rm32 Cmovb_r64_rm64,
    Movsx_r16_rm8 Movsx_r32_rm8 Movsx_r64_rm8 Movsx_r64_rm16,
    Movzx_r16_rm8 Movzx_r32_rm8 Movzx_r32_rm16 Movzx_r64_rm16,
];
const BY_NUMBER: &[Widths] = widths![
    Mov_rm8_imm8 Mov_rm16_imm16 Mov_rm32_imm32 Mov_rm64_imm32,
    Add_rm8_imm8 Add_rm16_imm8 Add_rm32_imm8 Add_rm64_imm8,
    Sub_rm8_imm8 Sub_rm16_imm8 Sub_rm32_imm8 Sub_rm64_imm8,
    And_rm8_imm8 And_rm16_imm8 And_rm32_imm8 And_rm64_imm8,
    Cmp_rm8_imm8 Cmp_rm16_imm8 Cmp_rm32_imm8 Cmp_rm64_imm8,
];
const ALONE: &[Widths] = widths![
    Inc_rm8 Inc_rm16 Inc_rm32 Inc_rm64,
    Dec_rm8 Dec_rm16 Dec_rm32 Dec_rm64,
    Not_rm8 Not_rm16 Not_rm32 Not_rm64,
    Sete_rm8 Neg_rm16 Neg_rm32 Neg_rm64,
];
const VECTORS: &[(Code, bool)] = &[
    // whether memory comes first
    (Code::Movups_xmm_xmmm128, false),
    (Code::Movups_xmmm128_xmm, true),
    (Code::Movss_xmm_xmmm32, false),
    (Code::Movsd_xmmm64_xmm, true),
    (Code::Movhps_xmm_m64, false),
    (Code::VEX_Vmovups_ymm_ymmm256, false),
    (Code::VEX_Vmovups_ymmm256_ymm, true),
    (Code::EVEX_Vmovups_zmm_k1z_zmmm512, false),
    (Code::EVEX_Vmovups_zmmm512_k1z_zmm, true),
];
const MEMORY_ALONE: &[Code] = &[
    Code::Fld_m80fp,
    Code::Fstp_m80fp,
    Code::Fld_m64fp,
    Code::Fld_m32fp,
    Code::Fnstcw_m2byte,
    Code::Fldenv_m28byte,
    Code::Cmpxchg8b_m64,
    Code::Cmpxchg16b_m128,
    Code::Push_rm64,
    Code::Push_rm16,
    Code::Pop_rm64,
    Code::Pop_rm16,
    Code::Prefetcht0_m8,
    Code::Stmxcsr_m32,
    Code::Frstor_m108byte,
    Code::Fbstp_m80bcd,
];
// Opcodes of string instructions, and how much they move on by.
const STRINGS: &[(&[u8], u64)] = &[
    (&[0xa4], 1),
    (&[0x66, 0xa5], 2),
    (&[0xa5], 4),
    (&[0x48, 0xa5], 8),
    (&[0xaa], 1),
    (&[0xab], 4),
    (&[0x48, 0xab], 8),
    (&[0xac], 1),
    (&[0x66, 0xad], 2),
    (&[0x48, 0xad], 8),
    (&[0xa6], 1),
    (&[0x48, 0xa7], 8),
    (&[0xae], 1),
    (&[0xaf], 4),
];

impl Moving<'_> {
    // ---- trying

    fn attempt(&mut self, item: impl FnOnce(&mut Self)) {
        let (bytes, codes, last) = (self.text.bytes.len(), self.text.codes.len(), self.last);
        item(self);
        if !self.works() {
            self.text.bytes.truncate(bytes);
            self.text.codes.truncate(codes);
            self.last = last;
        }
    }

    // Run what there is so far; learn what registers hold by then.
    fn works(&mut self) -> bool {
        let (bytes, codes) = (self.text.bytes.len(), self.text.codes.len());
        self.text.leave();
        self.world.write_code(self.text.base, &self.text.bytes);
        self.text.bytes.truncate(bytes);
        self.text.codes.truncate(codes);
        if super::run_natively(self.world, self.text.base, 0..0, false) != 0 {
            return false;
        }
        let regs = world::frame().after.regs;
        let sp = regs[RSP];
        let fits = world::regions().iter().any(|r| (r.begin + MARGIN..r.end() - MARGIN).contains(&sp));
        if fits {
            self.regs = regs;
        }
        fits
    }

    fn put(&mut self, instruction: Result<Instruction, iced_x86::IcedError>) -> bool {
        instruction.is_ok_and(|instruction| self.text.instruction(&instruction))
    }

    // ---- where

    fn target(&mut self) -> u64 {
        let near = match self.dice.below(10) {
            0..=5 => self.last.wrapping_add(self.dice.below(41)).wrapping_sub(20),
            6 => self.regs[RSP].wrapping_add(self.dice.below(80)).wrapping_sub(24),
            7 => self.regs[self.dice.below(16) as usize].wrapping_add(self.dice.below(17)),
            _ => {
                let data = DATA[self.dice.below(4) as usize];
                data.begin + MARGIN + self.dice.below(data.bytes - 2 * MARGIN)
            }
        };
        let ok = world::regions().iter().any(|r| (r.begin + 128..r.end() - 128).contains(&near));
        if ok { near } else { DATA[REACHED[self.region][0]].begin + world::TARGETS + self.dice.below(32) }
    }

    fn reaches(&self, from: u64, to: u64) -> bool {
        i32::try_from(to.wrapping_sub(from) as i64).is_ok()
    }

    // An operand that lies at `target`, or somewhere under fs.
    fn operand(&mut self, target: u64) -> Option<MemoryOperand> {
        let none = Register::None;
        self.last = target;
        match self.dice.below(20) {
            0 if target >> 31 == 0 => return Some(MemoryOperand::with_displ(target, 8)),
            1 if self.dice.chance(50) => return Some(MemoryOperand::with_base_displ(Register::RIP, target as i64)),
            2 | 3 => {
                let base = self.fs;
                if self.reaches(base, target) {
                    return Some(MemoryOperand::new(none, none, 1, target.wrapping_sub(base) as i64, 8, false, Register::FS));
                }
                let holder = (0..16).find(|&r| self.reaches(self.regs[r].wrapping_add(base), target));
                if let Some(holder) = holder {
                    let displacement = target.wrapping_sub(base).wrapping_sub(self.regs[holder]) as i64;
                    return Some(MemoryOperand::new(gpr(8, holder), none, 1, displacement, 1, false, Register::FS));
                }
            }
            4 | 5 if target >> 32 == 0 => {
                // By 32-bit registers, whatever they hold.
                let (base, index) = (self.dice.below(16) as usize, self.dice.below(16) as usize);
                let scale = self.dice.pick(&[1u32, 2, 4, 8]);
                let with_index = index != RSP && self.dice.chance(60);
                let sum =
                    self.regs[base].wrapping_add(if with_index { self.regs[index] * u64::from(scale) % (1 << 32) } else { 0 });
                let displacement = i64::from(target.wrapping_sub(sum) as i32);
                let index = if with_index { gpr(4, index) } else { none };
                return Some(MemoryOperand::new(gpr(4, base), index, scale, displacement, 1, false, none));
            }
            _ => {}
        }
        let scale = self.dice.pick(&[1u32, 2, 4, 8]);
        let index = self.dice.below(16) as usize;
        let with_index = index != RSP && self.dice.chance(35);
        let moved = if with_index { self.regs[index].wrapping_mul(u64::from(scale)) } else { 0 };
        let index_register = if with_index { gpr(8, index) } else { none };
        let start = self.dice.below(16) as usize;
        for near in [true, false] {
            for base in (0..16).map(|r| (r + start) % 16) {
                let sum = self.regs[base].wrapping_add(moved);
                if if near { target.wrapping_sub(sum).wrapping_add(0x100) < 0x200 } else { self.reaches(sum, target) } {
                    let displacement = target.wrapping_sub(sum) as i64;
                    let operand = MemoryOperand::new(gpr(8, base), index_register, scale, displacement, 1, false, none);
                    return Some(operand);
                }
            }
        }
        if with_index && self.reaches(moved, target) {
            let displacement = target.wrapping_sub(moved) as i64;
            return Some(MemoryOperand::new(none, index_register, scale, displacement, 8, false, none));
        }
        let base = (0..16).find(|&r| self.reaches(self.regs[r], target))?;
        let displacement = target.wrapping_sub(self.regs[base]) as i64;
        Some(MemoryOperand::new(gpr(8, base), none, 1, displacement, 1, false, none))
    }

    fn general(&mut self) -> usize {
        loop {
            let register = self.dice.below(16) as usize;
            if register != RSP || self.dice.chance(3) {
                return register;
            }
        }
    }

    fn register(&mut self, width: usize) -> Register {
        if width == 0 { self.dice.pick(&R8) } else { gpr(1 << width, self.general()) }
    }

    fn small(&mut self) -> i32 {
        i32::from(self.dice.pick(&[1i8, -1, 2, 4, 8, -8, 16, -16, 24, 127, -128, 3, -5, 32, 0]))
    }

    // ---- items

    fn item(&mut self, depth: u32) {
        match self.dice.below(100) {
            0..=43 => self.access(),
            44..=66 => self.change(),
            67..=72 => self.pointer(),
            73..=82 => self.stack(),
            83..=85 => self.string(),
            86 if self.dice.chance(30) => self.line(),
            86 => self.xlat(),
            87 => self.bits(),
            88..=94 if depth < 2 => self.over(depth),
            95 | 96 if depth == 0 => self.repeat(),
            97 if depth == 0 => self.function(),
            98 if depth == 0 => {
                self.put(Instruction::with2(Code::Mov_r32_imm32, Register::EAX, 39));
                self.text.raw(&[0x0f, 0x05, 0x90]);
            }
            _ => self.access(),
        }
    }

    fn pointer(&mut self) {
        let target = self.target();
        let (register, less) = (self.general(), self.dice.below(64));
        let value = if self.dice.chance(8) { target.wrapping_sub(self.fs) } else { target };
        self.put(Instruction::with2(Code::Mov_r64_imm64, gpr(8, register), value.wrapping_sub(less)));
        if register != RSP {
            self.regs[register] = value.wrapping_sub(less);
        }
    }

    fn access(&mut self) {
        let target = self.target();
        if self.dice.chance(3) {
            // What the C library keeps there.
            let memory =
                MemoryOperand::new(Register::None, Register::None, 1, self.dice.below(5) as i64 * 8, 8, false, Register::FS);
            let register = self.register(2);
            self.put(Instruction::with2(Code::Cmp_r32_rm32, register, memory));
            return;
        }
        let Some(memory) = self.operand(target) else { return };
        let width = self.dice.below(4) as usize;
        let register = self.register(width);
        let locked = self.dice.chance(6);
        let instruction = match self.dice.below(20) {
            0..=5 => Instruction::with2(self.dice.pick(BY_REGISTER)[width], memory, register),
            6..=10 => {
                let code = self.dice.pick(TO_REGISTER)[width];
                let operand = code.op_code().op_kind(0);
                use iced_x86::OpCodeOperandKind as K;
                let register = match operand {
                    K::r8_reg => self.register(0),
                    K::r16_reg => self.register(1),
                    K::r32_reg => self.register(2),
                    _ => self.register(3),
                };
                Instruction::with2(code, register, memory)
            }
            11 => Instruction::with2(Code::Movsxd_r64_rm32, self.register(3), memory),
            12 | 13 => Instruction::with2(self.dice.pick(BY_NUMBER)[width], memory, self.small()),
            14 | 15 => Instruction::with1(self.dice.pick(ALONE)[width], memory),
            16 | 17 => {
                let (code, first) = self.dice.pick(VECTORS);
                let number = self.dice.below(16) as u32;
                let register = match code {
                    Code::VEX_Vmovups_ymm_ymmm256 | Code::VEX_Vmovups_ymmm256_ymm => Register::YMM0 + number,
                    Code::EVEX_Vmovups_zmm_k1z_zmmm512 | Code::EVEX_Vmovups_zmmm512_k1z_zmm => {
                        if !self.wish.avx512 {
                            return;
                        }
                        Register::ZMM0 + number
                    }
                    _ => Register::XMM0 + number,
                };
                if first { Instruction::with2(code, memory, register) } else { Instruction::with2(code, register, memory) }
            }
            _ => Instruction::with1(self.dice.pick(MEMORY_ALONE), memory),
        };
        let Ok(mut instruction) = instruction else { return };
        if locked && lockable(&instruction) {
            instruction.set_has_lock_prefix(true);
        }
        self.text.instruction(&instruction);
    }

    // Registers alone.
    fn change(&mut self) {
        let width = self.dice.below(4) as usize;
        let wide = self.dice.pick(&[2usize, 3, 3]);
        let (a, b) = (self.register(width), self.register(width));
        let (c, d) = (self.register(wide), self.register(wide));
        let by = |codes: [Code; 2]| codes[wide - 2];
        let number = self.small();
        let instruction = match self.dice.below(24) {
            0..=2 => Instruction::with2(by([Code::Mov_rm32_r32, Code::Mov_rm64_r64]), c, d),
            3 => Instruction::with2(by([Code::Mov_r32_rm32, Code::Mov_r64_rm64]), c, d),
            4 => Instruction::with2(Code::Movsxd_r64_rm32, self.register(3), self.register(2)),
            5..=7 => {
                let base = self.register(wide);
                let index = self.general();
                let with_index = index != RSP && self.dice.chance(40);
                let index = if with_index { gpr(1 << wide, index) } else { Register::None };
                let scale = self.dice.pick(&[1u32, 2, 4, 8]);
                let base = if with_index && self.dice.chance(20) { Register::None } else { base };
                let memory = MemoryOperand::new(base, index, scale, i64::from(number), 4, false, Register::None);
                let code = self.dice.pick(&[Code::Lea_r64_m, Code::Lea_r64_m, Code::Lea_r32_m, Code::Lea_r16_m]);
                let to = match code {
                    Code::Lea_r16_m => self.register(1),
                    Code::Lea_r32_m => self.register(2),
                    _ => self.register(3),
                };
                Instruction::with2(code, to, memory)
            }
            8..=10 => Instruction::with2(by([Code::Add_rm32_imm8, Code::Add_rm64_imm8]), c, number),
            11 => Instruction::with2(by([Code::Sub_rm32_imm32, Code::Sub_rm64_imm32]), c, number),
            12 => Instruction::with2(self.dice.pick(BY_REGISTER)[width], a, b),
            13 => Instruction::with2(self.dice.pick(BY_NUMBER)[width], a, number),
            14 | 15 => Instruction::with1(self.dice.pick(ALONE)[width], a),
            16 => Instruction::with2(by([Code::Xchg_rm32_r32, Code::Xchg_rm64_r64]), c, d),
            17 => Instruction::with2(by([Code::Xadd_rm32_r32, Code::Xadd_rm64_r64]), c, d),
            18 => Instruction::with2(by([Code::Cmpxchg_rm32_r32, Code::Cmpxchg_rm64_r64]), c, d),
            19 => {
                let codes = [
                    [Code::Cmove_r32_rm32, Code::Cmove_r64_rm64],
                    [Code::Cmovne_r32_rm32, Code::Cmovne_r64_rm64],
                    [Code::Cmovl_r32_rm32, Code::Cmovl_r64_rm64],
                    [Code::Cmovae_r32_rm32, Code::Cmovae_r64_rm64],
                ];
                Instruction::with2(by(self.dice.pick(&codes)), c, d)
            }
            20 => Instruction::with1(by([Code::Bswap_r32, Code::Bswap_r64]), c),
            21 => Instruction::with2(Code::Xchg_r64_RAX, self.register(3), Register::RAX),
            22 => Ok(Instruction::with(self.dice.pick(&[Code::Cdqe, Code::Cwde, Code::Cbw, Code::Cqo, Code::Lahf, Code::Cld]))),
            _ => Instruction::with2(by([Code::Mov_r32_imm32, Code::Mov_rm64_imm32]), c, number),
        };
        self.put(instruction);
    }

    fn stack(&mut self) {
        let register = gpr(8, self.general());
        let number = self.small() & !7;
        let memory = |displacement: i64| MemoryOperand::with_base_displ(Register::RSP, displacement);
        match self.dice.below(16) {
            0 | 1 => self.put(Instruction::with1(Code::Push_r64, register)),
            2 => self.put(Instruction::with1(Code::Pop_r64, register)),
            3 => {
                self.put(Instruction::with1(Code::Push_r64, register));
                let other = gpr(8, self.general());
                self.put(Instruction::with1(Code::Pop_r64, other))
            }
            4 => {
                let narrow = gpr(2, self.general());
                let code = self.dice.pick(&[Code::Push_r16, Code::Pop_r16]);
                self.put(Instruction::with1(code, narrow))
            }
            5 => self.put(Instruction::with1(Code::Pushq_imm8, number)),
            6 => {
                // call to what follows
                self.text.raw(&[0xe8, 0, 0, 0, 0]);
                !self.dice.chance(70) || self.put(Instruction::with1(Code::Pop_r64, register))
            }
            7 => {
                // a return to what follows
                let bytes = self.dice.pick(&[0u16, 8, 16]);
                let with_number = self.dice.chance(40);
                let after = if with_number { 3 } else { 1 };
                let push = if register.number() >= 8 { 2 } else { 1 };
                let next = self.text.here() + 10 + push + after;
                self.put(Instruction::with2(Code::Mov_r64_imm64, register, next));
                self.put(Instruction::with1(Code::Push_r64, register));
                if with_number {
                    self.text.raw(&[0xc2, bytes as u8, 0]);
                } else {
                    self.text.raw(&[0xc3]);
                }
                true
            }
            8 => {
                let level = self.dice.pick(&[0u8, 0, 0, 1, 2]);
                let bytes = self.dice.below(6) as u32 * 8;
                self.put(Instruction::with2(Code::Enterq_imm16_imm8, bytes, u32::from(level)))
            }
            9 | 10 => {
                if !world::regions().iter().any(|r| r.holds(self.regs[abi::RBP])) {
                    self.put(Instruction::with2(Code::Lea_r64_m, Register::RBP, memory(16)));
                }
                self.put(Ok(Instruction::with(Code::Leaveq)))
            }
            11 => self.put(Instruction::with2(Code::Lea_r64_m, Register::RSP, memory(i64::from(number)))),
            12 => {
                let code = self.dice.pick(&[Code::Add_rm64_imm8, Code::Sub_rm64_imm8]);
                self.put(Instruction::with2(code, Register::RSP, number))
            }
            13 => {
                self.put(Instruction::with2(Code::Mov_r64_rm64, register, Register::RSP));
                self.put(Instruction::with2(Code::Add_rm64_imm8, Register::RSP, number))
            }
            14 => {
                // elsewhere
                self.put(Instruction::with2(Code::Lea_r64_m, register, memory(i64::from(number) - 24)));
                self.put(Instruction::with1(Code::Push_r64, register));
                self.put(Instruction::with1(Code::Pop_r64, Register::RSP))
            }
            _ => {
                let target = self.target();
                let code = self.dice.pick(&[Code::Push_rm64, Code::Pop_rm64, Code::Push_rm64]);
                let displacement = i64::from(number);
                let place = if self.dice.chance(60) { Some(memory(displacement)) } else { self.operand(target) };
                place.is_some_and(|place| self.put(Instruction::with1(code, place)))
            }
        };
    }

    fn string(&mut self) {
        let (opcode, bytes) = self.dice.pick(STRINGS);
        for register in [Register::RSI, Register::RDI] {
            if self.dice.chance(85) {
                let target = self.target();
                self.put(Instruction::with2(Code::Mov_r64_imm64, register, target));
            }
        }
        if self.dice.chance(30) {
            self.text.raw(&[self.dice.pick(&[0xfcu8, 0xfd])]);
        }
        let mut instruction = opcode.to_vec();
        match self.dice.below(5) {
            0 => {
                let count = self.dice.below(8 / bytes.min(4) + 2);
                self.put(Instruction::with2(Code::Mov_r32_imm32, Register::ECX, count as u32));
                instruction.insert(0, self.dice.pick(&[0xf2u8, 0xf3]));
            }
            1 if self.regs[abi::RSI] >> 32 == 0 && self.regs[abi::RDI] >> 32 == 0 => instruction.insert(0, 0x67),
            _ => {}
        }
        for _ in 0..1 + self.dice.below(3) {
            self.text.raw(&instruction);
        }
    }

    fn xlat(&mut self) {
        let target = self.target();
        self.put(Instruction::with2(Code::Mov_r64_imm64, Register::RBX, target.wrapping_sub(self.regs[abi::RAX] & 0xff)));
        self.text.raw(&[0xd7]);
    }

    fn line(&mut self) {
        if self.wish.clzero {
            let target = self.target();
            self.put(Instruction::with2(Code::Mov_r64_imm64, Register::RAX, target));
            self.text.raw(&[0x0f, 0x01, 0xfc]);
        }
    }

    // Bits beside the operand.
    fn bits(&mut self) {
        let target = self.target();
        let width = 1 + self.dice.below(3) as usize;
        let register = gpr(1 << width, self.general());
        let number = self.dice.below(900) as i64 - 450;
        self.put(Instruction::with2(Code::Mov_r64_imm64, register.full_register(), number as u64));
        self.regs[register.number()] = number as u64;
        let Some(memory) = self.operand(target) else { return };
        let codes: &[[Code; 3]] = &[
            [Code::Bt_rm16_r16, Code::Bt_rm32_r32, Code::Bt_rm64_r64],
            [Code::Bts_rm16_r16, Code::Bts_rm32_r32, Code::Bts_rm64_r64],
            [Code::Btc_rm16_r16, Code::Btc_rm32_r32, Code::Btc_rm64_r64],
        ];
        let code = self.dice.pick(codes)[width - 1];
        self.put(Instruction::with2(code, memory, register));
    }

    // A branch over a few items, taken or not; a jump that is followed.
    fn over(&mut self, depth: u32) {
        let cc = self.dice.below(16) as u8;
        let opcode: &[u8] = match self.dice.below(6) {
            0 => &[0xe9],
            _ => &[0x0f, 0x80 | cc],
        };
        if self.dice.chance(50) {
            let (a, b) = (gpr(8, self.general()), gpr(8, self.general()));
            self.put(Instruction::with2(Code::Cmp_r64_rm64, a, b));
        }
        self.text.branch(opcode);
        let end = self.text.bytes.len();
        for _ in 0..1 + self.dice.below(3) {
            self.item(depth + 1);
        }
        self.text.land(end);
    }

    fn repeat(&mut self) {
        let count = 1 + self.dice.below(3) as u32;
        self.put(Instruction::with2(Code::Mov_r32_imm32, Register::ECX, count));
        self.regs[abi::RCX] = u64::from(count);
        let (top, codes) = (self.text.bytes.len(), self.text.codes.len());
        for _ in 0..1 + self.dice.below(4) {
            if self.dice.chance(60) { self.access() } else { self.change() }
        }
        let distance = top as i64 - (self.text.bytes.len() as i64 + 2);
        let counted = self.counts(top);
        if distance < -128 || !counted {
            self.text.bytes.truncate(top);
            self.text.codes.truncate(codes);
            return;
        }
        self.text.raw(&[self.dice.pick(&[0xe0u8, 0xe1, 0xe2, 0xe2]), distance as u8]);
    }

    // Whether what stands from `top` on leaves rcx alone.
    fn counts(&self, top: usize) -> bool {
        let mut decoder = iced_x86::Decoder::with_ip(64, &self.text.bytes[top..], 0, iced_x86::DecoderOptions::NONE);
        let mut info = iced_x86::InstructionInfoFactory::new();
        let mut all = true;
        while decoder.can_decode() {
            let instruction = decoder.decode();
            all &= info.info(&instruction).used_registers().iter().all(|used| {
                used.register().full_register() != Register::RCX
                    || matches!(used.access(), iced_x86::OpAccess::Read | iced_x86::OpAccess::CondRead)
            });
        }
        all
    }

    // jmp over; f: ...; ret; over: call f
    fn function(&mut self) {
        self.text.branch(&[0xe9]);
        let end = self.text.bytes.len();
        let entry = self.text.here();
        for _ in 0..1 + self.dice.below(3) {
            if self.dice.chance(60) { self.access() } else { self.change() }
        }
        self.text.raw(&[0xc3]);
        self.text.land(end);
        for _ in 0..1 + self.dice.below(2) {
            self.put(Instruction::with_branch(Code::Call_rel32_64, entry));
        }
    }

    fn move_fs(&mut self) {
        let base = DATA[REACHED[self.region][0]].begin + 0x800;
        let register = gpr(8, self.general());
        self.put(Instruction::with2(Code::Mov_r64_imm64, register, base));
        self.put(Instruction::with1(Code::Wrfsbase_r64, register));
        self.fs = base;
    }
}

fn lockable(instruction: &Instruction) -> bool {
    instruction.op0_kind() == iced_x86::OpKind::Memory && instruction.code().op_code().can_use_lock_prefix()
}
