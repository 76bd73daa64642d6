//! The shadow: a byte of tags for each byte of the application, and what a fragment does with it in clean mode.
//!
//! Clean mode: no register has a tag, so an instruction only *tests* the tags of what it reads and writes. Where one is found the thread goes
//! on in tracking mode (`track`), at that very instruction. Which tests there are, and where, is `plan`'s.
//!
//! The tags lie in a window of 4 GiB, at `gs.base`; the tag address of an operand is the same operand under `gs:`, modulo 2 to the 32: the
//! prefix for 32-bit addresses does that. So one form serves low images, heaps, stacks, libraries and no memory at all; it needs no
//! register and never faults. Two bytes whose addresses differ by a multiple of 4 GiB share a tag: clean mode proves that neither has one, and
//! where there is one it is taken for both, so that `window` keeps new memory from meeting other (docs/decisions/tags.md). What is clean is
//! never written: its tags are all in the kernel's one page of zeros, which takes no room in the caches.
//!
//! | | test |
//! |---|---|
//! | flags dead | `cmp gs:[op], 0; jne` |
//! | flags live | `mov [saved],rcx; mov rcx, gs:[op]; jrcxz` |
//! | under `fs:` | the same, the thread's base being part of the displacement; in a thread that changes it, `rdfsbase rcx` first |
//! | repetitions, states of more than 64 bytes, `xlat`, `clzero`, bits beside their operand | the engine does it |
//!
//! The low bits of the base are not zero: an application address and its tag's would otherwise compete for the same place in the first-level
//! cache and in the store queue (1.15 against 5 times).
//!
//! Not followed: the elements of gathers and scatters.

use iced_x86::{Instruction, Mnemonic, OpAccess, OpKind, Register, UsedMemory};

use crate::abi::{Context, RAX, RCX, RDI, RSI, mapping, mode};
use crate::cache::ExitKind;
use crate::emit::{GuestPc, HostPc, JRCXZ, Operand};
use crate::lower::Lower;
use crate::plan::Test;
use crate::tags::Tags;
use crate::translate::{Step, number};
use crate::{pages, sys};

const WINDOW_BYTES: u64 = 1 << 32;
const LINE_BYTES: u64 = 64;
/// How far into its mapping the window begins.
const SKEW: u64 = 0x680;
/// By how much the displacement of a tag differs from the application's; `gs.base` makes up for it. A Zen 5 takes a load under rsp for one of
/// what was last stored under rsp with the same bits 2 to 9 of the displacement, whatever the segment, and then begins anew (sqlite: 4.0
/// times with 0, 2.2 with this). Small, so that most displacements stay a byte; not a multiple of 8, so that it leads between 8-byte slots.
const ASIDE: u64 = crate::abi::SHADOW_ASIDE;
/// The largest operand that code tests by itself.
const OPERAND_BYTES_MAX: usize = 64;

/// Map the window; answer the base of `gs` that goes with it.
pub fn map() -> Option<u64> {
    const MADV_NOHUGEPAGE: u64 = 15;
    const MADV_DONTDUMP: u64 = 16;
    const MADVISE: u64 = 28;
    let bytes = WINDOW_BYTES + pages::PAGE; // an operand at the window's end goes on behind it
    let begin = pages::map_apart(bytes, mapping::SHADOW)?;
    sys::call3(MADVISE, begin, bytes, MADV_NOHUGEPAGE);
    sys::call3(MADVISE, begin, bytes, MADV_DONTDUMP); // nobody's memory, and slow to go through
    Some(begin + SKEW - ASIDE)
}

/// Let `gs:` lead to the tags in this thread.
pub fn enter() {
    if is_there() {
        sys::set_gs_base(sys::mailbox().shadow_offset);
    }
}

/// Let `gs:` be what it is in every program.
pub fn leave() {
    if is_there() {
        sys::set_gs_base(0);
    }
}

fn window() -> u64 {
    sys::mailbox().shadow_offset + ASIDE
}

/// Whether tags are made and followed, and not only tested for.
pub fn is_followed() -> bool {
    sys::has_mailbox() && sys::mailbox().mode == mode::TAINT
}

pub fn is_there() -> bool {
    sys::has_mailbox() && sys::mailbox().shadow_offset != 0
}

