//! The shadow's part in a fragment: a test of the tags that an instruction reads, a clearing of those that it writes.

use iced_x86::Instruction;

use crate::lower::Lower;
use crate::translate::Step;

pub const READY: bool = false;

/// Whether an instruction touches memory in a way that only the engine can follow.
pub fn needs_engine(_instruction: &Instruction) -> bool {
    false
}

/// Write what goes before `step`.
pub fn before(_lower: &mut Lower<'_>, _step: &Step) {}
