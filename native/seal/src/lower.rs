//! How each instruction is written into a fragment: "Target → Patch", one function a rule.
//!
//! | the application's | becomes |
//! |---|---|
//! | anything else | the same bytes |
//! | `op [rip+d]` | the same with another d; out of reach: scratch register saved, loaded with the address, `op [scratch]`, restored |
//! | `jcc L` | `jcc stub(L)`, later `jcc L'` |
//! | `loop L`, `jrcxz L` | the same over two jumps |
//! | `jmp L` | nothing where the fragment goes on at L, or `jmp stub(L)`, later `jmp L'` |
//! | `call L` | `call 1f`; landing; … `1: lea rsp,[rsp+8]; push [return address]; jmp stub(L)` |
//! | `call r/m` | `mov [saved],rcx; mov rcx,r/m; mov [target],rcx; call 1f`; landing; … `1: lea; push;` jump through the table |
//! | `jmp r/m` | save rcx, target in rcx and in `target`, then `movzx ecx,cx; mov rcx,[jumps+rcx*8]; jrcxz miss; jmp rcx` |
//! | `ret` | save rcx; `mov rcx,[rsp]; mov [target],rcx; movzx ecx,cx; mov rcx,[returns+rcx*8]; jrcxz miss; mov [rsp],rcx; ret` |
//! | `ret n` | as `jmp [rsp]` with rsp moved |
//! | `syscall` | `movzx ecx,ax; movzx ecx,byte [wanted+rcx]; jrcxz 1f;` to the engine`; 1: syscall; lea rcx,[rax+14]; jrcxz` EFAULT`; mov rcx,next` |
//! | `fnstenv`, `fxsave`, `xsave` and their like | to the engine and back, then the same bytes: the x87 unit's pointer to its last instruction is the application's again |
//! | far transfers | to the engine |
//!
//! A landing compares `target` with the address that it stands for: `mov ecx,16; shrx rcx,[target],rcx; lea rcx,[rcx-pc>>16]; jrcxz`.

use alloc::vec::Vec;
use core::mem::offset_of;

use iced_x86::{Code as Op, EncodingKind, FlowControl, Instruction, Mnemonic, OpAccess, OpKind, Register};

use crate::abi::{self, Context, RCX, RSP};
use crate::cache::{ExitKind, Fragment, Full, Thread, kind};
use crate::emit::{Code, GuestPc, HostPc, JMP_SHORT, JRCXZ, Operand};
use crate::translate::{Step, Wish, is_far, number};
use crate::{calls, pages, shadow, sys};

/// `lea rcx, [rip]`: tells the engine which branch has missed.
const LEA_RCX_HERE: &[u8] = &[0x48, 0x8d, 0x0d, 0, 0, 0, 0];

/// Where the application's rcx is. Translated code uses rcx as its scratch register, and restores it when the application needs it:
/// most returns, landings and tests follow one another without that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rcx {
    Live,  // in rcx alone
    Both,  // in rcx and in the Context
    Saved, // in the Context alone
}

/// Which of the two tables a landing is reached through.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Through {
    Returns,
    Jumps,
}

// What is written behind the fragment's straight line: where calls go.
struct Tail {
    field: HostPc, // of the `call rel32`
    pc: GuestPc,
    rcx: Rcx, // as at the call
    constant: u64,
    target: Option<GuestPc>, // None: in `Context::target`, through the table
}

