//! From where a thread stands in translated code to where the application is: exactly, at every host instruction.

use iced_x86::FlowControl;

use crate::abi::{self, Context, RAX, RCX, RDX, RSP, recovered, user_regs};
use crate::cache::{Arena, ENTER_BYTES, ExitKind, STUB_BYTES, Thread, kind};
use crate::emit::{GuestPc, HostPc};
use crate::tables::Table;
use crate::translate::decode_one;
use crate::{entry, pages, pieces, start, sys, threads};

const CALL_BYTES: u64 = 2; // of a `syscall` instruction

// What the Context and the record for `host` say: the kind of place, and the application's address.
fn place(thread: &Thread, context: &Context, host: HostPc) -> Option<(u32, GuestPc)> {
    if host.0.wrapping_sub(context.enter) < ENTER_BYTES {
        return Some((kind::RCX, GuestPc(context.rip)));
    }
    let arena = thread.arena_of(host)?;
    if host >= arena.cold {
        // A stub: its first instruction saves rcx.
        let at = (arena.begin.0 + arena.bytes - host.0 - 1) / STUB_BYTES;
        let exit = thread.exits.get(*arena.stubs.get(at as usize)? as usize)?;
        let table = if let ExitKind::Table(number) = exit.kind { table_kind(&thread.tables[usize::from(number)]) } else { 0 };
        return Some((table | if host == exit.stub { 0 } else { kind::RCX }, exit.target));
    }
    let offset = (host.0 - arena.begin.0) as u32;
    let at = arena.records.partition_point(|r| r.host <= offset).checked_sub(1)?;
    let record = arena.records[at];
    if record.kind() & kind::VERBATIM != 0 {
        return Some((record.kind() & !kind::VERBATIM, GuestPc(record.pc().0 + u64::from(offset - record.host))));
    }
    Some((record.kind(), record.pc()))
}

/// What holds between a jump by a table and the fragment that it leads to.
pub fn table_kind(table: &Table) -> u32 {
    kind::TABLE | u32::from(table.register) << kind::SCRATCH_SHIFT
}

/// Return the application's address of the branch that stands at `host`.
pub fn branch_at(thread: &Thread, context: &Context, host: HostPc) -> Option<GuestPc> {
    place(thread, context, host).map(|(_, pc)| pc)
}

/// Turn the registers that the processor had at `host` into the application's, in `context`; repair what the fragment
/// had changed of the stack. Answers false if `host` is not in this thread's translated code.
pub fn take(thread: &Thread, context: &mut Context, live: &abi::Registers, rflags: u64, host: HostPc) -> bool {
    let Some((kind, pc)) = place(thread, context, host) else { return false };
    let (rcx, rdx) = (context.regs[RCX], context.regs[RDX]);
    context.regs = *live;
    context.rip = if kind & kind::TARGET != 0 { context.target } else { pc.0 };
    context.rflags = if kind & kind::FLAGS != 0 { with_kept_flags(rflags, context.kept_flags) } else { rflags };
    if kind & kind::RCX != 0 {
        context.regs[RCX] = rcx;
    }
    if kind & kind::RDX != 0 {
        context.regs[RDX] = rdx;
    }
    if kind & kind::SCRATCH != 0 {
        context.regs[(kind >> kind::SCRATCH_SHIFT & 15) as usize] = context.spare;
    }
    if kind & kind::TABLE != 0 {
        let register = &mut context.regs[(kind >> kind::SCRATCH_SHIFT & 15) as usize];
        *register = sys::read_guest_u64(pc.0 + 8 * *register).unwrap_or(0);
        context.rip = *register;
    }
    if kind & kind::CALLED != 0 {
        context.regs[RCX] = pc.0;
        if context.regs[RAX] as i64 == sys::EFAULT && pages::any_protected() {
            // Perhaps because of us, and the fragment was about to ask: the call has not been made yet.
            context.regs[RAX] = context.issued;
            context.rip = pc.0 - CALL_BYTES;
        }
    }
    if kind & kind::RETURNED != 0 {
        context.rip = sys::read_guest_u64(context.regs[RSP].wrapping_sub(8)).unwrap_or(0);
    }
    if kind & (kind::TARGET | kind::RETURNED) != 0 && is_no_address(context.rip) {
        if kind & kind::LANDED != 0 {
            return false; // the engine is about to see that
        }
        undo_branch(context, pc);
    }
    true
}

