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
//! | far transfers | to the engine |
//!
//! A landing compares `target` with the address that it stands for. Where flags live it does so with `not` and `lea`.

use core::mem::offset_of;

use iced_x86::{Code as Op, EncodingKind, FlowControl, Instruction, Mnemonic, OpKind, Register};

use crate::abi::{self, Context, RCX, RDX, RSP};
use crate::cache::{ExitKind, Fragment, Full, Thread, kind};
use crate::emit::{Code, GuestPc, HostPc, JMP_SHORT, JRCXZ, Operand};
use crate::translate::{Step, Wish, is_far, number};
use crate::{calls, pages, shadow, sys};

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
    saved: u32, // kind bits that hold when it begins
    constant: u64,
    target: Option<GuestPc>, // None: in `Context::target`, through the table
    next: GuestPc,
}

/// Where one fragment is being written.
pub struct Lower<'a> {
    pub thread: &'a mut Thread,
    pub arena: usize,
    pub code: Code,
    pub shadow: bool,
    slip: Option<u64>, // host less application address of the verbatim run that is open
    tails: alloc::vec::Vec<Tail>,
}

/// Write the fragment that `thread.scratch` describes; `next` is where it goes on if its end falls through.
pub fn fragment(thread: &mut Thread, wish: Wish, next: GuestPc) -> Result<u32, Full> {
    let arena = thread.arena_for(wish.pc)?;
    let begin = HostPc((thread.arenas[arena].hot.0 + 15) & !15);
    let limit = thread.arenas[arena].cold;
    let steps = core::mem::take(&mut thread.scratch.steps);
    let live_out = thread.scratch.live_out;
    let mut lower = Lower { code: Code::new(begin, limit), thread, arena, shadow: wish.shadow, slip: None, tails: alloc::vec::Vec::new() };
    if wish.jumped {
        lower.landing(Through::Jumps, wish.pc, u32::from(steps[0].live), None);
    }
    let host = lower.code.here();
    let (mut low, mut high) = (wish.pc.0, wish.pc.0);
    let mut open = true;
    for (at, step) in steps.iter().enumerate() {
        let live_after = steps.get(at + 1).map_or(live_out, |s| u32::from(s.live));
        open = lower.step(step, live_after);
        low = low.min(step.instruction.ip());
        high = high.max(step.instruction.next_ip());
    }
    if open {
        lower.jump_to(next);
    }
    lower.tails();
    let end = lower.code.here();
    let overflow = lower.code.overflow;
    let count = steps.len() as u64;
    thread.scratch.steps = steps;
    if overflow {
        return Err(Full::Flush);
    }
    thread.arenas[arena].hot = end;
    let id = thread.fragments.len() as u32;
    thread.fragments.push(Fragment { pc: wish.pc, low: GuestPc(low), high: GuestPc(high), host, end, incoming: u32::MAX, dead: false });
    if !wish.once {
        thread.index.set(wish.pc, id);
    }
    if wish.jumped {
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
    let mut lower = Lower { code: Code::new(begin, limit), thread, arena, shadow: false, slip: None, tails: alloc::vec::Vec::new() };
    lower.landing(through, pc, crate::translate::FLAGS, None);
    lower.record(0, pc);
    if lower.code.here().offset(5).rel32(host).is_some() {
        lower.code.jmp(host);
    } else {
        let cell = lower.thread.constant(host.0).ok_or(Full::Flush)?;
        lower.code.jmp_mem(&Operand::absolute(cell as u32));
    }
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
        let here = self.code.here();
        self.thread.arenas[self.arena].record(here, kind, pc);
    }

    pub fn saved(&self, register: usize) -> Operand {
        self.thread.field(offset_of!(Context, regs) + 8 * register)
    }

    fn target(&self) -> Operand {
        self.thread.field(offset_of!(Context, target))
    }

    // Write one step; answer whether the line goes on behind it.
    fn step(&mut self, step: &Step, live_after: u32) -> bool {
        let instruction = &step.instruction;
        let pc = GuestPc(instruction.ip());
        let next = GuestPc(instruction.next_ip());
        if is_far(instruction.code()) || (self.shadow && shadow::needs_engine(instruction)) {
            self.special(pc);
            return false;
        }
        if self.shadow {
            shadow::before(self, step);
        }
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Exception | FlowControl::Interrupt => self.plain(step),
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
                self.through_jumps(kind::RCX, pc);
                return false;
            }
            FlowControl::Call if instruction.mnemonic() == Mnemonic::Syscall => self.system_call(pc, next),
            FlowControl::Call if instruction.code() == Op::Call_rel32_64 => {
                self.call(Some(GuestPc(instruction.near_branch_target())), pc, next, live_after, 0);
            }
            FlowControl::Call => self.plain(step), // virtual machine calls, which fault here as they do natively
            FlowControl::IndirectCall => {
                self.load_target(instruction, pc);
                self.call(None, pc, next, live_after, kind::RCX);
            }
            FlowControl::Return => {
                self.ret(instruction, pc);
                return false;
            }
            FlowControl::XbeginXabortXend => return self.transaction(step),
        }
        true
    }

    /// Leave for the engine, which does the instruction at `pc`.
    pub fn special(&mut self, pc: GuestPc) {
        let (id, stub) = self.thread.exit(self.arena, ExitKind::Special, pc);
        self.record(0, pc);
        let _ = id;
        self.code.jmp(stub);
    }

    // Go on at `target`: a branch that will be linked.
    fn jump_to(&mut self, target: GuestPc) {
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
        let mut used = 0u16;
        for register in self.thread.scratch.info.info(instruction).used_registers() {
            used |= number(register.register()).map_or(0, |n| 1 << n);
        }
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
        self.record(saved, next);
        self.code.mov_reg_mem(scratch, &spare);
        self.record(0, next);
    }

    fn conditional(&mut self, step: &Step) {
        let instruction = &step.instruction;
        let (pc, next) = (GuestPc(instruction.ip()), GuestPc(instruction.next_ip()));
        let target = GuestPc(instruction.near_branch_target());
        let (id, stub) = self.thread.exit(self.arena, ExitKind::Jump, target);
        self.record(0, pc);
        if instruction.is_jcc_short_or_near() {
            let condition = instruction.condition_code() as u8 - 1;
            let field = self.code.branch(&[0x0f, 0x80 | condition], stub);
            self.thread.exits[id as usize].field = field;
            return;
        }
        let (bytes, length) = self.bytes_of(step); // loop and jrcxz: [prefixes] opcode rel8
        self.code.bytes(&bytes[..length - 1]);
        self.code.byte(2);
        self.record(0, next);
        self.code.bytes(&[JMP_SHORT, 5]);
        self.record(0, target);
        let field = self.code.jmp(stub);
        self.thread.exits[id as usize].field = field;
    }

    // rcx saved, the branch's target in rcx and in `Context::target`.
    fn load_target(&mut self, instruction: &Instruction, pc: GuestPc) {
        let (saved, target) = (self.saved(RCX), self.target());
        self.record(0, pc);
        self.code.mov_mem_reg(&saved, RCX);
        self.record(kind::RCX, pc);
        if instruction.op0_kind() == OpKind::Register {
            let register = number(instruction.op0_register()).unwrap_or(0);
            if usize::from(register) != RCX {
                self.code.mov_reg_reg(RCX, usize::from(register));
            }
        } else if instruction.is_ip_rel_memory_operand() {
            self.load_from(RCX, instruction.ip_rel_memory_address());
        } else {
            let operand = operand_of(instruction);
            self.code.mov_reg_mem(RCX, &operand);
        }
        self.code.mov_mem_reg(&target, RCX);
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

    // rcx and `Context::target` hold the target, the application's rcx is saved: look it up and go there.
    fn through_jumps(&mut self, kind: u32, pc: GuestPc) {
        let table = self.thread.table(abi::SLOT_JUMPS);
        let miss = self.thread.arenas[self.arena].jump_miss;
        self.record(kind, pc);
        self.code.movzx_ecx_cx();
        self.code.mov_reg_mem(RCX, &table);
        let none = self.code.short(JRCXZ);
        self.code.bytes(&[0xff, 0xe1]); // jmp rcx
        self.code.land(none);
        self.code.jmp(miss);
    }

    fn call(&mut self, target: Option<GuestPc>, pc: GuestPc, next: GuestPc, live: u32, saved: u32) {
        self.record(saved, pc);
        let Some(constant) = self.thread.constant(next.0) else {
            self.code.overflow = true;
            return;
        };
        let here = self.code.here();
        let field = self.code.branch(&[0xe8], here);
        self.tails.push(Tail { field, pc, saved, constant, target, next });
        let landing = self.code.here();
        self.landing(Through::Returns, next, live, Some(constant));
        sys::set_table_entry(self.thread.slot, abi::SLOT_RETURNS, next.0, landing.0);
    }

    fn tails(&mut self) {
        for tail in core::mem::take(&mut self.tails) {
            let here = self.code.here();
            if self.code.overflow || !crate::emit::set_rel32(tail.field, here) {
                self.code.overflow = true;
                return;
            }
            self.record(tail.saved | kind::PUSHED, tail.pc);
            self.code.move_stack(8);
            self.record(tail.saved | kind::BELOW, tail.pc);
            self.code.push_mem(&Operand::absolute(tail.constant as u32));
            match tail.target {
                Some(target) => self.jump_to(target),
                None => self.through_jumps(tail.saved | kind::TARGET, tail.next),
            }
        }
    }

    fn ret(&mut self, instruction: &Instruction, pc: GuestPc) {
        let (saved, target, stack) = (self.saved(RCX), self.target(), Operand::at(RSP, 0));
        self.record(0, pc);
        self.code.mov_mem_reg(&saved, RCX);
        self.record(kind::RCX, pc);
        self.code.mov_reg_mem(RCX, &stack);
        self.code.mov_mem_reg(&target, RCX);
        if instruction.code() != Op::Retnq {
            self.code.move_stack(8 + i32::from(instruction.immediate16()));
            self.through_jumps(kind::RCX | kind::TARGET, pc);
            return;
        }
        let table = self.thread.table(abi::SLOT_RETURNS);
        let miss = self.thread.arenas[self.arena].return_miss;
        self.code.movzx_ecx_cx();
        self.code.mov_reg_mem(RCX, &table);
        let none = self.code.short(JRCXZ);
        self.code.mov_mem_reg(&stack, RCX);
        self.record(kind::RCX | kind::RETURN, pc);
        self.code.byte(0xc3);
        self.code.land(none);
        self.record(kind::RCX, pc);
        self.code.jmp(miss);
    }

    /// Write the check that `Context::target` is `pc`, restoring rcx. `constant`: an address that holds `pc`.
    fn landing(&mut self, through: Through, pc: GuestPc, live: u32, constant: Option<u64>) {
        let (saved, target) = (self.saved(RCX), self.target());
        let arena = &self.thread.arenas[self.arena];
        let (elsewhere, elsewhere_saved) = match through {
            Through::Returns => (arena.return_elsewhere, arena.return_elsewhere_saved),
            Through::Jumps => (arena.jump_elsewhere, arena.jump_elsewhere_saved),
        };
        let below = if through == Through::Returns { kind::BELOW } else { 0 };
        self.record(kind::RCX | kind::TARGET | below, pc);
        match constant {
            Some(cell) => self.code.mov_reg_mem(RCX, &Operand::absolute(cell as u32)),
            None => self.code.mov_reg_const(RCX, pc.0),
        }
        if live == 0 {
            self.code.cmp_reg_mem(RCX, &target);
            if through == Through::Returns {
                self.code.mov_mem_reg(&Operand::at(RSP, -8), RCX); // no address of ours stays below the stack pointer
            }
            self.code.mov_reg_mem(RCX, &saved);
            self.record(kind::TARGET, pc);
            self.code.branch(&[0x0f, 0x85], elsewhere);
        } else {
            let saved_rdx = self.saved(RDX);
            if through == Through::Returns {
                self.code.mov_mem_reg(&Operand::at(RSP, -8), RCX);
            }
            self.code.mov_mem_reg(&saved_rdx, RDX);
            self.record(kind::RCX | kind::RDX | kind::TARGET, pc);
            self.code.mov_reg_mem(RDX, &target);
            self.code.bytes(&[0x48, 0xf7, 0xd2]); // not rdx, which touches no flag
            self.code.lea(RCX, &Operand { base: Some(RCX as u8), index: Some(RDX as u8), ..Operand::at(RCX, 1) });
            self.code.mov_reg_mem(RDX, &saved_rdx);
            self.record(kind::RCX | kind::TARGET, pc);
            let same = self.code.short(JRCXZ);
            self.code.jmp(elsewhere_saved);
            self.code.land(same);
            self.code.mov_reg_mem(RCX, &saved);
        }
        self.slip = None;
        self.record(0, pc);
    }

    // rcx and r11 are the kernel's to destroy: our scratch. rax decides whether the engine is asked.
    fn system_call(&mut self, pc: GuestPc, next: GuestPc) {
        let (_, wanted) = self.thread.exit(self.arena, ExitKind::Call, pc);
        let (_, fault) = self.thread.exit(self.arena, ExitKind::Fault, next);
        self.record(0, pc);
        self.code.movzx_ecx_ax();
        let table = Operand { base: Some(RCX as u8), ..Operand::absolute(calls::wanted_table() as u32) };
        self.code.op_reg_mem(false, &[0x0f, 0xb6], RCX as u8, &table);
        let ours = self.code.short(JRCXZ);
        self.code.jmp(wanted);
        self.code.land(ours);
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
        self.record(0, GuestPc(step.instruction.ip()));
        self.code.mov_reg_const(abi::RAX, 0);
        self.jump_to(GuestPc(step.instruction.near_branch_target()));
        false
    }
}

// A rip-relative operand ignores the prefix bit that extends a base register; with a base it would count.
fn clear_base_extension(instruction: &Instruction, bytes: &mut [u8; 15], displacement_at: usize) {
    match instruction.encoding() {
        EncodingKind::Legacy => {
            // The REX prefix, if there is one, stands right before the opcode.
            let mut at = 0;
            while at < displacement_at && matches!(bytes[at], 0x66 | 0xf0 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0x67) {
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