/// Where one fragment is being written.
pub struct Lower<'a> {
    pub thread: &'a mut Thread,
    pub arena: usize,
    pub code: Code,
    pub shadow: bool,
    watched: bool,
    rcx: Rcx,
    pub low_in_rcx: bool, // rcx, saved, holds the low shadow's offset
    slip: Option<u64>,    // host less application address of the verbatim run that is open
    tails: Vec<Tail>,
    landed: Vec<(GuestPc, HostPc)>,  // where each call returns to, and its landing
    entered: Vec<(GuestPc, HostPc)>, // calls, which other fragments lead to rather than have them twice
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
        shadow: wish.shadow,
        rcx: Rcx::Live,
        low_in_rcx: false,
        slip: None,
        tails: Vec::new(),
        landed: Vec::new(),
        entered: Vec::new(),
    };
    let jumped = wish.jumped && !lower.watched;
    // Through the landing rcx comes saved; by a link it comes live, and is saved, so that both go on alike.
    let same = jumped.then(|| lower.landing(Through::Jumps, wish.pc));
    let host = lower.code.here();
    if let Some(same) = same {
        lower.rcx = Rcx::Live; // by a link
        lower.save_rcx(wish.pc);
        lower.code.land(same);
        lower.rcx = Rcx::Saved;
        lower.low_in_rcx = false;
    }
    let (mut low, mut high) = (wish.pc.0, wish.pc.0);
    let mut open = true;
    for step in &steps {
        open = lower.step(step);
        low = low.min(step.instruction.ip());
        high = high.max(step.instruction.next_ip());
    }
    if open {
        lower.jump_to(next);
    }
    lower.tails();
    let (landed, entered) = (core::mem::take(&mut lower.landed), core::mem::take(&mut lower.entered));
    let end = lower.code.here();
    let overflow = lower.code.overflow;
    let count = steps.len() as u64;
    thread.scratch.steps = steps;
    if overflow {
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
        dead: false,
        copy,
    });
    for (pc, host) in landed {
        thread.note_landing(pc, host, id);
    }
    if !wish.once {
        thread.index.set(wish.pc, id);
        // Had a call two translations, the processor would predict a return to one and the table would lead to the other.
        for (pc, host) in entered.into_iter().filter(|entry| entry.0 != wish.pc) {
            thread.index.set(pc, thread.fragments.len() as u32);
            let (low, high) = (GuestPc(low), GuestPc(high));
            thread.fragments.push(Fragment { pc, low, high, host, end, incoming: u32::MAX, dead: false, copy: None });
        }
    }
    if jumped {
        sys::set_table_entry(thread.slot, abi::SLOT_JUMPS, wish.pc.0, begin.0);
    }
    if !wish.once {
        pages::translated(low, high);
    }
    let context = thread.context();
    context.fragments += 1;
    context.instructions += count;
    context.cache_bytes += end.0 - begin.0;
    Ok(id)
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
        shadow: false,
        watched: false,
        rcx: Rcx::Saved,
        low_in_rcx: false,
        slip: None,
        tails: Vec::new(),
        landed: Vec::new(),
        entered: Vec::new(),
    };
    let same = lower.landing(through, pc);
    lower.code.land(same);
    lower.restore_rcx(pc);
    lower.record(0, pc);
    lower.jump_anywhere(host);
    if lower.code.overflow {
        return Err(Full::Flush);
    }
    let end = lower.code.here();
    thread.arenas[arena].hot = end;
    let table = if through == Through::Returns { abi::SLOT_RETURNS } else { abi::SLOT_JUMPS };
    sys::set_table_entry(thread.slot, table, pc.0, begin.0);
    Ok(begin)
}