// What lahf and seto have left in ax, put back where it belongs.
fn with_kept_flags(rflags: u64, kept: u64) -> u64 {
    const LOW: u64 = 0xd5; // sign, zero, auxiliary, parity, carry
    const OVERFLOW_AT: u32 = 11;
    rflags & !(LOW | 1 << OVERFLOW_AT) | kept >> 8 & LOW | (kept & 1) << OVERFLOW_AT
}

/// Whether no processor could go on at `pc`: the fault is that of the branch that leads there.
pub fn is_no_address(pc: u64) -> bool {
    !matches!((pc as i64) >> 47, 0 | -1)
}

/// Let the branch at `pc`, which has had its effects on the stack, not have happened.
pub fn undo_branch(context: &mut Context, pc: GuestPc) {
    context.rip = pc.0;
    let Some(instruction) = decode_one(pc.0) else { return };
    match instruction.flow_control() {
        FlowControl::IndirectCall => context.regs[RSP] += 8,
        FlowControl::Return if instruction.op_count() == 0 => context.regs[RSP] -= 8,
        FlowControl::Return => context.regs[RSP] -= 8 + u64::from(instruction.immediate16()),
        _ => {}
    }
}

const X87: u64 = 1;
const FPU_POINTER: usize = 1; // which word of an image it is, in its 64-bit form
const FPU_ENVIRONMENT_BYTES: usize = 28;
const FPU_ENVIRONMENT_POINTER: usize = 12;
const FPU_ENVIRONMENT_OPCODE: usize = 18;
const FPU_OPCODE: usize = 6; // in an image

// Where the application's instruction is that stands at `host`.
fn instruction_at(thread: &Thread, host: HostPc) -> Option<GuestPc> {
    let arena = thread.arena_of(host).filter(|arena| host < arena.hot)?;
    let offset = (host.0 - arena.begin.0) as u32;
    let at = arena.records.partition_point(|r| r.host <= offset).checked_sub(1)?;
    let record = arena.records[at];
    let distance = if record.kind() & kind::VERBATIM != 0 { offset - record.host } else { 0 };
    Some(GuestPc(record.pc().0 + u64::from(distance)))
}

/// The x87 unit remembers where its last instruction was: let that be the application's address, in the processor. What is stored in the
/// 64-bit form (`wide`) and in the others is mended in that form: neither has all that the other has.
pub fn mend_fpu(thread: &Thread, context: &mut Context, wide: bool) {
    let area = (&raw const *context) as u64 + abi::SLOT_VECTORS;
    if wide {
        sys::octets(area, 1024).fill(0);
        entry::save_vectors(area, context, X87);
        if mend_fpu_image(thread, area) {
            entry::load_vectors(area, context, X87);
        }
        return;
    }
    entry::store_fpu_environment(area);
    let pointer = &mut sys::octets(area, FPU_ENVIRONMENT_BYTES)[FPU_ENVIRONMENT_POINTER..][..4];
    let low = u32::from_le_bytes([pointer[0], pointer[1], pointer[2], pointer[3]]);
    let offset = |arena: &Arena| u64::from(low.wrapping_sub(arena.begin.0 as u32));
    let host = thread.arenas.iter().find(|arena| offset(arena) < arena.bytes).map(|arena| arena.begin.offset(offset(arena)));
    if let Some(pc) = host.and_then(|host| instruction_at(thread, host)) {
        pointer.copy_from_slice(&(pc.0 as u32).to_le_bytes());
        if let Some(opcode) = fpu_opcode(pc) {
            sys::octets(area, FPU_ENVIRONMENT_BYTES)[FPU_ENVIRONMENT_OPCODE..][..2].copy_from_slice(&opcode.to_le_bytes());
        }
    }
    entry::load_fpu_environment(area); // in any case: storing it has masked exceptions
}