/// Write the tests that go before `step`.
pub fn before(lower: &mut Lower<'_>, step: &Step) {
    let pc = GuestPc(step.instruction.ip());
    let tests = usize::from(step.tests_at)..usize::from(step.tests_end);
    if !tests.is_empty() {
        let (_, stub) = lower.thread.exit(lower.arena, ExitKind::Tagged, pc);
        for at in tests {
            let test = lower.thread.scratch.tests[at];
            test_memory(lower, &test, step.live != 0, stub, pc);
        }
        lower.record(0, pc);
    }
    if step.by_engine {
        lower.by_way_of_engine(ExitKind::Shadow, pc);
    }
}

/// Where the tag of an application operand lies, which is below 2 to the 32.
pub fn tag_of(base: Option<u8>, index: Option<u8>, scale: u8, displacement: i32) -> Operand {
    const GS: u8 = 0x65;
    let displacement = displacement.wrapping_add(ASIDE as i32);
    Operand { base, index, scale, displacement, address32: true, segment: Some(GS) }
}

fn test_memory(lower: &mut Lower<'_>, test: &Test, flags_live: bool, stub: HostPc, pc: GuestPc) {
    let mut tag = tag_of(test.base, test.index, test.scale, test.displacement);
    if [test.base, test.index].contains(&Some(RCX as u8)) {
        lower.restore_rcx(pc);
    }
    if test.fs {
        const RDFSBASE_RCX: &[u8] = &[0xf3, 0x48, 0x0f, 0xae, 0xc1];
        lower.use_rcx(pc);
        lower.code.bytes(RDFSBASE_RCX);
        tag.base = Some(RCX as u8);
    }
    test_tag(lower, &tag, test.bytes, flags_live, stub, pc);
}

/// Go to `stub` if one of these 1, 2, 4 or 8 tags is set. The operand may name rcx as it is then.
pub fn test_tag(lower: &mut Lower<'_>, tag: &Operand, bytes: u32, flags_live: bool, stub: HostPc, pc: GuestPc) {
    if !flags_live {
        lower.record(0, pc);
        if bytes == 2 {
            lower.code.byte(0x66);
        }
        lower.code.op_reg_mem(bytes == 8, &[if bytes == 1 { 0x80 } else { 0x83 }], 7, tag); // cmp tag, 0
        lower.code.byte(0);
        let to = lower.stub_as_rcx_is(stub);
        lower.code.branch(&[0x0f, 0x85], to);
        return;
    }
    lower.save_rcx(pc);
    lower.record(0, pc);
    match bytes {
        1 => lower.code.op_reg_mem(false, &[0x0f, 0xb6], RCX as u8, tag),
        2 => lower.code.op_reg_mem(false, &[0x0f, 0xb7], RCX as u8, tag),
        _ => lower.code.op_reg_mem(bytes == 8, &[0x8b], RCX as u8, tag),
    }
    lower.use_rcx(pc);
    let clean = lower.code.short(JRCXZ);
    let to = lower.stub_as_rcx_is(stub);
    lower.code.jmp(to);
    lower.code.land(clean);
}

/// Whether an instruction reads or writes this memory. The elements of gathers and scatters are not followed.
pub fn touches(memory: &UsedMemory) -> bool {
    !matches!(memory.access(), OpAccess::None | OpAccess::NoMemAccess) && memory.vsib_size() == 0
}

