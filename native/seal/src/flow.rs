//! What an instruction does to tags, in general: every byte that it writes gets the union of the tags of all that it reads.

use iced_x86::{Instruction, InstructionInfo, OpAccess};

use crate::abi::Context;
use crate::shadow;

/// Let the tags be what they are behind the instruction at `context.rip`, which is about to be made.
pub fn follow(context: &mut Context, instruction: &Instruction, info: &InstructionInfo) {
    let used = info.used_memory();
    let mut tag = 0;
    shadow::each_range(context, instruction, used, true, |low, bytes| tag |= shadow::union(low, bytes));
    for register in info.used_registers() {
        let full = register.register().full_register();
        if full.is_gpr64()
            && matches!(register.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
        {
            tag |= context.tags[full.number()].to_le_bytes().iter().fold(0, |all, tag| all | tag);
        }
    }
    for register in info.used_registers() {
        let full = register.register().full_register();
        if full.is_gpr64() && !matches!(register.access(), OpAccess::Read | OpAccess::CondRead) {
            context.tags[full.number()] = u64::from_le_bytes([tag; 8]);
        }
    }
    shadow::each_range(context, instruction, used, false, |low, bytes| shadow::set_tags(low, bytes, tag));
}