/// The same in an image that XSAVE64 has left at `area`. Answers whether there was anything to do.
pub fn mend_fpu_image(thread: &Thread, area: u64) -> bool {
    let pointer = &mut sys::words(area, 2)[FPU_POINTER];
    let Some(pc) = instruction_at(thread, HostPc(*pointer)) else { return false };
    *pointer = pc.0;
    if let Some(opcode) = fpu_opcode(pc) {
        sys::octets(area, FPU_OPCODE + 2)[FPU_OPCODE..].copy_from_slice(&opcode.to_le_bytes());
    }
    true
}

// What the x87 unit keeps of an instruction: three bits of the opcode, and the ModRM byte, which we may have changed.
fn fpu_opcode(pc: GuestPc) -> Option<u16> {
    let mut bytes = [0; 15];
    let count = sys::read_guest(pc.0, &mut bytes);
    let is_prefix = |byte: &u8| matches!(byte, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf2 | 0xf3);
    let at = bytes[..count].iter().position(|byte| !is_prefix(byte))?;
    let (opcode, modrm) = (*bytes.get(at)?, *bytes.get(at + 1)?);
    (0xd8..=0xdf).contains(&opcode).then_some(u16::from(opcode & 7) << 8 | u16::from(modrm))
}

/// Answer for every snapshot of the mailbox where the application is. The controller calls this with all threads stopped.
pub extern "C" fn recover_all() -> i64 {
    let mailbox = sys::mailbox();
    for at in 0..mailbox.snapshot_count as usize {
        let snapshot = &mut mailbox.snapshots[at];
        let inside = start::is_image(snapshot.regs[user_regs::RIP]); // perhaps a thread that has no name yet, or none any more
        snapshot.status = if inside { recovered::BUSY } else { recovered::NATIVE };
        let Some(context) = threads::context_of(snapshot.tid) else { continue };
        snapshot.status = snapshot_of(context, &mut snapshot.regs);
    }
    0
}

fn snapshot_of(context: &mut Context, regs: &mut [u64; 27]) -> u32 {
    let host = regs[user_regs::RIP];
    let answer = if host == entry::issue_after() { regs[user_regs::RAX] as i64 } else { 0 };
    if pieces::is_cut(context, answer) {
        return recovered::PIECES;
    }
    if host == entry::issue_after() && context.pending_signal == 0 {
        // In a system call that the engine issues for the application: the Context has everything but the answer.
        if pieces::is_refused(context, answer) {
            context.rip -= CALL_BYTES;
        } else {
            context.regs[abi::RAX] = regs[user_regs::RAX];
        }
        context.vectors_in_context = 1;
        write_back(context, regs);
        return recovered::EXACT;
    }
    if (entry::resume_begin()..entry::resume_end()).contains(&host) && context.pending_signal == 0 {
        context.vectors_in_context = 1;
        write_back(context, regs);
        return recovered::EXACT;
    }
    if start::is_image(host) {
        return recovered::BUSY;
    }
    let Some(service) = sys::service(context) else { return recovered::BUSY };
    let mut live = [0; 16];
    for (at, &place) in user_regs::ORDER.iter().enumerate() {
        live[at] = regs[place];
    }
    if !service.peek(|thread| take(thread, context, &live, regs[user_regs::EFLAGS], HostPc(host))) {
        let ours = service.peek(|thread| thread.arena_of(HostPc(host)).is_some());
        return if ours { recovered::BUSY } else { recovered::NATIVE };
    }
    context.vectors_in_context = 0;
    write_back(context, regs);
    recovered::EXACT
}

fn write_back(context: &Context, regs: &mut [u64; 27]) {
    for (at, &place) in user_regs::ORDER.iter().enumerate() {
        regs[place] = context.regs[at];
    }
    regs[user_regs::RIP] = context.rip;
    regs[user_regs::EFLAGS] = context.rflags;
}
