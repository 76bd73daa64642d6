//! Programs: instructions one after another, and between them every way in which control can go.
//!
//! A program is a main part and a few functions, in whatever code regions the dice say; it begins at `entry` and ends by a jump to
//! `world::store`, or by a fault. Where an address is needed in memory, a cell in the first part of a data region holds it.

use iced_x86::{Code, Decoder, DecoderOptions, Encoder, Formatter, Instruction, IntelFormatter, Mnemonic};

use super::Dice;
use super::form::{self, Place};
use super::world::{self, CELLS_BYTES, CODE, COUNTER, DATA, LOW, REACHED, World};

/// A kind of instruction that this processor has, or that raises a signal in user mode.
#[derive(Clone, Copy)]
pub struct Kind {
    pub code: Code,
    pub aligned: bool, // its operand in memory must be
    pub faults: bool,  // always, whatever its operands
}

/// Code of one region that is being written.
pub struct Text {
    pub base: u64,
    pub bytes: Vec<u8>,
    pub codes: Vec<Code>,
    region: usize,
}

impl Text {
    pub fn new(base: u64) -> Text {
        let region = CODE.iter().position(|r| r.holds(base)).expect("code region");
        Text { base, bytes: Vec::new(), codes: Vec::new(), region }
    }

    pub fn here(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    /// Write instructions that are encoded already.
    pub fn raw(&mut self, bytes: &[u8]) {
        let mut decoder = Decoder::with_ip(64, bytes, self.here(), DecoderOptions::NONE);
        while decoder.can_decode() {
            self.codes.push(decoder.decode().code());
        }
        self.bytes.extend_from_slice(bytes);
    }

    pub fn data(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Write one instruction, or answer false.
    pub fn instruction(&mut self, instruction: &Instruction) -> bool {
        let mut encoder = Encoder::new(64);
        if encoder.encode(instruction, self.here()).is_err() {
            return false;
        }
        self.bytes.extend(encoder.take_buffer());
        self.codes.push(instruction.code());
        true
    }

    /// Write all or nothing.
    pub fn form(&mut self, form: &form::Form) -> bool {
        let (bytes, codes) = (self.bytes.len(), self.codes.len());
        let all = form.before.iter().chain([&form.instruction]).chain(&form.after).all(|i| self.instruction(i));
        if !all {
            self.bytes.truncate(bytes);
            self.codes.truncate(codes);
        }
        all
    }

    /// Write a branch with a rel32 to be filled in by `land`; answer where it ends.
    pub fn branch(&mut self, opcode: &[u8]) -> usize {
        let mut bytes = opcode.to_vec();
        bytes.extend_from_slice(&[0; 4]);
        self.raw(&bytes);
        self.bytes.len()
    }

    pub fn land(&mut self, end: usize) {
        let distance = (self.bytes.len() - end) as i32;
        self.bytes[end - 4..end].copy_from_slice(&distance.to_le_bytes());
    }

    fn branch_to(&mut self, opcode: &[u8], target: u64) -> bool {
        let end = self.here() + opcode.len() as u64 + 4;
        let Ok(displacement) = i32::try_from(target.wrapping_sub(end) as i64) else { return false };
        let mut bytes = opcode.to_vec();
        bytes.extend_from_slice(&displacement.to_le_bytes());
        self.raw(&bytes);
        true
    }

    /// The end of every program: a jump through memory behind it.
    pub fn leave(&mut self) {
        self.raw(&[0xff, 0x25, 0, 0, 0, 0]);
        self.data(&world::store().to_le_bytes());
    }
}

pub struct Program {
    pub entry: u64,
    pub texts: Vec<Text>,
}

impl Program {
    pub fn install(&self, world: &World) {
        for text in &self.texts {
            world.write_code(text.base, &text.bytes);
        }
    }

    pub fn holds(&self, address: u64) -> bool {
        self.texts.iter().any(|t| (t.base..t.here()).contains(&address))
    }

    /// Return the program as people read it.
    pub fn listing(&self) -> String {
        let mut out = String::new();
        let mut formatter = IntelFormatter::new();
        for text in &self.texts {
            out.push_str(if text.base == self.entry { "  main:\n" } else { "  function:\n" });
            let mut decoder = Decoder::with_ip(64, &text.bytes, text.base, DecoderOptions::NONE);
            while decoder.can_decode() {
                let instruction = decoder.decode();
                let mut line = String::new();
                formatter.format(&instruction, &mut line);
                let at = (instruction.ip() - text.base) as usize;
                let bytes: String = text.bytes[at..at + instruction.len()].iter().map(|b| format!("{b:02x}")).collect();
                out.push_str(&format!("    {:x}  {bytes:30} {line}\n", instruction.ip()));
            }
        }
        out
    }
}

/// What decides how a program is made.
#[derive(Clone, Copy)]
pub struct Wish {
    pub items: u64,
    pub faults_percent: u64,
    pub may_change_fs: bool,
    pub system_calls: bool,
    pub engine_calls: bool, // ... and those that the engine makes itself
    pub pushes_flags: bool, // pushf shows the trap flag to a program that is being single-stepped
}

/// Who writes programs: a place for the next one in each code region, and which kinds come next.
pub struct Author {
    pub kinds: Vec<Kind>,
    pub faulting: Vec<Kind>,
    turn: usize,
    room: [u64; 3],
    cells: [u64; 4],
    fs_base: u64,
}

pub const PROGRAM_BYTES_MAX: u64 = 0x4000;

impl Author {
    pub fn new(kinds: Vec<Kind>, faulting: Vec<Kind>) -> Author {
        let fs_base: u64;
        // SAFETY: reads a register.
        unsafe { core::arch::asm!("rdfsbase {}", out(reg) fs_base) };
        Author { kinds, faulting, turn: 0, room: CODE.map(|r| r.begin + 0x100), cells: [0; 4], fs_base }
    }

    /// Whether the regions have room for another program. Otherwise `rewind`, and let the engine forget what it knew.
    pub fn has_room(&self) -> bool {
        (0..3).all(|r| self.room[r] + 4 * PROGRAM_BYTES_MAX < CODE[r].end())
    }

    pub fn rewind(&mut self) {
        self.room = CODE.map(|r| r.begin + 0x100);
    }

    /// How often every kind has had its turn.
    pub fn rounds(&self) -> usize {
        self.turn / self.kinds.len().max(1)
    }

    pub fn write(&mut self, world: &mut World, dice: &mut Dice, wish: Wish) -> Program {
        self.cells = [0; 4];
        let mut texts = Vec::new();
        let mut functions = Vec::new();
        for _ in 0..dice.below(4) {
            let region = dice.below(3) as usize;
            let mut writer = self.begin(world, dice, wish, region, &functions);
            let popped = writer.function();
            let text = writer.text;
            functions.push((text.base, popped));
            self.keep(&text);
            texts.push(text);
        }
        let mut bounces = Vec::new();
        for _ in 0..dice.below(3) {
            let region = dice.below(3) as usize;
            let mut writer = self.begin(world, dice, wish, region, &[]);
            let back = writer.bounce();
            let text = writer.text;
            bounces.push((text.base, back));
            self.keep(&text);
            texts.push(text);
        }
        let region = dice.below(3) as usize;
        let mut writer = self.begin(world, dice, wish, region, &functions);
        writer.bounces = bounces;
        writer.main();
        let text = writer.text;
        let entry = text.base;
        self.keep(&text);
        texts.push(text);
        Program { entry, texts }
    }

    fn begin<'a>(
        &'a mut self,
        world: &'a mut World,
        dice: &'a mut Dice,
        wish: Wish,
        region: usize,
        functions: &[(u64, u16)],
    ) -> Writer<'a> {
        let text = Text::new(self.room[region] + dice.below(16));
        Writer {
            author: self,
            world,
            dice,
            wish,
            text,
            functions: functions.to_vec(),
            bounces: Vec::new(),
            fs: None,
            in_loop: false,
        }
    }

