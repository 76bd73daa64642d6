//! The shadow: a byte of tags for each byte of the application, and what a fragment does with it in clean mode.
//!
//! Clean mode: no register has a tag, so an instruction only *tests* the tags of what it reads and *clears* those of what it writes. The
//! tag address of an operand is the same operand under `gs:`, whose base is `OFFSET`. Its low bits are not zero: an application address
//! and its tag's would otherwise compete for the same place in the first-level cache and in the store queue (1.15 against 5 times).
//!
//! | operand | test | clear |
//! |---|---|---|
//! | 1, 2, 4, 8 bytes, flags dead | `cmp gs:[op], 0; jne` | `mov gs:[op], 0` |
//! | … flags live | `mov [saved],rcx; mov rcx, gs:[op]; jrcxz` | the same |
//! | 16, 32, 64 bytes | eight at a time | eight at a time |
//! | under `fs:`, out of rip's reach | the address goes to rcx first | likewise |
//! | below 2 to the 40, where `gs:` leads nowhere (found by the fault, site by site) | the low shadow's offset in rcx: `cmp [rcx+op], 0` | likewise |
//! | sometimes there (found by the next fault) | rcx and the offset of the region, looked up | likewise |
//! | repetitions, states of odd size | the engine does it | likewise |
//!
//! Not followed: the elements of gathers and scatters; masked stores clear nothing, which errs towards too many tags.

use core::mem::offset_of;

use iced_x86::{Instruction, Mnemonic, OpAccess, Register, UsedMemory};

use crate::abi::{Context, RCX, RDI, RDX, RSI, mapping};
use crate::cache::{ExitKind, kind};
use crate::emit::{GuestPc, HostPc, JRCXZ, Operand};
use crate::lower::Lower;
use crate::translate::{Step, number};
use crate::{pages, sys};

/// From an application address in the upper regions to its tag's.
pub const OFFSET: u64 = (0x1234_5680u64).wrapping_sub(0x5000_0000_0000);
/// Likewise below `LOW_END`, where OFFSET would lead out of user space.
/// An address of the upper regions plus this is none.
const LOW_OFFSET: u64 = 0x4000_0000_0000 + 0x1234_5680;
const REGION_BITS: u32 = 40;
const REGIONS: usize = 128;
/// Where programs, their libraries, stacks and heaps lie: low images and Go's arenas; PIE images; mappings and stacks.
const MAPPED: [(u64, u64); 3] =
    [(0, 0x100_0000_0000), (0x5500_0000_0000, 0x5700_0000_0000), (0x7e00_0000_0000, 0x7fff_ffff_f000)];
/// `Thread::low_sites`: where an instruction's operand has been found to lie.
const ALWAYS_LOW: u32 = 1;
const ANYWHERE: u32 = 2;
/// What is mapped at once where the application lies elsewhere.
const CHUNK: u64 = 1 << 30;
const TESTS_MAX: usize = 4;

/// The offset for each region of 2 to the 40 bytes, which code that cannot know its region looks up.
struct Regions([u64; REGIONS]);

static OFFSETS: Regions = Regions({
    let mut offsets = [OFFSET; REGIONS];
    let mut region = 0;
    while region < 0x50 {
        offsets[region] = LOW_OFFSET;
        region += 1;
    }
    offsets
});

fn offset_of_region(address: u64) -> u64 {
    OFFSETS.0[(address >> REGION_BITS) as usize & (REGIONS - 1)]
}

/// Map the shadow of where programs usually lie; answer whether there was room.
pub fn map() -> bool {
    MAPPED.iter().all(|&(low, high)| map_tags(low.wrapping_add(offset_of_region(low)), high - low))
}

/// Let `gs:` lead to the tags in this thread.
pub fn enter() {
    if sys::mailbox().shadow_offset != 0 {
        sys::set_gs_base(OFFSET);
    }
}

/// Let `gs:` be what it is in every program.
pub fn leave() {
    if sys::mailbox().shadow_offset != 0 {
        sys::set_gs_base(0);
    }
}

/// A tag at `address` was asked for where no shadow is yet.
pub fn map_around(address: u64) -> bool {
    map_tags(address & !(CHUNK - 1), CHUNK)
}

fn map_tags(address: u64, bytes: u64) -> bool {
    const FLAGS: u64 = 0x10_4022; // private, anonymous, no reserve, fixed but not over another
    const PROTECTION: u64 = 3;
    const MADV_NOHUGEPAGE: u64 = 15;
    const MADV_DONTDUMP: u64 = 16;
    const MADVISE: u64 = 28;
    let begin = address & !(pages::PAGE - 1);
    let bytes = (address + bytes).next_multiple_of(pages::PAGE) - begin;
    let answer = sys::call(sys::MMAP, [begin, bytes, PROTECTION, FLAGS, u64::MAX, 0]);
    if answer != begin as i64 {
        return false;
    }
    sys::call3(MADVISE, begin, bytes, MADV_NOHUGEPAGE);
    sys::call3(MADVISE, begin, bytes, MADV_DONTDUMP); // the kernel would go through terabytes, page by page
    pages::remember(begin, bytes, mapping::SHADOW);
    true
}

