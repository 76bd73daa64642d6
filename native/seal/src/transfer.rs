//! Where control goes: jumps, calls, returns, system calls, and the landings that indirect ones arrive at.
//!
//! Owns the rows of `lower`'s table that are about transfers. Refuses what does not leave its place.
//!
//! A landing compares `target` with the address that it stands for: `mov ecx,16; shrx rcx,[target],rcx; lea rcx,[rcx-pc>>16]; jrcxz`.

use alloc::vec::Vec;
use core::mem::offset_of;

use iced_x86::{Code as Op, Instruction, Mnemonic, OpKind, Register};

use crate::abi::{self, Context, RCX, RSP};
use crate::cache::{ExitKind, Full, Thread, kind};
use crate::emit::{Code, GuestPc, HostPc, JMP_SHORT, JRCXZ, Operand};
use crate::lower::{Lower, Rcx, operand_of};
use crate::translate::{Step, Work, number};
use crate::{calls, recover, sys, tables, track};

/// `lea rcx, [rip]`: tells the engine which branch has missed.
const LEA_RCX_HERE: &[u8] = &[0x48, 0x8d, 0x0d, 0, 0, 0, 0];
const JMP_RCX: &[u8] = &[0xff, 0xe1];
const PUSH_IMM32: u8 = 0x68;

/// Which of the two tables a landing is reached through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Through {
    Returns,
    Jumps,
    Followed,                        // of either, while tags are followed
    Table { table: u16, entry: u8 }, // of those that the application jumps by
}

impl Through {
    /// Where in the slot it is.
    pub fn table(self) -> u64 {
        match self {
            Through::Returns => abi::SLOT_RETURNS,
            Through::Jumps | Through::Table { .. } => abi::SLOT_JUMPS,
            Through::Followed => abi::SLOT_FOLLOWED,
        }
    }
}

/// Write a landing for a fragment that has none of this kind, and enter it in its table.
pub fn landing_to(thread: &mut Thread, through: Through, fragment: u32) -> Result<HostPc, Full> {
    let (pc, host) = (thread.fragments[fragment as usize].pc, thread.fragments[fragment as usize].host);
    let arena = thread.arena_for(pc)?;
    let begin = thread.arenas[arena].hot;
    let limit = thread.arenas[arena].cold;
    let mut lower = Lower {
        code: Code::new(begin, limit),
        thread,
        arena,
        work: Work::Nothing,
        watched: false,
        rcx: Rcx::Saved,
        flags_kept: false,
        slip: None,
        landed: Vec::new(),
    };
    if let Through::Table { table, .. } = through {
        lower.pad(table, pc);
    } else {
        let same = lower.landing(through, pc);
        lower.code.land(same);
        lower.restore_rcx(pc);
    }
    lower.record(0, pc);
    lower.jump_anywhere(host);
    if lower.code.overflow {
        return Err(Full::Flush);
    }
    let end = lower.code.here();
    thread.arenas[arena].hot = end;
    thread.note_landing(through, pc, begin, fragment);
    Ok(begin)
}

