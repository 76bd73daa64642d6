//! From application addresses to fragments: one open-addressing table a thread, asked at each dispatch.

use alloc::vec;
use alloc::vec::Vec;

use crate::emit::GuestPc;

const NOTHING: u32 = u32::MAX;

/// Maps an application address to a number. An address is set again rather than removed.
pub struct Index {
    cells: Vec<(u64, u32)>,
    used: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

impl Index {
    pub fn new() -> Index {
        Index { cells: vec![(0, NOTHING); 1024], used: 0 }
    }

    pub fn clear(&mut self) {
        *self = Index::new();
    }

    pub fn get(&self, pc: GuestPc) -> Option<u32> {
        let mut at = self.begin(pc);
        loop {
            let (key, value) = self.cells[at];
            if value == NOTHING {
                return None;
            }
            if key == pc.0 {
                return Some(value);
            }
            at = (at + 1) & (self.cells.len() - 1);
        }
    }

    pub fn set(&mut self, pc: GuestPc, value: u32) {
        if self.used * 2 >= self.cells.len() {
            self.grow();
        }
        let mut at = self.begin(pc);
        while self.cells[at].1 != NOTHING && self.cells[at].0 != pc.0 {
            at = (at + 1) & (self.cells.len() - 1);
        }
        if self.cells[at].1 == NOTHING {
            self.used += 1;
        }
        self.cells[at] = (pc.0, value);
    }

    fn begin(&self, pc: GuestPc) -> usize {
        (pc.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (self.cells.len() - 1)
    }

    fn grow(&mut self) {
        let old = core::mem::take(&mut self.cells);
        self.cells = vec![(0, NOTHING); old.len() * 2];
        self.used = 0;
        for (key, value) in old {
            if value != NOTHING {
                self.set(GuestPc(key), value);
            }
        }
    }
}
