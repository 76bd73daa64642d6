//! Memory element by element: gathers and scatters, and stores of which a mask says what they write.

use iced_x86::{OpKind, UsedMemory};

use super::vector::lanes;
use super::{Flow, reads, writes};
use crate::tags::{Tagged, Tags};

#[derive(Clone, Copy)]
pub enum Elements {
    Gather,
    Scatter,
    Masked,      // vmaskmovps and its like, either way
    MaskedBytes, // maskmovdqu
    Far,         // movdir64b
}

impl<T: Tagged> Flow<'_, T> {
    pub fn elements(&mut self, rule: Elements) {
        match rule {
            Elements::Gather => self.gather(),
            Elements::Scatter => self.scatter(),
            Elements::Masked => self.masked(),
            Elements::MaskedBytes => {
                let Some((at, bytes)) = self.operand_memory() else { return };
                let tags = self.state.memory(at, bytes).or(&self.operand(1)).or(&self.operand(2));
                self.state.set_memory(at, bytes, &tags);
            }
            Elements::Far => {
                let place = |wanted: fn(iced_x86::OpAccess) -> bool| {
                    self.info.used_memory().iter().find(|memory| wanted(memory.access())).and_then(|memory| self.place(memory))
                };
                if let (Some(from), Some(to)) = (place(reads), place(writes)) {
                    let tags = self.state.memory(from, Tags::BYTES_MAX);
                    self.state.set_memory(to, Tags::BYTES_MAX, &tags);
                }
            }
        }
    }

    // Where each element lies, and how large it is. An index's own tag is an address's.
    fn each_place(&self, elements_bytes: usize) -> impl Iterator<Item = u64> + use<T> {
        let memory: Option<UsedMemory> = self.info.used_memory().first().copied();
        let mut places = [None; Tags::BYTES_MAX / 4];
        if let Some(memory) = memory.filter(|memory| memory.vsib_size() != 0) {
            let size = memory.vsib_size() as usize;
            let indices = self.state.vector(memory.index());
            let count = (memory.index().size() / size).min(elements_bytes / self.element_bytes());
            for (element, place) in places.iter_mut().enumerate().take(count) {
                let value = |register: iced_x86::Register, _, _| {
                    if !register.is_vector_register() {
                        return self.state.value(register);
                    }
                    let mut index = [0; 8];
                    index[..size].copy_from_slice(&indices[element * size..][..size]);
                    Some(u64::from_le_bytes(index))
                };
                *place = memory.virtual_address(element, value);
            }
        }
        places.into_iter().map_while(|place| place)
    }

    fn element_bytes(&self) -> usize {
        self.instruction.memory_size().size().clamp(4, 8)
    }

    // What decides whether an element moves: a bit of a mask, or the topmost of an element of the last operand.
    fn deciding_elements(&self) -> Tags {
        if self.instruction.has_op_mask() {
            return Tags::all(self.state.register(self.instruction.op_mask()).union(), Tags::BYTES_MAX);
        }
        lanes(&self.operand(2), self.element_bytes())
    }

    // It ends as zeros.
    fn clear_deciding(&mut self) {
        if self.instruction.has_op_mask() {
            self.state.set_register(self.instruction.op_mask(), &Tags::CLEAN);
        } else if let Some(register) = self.explicit(2) {
            self.set_register(register, &Tags::CLEAN);
        }
    }

    fn gather(&mut self) {
        let Some(register) = self.explicit(0) else { return };
        let (size, deciding, old) = (self.element_bytes(), self.deciding_elements(), self.operand(0));
        let mut tags = Tags::CLEAN;
        for (element, place) in self.each_place(register.size()).enumerate() {
            let loaded = self.state.memory(place, size);
            for byte in 0..size {
                let at = element * size + byte;
                tags.0[at] = loaded.0[byte] | old.0[at] | deciding.0[at];
            }
        }
        self.clear_deciding();
        self.set_register(register, &tags);
    }

    fn scatter(&mut self) {
        let (size, deciding, source) = (self.element_bytes(), self.deciding_elements(), self.operand(1));
        for (element, place) in self.each_place(self.width(1)).enumerate() {
            let mut tags = self.state.memory(place, size);
            for byte in 0..size {
                tags.0[byte] |= source.0[element * size + byte] | deciding.0[element * size + byte];
            }
            self.state.set_memory(place, size, &tags);
        }
        self.clear_deciding();
    }

    fn masked(&mut self) {
        let size = self.instruction.memory_size().element_size().clamp(4, 8);
        let mut tags = lanes(&self.operand(1), size).or(&self.operand(2));
        if self.instruction.op_kind(0) == OpKind::Memory {
            tags = tags.or(&self.operand(0));
        }
        self.write(0, &tags);
    }
}
