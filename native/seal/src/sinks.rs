//! Where tags must not come to: what decides where control goes, and what the kernel is asked for.
//!
//! Owns the questions. What follows from an answer is `alerts`'. Transfers are looked at in tracking mode; in clean mode no register has a
//! tag, and a return address or a pointer in memory that has one is found by the tests of clean mode, which lead to tracking mode.

use iced_x86::{FlowControl, Instruction, OpAccess, OpKind, UsedMemory};

use crate::abi::{Context, RAX, RDI, RDX, RSI, RSP, alert};
use crate::alerts::{self, Finding};
use crate::translate::{decode_one, number};
use crate::{recover, shadow, sys, track};

const WORD_BYTES: u64 = 8;

/// The branch at `context.rip` is about to go to `context.target`: see whether that came in from outside, and go there. False: it
/// cannot, and is to be made as it is.
pub fn branch(context: &mut Context) -> bool {
    let Some(instruction) = decode_one(context.rip) else { return false };
    let (kind, place) = match instruction.flow_control() {
        FlowControl::Return => (alert::RETURN, context.regs[RSP]),
        FlowControl::IndirectCall => (alert::CALL, memory_of(context, &instruction)),
        _ => (alert::JUMP, memory_of(context, &instruction)),
    };
    let tags = if place != 0 {
        shadow::word(place)
    } else {
        number(instruction.op0_register()).map_or(0, |r| context.tags[usize::from(r)])
    };
    if tags != 0 {
        let target = context.target;
        alerts::raise(context, &Finding { kind, target, place, tags });
    }
    if recover::is_no_address(context.target) {
        return false; // its own fault
    }
    match instruction.flow_control() {
        FlowControl::Return => {
            let more = if instruction.op_count() == 0 { 0 } else { u64::from(instruction.immediate16()) };
            context.regs[RSP] = context.regs[RSP].wrapping_add(WORD_BYTES + more);
            track::forget_scratch(context);
        }
        FlowControl::IndirectCall => {
            let place = context.regs[RSP].wrapping_sub(WORD_BYTES);
            if !sys::write_guest_u64(place, instruction.next_ip()) {
                return false; // it faults, as it is
            }
            shadow::clear_tags(place, WORD_BYTES);
            context.regs[RSP] = place;
        }
        _ => {}
    }
    context.rip = context.target;
    true
}

fn memory_of(context: &Context, instruction: &Instruction) -> u64 {
    if instruction.op0_kind() != OpKind::Memory {
        return 0;
    }
    instruction.virtual_address(0, 0, |register, _, _| shadow::value(context, register)).unwrap_or(0)
}

/// Whether a function begins at `pc` that takes a format string.
pub fn takes_format(pc: u64) -> bool {
    format_at(pc).is_some()
}

fn format_at(pc: u64) -> Option<usize> {
    let mailbox = sys::mailbox();
    let known = &mailbox.formats[..(mailbox.format_count as usize).min(mailbox.formats.len())];
    known.iter().find(|format| format.address == pc).map(|format| format.register as usize % 16)
}

/// A function that takes a format string is called: a conversion in it must not come from outside.
pub fn format(context: &mut Context) {
    let Some(register) = format_at(context.rip) else { return };
    let string = context.regs[register];
    let found = bytes_of(string).find(|&(_, byte, tag)| byte == b'%' && tag != 0);
    if let Some((place, _, tag)) = found {
        alerts::raise(context, &Finding { kind: alert::FORMAT, target: string, place, tags: u64::from(tag) });
    }
}

/// A signal's handler has been named at `place`, or the frame there says where to go on: `target`.
pub fn handler(context: &mut Context, kind: u32, place: u64, target: u64) {
    let tags = if shadow::is_followed() { shadow::word(place) } else { 0 };
    if tags != 0 {
        alerts::raise(context, &Finding { kind, target, place, tags });
    }
}

/// The code at `context.rip` has tags.
pub fn code(context: &mut Context) {
    const RUN_BYTES_MAX: u64 = 0x1000;
    let rip = context.rip;
    alerts::raise(context, &Finding { kind: alert::CODE, target: rip, place: rip, tags: shadow::word(rip) });
    // It goes on: once told is enough for what belongs together.
    let mut bytes = 0;
    while bytes < RUN_BYTES_MAX && (bytes < 16 || shadow::word(rip + bytes) != 0) {
        bytes += WORD_BYTES;
    }
    shadow::clear_tags(rip, bytes);
}

/// The system call at `context.rip` is about to be made.
pub fn call(context: &mut Context) {
    const LOW_HALF: u64 = 0xffff_ffff;
    const PROT_EXEC: u64 = 4;
    let number = context.regs[RAX];
    let tags = context.tags[RAX] & LOW_HALF;
    if tags != 0 {
        alerts::raise(context, &Finding { kind: alert::CALL_NUMBER, target: number, place: 0, tags });
    }
    match number & LOW_HALF {
        9 | 10 | 329 if context.regs[RDX] & PROT_EXEC != 0 => {
            let tags = context.tags[RDI] | context.tags[RSI] | context.tags[RDX] & LOW_HALF;
            if tags != 0 {
                let target = context.regs[RDI];
                alerts::raise(context, &Finding { kind: alert::RIGHTS, target, place: 0, tags });
            }
        }
        59 => execute(context, context.regs[RDI], context.regs[RSI]),
        322 => execute(context, context.regs[RSI], context.regs[RDX]),
        _ => {}
    }
}

fn execute(context: &mut Context, path: u64, arguments: u64) {
    const ARGUMENTS_MAX: u64 = 256;
    let strings = (0..ARGUMENTS_MAX).map_while(|at| sys::read_guest_u64(arguments + at * WORD_BYTES).filter(|&word| word != 0));
    let found = core::iter::once(path).chain(strings).find_map(first_tag);
    if let Some((place, tag)) = found {
        alerts::raise(context, &Finding { kind: alert::EXECUTE, target: path, place, tags: u64::from(tag) });
    }
}

// The first byte of a string that has a tag.
fn first_tag(string: u64) -> Option<(u64, u8)> {
    bytes_of(string).find(|&(_, _, tag)| tag != 0).map(|(place, _, tag)| (place, tag))
}

// Each byte of a string: where it lies, what it is, and its tag.
fn bytes_of(string: u64) -> impl Iterator<Item = (u64, u8, u8)> {
    const STRING_BYTES_MAX: u64 = 0x1000;
    (string..string.saturating_add(STRING_BYTES_MAX)).map_while(|place| {
        let mut byte = [0];
        let is_there = sys::read_guest(place, &mut byte) == 1 && byte[0] != 0;
        is_there.then(|| (place, byte[0], shadow::word(place) as u8))
    })
}

/// If that is asked for: the address of what the instruction at `context.rip` writes.
pub fn store(context: &mut Context, used: &[UsedMemory]) {
    if sys::mailbox().store_alerts == 0 {
        return;
    }
    let writes =
        |memory: &&UsedMemory| shadow::touches(memory) && !matches!(memory.access(), OpAccess::Read | OpAccess::CondRead);
    for memory in used.iter().filter(writes) {
        let of = |register| number(register).map_or(0, |r| context.tags[usize::from(r)]);
        let tags = of(memory.base()) | of(memory.index());
        if tags != 0 {
            let target = memory.virtual_address(0, |register, _, _| shadow::value(context, register)).unwrap_or(0);
            return alerts::raise(context, &Finding { kind: alert::STORE, target, place: 0, tags });
        }
    }
}
