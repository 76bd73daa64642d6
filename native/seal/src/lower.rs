//! How each instruction is written into a fragment: "Target → Patch", one function a rule.
//!
//! | the application's | becomes |
//! |---|---|
//! | anything else | the same bytes |
//! | `op [rip+d]` | the same with another d; out of reach: scratch register saved, loaded with the address, `op [scratch]`, restored |
//! | `jcc L` | `jcc stub(L)`, later `jcc L'` |
//! | `loop L`, `jrcxz L` | the same over two jumps |
//! | `jmp L` | nothing where the fragment goes on at L, or `jmp stub(L)`, later `jmp L'` |
//! | `call L` | `push [return address]; jmp stub(L)`, and behind it the landing that the return comes to |
//! | `call r/m` | save rcx, target in rcx and in `target`, its low 16 bits in rcx; `push [return address]`; jump through the table; landing |
//! | `jmp r/m` | save rcx, target in rcx and in `target`, then `movzx ecx,cx; mov rcx,[jumps+rcx*8]; jrcxz miss; jmp rcx` |
//! | `call [rip+d]`, `jmp [rip+d]` | where nobody writes the address: as if it stood in the instruction |
//! | `mov r,[r*8+T]; jmp r` | `jmp [r*8+twin]`, where nobody writes the table (`tables`) |
//! | `ret` | save rcx; `movzx ecx,word [rsp]; mov rcx,[returns+rcx*8]; jrcxz miss; lea rsp,[rsp+8]; jmp rcx` |
//! | `ret n` | as `jmp [rsp]` with rsp moved |
//! | `syscall` | `movzx ecx,ax; movzx ecx,byte [wanted+rcx]; jrcxz 1f;` to the engine`; 1: syscall; lea rcx,[rax+14]; jrcxz` EFAULT`; mov rcx,next` |
//! | `fnstenv`, `fxsave`, `xsave` and their like | to the engine and back, then the same bytes: the x87 unit's pointer to its last instruction is the application's again |
//! | far transfers | to the engine |
//!
//! Owns everything that stays in its place; what goes elsewhere is `transfer`'s.

use alloc::vec::Vec;
use core::mem::offset_of;

use iced_x86::{EncodingKind, FlowControl, Instruction, Mnemonic, OpAccess, Register};

use crate::abi::{Context, RAX, RCX};
use crate::cache::{ExitKind, Fragment, Full, Thread, kind};
use crate::emit::{Code, GuestPc, HostPc, Operand};
use crate::transfer::{Through, is_near_return};
use crate::translate::{Step, Wish, Work, is_far, number};
use crate::{heap, pages, shadow, sinks, track};

/// Where the application's rcx is. Translated code uses rcx as its scratch register, and restores it when the application needs it:
/// most returns, landings and tests follow one another without that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rcx {
    Live,  // in rcx alone
    Both,  // in rcx and in the Context
    Saved, // in the Context alone
}

/// Where one fragment is being written.
pub struct Lower<'a> {
    pub thread: &'a mut Thread,
    pub arena: usize,
    pub code: Code,
    pub work: Work,
    pub watched: bool,
    pub rcx: Rcx,
    pub flags_kept: bool,               // the application's flags are in the Context alone
    pub slip: Option<u64>,              // host less application address of the verbatim run that is open
    pub landed: Vec<(GuestPc, HostPc)>, // where each call returns to, and its landing
}