/// Write what goes before `step`: the tests of what it reads, then the clearing of what it writes.
pub fn before(lower: &mut Lower<'_>, step: &Step) {
    let instruction = &step.instruction;
    let mut used = [UsedMemory::default(); TESTS_MAX];
    let mut count = 0;
    for memory in lower.thread.scratch.info.info(instruction).used_memory() {
        if count < TESTS_MAX && touches(memory.access()) {
            used[count] = *memory;
            count += 1;
        }
    }
    if count == 0 {
        return;
    }
    let pc = GuestPc(instruction.ip());
    if used[..count].iter().any(|m| m.vsib_size() != 0) {
        return;
    }
    if is_irregular(instruction) || used[..count].iter().any(|m| bytes_of(m).is_none()) {
        lower.restore_rcx(pc);
        let (id, stub) = lower.thread.exit(lower.arena, ExitKind::Shadow, pc);
        lower.record(0, pc);
        lower.code.jmp(stub);
        lower.thread.exits[id as usize].field = lower.code.here();
        return;
    }
    let low = lower.thread.low_sites.get(pc);
    for memory in &used[..count] {
        if reads(memory.access()) {
            test(lower, step, memory, low);
        }
    }
    for memory in &used[..count] {
        if matches!(memory.access(), OpAccess::Write) {
            clear(lower, step, memory, low);
        }
    }
    lower.record(0, pc);
}

fn touches(access: OpAccess) -> bool {
    !matches!(access, OpAccess::None | OpAccess::NoMemAccess)
}