impl Lower<'_> {
    /// Say what holds from here on.
    pub fn record(&mut self, kind: u32, pc: GuestPc) {
        self.slip = None;
        let kind = if self.rcx == Rcx::Saved { kind | kind::RCX } else { kind };
        let here = self.code.here();
        self.thread.arenas[self.arena].record(here, kind, pc);
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
        self.low_in_rcx = false;
        self.record(0, pc);
    }

    /// Let the application's rcx be in rcx.
    pub fn restore_rcx(&mut self, pc: GuestPc) {
        if self.rcx == Rcx::Saved {
            let saved = self.saved(RCX);
            self.record(0, pc);
            self.code.mov_reg_mem(RCX, &saved);
            self.rcx = Rcx::Both;
            self.low_in_rcx = false;
            self.record(0, pc);
        }
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

    fn target(&self) -> Operand {
        self.thread.field(offset_of!(Context, target))
    }

    // Write one step; answer whether the line goes on behind it.
    fn step(&mut self, step: &Step) -> bool {
        let instruction = &step.instruction;
        let pc = GuestPc(instruction.ip());
        let next = GuestPc(instruction.next_ip());
        if is_far(instruction.code()) || (self.shadow && shadow::needs_engine(instruction)) {
            self.special(pc);
            return false;
        }
        if is_near_call(instruction) {
            self.enter_at(pc);
        }
        if self.shadow {
            shadow::before(self, step);
        }
        if let Some(kind) = stores_fpu_pointer(instruction.mnemonic()) {
            self.mend_fpu(kind, pc);
        }
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Exception | FlowControl::Interrupt => self.lend_and_copy(step),
            FlowControl::ConditionalBranch => self.conditional(step),
            FlowControl::UnconditionalBranch => {
                let target = GuestPc(instruction.near_branch_target());
                if !step.followed {
                    self.jump_to(target);
                }
                return step.followed;
            }
            FlowControl::IndirectBranch => {
                self.load_target(instruction, pc);
                self.through_jumps(0, pc);
                return false;
            }
            FlowControl::Call if instruction.mnemonic() == Mnemonic::Syscall => self.system_call(pc, next),
            FlowControl::Call if instruction.code() == Op::Call_rel32_64 => {
                self.restore_rcx(pc);
                self.call(Some(GuestPc(instruction.near_branch_target())), pc, next);
            }
            FlowControl::Call => self.plain(step), // virtual machine calls, which fault here as they do natively
            FlowControl::IndirectCall => {
                self.load_target(instruction, pc);
                self.call(None, pc, next);
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

    // Others may lead here by a link, with rcx live.
    fn enter_at(&mut self, pc: GuestPc) {
        self.restore_rcx(pc);
        self.rcx = Rcx::Live;
        if !self.watched {
            self.slip = None;
            self.entered.push((pc, self.code.here()));
        }
    }

    // The same bytes, with rcx in its place if they name it.
    fn lend_and_copy(&mut self, step: &Step) {
        let writes = self.rcx != Rcx::Live && self.lend_rcx(step);
        self.plain(step);
        if writes {
            self.rcx = Rcx::Live;
            self.low_in_rcx = false;
            self.slip = None;
        }
    }

    /// Leave for the engine, which does the instruction at `pc`.
    pub fn special(&mut self, pc: GuestPc) {
        self.restore_rcx(pc);
        let (id, stub) = self.thread.exit(self.arena, ExitKind::Special, pc);
        self.record(0, pc);
        let _ = id;
        self.code.jmp(stub);
    }

    // Let the engine put an application address where the x87 unit remembers its last instruction.
    fn mend_fpu(&mut self, kind: ExitKind, pc: GuestPc) {
        self.restore_rcx(pc);
        let (id, stub) = self.thread.exit(self.arena, kind, pc);
        self.record(0, pc);
        self.code.jmp(stub);
        self.thread.exits[id as usize].field = self.code.here();
        self.record(0, pc);
    }

    // Go on at `target`: a branch that will be linked.
    fn jump_to(&mut self, target: GuestPc) {
        self.restore_rcx(target);
        let (id, stub) = self.thread.exit(self.arena, ExitKind::Jump, target);
        self.record(0, target);
        let field = self.code.jmp(stub);
        self.thread.exits[id as usize].field = field;
    }

    fn bytes_of(&self, step: &Step) -> ([u8; 15], usize) {
        let mut bytes = [0; 15];
        let length = step.instruction.len();
        bytes[..length].copy_from_slice(&self.thread.scratch.bytes[step.bytes_at as usize..][..length]);
        (bytes, length)
    }

    // The same bytes, with a rip-relative displacement corrected.
    fn plain(&mut self, step: &Step) {
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

    fn conditional(&mut self, step: &Step) {
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
        self.low_in_rcx = false;
        self.code.bytes(&bytes[..length - 1]);
        self.code.byte(2);
        self.record(0, next);
        self.code.bytes(&[JMP_SHORT, 5]);
        self.record(0, target);
        let field = self.code.jmp(stub);
        self.thread.exits[id as usize].field = field;
    }

    // rcx saved, the branch's target in `Context::target`, its low 16 bits in rcx.
    fn load_target(&mut self, instruction: &Instruction, pc: GuestPc) {
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

    // `Context::target` holds the target, rcx its low 16 bits, the application's rcx is saved: look it up and go there.
    fn through_jumps(&mut self, kind: u32, pc: GuestPc) {
        let table = self.thread.table(abi::SLOT_JUMPS);
        let miss = self.thread.arenas[self.arena].jump_miss;
        self.record(kind, pc);
        self.code.mov_reg_mem(RCX, &table);
        let none = self.code.short(JRCXZ);
        self.code.bytes(&[0xff, 0xe1]); // jmp rcx
        self.code.land(none);
        self.code.bytes(LEA_RCX_HERE);
        self.code.jmp(miss);
    }

    fn call(&mut self, target: Option<GuestPc>, pc: GuestPc, next: GuestPc) {
        self.record(0, pc);
        let Some(constant) = self.thread.constant(next.0) else {
            self.code.overflow = true;
            return;
        };
        if self.watched {
            // No landing in here: what follows may have changed by the time of the return.
            self.code.push_mem(&Operand::absolute(constant as u32));
            match target {
                Some(target) => self.jump_to(target),
                None => self.through_jumps(kind::TARGET, pc),
            }
            return;
        }
        let here = self.code.here();
        let field = self.code.branch(&[0xe8], here);
        self.tails.push(Tail { field, pc, rcx: self.rcx, constant, target });
        let landing = self.code.here();
        let same = self.landing(Through::Returns, next);
        self.code.land(same);
        self.record(0, next);
        self.landed.push((next, landing));
    }

    fn tails(&mut self) {
        for tail in core::mem::take(&mut self.tails) {
            let here = self.code.here();
            if self.code.overflow || !crate::emit::set_rel32(tail.field, here) {
                self.code.overflow = true;
                return;
            }
            self.rcx = tail.rcx;
            self.low_in_rcx = false;
            self.record(kind::PUSHED, tail.pc);
            self.code.move_stack(8);
            self.record(kind::BELOW, tail.pc);
            self.code.push_mem(&Operand::absolute(tail.constant as u32));
            match tail.target {
                Some(target) => self.jump_to(target),
                None => self.through_jumps(kind::TARGET, tail.pc),
            }
        }
    }

    fn ret(&mut self, instruction: &Instruction, pc: GuestPc) {
        let (target, stack) = (self.target(), Operand::at(RSP, 0));
        self.use_rcx(pc);
        self.code.mov_reg_mem(RCX, &stack);
        self.code.mov_mem_reg(&target, RCX);
        if instruction.code() != Op::Retnq {
            self.code.movzx_ecx(RCX);
            self.code.move_stack(8 + i32::from(instruction.immediate16()));
            self.through_jumps(kind::TARGET, pc);
            return;
        }
        let table = self.thread.table(abi::SLOT_RETURNS);
        let miss = self.thread.arenas[self.arena].return_miss;
        self.code.movzx_ecx(RCX);
        self.code.mov_reg_mem(RCX, &table);
        let none = self.code.short(JRCXZ);
        self.code.mov_mem_reg(&stack, RCX);
        self.record(kind::RETURN, pc);
        self.code.byte(0xc3);
        self.code.land(none);
        self.record(0, pc);
        self.code.bytes(LEA_RCX_HERE);
        self.code.jmp(miss);
    }

    /// Write the check that `Context::target` is `pc`; answer the short branch that goes on if it is, rcx being in the Context. Nobody knows
    /// whether flags live where control is to go if it is not, so none is touched. Below 2 GiB the difference is all there is to it. Elsewhere the low 16 bits are equal, the table saw to that,
    /// and the others are less than 2 to the 31 in user space.
    fn landing(&mut self, through: Through, pc: GuestPc) -> HostPc {
        let target = self.target();
        let arena = &self.thread.arenas[self.arena];
        let (table, gate) = match through {
            Through::Returns => (abi::SLOT_RETURNS, arena.return_elsewhere),
            Through::Jumps => (abi::SLOT_JUMPS, arena.jump_elsewhere),
        };
        // Addresses with the same low bits take turns: who is not meant asks whoever stood in the table before.
        let elsewhere = match sys::table_entry(self.thread.slot, table, pc.0) {
            0 => gate,
            before => HostPc(before),
        };
        self.rcx = Rcx::Saved;
        self.low_in_rcx = false;
        if through == Through::Returns {
            self.record(kind::TARGET | kind::BELOW, pc);
            self.code.mov_reg_mem(RCX, &target);
            self.code.mov_mem_reg(&Operand::at(RSP, -8), RCX); // no address of ours stays below the stack pointer
        }
        self.record(kind::TARGET, pc);
        let difference = Operand::at(RCX, -((pc.0 >> 16) as i32));
        if let Ok(low) = i32::try_from(pc.0) {
            if through == Through::Jumps {
                self.code.mov_reg_mem(RCX, &target);
            }
            self.code.lea(RCX, &Operand::at(RCX, -low));
        } else if self.thread.has_bmi2 {
            self.code.mov_reg_const(RCX, 16);
            self.code.shrx_rcx_mem_rcx(&target);
            self.code.lea(RCX, &difference);
        } else {
            // Bits 48 to 63, then 16 to 47.
            self.code.op_reg_mem(false, &[0x0f, 0xb7], RCX as u8, &target.plus(6));
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

    // rcx and r11 are the kernel's to destroy: our scratch. rax decides whether the engine is asked.
    fn system_call(&mut self, pc: GuestPc, next: GuestPc) {
        let (_, wanted) = self.thread.exit(self.arena, ExitKind::Call, pc);
        let (_, fault) = self.thread.exit(self.arena, ExitKind::Fault, next);
        self.rcx = Rcx::Live; // the kernel destroys it
        self.low_in_rcx = false;
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

    // A transaction may abort at any time, so it does at once: eax = 0, on to the fallback.
    fn transaction(&mut self, step: &Step) -> bool {
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

fn is_near_call(instruction: &Instruction) -> bool {
    instruction.code() == Op::Call_rel32_64 || instruction.flow_control() == FlowControl::IndirectCall
}

// Said to write their destination, and perhaps they do not: no shadow stack, nothing found, done by the kernel where it is forbidden.
fn may_leave_destination(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Rdsspd | Mnemonic::Rdsspq | Mnemonic::Bsf | Mnemonic::Bsr | Mnemonic::Sldt | Mnemonic::Str | Mnemonic::Smsw
    )
}

fn is_near_return(code: Op) -> bool {
    matches!(code, Op::Retnq | Op::Retnq_imm16)
}

// A rip-relative operand ignores the prefix bit that extends a base register; with a base it would count.
fn clear_base_extension(instruction: &Instruction, bytes: &mut [u8; 15], displacement_at: usize) {
    match instruction.encoding() {
        EncodingKind::Legacy => {
            // The REX prefix, if there is one, stands right before the opcode.
            let mut at = 0;
            while at < displacement_at
                && matches!(bytes[at], 0x66 | 0xf0 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0x67)
            {
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
        Register::GS => Some(0x65),
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
