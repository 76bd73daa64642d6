//! From application addresses to numbers: open-addressing tables of a thread, asked at each dispatch.

use alloc::vec::Vec;

use crate::emit::GuestPc;
use crate::heap;

const CELLS_MIN: usize = 64;
const VALUE_BITS: u32 = 17;
/// Numbers are below it.
pub const VALUES_END: usize = 1 << VALUE_BITS;

/// Maps an application address to a number. An address is set again rather than removed.
pub struct Index {
    cells: Vec<u64>, // an address, and in the low bits a number; 0: nothing
    used: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    pub fn new() -> Index {
        let mut index = Index { cells: Vec::with_capacity(CELLS_MIN), used: 0 };
        index.clear();
        index
    }

    /// Forget all, and all room but the least.
    pub fn clear(&mut self) {
        self.cells.truncate(CELLS_MIN);
        self.cells.shrink_to(CELLS_MIN);
        self.cells.fill(0);
        self.cells.resize(CELLS_MIN, 0);
        self.used = 0;
    }

    pub fn get(&self, pc: GuestPc) -> Option<u32> {
        let cell = self.cells[self.place(pc)];
        (cell != 0).then_some((cell & (VALUES_END as u64 - 1)) as u32)
    }

    /// Enter a number. Answers false if there is no room for it.
    pub fn set(&mut self, pc: GuestPc, value: u32) -> bool {
        if self.used * 2 >= self.cells.len() && !self.grow() && self.used * 8 >= self.cells.len() * 7 {
            return false;
        }
        let at = self.place(pc);
        self.used += usize::from(self.cells[at] == 0);
        self.cells[at] = pc.0 << VALUE_BITS | u64::from(value);
        true
    }

    // The cell of an address, or where it is to go.
    fn place(&self, pc: GuestPc) -> usize {
        let mut at = (pc.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (self.cells.len() - 1);
        while self.cells[at] != 0 && self.cells[at] >> VALUE_BITS != pc.0 & (u64::MAX >> VALUE_BITS) {
            at = (at + 1) & (self.cells.len() - 1);
        }
        at
    }

    fn grow(&mut self) -> bool {
        let count = self.cells.len() * 2;
        let mut cells = Vec::new();
        if !heap::has_room(count as u64 * 8) || cells.try_reserve_exact(count).is_err() {
            return false;
        }
        cells.resize(count, 0);
        let old = core::mem::replace(&mut self.cells, cells);
        for cell in old.into_iter().filter(|&cell| cell != 0) {
            let at = self.place(GuestPc(cell >> VALUE_BITS));
            self.cells[at] = cell;
        }
        true
    }
}