impl Lower<'_> {
    pub fn target(&self) -> Operand {
        self.thread.field(offset_of!(Context, target))
    }

    /// Go on at `target`: a branch that will be linked.
    pub fn jump_to(&mut self, target: GuestPc) {
        self.restore_rcx(target);
        let (id, stub) = self.thread.exit(self.arena, ExitKind::Jump, target);
        self.record(0, target);
        let field = self.code.jmp(stub);
        self.thread.exits[id as usize].field = field;
    }

    /// `jcc`, `loop` and their like: to a stub, or later to the fragment itself.
    pub fn conditional(&mut self, step: &Step) {
        let instruction = &step.instruction;
        let (pc, next) = (GuestPc(instruction.ip()), GuestPc(instruction.next_ip()));
        let target = GuestPc(instruction.near_branch_target());
        self.restore_rcx(pc);
        let (id, stub) = self.thread.exit(self.arena, ExitKind::Jump, target);
        self.record(0, pc);
        if instruction.is_jcc_short_or_near() {
            let condition = instruction.condition_code() as u8 - 1;
            let field = self.code.branch(&[0x0f, 0x80 | condition], stub);
            self.thread.exits[id as usize].field = field;
            return;
        }
        let (bytes, length) = self.bytes_of(step); // loop and jrcxz: [prefixes] opcode rel8
        self.rcx = Rcx::Live; // loop counts it down
        self.code.bytes(&bytes[..length - 1]);
        self.code.byte(2);
        self.record(0, next);
        self.code.bytes(&[JMP_SHORT, 5]);
        self.record(0, target);
        let field = self.code.jmp(stub);
        self.thread.exits[id as usize].field = field;
    }

    /// rcx saved, the branch's target in `Context::target`, its low 16 bits in rcx.
    pub fn load_target(&mut self, instruction: &Instruction, pc: GuestPc) {
        let target = self.target();
        let named = [instruction.op0_register(), instruction.memory_base(), instruction.memory_index()];
        if named.iter().any(|register| register.full_register() == Register::RCX) {
            self.restore_rcx(pc);
        }
        self.save_rcx(pc);
        self.record(0, pc);
        if instruction.op0_kind() == OpKind::Register {
            let register = usize::from(number(instruction.op0_register()).unwrap_or(0));
            self.code.mov_mem_reg(&target, register);
            self.code.movzx_ecx(register);
            self.use_rcx(pc);
            return;
        }
        if instruction.is_ip_rel_memory_operand() {
            self.use_rcx(pc);
            self.load_from(RCX, instruction.ip_rel_memory_address());
        } else {
            let operand = operand_of(instruction);
            self.code.mov_reg_mem(RCX, &operand);
        }
        self.use_rcx(pc);
        self.code.mov_mem_reg(&target, RCX);
        self.code.movzx_ecx(RCX);
    }

    /// The same, and where tags are followed see whether the target has one. False: the engine makes the branch.
    pub fn aim(&mut self, instruction: &Instruction, pc: GuestPc) -> bool {
        self.load_target(instruction, pc);
        self.work != Work::Follow || track::before_branch(self, instruction, pc)
    }

    // `mov register, [address]`, by rip where it reaches.
    fn load_from(&mut self, register: usize, address: u64) {
        if let Some(displacement) = self.code.here().offset(7).rel32(HostPc(address)) {
            self.code.bytes(&[0x48, 0x8b, ((register as u8) << 3) | 5]);
            self.code.int32(displacement);
        } else {
            self.code.mov_reg_const(register, address);
            self.code.mov_reg_mem(register, &Operand::at(register, 0));
        }
    }

    /// `Context::target` holds the target, rcx its low 16 bits, the application's rcx is saved: look it up and go there.
    pub fn through_jumps(&mut self, kind: u32, pc: GuestPc) {
        let through = if self.work == Work::Follow { Through::Followed } else { Through::Jumps };
        let table = self.thread.table(through.table());
        let miss = self.thread.arenas[self.arena].jump_miss;
        self.record(kind, pc);
        self.code.mov_reg_mem(RCX, &table);
        let none = self.code.short(JRCXZ);
        self.code.bytes(JMP_RCX);
        self.code.land(none);
        self.code.bytes(LEA_RCX_HERE);
        self.code.jmp(miss);
    }

    /// Call `target`, or what `Context::target` says. What is called returns to a landing right behind, unless there is one elsewhere;
    /// answer whether there is none.
    pub fn call(&mut self, target: Option<GuestPc>, pc: GuestPc, next: GuestPc) -> bool {
        self.record(0, pc);
        if let Ok(low) = i32::try_from(next.0) {
            self.code.byte(PUSH_IMM32);
            self.code.int32(low);
        } else if let Some(constant) = self.thread.constant(next.0) {
            self.code.push_mem(&Operand::absolute(constant as u32));
        } else {
            self.code.overflow = true;
        }
        match target {
            Some(target) => self.jump_to(target),
            None => self.through_jumps(kind::TARGET, pc),
        }
        // No landing in watched code: what follows may have changed by the time of the return.
        if self.watched || self.work == Work::Follow || self.thread.landing(next).is_some() {
            return false;
        }
        let landing = self.code.here();
        let same = self.landing(Through::Returns, next);
        self.code.land(same);
        self.record(0, next);
        self.landed.push((next, landing));
        true
    }

    /// A return: by the table of landings, for the processor an indirect jump like any other.
    pub fn ret(&mut self, instruction: &Instruction, pc: GuestPc) {
        let stack = Operand::at(RSP, 0);
        self.use_rcx(pc);
        if instruction.code() != Op::Retnq || self.work == Work::Follow {
            self.code.mov_reg_mem(RCX, &stack);
            self.code.mov_mem_reg(&self.target(), RCX);
            if self.work == Work::Follow {
                track::before_return(self, pc);
                self.code.movzx_ecx_mem(&self.target());
            } else {
                self.code.movzx_ecx(RCX);
            }
            self.code.move_stack(8 + i32::from(instruction.immediate16()));
            self.through_jumps(kind::TARGET, pc);
            return;
        }
        let table = self.thread.table(abi::SLOT_RETURNS);
        let miss = self.thread.arenas[self.arena].return_miss;
        self.code.movzx_ecx_mem(&stack);
        self.code.mov_reg_mem(RCX, &table);
        let none = self.code.short(JRCXZ);
        self.code.move_stack(8);
        self.record(kind::RETURNED, pc);
        self.code.bytes(JMP_RCX);
        self.code.land(none);
        self.record(0, pc);
        self.code.bytes(LEA_RCX_HERE);
        self.code.jmp(miss);
    }

    /// The jump that the last two of `steps` are, if it is by a table that nobody writes.
    pub fn by_table(&mut self, steps: &[Step]) -> bool {
        if self.work != Work::Nothing || self.watched {
            return false;
        }
        let Some(number) = tables::of_jump(self.thread, self.arena, steps) else { return false };
        let pc = GuestPc(steps[steps.len() - 2].instruction.ip());
        self.restore_rcx(pc);
        self.record(0, pc);
        let table = &self.thread.tables[usize::from(number)];
        let twin = Operand { index: Some(table.register), scale: 8, ..Operand::absolute(table.twin() as u32) };
        self.code.jmp_mem(&twin);
        true
    }

    /// Where such a jump lands: the register is the index still.
    pub fn pad(&mut self, table: u16, pc: GuestPc) {
        let table = &self.thread.tables[usize::from(table)];
        let (kind, at, register) = (recover::table_kind(table), table.at, usize::from(table.register));
        self.rcx = Rcx::Live;
        self.record(kind, GuestPc(at));
        self.code.mov_reg_const(register, pc.0);
        self.record(0, pc);
    }

    /// Write the check that `pc` is meant: by `Context::target`, or by the word that a return has left below the stack pointer; answer the short branch that goes on if it is, rcx being in the Context. Nobody knows
    /// whether flags live where control is to go if it is not, so none is touched. Below 2 GiB the difference is all there is to it. Elsewhere the low 16 bits are equal, the table saw to that,
    /// and the others are less than 2 to the 31 in user space.
    pub fn landing(&mut self, through: Through, pc: GuestPc) -> HostPc {
        let (kind, target) = match through {
            Through::Returns => (kind::LANDED | kind::RETURNED, Operand::at(RSP, -8)),
            Through::Jumps | Through::Followed | Through::Table { .. } => (kind::LANDED | kind::TARGET, self.target()),
        };
        let arena = &self.thread.arenas[self.arena];
        let gate = if through == Through::Returns { arena.return_elsewhere } else { arena.jump_elsewhere };
        // Addresses with the same low bits take turns: who is not meant asks whoever stood in the table before.
        let elsewhere = match sys::table_entry(self.thread.slot, through.table(), pc.0) {
            0 => gate,
            before => HostPc(before),
        };
        self.rcx = Rcx::Saved;
        self.record(kind, pc);
        let difference = Operand::at(RCX, -((pc.0 >> 16) as i32));
        if let Ok(low) = i32::try_from(pc.0) {
            self.code.mov_reg_mem(RCX, &target);
            self.code.lea(RCX, &Operand::at(RCX, -low));
        } else if self.thread.has_bmi2 {
            self.code.mov_reg_const(RCX, 16);
            self.code.shrx_rcx_mem_rcx(&target);
            self.code.lea(RCX, &difference);
        } else {
            // Bits 48 to 63, then 16 to 47.
            self.code.movzx_ecx_mem(&target.plus(6));
            let canonical = self.code.short(JRCXZ);
            self.jump_anywhere(elsewhere);
            self.code.land(canonical);
            self.code.op_reg_mem(false, &[0x8b], RCX as u8, &target.plus(2));
            self.code.op_reg_mem(false, &[0x8d], RCX as u8, &difference);
        }
        let same = self.code.short(JRCXZ);
        self.jump_anywhere(elsewhere);
        same
    }

    // To code of this thread's in whichever arena.
    fn jump_anywhere(&mut self, host: HostPc) {
        if self.code.here().offset(5).rel32(host).is_some() {
            self.code.jmp(host);
        } else if let Some(cell) = self.thread.constant(host.0) {
            self.code.jmp_mem(&Operand::absolute(cell as u32));
        } else {
            self.code.overflow = true;
        }
    }

    /// rcx and r11 are the kernel's to destroy: our scratch. rax decides whether the engine is asked.
    pub fn system_call(&mut self, pc: GuestPc, next: GuestPc) {
        let (_, wanted) = self.thread.exit(self.arena, ExitKind::Call, pc);
        let (_, fault) = self.thread.exit(self.arena, ExitKind::Fault, next);
        self.rcx = Rcx::Live; // the kernel destroys it
        self.record(0, pc);
        self.code.movzx_ecx(abi::RAX);
        let table = Operand { base: Some(RCX as u8), ..Operand::absolute(calls::wanted_table() as u32) };
        self.code.op_reg_mem(false, &[0x0f, 0xb6], RCX as u8, &table);
        let ours = self.code.short(JRCXZ);
        self.code.jmp(wanted);
        self.code.land(ours);
        let issued = self.thread.field(offset_of!(Context, issued));
        self.code.mov_mem_reg(&issued, abi::RAX);
        self.code.bytes(&[0x0f, 0x05]);
        self.record(kind::CALLED, next);
        self.code.lea(RCX, &Operand::at(abi::RAX, 14)); // -EFAULT: perhaps a page that the engine has protected
        let bad = self.code.short(JRCXZ);
        self.code.mov_reg_const(RCX, next.0);
        let good = self.code.short(JMP_SHORT);
        self.code.land(bad);
        self.code.jmp(fault);
        self.code.land(good);
    }

    /// A transaction may abort at any time, so it does at once: eax = 0, on to the fallback.
    pub fn transaction(&mut self, step: &Step) -> bool {
        if step.instruction.mnemonic() != Mnemonic::Xbegin {
            self.plain(step); // outside of a transaction xabort does nothing and xend faults
            return true;
        }
        self.restore_rcx(GuestPc(step.instruction.ip()));
        self.record(0, GuestPc(step.instruction.ip()));
        self.code.mov_reg_const(abi::RAX, 0);
        self.jump_to(GuestPc(step.instruction.near_branch_target()));
        false
    }
}

pub fn is_near_return(code: Op) -> bool {
    matches!(code, Op::Retnq | Op::Retnq_imm16)
}