    fn keep(&mut self, text: &Text) {
        assert!((text.bytes.len() as u64) < PROGRAM_BYTES_MAX, "a program of {} bytes", text.bytes.len());
        let room = text.here() + 8;
        // No program at the low 16 bits that no address of a fault has: an indirect branch is looked up by them.
        let within = room & 0xffff;
        self.room[text.region] = if within + PROGRAM_BYTES_MAX > 0x1_0000 { room - within + 0x1_0100 } else { room };
    }
}

struct Writer<'a> {
    author: &'a mut Author,
    world: &'a mut World,
    dice: &'a mut Dice,
    wish: Wish,
    text: Text,
    functions: Vec<(u64, u16)>, // address, bytes that its return pops besides
    bounces: Vec<(u64, u64)>,   // address, cell with the address to come back to
    fs: Option<u64>,
    in_loop: bool,
}

impl Writer<'_> {
    // ---- addresses in memory

    // A cell that holds `value` from the beginning.
    fn cell(&mut self, data: usize, value: u64) -> u64 {
        let at = self.author.cells[data];
        assert!(at + 8 <= CELLS_BYTES, "cells");
        self.author.cells[data] += 8;
        let address = DATA[data].begin + at;
        self.world.set_pristine(address, &value.to_le_bytes());
        address
    }

    fn reached(&mut self) -> usize {
        self.dice.pick(REACHED[self.text.region])
    }

    fn register(&mut self) -> u8 {
        loop {
            let register = self.dice.below(16) as u8;
            if register != 4 {
                return register;
            }
        }
    }

    fn mov(&mut self, register: u8, value: u64) {
        let mut bytes = vec![0x48 | register >> 3, 0xb8 | register & 7];
        bytes.extend_from_slice(&value.to_le_bytes());
        self.text.raw(&bytes);
    }

    // `call` (2) or `jmp` (4) to `target`, in one of all ways.
    fn transfer(&mut self, group: u8, target: u64) {
        let prefix: &[u8] = self.dice.pick(&[&[][..], &[], &[], &[0x3e], &[0xf2], &[0x48]]);
        let modrm = |mode: u8, rm: u8| mode << 6 | group << 3 | rm;
        match self.dice.below(8) {
            0 | 1 => {
                let opcode = if group == 2 { 0xe8 } else { 0xe9 };
                if self.text.branch_to(&[opcode], target) {
                    return;
                }
                self.transfer(group, target);
            }
            2 => {
                let register = self.register();
                self.mov(register, target);
                let mut bytes = prefix.to_vec();
                if register >= 8 {
                    bytes.retain(|&b| b != 0x48);
                    bytes.push(0x41);
                }
                bytes.extend_from_slice(&[0xff, modrm(3, register & 7)]);
                self.text.raw(&bytes);
            }
            3 | 4 => {
                let data = self.reached();
                let cell = self.cell(data, target);
                let mut opcode = prefix.to_vec();
                opcode.extend_from_slice(&[0xff, modrm(0, 5)]);
                assert!(self.text.branch_to(&opcode, cell));
            }
            5 => {
                // [base + index * 8 + displacement]
                let data = self.dice.below(4) as usize;
                let cell = self.cell(data, target);
                let (base, index) = (self.register(), self.register());
                if base == index {
                    return self.transfer(group, target);
                }
                let (steps, displacement) = (self.dice.below(64), self.dice.next() as i32);
                self.mov(base, cell.wrapping_sub(steps * 8).wrapping_sub(displacement as u64));
                self.mov(index, steps);
                let rex = 0x40 | (index >> 3) << 1 | base >> 3;
                let mut bytes = vec![rex, 0xff, modrm(2, 4), 0xc0 | (index & 7) << 3 | base & 7];
                bytes.extend_from_slice(&displacement.to_le_bytes());
                self.text.raw(&bytes);
            }
            6 => {
                // absolute, in 64-bit and 32-bit addressing
                let cell = self.cell(LOW, target) as u32;
                let mut bytes = if self.dice.chance(50) { vec![0x67] } else { Vec::new() };
                bytes.extend_from_slice(&[0xff, modrm(0, 4), 0x25]);
                bytes.extend_from_slice(&cell.to_le_bytes());
                self.text.raw(&bytes);
            }
            _ => {
                // [register + displacement], by a 32-bit register, or behind fs
                let way = self.dice.below(3);
                let data = if way == 0 { LOW } else { self.dice.below(4) as usize };
                let cell = self.cell(data, target);
                let register = self.register();
                let displacement = i32::from(self.dice.next() as i8);
                let (shift, prefix) = match (way, self.fs) {
                    (0, _) => (0, &[0x67][..]),
                    (1, Some(base)) => (base, &[0x64][..]),
                    _ => (0, &[][..]),
                };
                let upper = if way == 0 { self.dice.next() << 32 } else { 0 };
                let address = cell.wrapping_sub(shift).wrapping_sub(displacement as u64);
                self.mov(register, if way == 0 { address & 0xffff_ffff | upper } else { address });
                let mut bytes = prefix.to_vec();
                if register >= 8 {
                    bytes.push(0x41);
                }
                bytes.extend_from_slice(&[0xff, modrm(2, register & 7)]);
                if register & 7 == 4 {
                    bytes.push(0x24);
                }
                bytes.extend_from_slice(&displacement.to_le_bytes());
                self.text.raw(&bytes);
            }
        }
    }

    // ---- items

    fn main(&mut self) {
        self.fs = Some(self.author.fs_base);
        for _ in 0..self.wish.items {
            self.item();
            if self.text.bytes.len() as u64 > PROGRAM_BYTES_MAX - 0x800 {
                break;
            }
        }
        if self.dice.chance(self.wish.faults_percent) {
            self.fault();
        }
        self.text.leave();
    }

    // A function; answer what its return pops besides the return address.
    fn function(&mut self) -> u16 {
        if self.dice.chance(60) {
            self.flags_reader();
        }
        for _ in 0..1 + self.dice.below(5) {
            self.straight(false);
        }
        if !self.functions.is_empty() && self.dice.chance(40) {
            self.call();
        }
        if self.dice.chance(30) {
            self.flags_setter();
        }
        match self.dice.below(8) {
            0 => {
                let popped = self.dice.below(5) as u16 * 8;
                self.text.raw(&[0xc2, popped as u8, 0]);
                popped
            }
            1 => {
                // The return address goes through a register.
                let register = self.register() & 7;
                let register = if register == 4 { 0 } else { register };
                self.text.raw(&[0x58 | register, 0xff, 0xe0 | register]);
                0
            }
            2 => {
                // ... or stays on the stack for a moment.
                self.text.raw(&[0x48, 0x8d, 0x64, 0x24, 0x08, 0xff, 0x64, 0x24, 0xf8]);
                0
            }
            3 => {
                self.text.raw(&[0xf3, 0xc3]);
                0
            }
            4 => {
                self.text.raw(&[0xf2, 0xc3]);
                0
            }
            _ => {
                self.text.raw(&[0xc3]);
                0
            }
        }
    }

    // Code elsewhere that is jumped to and jumps back; answer the cell that says where to.
    fn bounce(&mut self) -> u64 {
        if self.dice.chance(50) {
            self.flags_reader();
        }
        for _ in 0..self.dice.below(3) {
            self.straight(false);
        }
        let data = self.reached();
        let cell = self.cell(data, 0);
        assert!(self.text.branch_to(&[0xff, 0x25], cell));
        cell
    }

    fn item(&mut self) {
        match self.dice.below(if self.in_loop { 16 } else { 30 }) {
            0..=9 => self.straight(!self.in_loop),
            10 => self.flags_reader(),
            11 => self.forward(),
            12 => self.by_rcx(),
            13 => self.call(),
            14 => self.stack(),
            15 => self.table(),
            16..=23 => self.straight(true),
            24 => self.iteration(),
            25 => self.short_loop(),
            26 => self.bounced(),
            27 => self.call(),
            28 if self.wish.system_calls => self.system_call(),
            _ => self.straight(true),
        }
    }

    fn straight(&mut self, top: bool) {
        for _ in 0..200 {
            let kind = self.author.kinds[self.author.turn % self.author.kinds.len()];
            self.author.turn += 1;
            if !self.wish.pushes_flags && matches!(kind.code.mnemonic(), Mnemonic::Pushf | Mnemonic::Pushfq) {
                continue;
            }
            for _ in 0..60 {
                let may_change_fs = top && self.wish.may_change_fs;
                let place = Place { region: self.text.region, fs: self.fs, may_change_fs, aligned: kind.aligned, plain: false };
                if let Some(form) = form::make(kind.code, self.dice, &place)
                    && self.text.form(&form)
                {
                    if changes_fs(&form.instruction) {
                        self.fs = None;
                    }
                    return;
                }
            }
        }
    }

    // Something that shows whether flags are what they were.
    fn flags_reader(&mut self) {
        let register = self.dice.pick(&[0u8, 1, 2, 3, 5, 6, 7]);
        let cc = self.dice.below(16) as u8;
        match self.dice.below(if self.wish.pushes_flags { 7 } else { 6 }) {
            0 => self.text.raw(&[0x0f, 0x90 | cc, 0xc0 | register & 3]),
            1 => self.text.raw(&[0x48, 0x0f, 0x40 | cc, 0xc0 | register << 3 | 3]),
            2 => self.text.raw(&[0x48, 0x11, 0xc0 | register << 3 | 3]),
            3 => self.text.raw(&[0x48, 0x19, 0xc0 | register << 3 | 3]),
            4 => self.text.raw(&[0x9f]),
            5 => self.text.raw(&[0x48, 0xd1, 0xd0 | register]),
            _ => self.text.raw(&[0x9c, 0x58 | register]),
        }
    }

    fn flags_setter(&mut self) {
        let register = self.dice.pick(&[0u8, 1, 2, 3, 5, 6, 7]);
        match self.dice.below(6) {
            0 => self.text.raw(&[0x48, 0x39, 0xc0 | register << 3 | 3]),
            1 => self.text.raw(&[0x85, 0xc0 | register << 3 | register]),
            2 => self.text.raw(&[0x48, 0x01, 0xc0 | register << 3 | 2]),
            3 => self.text.raw(&[self.dice.pick(&[0xf8u8, 0xf9, 0xf5, 0xfc, 0xfd])]),
            4 => self.text.raw(&[0x9e]),
            _ => self.text.raw(&[0x28, 0xc0 | (register & 3) << 3 | 1]),
        }
    }

    // A conditional branch over a few instructions.
    fn forward(&mut self) {
        if self.dice.chance(50) {
            self.flags_setter();
        }
        let cc = self.dice.below(16) as u8;
        let end = match self.dice.below(5) {
            0 => self.text.branch(&[0x2e, 0x0f, 0x80 | cc]),
            1 => self.text.branch(&[0xf2, 0x0f, 0x80 | cc]),
            2 => self.text.branch(&[0xe9]),
            _ => self.text.branch(&[0x0f, 0x80 | cc]),
        };
        for _ in 0..1 + self.dice.below(3) {
            self.straight(false);
        }
        self.text.land(end);
        if self.dice.chance(40) {
            // A short one besides.
            self.text.raw(&[0x70 | cc, 3]);
            self.text.raw(&[0x48, 0xff, 0xc0]);
        }
    }

    // jrcxz and loops, forward.
    fn by_rcx(&mut self) {
        let count = self.dice.below(3) | if self.dice.chance(30) { self.dice.next() << 32 } else { 0 };
        self.mov(1, count);
        if self.dice.chance(50) {
            self.flags_setter_but_cl();
        }
        let opcode = self.dice.pick(&[0xe0u8, 0xe1, 0xe2, 0xe3]);
        let prefix: &[u8] = if self.dice.chance(30) { &[0x67] } else { &[] };
        let mut bytes = prefix.to_vec();
        bytes.extend_from_slice(&[opcode, 2, 0xeb, 5]);
        self.text.raw(&bytes);
        let end = self.text.branch(&[0xe9]);
        for _ in 0..1 + self.dice.below(2) {
            self.straight(false);
        }
        self.text.land(end);
    }

    fn flags_setter_but_cl(&mut self) {
        self.text.raw(&[0x48, 0x39, 0xd0 | self.dice.below(2) as u8]);
    }

    fn call(&mut self) {
        let Some(at) = (!self.functions.is_empty()).then(|| self.dice.below(self.functions.len() as u64) as usize) else {
            return self.straight(false);
        };
        let (target, popped) = self.functions[at];
        if self.dice.chance(60) {
            self.flags_setter();
        }
        let depth = i64::from(popped);
        if depth != 0 {
            self.text.instruction(&form::move_stack(-depth));
        }
        self.transfer(2, target);
        if self.dice.chance(60) {
            self.flags_reader();
        }
    }

    // Returns that nobody called for, calls that nobody returns from.
    fn stack(&mut self) {
        match self.dice.below(3) {
            0 => {
                // push, ret
                let register = self.register();
                let length = 10 + if register >= 8 { 2 } else { 1 } + 1;
                let target = self.text.here() + length;
                self.mov(register, target);
                let mut bytes = if register >= 8 { vec![0x41] } else { Vec::new() };
                bytes.extend_from_slice(&[0x50 | register & 7, 0xc3]);
                self.text.raw(&bytes);
            }
            1 => {
                // call, pop
                let register = self.dice.pick(&[0u8, 1, 2, 3, 5, 6, 7]);
                self.text.raw(&[0xe8, 0, 0, 0, 0, 0x58 | register]);
            }
            _ => {
                // ret n, of an address that was pushed: lea rsp, [rsp-16]; push rax; ret 16
                let target = self.text.here() + 10 + 5 + 1 + 3;
                self.mov(0, target);
                self.text.raw(&[0x48, 0x8d, 0x64, 0x24, 0xf0, 0x50, 0xc2, 16, 0]);
            }
        }
        if self.dice.chance(50) {
            self.flags_reader();
        }
    }

    // A switch: a table of addresses, or of distances.
    fn table(&mut self) {
        let cases = 1 + self.dice.below(4);
        let chosen = self.dice.below(cases);
        let data = self.reached();
        let first = self.author.cells[data];
        for _ in 0..cases {
            self.cell(data, 0);
        }
        let table = DATA[data].begin + first;
        let distances = self.dice.chance(40);
        self.mov(0, chosen);
        let mut anchor = 0;
        if distances {
            // lea rbx, [rip+0]; add rbx, [rdx+rax*8]; jmp rbx
            self.mov(2, table);
            self.text.raw(&[0x48, 0x8d, 0x1d, 0, 0, 0, 0]);
            anchor = self.text.here();
            self.text.raw(&[0x48, 0x03, 0x1c, 0xc2]);
            self.text.raw(&[0xff, 0xe3]);
        } else if data == 0 && self.dice.chance(50) {
            let mut bytes = vec![0xff, 0x24, 0xc5];
            bytes.extend_from_slice(&(table as u32).to_le_bytes());
            self.text.raw(&bytes);
        } else {
            self.mov(2, table);
            self.text.raw(&[0xff, 0x24, 0xc2]);
        }
        let mut ends = Vec::new();
        for case in 0..cases {
            let here = self.text.here();
            let value = if distances { here.wrapping_sub(anchor) } else { here };
            self.world.set_pristine(table + case * 8, &value.to_le_bytes());
            if self.dice.chance(40) {
                self.flags_reader();
            }
            self.straight(false);
            ends.push(self.text.branch(&[0xe9]));
        }
        for end in ends {
            self.text.land(end);
        }
    }

    // A loop of a few items, counted in memory.
    fn iteration(&mut self) {
        if self.in_loop {
            return;
        }
        let counter = ((DATA[LOW].begin + COUNTER) as u32).to_le_bytes();
        let mut bytes = vec![0xc7, 0x04, 0x25];
        bytes.extend_from_slice(&counter);
        bytes.extend_from_slice(&(1 + self.dice.below(4) as u32).to_le_bytes());
        self.text.raw(&bytes);
        let top = self.text.here();
        self.in_loop = true;
        for _ in 0..1 + self.dice.below(4) {
            self.item();
        }
        self.in_loop = false;
        let mut bytes = vec![0xff, 0x0c, 0x25];
        bytes.extend_from_slice(&counter);
        self.text.raw(&bytes);
        self.text.branch_to(&[0x0f, 0x85], top);
    }

    fn short_loop(&mut self) {
        let count = 1 + self.dice.below(20);
        let address32 = self.dice.chance(25);
        let upper = if address32 { self.dice.next() << 32 } else { 0 };
        self.mov(1, count | upper);
        let top = self.text.bytes.len();
        for _ in 0..1 + self.dice.below(3) {
            let body: &[u8] = self.dice.pick(&[
                &[0x48, 0x01, 0xc8][..],      // add rax, rcx
                &[0x48, 0x8d, 0x5c, 0x4b, 3], // lea rbx, [rbx+rcx*2+3]
                &[0x48, 0x11, 0xda],          // adc rdx, rbx
                &[0x48, 0xd1, 0xd8],          // rcr rax, 1
                &[0x0f, 0xbd, 0xf9],          // bsr edi, ecx
                &[0x66, 0x0f, 0xfe, 0xc1],    // paddd xmm0, xmm1
            ]);
            self.text.raw(body);
        }
        let opcode = self.dice.pick(&[0xe0u8, 0xe1, 0xe2, 0xe2]);
        let mut bytes = if address32 { vec![0x67] } else { Vec::new() };
        bytes.push(opcode);
        let distance = top as i64 - (self.text.bytes.len() + bytes.len() + 1) as i64;
        bytes.push(distance as u8);
        self.text.raw(&bytes);
    }

    fn bounced(&mut self) {
        let Some((target, back)) = self.bounces.pop() else { return self.straight(true) };
        if self.dice.chance(60) {
            self.flags_setter();
        }
        self.transfer(4, target);
        let here = self.text.here();
        self.world.set_pristine(back, &here.to_le_bytes());
        if self.dice.chance(60) {
            self.flags_reader();
        }
    }

    fn system_call(&mut self) {
        const NOWHERE: u64 = 1023;
        let number =
            self.dice.pick(if self.wish.engine_calls { &[39, 186, 102, NOWHERE, 14, 13] } else { &[39, 186, 102, NOWHERE] });
        if number == 13 || number == 14 {
            self.mov(7, if number == 14 { 99 } else { 77 }); // EINVAL, whatever the rest
            self.mov(6, DATA[LOW].begin + COUNTER);
            self.mov(2, 0);
            self.mov(10, 8);
        }
        self.mov(0, number);
        self.text.raw(&[0x0f, 0x05]);
        if self.dice.chance(50) {
            self.flags_reader();
        }
    }

    // The end of some programs.
    fn fault(&mut self) {
        if self.dice.chance(50) {
            self.flags_setter();
        }
        let near = self.text.here() + 0x1000_0000;
        let no_code = DATA[self.text.region.min(1)].begin + 0x900;
        match self.dice.below(16) {
            0 => self.text.raw(&[0x0f, 0x0b]),
            1 => self.text.raw(&[0xcc]),
            2 => self.text.raw(&[0x31, 0xc9, 0xf7, 0xf1]),
            3 => self.text.raw(&[0x31, 0xc0, 0x89, 0x10]),
            4 => self.text.raw(&[0x31, 0xc0, 0x48, 0x8b, 0x98, 0, 0x10, 0, 0]),
            5 => {
                self.mov(3, DATA[1].begin + 0x1808);
                self.text.raw(&[0x0f, 0x28, 0x0b]);
            }
            6 => {
                self.mov(0, 0x8000_0000_0000_0000);
                self.text.raw(&[0x8b, 0x00]);
            }
            7 => {
                self.mov(0, near);
                self.text.raw(&[0xff, 0xe0]);
            }
            8 => {
                self.mov(0, no_code);
                self.text.raw(&[0xff, 0xd0]);
            }
            9 => {
                self.mov(0, 0);
                self.text.raw(&[0x50, 0xc3]);
            }
            10 => {
                // No address, and the low bits are those of no code. (Of a branch that finds another's entry in its table the engine does not
                // know where it was; so where it is no address at all, the frame says that it has happened.)
                self.mov(0, 0x1234_0000_0000_0040);
                self.text.raw(&[0x50, 0xc3]);
            }
            11 => self.text.data(&[0x06]),
            12 => {
                // an operand that is far from the cache, and of nobody
                self.text.branch_to(&[0x48, 0x03, 0x05], near.wrapping_add(0x6fff_0000));
            }
            13 => {
                let slot = self.register() & 7;
                self.mov(slot & 3, near + 0x8000);
                self.text.raw(&[0xff, 0x50 | slot & 3, 8]);
            }
            14 => {
                // overflow of a signed division
                self.mov(0, 0x8000_0000_0000_0000);
                self.mov(3, !0);
                self.text.raw(&[0x48, 0x99, 0x48, 0xf7, 0xfb]);
            }
            _ => {
                for _ in 0..100 {
                    if self.author.faulting.is_empty() {
                        return;
                    }
                    let kind = self.dice.pick(&self.author.faulting);
                    let place = Place { region: self.text.region, fs: None, may_change_fs: false, aligned: true, plain: true };
                    if let Some(form) = form::make(kind.code, self.dice, &place)
                        && self.text.form(&form)
                    {
                        return;
                    }
                }
            }
        }
    }
}

fn changes_fs(instruction: &Instruction) -> bool {
    let op = instruction.code().op_code();

    (matches!(instruction.mnemonic(), Mnemonic::Wrfsbase | Mnemonic::Lfs)
        || matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Pop) && op.op_count() > 0 && {
            instruction.op0_kind() == iced_x86::OpKind::Register && instruction.op0_register() == iced_x86::Register::FS
        })
}