/// Write the fragment that `thread.scratch` describes; `next` is where it goes on if its end falls through.
pub fn fragment(thread: &mut Thread, wish: Wish, next: GuestPc) -> Result<u32, Full> {
    let arena = thread.arena_for(wish.pc)?;
    let begin = HostPc((thread.arenas[arena].hot.0 + 15) & !15);
    let limit = thread.arenas[arena].cold;
    let steps = core::mem::take(&mut thread.scratch.steps);
    let mut lower = Lower {
        code: Code::new(begin, limit),
        watched: thread.scratch.watched,
        thread,
        arena,
        work: wish.work,
        rcx: Rcx::Live,
        flags_kept: false,
        slip: None,
        landed: Vec::new(),
    };
    let through = wish.through.filter(|_| !lower.watched);
    // Through the landing rcx comes saved; by a link it comes live, and is saved, so that both go on alike.
    let same = match through {
        Some(Through::Table { table, .. }) => {
            lower.pad(table, wish.pc);
            None
        }
        Some(through) => Some(lower.landing(through, wish.pc)),
        None => None,
    };
    let host = lower.code.here();
    if let Some(same) = same {
        lower.rcx = Rcx::Live; // by a link
        lower.save_rcx(wish.pc);
        lower.code.land(same);
        lower.rcx = Rcx::Saved;
    }
    if wish.work != Work::Nothing && shadow::is_followed() && sinks::takes_format(wish.pc.0) {
        lower.by_way_of_engine(ExitKind::Format, wish.pc);
    }
    let (mut low, mut high) = (wish.pc.0, wish.pc.0);
    let mut open = true;
    for (at, step) in steps.iter().enumerate() {
        open = open && if at + 2 == steps.len() && lower.by_table(&steps) { false } else { lower.step(step) };
        low = low.min(step.instruction.ip());
        high = high.max(step.instruction.next_ip());
    }
    if open {
        lower.jump_to(next);
    }
    let landed = core::mem::take(&mut lower.landed);
    let end = lower.code.here();
    let overflow = lower.code.overflow || lower.thread.is_short;
    let count = steps.len() as u64;
    thread.scratch.steps = steps;
    let copied = if thread.scratch.watched { thread.scratch.bytes.len() } else { 0 };
    if overflow || !heap::has_room(copied as u64) || !heap::grow(&mut thread.fragments) {
        return Err(Full::Flush);
    }
    thread.arenas[arena].hot = end;
    let copy = thread.scratch.watched.then(|| thread.scratch.bytes.clone().into_boxed_slice());
    let id = thread.fragments.len() as u32;
    thread.fragments.push(Fragment {
        pc: wish.pc,
        low: GuestPc(low),
        high: GuestPc(high),
        host,
        end,
        incoming: u32::MAX,
        relied: thread.scratch.relied.clone(),
        dead: false,
        copy,
    });
    for (pc, host) in landed {
        thread.note_landing(Through::Returns, pc, host, id);
    }
    if let Some(through) = through {
        thread.note_landing(through, wish.pc, begin, id);
    }
    if !wish.once {
        let index = if wish.alone { &mut thread.untested } else { thread.index_of(wish.work) };
        if !index.set(wish.pc, id) {
            return Err(Full::Flush);
        }
        pages::translated(low, high);
    }
    let context = thread.context();
    context.fragments += 1;
    context.instructions += count;
    context.cache_bytes += end.0 - begin.0;
    Ok(id)
}

