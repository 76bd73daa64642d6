//! Tables of addresses that jumps choose from, in memory that nobody writes: the heart of interpreters.
//!
//! Owns which jumps these are, and a twin of each table that has host addresses instead. `mov r,[r*8+T]; jmp r`, where r has been made of a byte,
//! becomes `jmp [r*8+twin]`. An entry of the twin leads into the engine, or, once it has been used, to a pad: `mov r,address`, and the
//! fragment behind it. Such a jump costs what it costs natively. A table that may be written from some time on leads into the engine.

use iced_x86::{Code as Op, FlowControl, OpAccess, Register};

use crate::cache::{ExitKind, Thread};
use crate::emit::{GuestPc, HostPc};
use crate::translate::{Step, number};
use crate::{pages, sys};

const ENTRIES: u64 = 256;
const TABLES_MAX: usize = 16;

/// One table, for one register.
pub struct Table {
    pub at: u64,
    pub register: u8,
    twin: u64,
    stub: HostPc,
    constant: bool,
}

impl Table {
    fn set(&self, entry: u64, host: HostPc) {
        sys::set_constant(self.twin + entry * 8, host.0);
    }

    fn empty(&self) {
        (0..ENTRIES).for_each(|entry| self.set(entry, self.stub));
    }

    /// Return where the twin is, for jumps to index it.
    pub fn twin(&self) -> u64 {
        self.twin
    }
}

/// Return the number of the table that the last two of these steps load an address from and jump to.
pub fn of_jump(thread: &mut Thread, arena: usize, steps: &[Step]) -> Option<u16> {
    let [before @ .., load, jump] = steps else { return None };
    let register = load.instruction.op0_register();
    let matches = jump.instruction.code() == Op::Jmp_rm64
        && jump.instruction.op0_register() == register
        && register != Register::RCX
        && load.instruction.code() == Op::Mov_r64_rm64
        && load.instruction.memory_base() == Register::None
        && load.instruction.memory_index() == register
        && load.instruction.memory_index_scale() == 8
        && !load.instruction.has_segment_prefix();
    if !matches || !is_byte(thread, before, register) {
        return None;
    }
    let (at, register) = (load.instruction.memory_displacement64(), number(register)?);
    let known = thread.tables.iter().position(|table| table.at == at && table.register == register);
    match known {
        Some(number) => thread.tables[number].constant.then_some(number as u16),
        None => open(thread, arena, at, register),
    }
}

// Whether a register holds a byte behind these steps.
fn is_byte(thread: &mut Thread, steps: &[Step], register: Register) -> bool {
    for step in steps.iter().rev() {
        if matches!(step.instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall) {
            return false;
        }
        let info = thread.scratch.info.info(&step.instruction);
        if info.used_registers().iter().any(|used| {
            used.register().full_register() == register && !matches!(used.access(), OpAccess::Read | OpAccess::CondRead)
        }) {
            return matches!(step.instruction.code(), Op::Movzx_r32_rm8 | Op::Movzx_r64_rm8);
        }
    }
    false
}

fn open(thread: &mut Thread, arena: usize, at: u64, register: u8) -> Option<u16> {
    // In this order: should its rights change meanwhile, it is heard of.
    pages::translated(at, at + ENTRIES * 8);
    if thread.tables.len() >= TABLES_MAX || !pages::is_constant(at, at + ENTRIES * 8) {
        return None;
    }
    let twin = thread.constants(ENTRIES)?;
    let number = thread.tables.len() as u16;
    let (_, stub) = thread.exit(arena, ExitKind::Table(number), GuestPc(at));
    let table = Table { at, register, twin, stub, constant: true };
    table.empty();
    thread.tables.push(table);
    Some(number)
}

/// Let an entry lead to a pad, if the table is still what it was.
pub fn note(thread: &Thread, table: u16, entry: u8, host: HostPc) {
    let table = &thread.tables[usize::from(table)];
    if table.constant {
        table.set(u64::from(entry), host);
    }
}

/// Fragments die, and what is written in `low..high` may change.
pub fn forget(thread: &mut Thread, low: u64, high: u64) {
    for table in &mut thread.tables {
        table.constant &= table.at >= high || table.at + ENTRIES * 8 <= low;
        table.empty();
    }
}
