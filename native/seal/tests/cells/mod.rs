//! Cells: every byte that an instruction can read or write, registers and memory, in one row; and the tag of each.

use iced_x86::Register;

use crate::generate::world;
use seal::abi::Context;
use seal::{shadow, sys};

pub const VECTOR_CELLS: usize = 16 * 8;
pub const MASK_CELLS: usize = VECTOR_CELLS + 32 * 64;
pub const X87_CELLS: usize = MASK_CELLS + 8 * 8;
pub const X87_BYTES: usize = 10;
pub const MEMORY_CELLS: usize = X87_CELLS + 8 * X87_BYTES;

/// The operands in memory, each with its surroundings.
pub type Windows = Vec<(u64, u64)>;

/// Where the parts of vector registers lie in an XSAVE image: first byte, bytes, first cell.
pub struct Layout(Vec<(usize, usize, usize)>);

impl Layout {
    pub fn new() -> Layout {
        let offset = |component: u32| core::arch::x86_64::__cpuid_count(0xd, component).ebx as usize;
        let vector = |number: usize, byte: usize| VECTOR_CELLS + number * 64 + byte;
        let mut parts = Vec::new();
        for at in 0..16 {
            parts.push((160 + at * 16, 16, vector(at, 0)));
            parts.push((offset(2) + at * 16, 16, vector(at, 16)));
        }
        if sys::vector_features() & 0xe0 == 0xe0 {
            for at in 0..16 {
                parts.push((offset(6) + at * 32, 32, vector(at, 32)));
                parts.push((offset(7) + at * 64, 64, vector(16 + at, 0)));
            }
            parts.push((offset(5), 64, MASK_CELLS));
        }
        Layout(parts)
    }

    pub fn read(&self, state: &world::State, windows: &Windows, cells: &mut Vec<u8>) {
        cells.clear();
        cells.extend(state.regs.iter().flat_map(|register| register.to_le_bytes()));
        cells.resize(MEMORY_CELLS, 0);
        for &(at, bytes, cell) in &self.0 {
            cells[cell..cell + bytes].copy_from_slice(&state.vectors[at..at + bytes]);
        }
        let top = usize::from(state.vectors[3] >> 3 & 7);
        for at in 0..8 {
            let cell = X87_CELLS + (top + at) % 8 * X87_BYTES;
            cells[cell..cell + X87_BYTES].copy_from_slice(&state.vectors[32 + at * 16..][..X87_BYTES]);
        }
        for &(address, bytes) in windows {
            cells.extend_from_slice(sys::octets(address, bytes as usize));
        }
    }

    pub fn write(&self, state: &mut world::State, windows: &Windows, cells: &[u8]) {
        for (register, bytes) in state.regs.iter_mut().zip(cells.as_chunks::<8>().0) {
            *register = u64::from_le_bytes(*bytes);
        }
        for &(at, bytes, cell) in &self.0 {
            state.vectors[at..at + bytes].copy_from_slice(&cells[cell..cell + bytes]);
        }
        let top = usize::from(state.vectors[3] >> 3 & 7);
        for at in 0..8 {
            let cell = X87_CELLS + (top + at) % 8 * X87_BYTES;
            state.vectors[32 + at * 16..][..X87_BYTES].copy_from_slice(&cells[cell..cell + X87_BYTES]);
        }
        let mut cell = MEMORY_CELLS;
        for &(address, bytes) in windows {
            sys::octets(address, bytes as usize).copy_from_slice(&cells[cell..cell + bytes as usize]);
            cell += bytes as usize;
        }
    }
}

pub fn address_of(cell: usize, windows: &Windows) -> u64 {
    let mut offset = (cell - MEMORY_CELLS) as u64;
    for &(address, bytes) in windows {
        if offset < bytes {
            return address + offset;
        }
        offset -= bytes;
    }
    panic!("no such cell");
}

pub fn name(cell: usize, windows: &Windows) -> String {
    match cell {
        0..VECTOR_CELLS => format!("{:?}.{}", Register::RAX + (cell / 8) as u32, cell % 8),
        VECTOR_CELLS..MASK_CELLS => format!("v{}.{}", (cell - VECTOR_CELLS) / 64, (cell - VECTOR_CELLS) % 64),
        MASK_CELLS..X87_CELLS => format!("k{}.{}", (cell - MASK_CELLS) / 8, (cell - MASK_CELLS) % 8),
        X87_CELLS..MEMORY_CELLS => format!("x87 {}.{}", (cell - X87_CELLS) / X87_BYTES, (cell - X87_CELLS) % X87_BYTES),
        _ => format!("[{:x}]", address_of(cell, windows)),
    }
}

pub fn set_tag(context: &mut Context, cell: usize, windows: &Windows) {
    match cell {
        0..VECTOR_CELLS => context.tags[cell / 8] |= 1 << (cell % 8 * 8),
        VECTOR_CELLS..MASK_CELLS => context.vector_tags[(cell - VECTOR_CELLS) / 64][(cell - VECTOR_CELLS) % 64] = 1,
        MASK_CELLS..X87_CELLS => context.mask_tags[(cell - MASK_CELLS) / 8] |= 1 << (cell % 8 * 8),
        X87_CELLS..MEMORY_CELLS => context.x87_tags[(cell - X87_CELLS) / X87_BYTES] = 1,
        _ => shadow::write_tags(address_of(cell, windows), &[1]),
    }
}

pub fn clear_tags(context: &mut Context, windows: &Windows) {
    context.tags = [0; 16];
    context.vector_tags = [[0; 64]; 32];
    context.mask_tags = [0; 8];
    context.x87_tags = [0; 8];
    windows.iter().for_each(|&(address, bytes)| shadow::clear_tags(address, bytes));
}

pub fn read_tags(context: &Context, windows: &Windows, tags: &mut Vec<u8>) {
    tags.clear();
    tags.extend(context.tags.iter().flat_map(|register| register.to_le_bytes()));
    tags.extend(context.vector_tags.iter().flatten());
    tags.extend(context.mask_tags.iter().flat_map(|mask| mask.to_le_bytes()));
    tags.extend(context.x87_tags.iter().flat_map(|&tag| [tag; X87_BYTES]));
    for &(address, bytes) in windows {
        let begin = tags.len();
        tags.resize(begin + bytes as usize, 0);
        shadow::read_tags(address, &mut tags[begin..]);
    }
}

/// The cells of a register.
pub fn cells_of(register: Register) -> std::ops::Range<usize> {
    let (number, bytes) = (register.full_register().number(), register.size());
    if register.is_gpr() {
        number * 8..number * 8 + 8
    } else if register.is_vector_register() {
        let first = VECTOR_CELLS + number * 64;
        first..first + bytes
    } else if register.is_k() {
        MASK_CELLS + number * 8..MASK_CELLS + number * 8 + 8
    } else if register.is_st() || register.is_mm() {
        X87_CELLS..MEMORY_CELLS // which one it is depends on what stands on top
    } else {
        0..0
    }
}