impl Lower<'_> {
    /// Say what holds from here on.
    pub fn record(&mut self, kind: u32, pc: GuestPc) {
        self.slip = None;
        let kind = if self.rcx == Rcx::Saved { kind | kind::RCX } else { kind };
        let kind = if self.flags_kept { kind | kind::FLAGS } else { kind };
        let here = self.code.here();
        let has_room = self.thread.arenas[self.arena].record(here, kind, pc);
        self.code.overflow |= !has_room;
    }

    pub fn saved(&self, register: usize) -> Operand {
        self.thread.field(offset_of!(Context, regs) + 8 * register)
    }

    /// Let the application's rcx be in the Context, so that rcx may be used.
    pub fn save_rcx(&mut self, pc: GuestPc) {
        if self.rcx == Rcx::Live {
            let saved = self.saved(RCX);
            self.record(0, pc);
            self.code.mov_mem_reg(&saved, RCX);
            self.rcx = Rcx::Both;
        }
    }

    /// Rcx is about to be overwritten with something of ours; it has been saved.
    pub fn use_rcx(&mut self, pc: GuestPc) {
        self.save_rcx(pc);
        self.rcx = Rcx::Saved;
        self.record(0, pc);
    }

    /// Let the application's rcx be in rcx.
    pub fn restore_rcx(&mut self, pc: GuestPc) {
        if self.rcx == Rcx::Saved {
            let saved = self.saved(RCX);
            self.record(0, pc);
            self.code.mov_reg_mem(RCX, &saved);
            self.rcx = Rcx::Both;
            self.record(0, pc);
        }
    }

    /// Let `work` write code that changes flags, where some live: they are kept meanwhile. It may not lead to the engine.
    pub fn with_flags_of_its_own(&mut self, live: bool, pc: GuestPc, work: impl FnOnce(&mut Self)) {
        const LAHF: u8 = 0x9f;
        const SAHF: u8 = 0x9e;
        const SETO_AL: [u8; 3] = [0x0f, 0x90, 0xc0];
        const ADD_AL_127: [u8; 2] = [0x04, 0x7f]; // overflows if al is 1
        if !live {
            return work(self);
        }
        let (spare, kept) = (self.thread.field(offset_of!(Context, spare)), self.thread.field(offset_of!(Context, kept_flags)));
        let saved = kind::SCRATCH | (RAX as u32) << kind::SCRATCH_SHIFT;
        self.record(0, pc);
        self.code.mov_mem_reg(&spare, RAX);
        self.record(saved, pc);
        self.code.byte(LAHF);
        self.code.bytes(&SETO_AL);
        self.code.mov_mem_reg(&kept, RAX);
        self.code.mov_reg_mem(RAX, &spare);
        self.flags_kept = true;
        self.record(0, pc);
        work(self);
        self.record(0, pc);
        self.code.mov_mem_reg(&spare, RAX);
        self.record(saved, pc);
        self.code.mov_reg_mem(RAX, &kept);
        self.code.bytes(&ADD_AL_127);
        self.code.byte(SAHF);
        self.flags_kept = false;
        self.record(saved, pc);
        self.code.mov_reg_mem(RAX, &spare);
        self.record(0, pc);
    }

    /// Where to enter a stub: its first instruction saves rcx.
    pub fn stub_as_rcx_is(&self, stub: HostPc) -> HostPc {
        const SAVING_BYTES: u64 = 8;
        if self.rcx == Rcx::Saved { stub.offset(SAVING_BYTES) } else { stub }
    }

    // Restore rcx if `step` reads it, in whole or in part; say whether it writes it.
    fn lend_rcx(&mut self, step: &Step) -> bool {
        let (mut reads, mut writes) = (false, false);
        for used in self.thread.scratch.info.info(&step.instruction).used_registers() {
            if used.register().full_register() == Register::RCX {
                let whole = matches!(used.register(), Register::RCX | Register::ECX)
                    && used.access() == OpAccess::Write
                    && !may_leave_destination(step.instruction.mnemonic());
                reads |= !whole;
                writes |= used.access() != OpAccess::Read && used.access() != OpAccess::CondRead;
            }
        }
        if reads {
            self.restore_rcx(GuestPc(step.instruction.ip()));
        }
        writes
    }

    // Write one step; answer whether the line goes on behind it.
    fn step(&mut self, step: &Step) -> bool {
        let instruction = &step.instruction;
        let pc = GuestPc(instruction.ip());
        let next = GuestPc(instruction.next_ip());
        if is_far(instruction.code()) || (self.work != Work::Nothing && shadow::needs_engine(instruction)) {
            self.leave(ExitKind::Special, pc);
            return false;
        }
        if shadow::is_there() && instruction.mnemonic() == Mnemonic::Wrfsbase && !self.thread.fs_changes {
            self.lend_and_copy(step);
            self.leave(ExitKind::Segment, next);
            return false;
        }
        match self.work {
            Work::Nothing => {}
            Work::Test => shadow::before(self, step),
            Work::Follow => track::before(self, step),
        }
        if let Some(kind) = stores_fpu_pointer(instruction.mnemonic()) {
            self.by_way_of_engine(kind, pc); // to put an application address where the unit remembers its last instruction
        }
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Exception | FlowControl::Interrupt => self.lend_and_copy(step),
            FlowControl::ConditionalBranch => {
                if self.work == Work::Follow {
                    track::before_jump(self, pc, GuestPc(instruction.near_branch_target()));
                }
                self.conditional(step);
            }
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch if step.target != 0 => {
                if !step.followed {
                    if self.work == Work::Follow {
                        track::before_jump(self, pc, GuestPc(step.target));
                    }
                    self.jump_to(GuestPc(step.target));
                }
                return step.followed;
            }
            FlowControl::UnconditionalBranch => self.plain(step), // virtual machine entries of other kinds: a fault here as natively
            FlowControl::IndirectBranch => {
                if self.aim(instruction, pc) {
                    self.through_jumps(0, pc);
                }
                return false;
            }
            FlowControl::Call if instruction.mnemonic() == Mnemonic::Syscall => self.system_call(pc, next),
            FlowControl::Call | FlowControl::IndirectCall if step.target != 0 => {
                self.restore_rcx(pc);
                return self.call(Some(GuestPc(step.target)), pc, next);
            }
            FlowControl::Call => self.plain(step), // virtual machine calls, which fault here as they do natively
            FlowControl::IndirectCall => {
                return self.aim(instruction, pc) && self.call(None, pc, next);
            }
            FlowControl::Return if !is_near_return(instruction.code()) => self.plain(step), // of other modes: a fault here as natively
            FlowControl::Return => {
                self.ret(instruction, pc);
                return false;
            }
            FlowControl::XbeginXabortXend => return self.transaction(step),
        }
        true
    }

    // The same bytes, with rcx in its place if they name it.
    fn lend_and_copy(&mut self, step: &Step) {
        let writes = self.rcx != Rcx::Live && self.lend_rcx(step);
        self.plain(step);
        if writes {
            self.rcx = Rcx::Live;
            self.slip = None;
        }
    }

    /// Leave for the engine at `pc`.
    pub fn leave(&mut self, kind: ExitKind, pc: GuestPc) {
        self.restore_rcx(pc);
        let (_, stub) = self.thread.exit(self.arena, kind, pc);
        self.record(0, pc);
        self.code.jmp(stub);
    }

    /// Let the engine do something before the instruction at `pc`, and go on.
    pub fn by_way_of_engine(&mut self, kind: ExitKind, pc: GuestPc) {
        self.restore_rcx(pc);
        let (id, stub) = self.thread.exit(self.arena, kind, pc);
        self.record(0, pc);
        self.code.jmp(stub);
        self.thread.exits[id as usize].field = self.code.here();
        self.record(0, pc);
    }

    pub fn bytes_of(&self, step: &Step) -> ([u8; 15], usize) {
        let mut bytes = [0; 15];
        let length = step.instruction.len();
        bytes[..length].copy_from_slice(&self.thread.scratch.bytes[step.bytes_at as usize..][..length]);
        if step.instruction.segment_prefix() == Register::GS && shadow::is_there() {
            // The application's gs adds nothing; ours would. Another prefix in its place, which does nothing.
            bytes.iter_mut().take_while(|byte| is_prefix(**byte)).filter(|byte| **byte == 0x65).for_each(|byte| *byte = 0x3e);
        }
        (bytes, length)
    }

    /// The same bytes, with a rip-relative displacement corrected.
    pub fn plain(&mut self, step: &Step) {
        let (mut bytes, length) = self.bytes_of(step);
        let pc = GuestPc(step.instruction.ip());
        if step.instruction.is_ip_rel_memory_operand() {
            let address = step.instruction.ip_rel_memory_address();
            let Some(displacement) = self.code.here().offset(length as u64).rel32(HostPc(address)) else {
                self.far_operand(step, bytes, address);
                return;
            };
            let at = usize::from(step.displacement_at);
            bytes[at..at + 4].copy_from_slice(&displacement.to_le_bytes());
        }
        let slip = self.code.here().0.wrapping_sub(pc.0);
        if self.slip != Some(slip) {
            self.record(kind::VERBATIM, pc);
            self.slip = Some(slip);
        }
        self.code.bytes(&bytes[..length]);
    }

    // `op [rip+d]` where no displacement reaches: through a register that the instruction does not use.
    fn far_operand(&mut self, step: &Step, mut bytes: [u8; 15], address: u64) {
        let instruction = &step.instruction;
        let (pc, next) = (GuestPc(instruction.ip()), GuestPc(instruction.next_ip()));
        let (mut used, mut written) = (0u16, 0u16);
        for register in self.thread.scratch.info.info(instruction).used_registers() {
            let bit = number(register.register()).map_or(0, |n| 1 << n);
            used |= bit;
            written |= if matches!(register.access(), OpAccess::Read | OpAccess::CondRead) { 0 } else { bit };
        }
        // Where rcx is saved, the record says that it is in the Context: leave it out.
        used |= u16::from(self.rcx == Rcx::Saved) << RCX;
        let scratch = [0usize, 1, 2, 6, 7, 3].into_iter().find(|r| used & (1 << r) == 0).unwrap_or(3);
        let spare = self.thread.field(offset_of!(Context, spare));
        let saved = kind::SCRATCH | (scratch as u32) << kind::SCRATCH_SHIFT;
        self.record(0, pc);
        self.code.mov_mem_reg(&spare, scratch);
        self.record(saved, pc);
        self.code.mov_reg_const(scratch, address);
        let at = usize::from(step.displacement_at);
        bytes[at - 1] = 0x80 | (bytes[at - 1] & 0x38) | scratch as u8; // mod 10: [scratch + disp32]
        bytes[at..at + 4].fill(0);
        clear_base_extension(instruction, &mut bytes, at);
        self.code.bytes(&bytes[..instruction.len()]);
        if written & 1 << RCX != 0 {
            self.rcx = Rcx::Live;
        }
        self.record(saved, next);
        self.code.mov_reg_mem(scratch, &spare);
        self.record(0, next);
    }
}