fn reads(access: OpAccess) -> bool {
    matches!(access, OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
}

fn is_irregular(instruction: &Instruction) -> bool {
    instruction.is_string_instruction() && (instruction.has_rep_prefix() || instruction.has_repne_prefix())
}

fn bytes_of(memory: &UsedMemory) -> Option<u32> {
    let bytes = memory.memory_size().size() as u32;
    matches!(bytes, 1 | 2 | 4 | 8 | 16 | 32 | 64).then_some(bytes)
}

// How a tag is reached: by an operand, after rcx was perhaps loaded.
struct Reach {
    operand: Operand,
    rip: Option<u64>, // the tag of this application address, by rip
}

fn reach(lower: &mut Lower<'_>, memory: &UsedMemory, low: Option<u32>, pc: GuestPc) -> Reach {
    const GS: u8 = 0x65;
    let address = memory.displacement();
    let mut operand = Operand {
        base: number(memory.base()),
        index: number(memory.index()),
        scale: memory.scale() as u8,
        displacement: address as i32,
        address32: memory.base().is_gpr32() || memory.index().is_gpr32(),
        segment: Some(GS),
    };
    if [operand.base, operand.index].contains(&Some(RCX as u8)) {
        lower.restore_rcx(pc);
    }
    let absolute = memory.base() == Register::None && memory.index() == Register::None || memory.base().is_ip();
    let thread_local = memory.segment() == Register::FS;
    if absolute && !thread_local {
        // The address is known, and so is where its tag lies.
        if offset_of_region(address) == OFFSET && lower.code.here().offset(16).rel32(HostPc(address)).is_some() {
            return Reach { operand, rip: Some(address) };
        }
        if offset_of_region(address) == LOW_OFFSET && i32::try_from(address).is_ok() {
            low_into_rcx(lower, pc);
            return Reach { operand: Operand::at(RCX, address as i32), rip: None };
        }
        lower.use_rcx(pc);
        lower.code.mov_reg_const(RCX, address.wrapping_add(offset_of_region(address)));
        return Reach { operand: Operand::at(RCX, 0), rip: None };
    }
    if !thread_local && low.is_none() {
        return Reach { operand, rip: None };
    }
    let one = |register: Option<u8>| register.filter(|&r| usize::from(r) != RCX);
    if !thread_local && low == Some(ALWAYS_LOW) && !operand.address32 {
        // One register beside rcx fits into the operand.
        let beside = match (operand.base, operand.index) {
            (base, None) if one(base).is_some() => Some(Operand { index: Some(RCX as u8), scale: 1, ..operand }),
            (None, index) if one(index).is_some() => Some(Operand { base: Some(RCX as u8), ..operand }),
            _ => None,
        };
        if let Some(operand) = beside {
            low_into_rcx(lower, pc);
            return Reach { operand: Operand { segment: None, ..operand }, rip: None };
        }
    }
    // The application address into rcx, then the region's offset to it.
    let (rdx, spare) = (lower.saved(RDX), lower.thread.field(offset_of!(Context, spare)));
    lower.save_rcx(pc);
    operand.segment = None;
    lower.record(0, pc);
    if absolute {
        lower.code.mov_reg_const(RCX, address);
    } else {
        lower.code.lea(RCX, &operand);
    }
    lower.use_rcx(pc);
    lower.code.mov_mem_reg(&rdx, RDX);
    lower.record(kind::RDX, pc);
    if thread_local {
        lower.code.bytes(&[0xf3, 0x48, 0x0f, 0xae, 0xc2]); // rdfsbase rdx
        lower.code.lea(RCX, &Operand { index: Some(RDX as u8), ..Operand::at(RCX, 0) });
    }
    lower.code.mov_mem_reg(&spare, RCX);
    lower.code.op_reg_mem(false, &[0x0f, 0xb6], RDX as u8, &spare.plus((REGION_BITS / 8) as i32));
    let offsets = OFFSETS.0.as_ptr() as u64;
    lower.code.mov_reg_mem(RDX, &Operand { index: Some(RDX as u8), scale: 8, ..Operand::absolute(offsets as u32) });
    lower.code.lea(RCX, &Operand { index: Some(RDX as u8), ..Operand::at(RCX, 0) });
    lower.code.mov_reg_mem(RDX, &rdx);
    Reach { operand: Operand::at(RCX, 0), rip: None }
}

fn low_into_rcx(lower: &mut Lower<'_>, pc: GuestPc) {
    if !lower.low_in_rcx {
        lower.use_rcx(pc);
        lower.code.mov_reg_const(RCX, LOW_OFFSET);
        lower.low_in_rcx = true;
    }
}

// `prefix opcode /digit tag` with an immediate of `immediate` zero bytes behind it.
fn on_tag(lower: &mut Lower<'_>, reach: &Reach, at: u32, bytes: u32, opcodes: [&[u8]; 2], digit: u8, immediate: u32) {
    if bytes == 2 {
        lower.code.byte(0x66);
    }
    let opcode = if bytes == 1 { opcodes[0] } else { opcodes[1] };
    match reach.rip {
        None => lower.code.op_reg_mem(bytes == 8, opcode, digit, &reach.operand.plus(at as i32)),
        Some(address) => {
            lower.code.byte(0x65);
            if bytes == 8 {
                lower.code.byte(0x48);
            }
            lower.code.bytes(opcode);
            lower.code.byte(digit << 3 | 5);
            let end = lower.code.here().offset(4 + u64::from(immediate));
            lower.code.int32(address.wrapping_add(u64::from(at)).wrapping_sub(end.0) as i32);
        }
    }
    for _ in 0..immediate {
        lower.code.byte(0);
    }
}

fn test(lower: &mut Lower<'_>, step: &Step, memory: &UsedMemory, low: Option<u32>) {
    let pc = GuestPc(step.instruction.ip());
    let bytes = memory.memory_size().size() as u32;
    let piece = bytes.min(8);
    let (_, stub) = lower.thread.exit(lower.arena, ExitKind::Tagged, pc);
    if step.live == 0 {
        let reach = reach(lower, memory, low, pc);
        lower.record(kind::SHADOW, pc);
        for at in 0..bytes / piece {
            on_tag(lower, &reach, at * piece, piece, [&[0x80], &[0x83]], 7, 1); // cmp tag, 0
            let to = lower.stub_as_rcx_is(stub);
            lower.code.branch(&[0x0f, 0x85], to);
        }
        return;
    }
    // Flags live: the tag itself into rcx, and jrcxz. Where rcx held its address, that is made anew for each piece.
    for at in 0..bytes / piece {
        let reach = reach(lower, memory, low, pc);
        lower.save_rcx(pc);
        lower.record(kind::SHADOW, pc);
        match piece {
            1 => on_load(lower, &reach, at, &[0x0f, 0xb6], false),
            2 => on_load(lower, &reach, at * 2, &[0x0f, 0xb7], false),
            4 => on_load(lower, &reach, at * 4, &[0x8b], false),
            _ => on_load(lower, &reach, at * 8, &[0x8b], true),
        }
        lower.use_rcx(pc);
        let clean = lower.code.short(JRCXZ);
        let to = lower.stub_as_rcx_is(stub);
        lower.code.jmp(to);
        lower.code.land(clean);
    }
}

fn on_load(lower: &mut Lower<'_>, reach: &Reach, at: u32, opcode: &[u8], wide: bool) {
    match reach.rip {
        None => lower.code.op_reg_mem(wide, opcode, RCX as u8, &reach.operand.plus(at as i32)),
        Some(address) => {
            lower.code.byte(0x65);
            if wide {
                lower.code.byte(0x48);
            }
            lower.code.bytes(opcode);
            lower.code.byte((RCX as u8) << 3 | 5);
            let end = lower.code.here().offset(4);
            lower.code.int32(address.wrapping_add(u64::from(at)).wrapping_sub(end.0) as i32);
        }
    }
}

fn clear(lower: &mut Lower<'_>, step: &Step, memory: &UsedMemory, low: Option<u32>) {
    let pc = GuestPc(step.instruction.ip());
    let bytes = memory.memory_size().size() as u32;
    let piece = bytes.min(8);
    let reach = reach(lower, memory, low, pc);
    lower.record(kind::SHADOW, pc);
    for at in 0..bytes / piece {
        let immediate = match piece {
            1 => 1,
            2 => 2,
            _ => 4,
        };
        on_tag(lower, &reach, at * piece, piece, [&[0xc6], &[0xc7]], 0, immediate); // mov tag, 0
    }
}

/// Do for the instruction at `context.rip` what its fragment has left to the engine. Answers whether anything that it reads has a tag.
pub fn follow(context: &Context, instruction: &Instruction, used: &[UsedMemory]) -> bool {
    let mut tagged = false;
    for memory in used.iter().filter(|m| touches(m.access())) {
        let Some(address) = memory.virtual_address(0, |register, _, _| value(context, register)) else { continue };
        let size = (memory.memory_size().size() as u64).max(1);
        let (low, bytes) = if is_irregular(instruction) {
            let counter = context.regs[RCX];
            let count = if memory.base().is_gpr32() { counter & 0xffff_ffff } else { counter };
            let bytes = count.saturating_mul(size);
            const DIRECTION: u64 = 0x400;
            let back = context.rflags & DIRECTION != 0;
            (if back && count > 0 { address.wrapping_sub(bytes - size) } else { address }, bytes)
        } else if memory.memory_size().size() == 0 {
            (address, sys::vector_bytes())
        } else {
            (address, size)
        };
        if reads(memory.access()) {
            tagged |= any_tag(low, bytes);
        }
        if matches!(memory.access(), OpAccess::Write | OpAccess::CondWrite) {
            clear_tags(low, bytes);
        }
    }
    tagged
}

fn value(context: &Context, register: Register) -> Option<u64> {
    match register {
        Register::FS => Some(sys::fs_base()),
        Register::DS | Register::ES | Register::SS | Register::CS | Register::GS => Some(0),
        Register::ESI => Some(context.regs[RSI] & 0xffff_ffff),
        Register::EDI => Some(context.regs[RDI] & 0xffff_ffff),
        _ => number(register).map(|n| context.regs[usize::from(n)]),
    }
}

const PIECE: usize = 256;

/// What is known of an instruction's operand after its tag was not where it was looked for.
pub fn after_miss(known: Option<u32>) -> u32 {
    if known.is_none() { ALWAYS_LOW } else { ANYWHERE }
}

/// Whether any of these bytes of the application has a tag.
pub fn any_tag(address: u64, bytes: u64) -> bool {
    let mut piece = [0u8; PIECE];
    let mut at = 0;
    while at < bytes {
        let from = address.wrapping_add(at);
        let count = (bytes - at).min(PIECE as u64) as usize;
        let read = sys::read_guest(from.wrapping_add(offset_of_region(from)), &mut piece[..count]);
        if piece[..read].iter().any(|&tag| tag != 0) {
            return true;
        }
        if read == 0 {
            return false; // no shadow, no tag
        }
        at += read as u64;
    }
    false
}

/// Clear the tags of these bytes of the application, as far as they are in memory at all.
pub fn clear_tags(address: u64, bytes: u64) {
    let zeros = [0u8; PIECE];
    let mut piece = [0u8; PIECE];
    let mut at = 0;
    while at < bytes {
        let from = address.wrapping_add(at);
        let tag = from.wrapping_add(offset_of_region(from));
        let count = (bytes - at).min(PIECE as u64) as usize;
        let read = sys::read_guest(tag, &mut piece[..count]);
        if piece[..read].iter().any(|&tag| tag != 0) {
            sys::write_guest(tag, &zeros[..read]); // memory that was never touched stays so
        }
        if read == 0 {
            return;
        }
        at += read as u64;
    }
}

/// Whether an instruction uses the segment that the shadow needs.
pub fn needs_engine(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Wrgsbase | Mnemonic::Rdgsbase)
        || instruction.op_count() > 0 && (0..instruction.op_count()).any(|op| instruction.op_register(op) == Register::GS)
}