fn reads(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn is_repeated(instruction: &Instruction) -> bool {
    instruction.is_string_instruction() && (instruction.has_rep_prefix() || instruction.has_repne_prefix())
}

// Whether it is about a bit that may lie beside its operand, as far as a register says.
fn is_bit_string(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
        && instruction.op1_kind() == OpKind::Register
}

// Whether it writes the whole line that its address lies in. Iced knows of no memory of it.
fn is_line(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Clzero
}

/// How far from its operand an instruction's memory lies: the word of a bit that a register names.
pub fn beside(instruction: &Instruction, value: impl Fn(Register) -> Option<u64>) -> u64 {
    if !is_bit_string(instruction) {
        return 0;
    }
    let register = instruction.op1_register();
    let bit = value(register).unwrap_or(0);
    match register.size() {
        2 => (i64::from(bit as i16 >> 4) * 2) as u64,
        4 => (i64::from(bit as i32 >> 5) * 4) as u64,
        _ => ((bit as i64 >> 6) * 8) as u64,
    }
}

/// Whether the tags for an instruction are the engine's to see to.
pub fn is_for_engine(instruction: &Instruction, used: &[UsedMemory]) -> bool {
    let mut touched = used.iter().filter(|memory| touches(memory)).peekable();
    let by_part = is_bit_string(instruction) || instruction.mnemonic() == Mnemonic::Xlatb; // of a register that the plan knows as a whole
    let apart = touched.peek().is_some() && (is_repeated(instruction) || by_part);
    apart || is_line(instruction) || touched.any(|memory| !(1..=OPERAND_BYTES_MAX).contains(&memory.memory_size().size()))
}

/// Whether anything that the instruction at `context.rip` reads has a tag; `writes`: or that it writes.
pub fn is_touched(context: &Context, instruction: &Instruction, used: &[UsedMemory], writes: bool) -> bool {
    let mut found = false;
    each_range(context, instruction, used, true, |low, bytes| found |= any_tag(low, bytes));
    if writes {
        each_range(context, instruction, used, false, |low, bytes| found |= any_tag(low, bytes));
    }
    found
}

/// Clear the tags of what the instruction at `context.rip` writes.
pub fn clear_written(context: &Context, instruction: &Instruction, used: &[UsedMemory]) {
    each_range(context, instruction, used, false, clear_tags);
}

// Name the memory that an instruction reads, or that it writes: where it begins, and how many bytes.
fn each_range(context: &Context, instruction: &Instruction, used: &[UsedMemory], reading: bool, mut each: impl FnMut(u64, u64)) {
    const DIRECTION: u64 = 0x400;
    let aside = beside(instruction, |register| value(context, register));
    let touched = || {
        let value = |register, _, _| value(context, register);
        let place = move |memory: &UsedMemory| Some(memory.virtual_address(0, value)?.wrapping_add(aside));
        used.iter().filter(|memory| touches(memory)).filter_map(move |memory| Some((memory, place(memory)?)))
    };
    let count = if is_repeated(instruction) { repetitions(context, instruction, touched().map(|(_, at)| at)) } else { 1 };
    let back = is_repeated(instruction) && context.rflags & DIRECTION != 0;
    for (memory, address) in touched().filter(|(memory, _)| count != 0 && reads(memory.access()) == reading) {
        let size = match memory.memory_size().size() as u64 {
            0 if is_repeated(instruction) => instruction.memory_size().size() as u64,
            0 => sys::vector_bytes(),
            size => size,
        };
        let bytes = size.saturating_mul(count).min(WINDOW_BYTES);
        each(if back { address.wrapping_sub(bytes - size) } else { address }, bytes);
    }
    if is_line(instruction) && !reading {
        each(context.regs[RAX] & !(LINE_BYTES - 1), LINE_BYTES);
    }
}

/// How often a string instruction will be repeated, at the most: up to where memory ends, and what it compares decides.
pub fn repetitions(context: &Context, instruction: &Instruction, places: impl Iterator<Item = u64>) -> u64 {
    const DIRECTION: u64 = 0x400;
    const SEARCHED_BYTES_MIN: u64 = 1 << 20; // up to there memory is taken to be there
    let size = instruction.memory_size().size() as u64;
    let by_32_bits = [OpKind::MemorySegESI, OpKind::MemoryESEDI, OpKind::MemorySegEDI];
    let narrow = (0..instruction.op_count()).any(|at| by_32_bits.contains(&instruction.op_kind(at)));
    let wanted = if narrow { context.regs[RCX] & 0xffff_ffff } else { context.regs[RCX] };
    let back = context.rflags & DIRECTION != 0;
    let nth = |address: u64, n: u64| if back { address.wrapping_sub(n * size) } else { address.wrapping_add(n * size) };
    let mut count = wanted;
    let mut operands = [None; 2];
    for (operand, address) in operands.iter_mut().zip(places) {
        *operand = Some(address);
        let per_page = pages::PAGE / size;
        let mut at = SEARCHED_BYTES_MIN / size;
        while at < count {
            if sys::read_guest(nth(address, at), &mut [0]) == 0 {
                count = at;
            }
            at += per_page;
        }
    }
    let compares = matches!(
        instruction.mnemonic(),
        Mnemonic::Scasb
            | Mnemonic::Scasw
            | Mnemonic::Scasd
            | Mnemonic::Scasq
            | Mnemonic::Cmpsb
            | Mnemonic::Cmpsw
            | Mnemonic::Cmpsd
            | Mnemonic::Cmpsq
    );
    let (Some(first), true) = (operands[0], compares) else { return count };
    let element = |address: u64, n: u64| {
        let mut bytes = [0; 8];
        let read = sys::read_guest(nth(address, n), &mut bytes[..size as usize]) as u64;
        (read == size).then(|| u64::from_le_bytes(bytes))
    };
    let accumulator = context.regs[RAX] & !0 >> (64 - 8 * size);
    let goes_on = |n: u64| {
        let second = operands[1].map_or(Some(accumulator), |address| element(address, n));
        let equal = element(first, n).zip(second).map(|(a, b)| a == b);
        equal == Some(instruction.has_rep_prefix())
    };
    (0..count).find(|&n| !goes_on(n)).map_or(count, |last| last + 1)
}

/// Return what a register or a segment adds to an address.
pub fn value(context: &Context, register: Register) -> Option<u64> {
    match register {
        Register::FS => Some(sys::fs_base()),
        Register::DS | Register::ES | Register::SS | Register::CS | Register::GS => Some(0),
        Register::AL => Some(context.regs[RAX] & 0xff), // of xlat
        Register::ESI => Some(context.regs[RSI] & 0xffff_ffff),
        Register::EDI => Some(context.regs[RDI] & 0xffff_ffff),
        _ => number(register).map(|n| context.regs[usize::from(n)]),
    }
}

// Give `work` these bytes' tags, piece by piece: their address in the window, and how many. It answers whether to go on.
fn in_pieces(address: u64, bytes: u64, mut work: impl FnMut(u64, usize) -> bool) {
    let mut at = 0;
    while at < bytes {
        let tags = tags_of(address.wrapping_add(at));
        let count = (bytes - at).min(PIECE as u64).min(window() + WINDOW_BYTES - tags);
        if !work(tags, count as usize) {
            return;
        }
        at += count;
    }
}

const PIECE: usize = 256;

fn union(tags: u64, count: usize) -> u8 {
    sys::octets(tags, count).iter().fold(0, |all, tag| all | tag)
}

/// Whether any of these bytes of the application has a tag.
pub fn any_tag(address: u64, bytes: u64) -> bool {
    let mut found = false;
    in_pieces(address, bytes, |tags, count| {
        found = union(tags, count) != 0;
        !found
    });
    found
}

/// The tags of all these bytes of the application together.
pub fn union_of_tags(address: u64, bytes: u64) -> u8 {
    let mut all = 0;
    in_pieces(address, bytes, |tags, count| {
        all |= union(tags, count);
        true
    });
    all
}

/// Read the tags of bytes of the application.
pub fn read_tags(address: u64, into: &mut [u8]) {
    let mut rest = into;
    in_pieces(address, rest.len() as u64, |tags, count| {
        let (piece, others) = core::mem::take(&mut rest).split_at_mut(count);
        piece.copy_from_slice(sys::octets(tags, count));
        rest = others;
        true
    });
}

/// Return the tags of eight bytes of the application, the first in the lowest bits.
pub fn word(address: u64) -> u64 {
    let mut tags = [0; 8];
    read_tags(address, &mut tags);
    u64::from_le_bytes(tags)
}

/// The tags of at most `Tags::BYTES_MAX` bytes of the application.
pub fn tags_at(address: u64, bytes: usize) -> Tags {
    const WHOLE: u64 = Tags::BYTES_MAX as u64;
    let tags = tags_of(address);
    if window() + WINDOW_BYTES - tags >= WHOLE {
        let whole: &[u8; Tags::BYTES_MAX] = sys::octets(tags, Tags::BYTES_MAX).first_chunk().expect("as long as that");
        return Tags(*whole).first(bytes);
    }
    let mut tags = Tags::CLEAN;
    read_tags(address, &mut tags.0[..bytes]);
    tags
}

/// Give bytes of the application these tags. What is clean and stays so is not written.
pub fn write_tags(address: u64, from: &[u8]) {
    let mut rest = from;
    in_pieces(address, rest.len() as u64, |tags, count| {
        let (piece, others) = rest.split_at(count);
        let octets = sys::octets(tags, count);
        if octets.iter().chain(piece).fold(0, |all, tag| all | tag) != 0 {
            octets.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
            repeat(tags, count);
        }
        rest = others;
        true
    });
}

// The first tags stand a second time behind the window's end, for operands that lie across it.
fn repeat(tags: u64, count: usize) {
    let first = tags - window();
    if first < OPERAND_BYTES_MAX as u64 {
        let count = count.min((OPERAND_BYTES_MAX as u64 - first) as usize);
        sys::octets(tags + WINDOW_BYTES, count).copy_from_slice(sys::octets(tags, count));
    }
}

/// Clear the tags of these bytes of the application. What was never written stays so.
pub fn clear_tags(address: u64, bytes: u64) {
    if any_tag(address, bytes) {
        set_tags(address, bytes, 0);
    }
}

/// Give these bytes of the application a tag each.
pub fn set_tags(address: u64, bytes: u64, tag: u8) {
    in_pieces(address, bytes, |tags, count| {
        sys::octets(tags, count).fill(tag);
        repeat(tags, count);
        true
    });
}

/// These bytes of the application are gone, or new: they have no tags. Whole pages of tags are given back.
pub fn forget_tags(address: u64, bytes: u64) {
    const DISCARDED_BYTES_MIN: u64 = 4 * pages::PAGE;
    let begin = address % WINDOW_BYTES;
    let end = begin + bytes.min(WINDOW_BYTES);
    for (begin, end) in [(begin, end.min(WINDOW_BYTES)), (0, end.saturating_sub(WINDOW_BYTES))] {
        let low = (window() + begin).next_multiple_of(pages::PAGE) - window();
        let high = ((window() + end) & !(pages::PAGE - 1)).saturating_sub(window());
        if low + DISCARDED_BYTES_MIN > high || sys::mailbox().confined != 0 {
            clear_tags(begin, end - begin);
        } else {
            clear_tags(begin, low - begin);
            pages::discard(window() + low, high - low);
            clear_tags(high, end - high);
        }
    }
}

/// Let bytes of the application have the tags that others have.
pub fn copy_tags(from: u64, to: u64, bytes: u64) {
    let mut at = to;
    in_pieces(from, bytes, |tags, count| {
        let mut copy = [0; PIECE];
        copy[..count].copy_from_slice(sys::octets(tags, count));
        write_tags(at, &copy[..count]);
        at = at.wrapping_add(count as u64);
        true
    });
}

/// Return where the tag of a byte of the application lies.
pub fn tags_of(address: u64) -> u64 {
    window() + address % WINDOW_BYTES
}

/// Do what an instruction about gs does to a program whose gs adds nothing; answer where it goes on. None: it would add something.
pub fn answer_for_gs(context: &mut Context, instruction: &Instruction) -> Option<u64> {
    const NULL_SELECTORS_END: u64 = 4;
    let register = number(instruction.op0_register()).map(usize::from);
    match (instruction.mnemonic(), register) {
        (Mnemonic::Rdgsbase, Some(register)) => context.regs[register] = 0,
        (Mnemonic::Wrgsbase, Some(register)) => {
            let wide = instruction.op0_register().is_gpr64();
            let base = if wide { context.regs[register] } else { context.regs[register] & 0xffff_ffff };
            (base == 0).then_some(())?;
        }
        (Mnemonic::Mov, None) if instruction.op0_register() == Register::GS && instruction.op1_kind() == OpKind::Register => {
            let selector = context.regs[usize::from(number(instruction.op1_register())?)] & 0xffff;
            (selector < NULL_SELECTORS_END).then_some(())?;
        }
        _ => return None,
    }
    Some(instruction.next_ip())
}

/// Whether an instruction gives gs another base, or asks for it. Its selector may be read.
pub fn needs_engine(instruction: &Instruction) -> bool {
    let names = instruction.op_count() > 0 && instruction.op0_register() == Register::GS;
    matches!(instruction.mnemonic(), Mnemonic::Wrgsbase | Mnemonic::Rdgsbase | Mnemonic::Lgs)
        || names && instruction.mnemonic() != Mnemonic::Push
}