// The classic way of position-independent code to learn where it is: the address of the last x87 instruction.
fn stores_fpu_pointer(mnemonic: Mnemonic) -> Option<ExitKind> {
    match mnemonic {
        Mnemonic::Fnstenv | Mnemonic::Fnsave | Mnemonic::Fxsave | Mnemonic::Xsave | Mnemonic::Xsavec | Mnemonic::Xsaveopt => {
            Some(ExitKind::Fpu)
        }
        Mnemonic::Fxsave64 | Mnemonic::Xsave64 | Mnemonic::Xsavec64 | Mnemonic::Xsaveopt64 => Some(ExitKind::FpuWide),
        _ => None,
    }
}

// Said to write their destination, and perhaps they do not: no shadow stack, nothing found, done by the kernel where it is forbidden.
fn may_leave_destination(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Rdsspd | Mnemonic::Rdsspq | Mnemonic::Bsf | Mnemonic::Bsr | Mnemonic::Sldt | Mnemonic::Str | Mnemonic::Smsw
    )
}

fn is_prefix(byte: u8) -> bool {
    matches!(byte, 0x66 | 0xf0 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0x67)
}

// A rip-relative operand ignores the prefix bit that extends a base register; with a base it would count.
fn clear_base_extension(instruction: &Instruction, bytes: &mut [u8; 15], displacement_at: usize) {
    match instruction.encoding() {
        EncodingKind::Legacy => {
            // The REX prefix, if there is one, stands right before the opcode.
            let mut at = 0;
            while at < displacement_at && is_prefix(bytes[at]) {
                at += 1;
            }
            if bytes[at] & 0xf0 == 0x40 {
                bytes[at] &= !1;
            }
        }
        EncodingKind::VEX => {
            if let Some(at) = bytes[..displacement_at].iter().position(|&b| b == 0xc4 || b == 0xc5)
                && bytes[at] == 0xc4
            {
                bytes[at + 1] |= 0x20;
            }
        }
        EncodingKind::EVEX => {
            if let Some(at) = bytes[..displacement_at].iter().position(|&b| b == 0x62) {
                bytes[at + 1] |= 0x20;
            }
        }
        _ => {}
    }
}

/// Return the memory operand of an instruction, which is not rip-relative and has no vector index.
pub fn operand_of(instruction: &Instruction) -> Operand {
    let (base, index) = (instruction.memory_base(), instruction.memory_index());
    let segment = match instruction.segment_prefix() {
        Register::FS => Some(0x64),
        Register::GS if !shadow::is_there() => Some(0x65),
        _ => None,
    };
    Operand {
        base: number(base),
        index: number(index),
        scale: instruction.memory_index_scale() as u8,
        displacement: instruction.memory_displacement64() as i32,
        address32: base.is_gpr32() || index.is_gpr32(),
        segment,
    }
}
