//! Rules for vector registers, of MMX, SSE, AVX and AVX-512 alike: an older form's first operand is also its first input.

use iced_x86::{EncodingKind, Instruction, OpKind};

use super::scalar::{Shift, shifted};
use super::{Flow, reads};
use crate::tags::{Tagged, Tags};

const LANE_BYTES: usize = 16;

#[derive(Clone, Copy)]
pub enum Vector {
    Move,                    // byte to byte, zeros above
    Low(usize),              // of the low bytes of the last operand alone
    MoveLow(usize),          // these bytes of the last operand, the rest of the first
    MoveHalf { high: bool }, // movlps, movhps
    Cross { up: bool },      // movlhps, movhlps
    Bytes,                   // byte by byte
    FusedBytes,              // ... the first operand too
    Blend,                   // likewise, by mask
    Carry,                   // within an element, a byte depends on those below it
    Each,                    // element by element
    Lanes(usize),            // as elements of this size
    Choose(usize),           // between two, by the topmost bits of a third: xmm0 where none is named
    Fused,                   // element by element, the first operand too
    FusedLanes(usize),
    One { from: usize, to: usize },     // the lowest element of both inputs; the rest is the first's
    OneOf { from: usize, to: usize },   // ... of the last operand alone
    OneFused(usize),                    // ... of all three
    Convert { from: usize, to: usize }, // element by element, each to another size
    Extend { from: usize, to: usize },  // by zeros
    ExtendSigned { from: usize, to: usize },
    Truncate { from: usize, to: usize },
    Pairs(usize), // lane by lane: elements of this size, of two each, first the one input's
    Mask(usize),  // a bit of each element
    Shift(usize, Shift),
    ShiftLane { left: bool },
    Repeat(usize),
    RepeatEach { size: usize, odd: bool, of: usize },
    Insert(usize),
    Extract(usize),
    InsertSingle,
    Interleave { size: usize, high: bool },
    Words { from: usize }, // pshuflw, pshufhw
    Four(usize),           // four elements of a lane of this size, by two bits each: pshufd, vpermq
    Two(usize),            // shufps, shufpd
    Select(usize),         // pblendw and its like
    Align,                 // palignr
    AlignElements(usize),  // valignd
    Quarters,              // vshuff32x4
    Alternate,             // vpermilpd
    Halves,                // vperm2f128
    ByBytes,               // pshufb
    Uppers,                // vzeroupper
}

impl<T: Tagged> Flow<'_, T> {
    pub fn vector(&mut self, rule: Vector) {
        let tags = match rule {
            Vector::Move => {
                let source = self.operand(1);
                moved_bytes(self.instruction).map_or(source, |bytes| source.first(bytes))
            }
            Vector::Low(bytes) => Tags::all(self.operand(1).first(bytes).union(), Tags::BYTES_MAX),
            Vector::MoveLow(bytes) => self.moved_low(bytes),
            Vector::MoveHalf { high } => self.moved_half(high),
            Vector::Cross { up } => {
                let (first, last) = (self.first(), self.last());
                self.made(|at| match (at / 8, up) {
                    (0, false) => last.0[at + 8],
                    (1, true) => last.0[at - 8],
                    (0 | 1, _) => first.0[at],
                    _ => 0,
                })
            }
            Vector::Bytes => self.all_inputs(false),
            Vector::FusedBytes => self.all_inputs(true),
            Vector::Blend => return self.blend(),
            Vector::Carry => self.carry_elements(),
            Vector::Each => lanes(&self.all_inputs(false), self.element()),
            Vector::Lanes(size) => lanes(&self.all_inputs(false), size),
            Vector::Choose(size) => self.choose(size),
            Vector::Fused => lanes(&self.all_inputs(true), self.element()),
            Vector::FusedLanes(size) => lanes(&self.all_inputs(true), size),
            Vector::One { from, to } => self.one(self.first().or(&self.last()).first(from).union(), to),
            Vector::OneOf { from, to } => self.one(self.last().first(from).union(), to),
            Vector::OneFused(size) => self.one_fused(size),
            Vector::Convert { from, to } => {
                let source = self.operand(1);
                let tag = |element: usize| part(&source, element * from, from).iter().fold(0, |all, tag| all | tag);
                self.made(|at| tag(at / to))
            }
            Vector::Extend { from, to } => {
                let source = self.operand(1);
                self.made(|at| if at % to < from { source.0[at / to * from + at % to] } else { 0 })
            }
            Vector::ExtendSigned { from, to } => {
                let source = self.operand(1);
                self.made(|at| source.0[at / to * from + (at % to).min(from - 1)])
            }
            Vector::Truncate { from, to } => {
                let source = self.operand(1);
                self.made(|at| source.0.get(at / to * from + at % to).copied().unwrap_or(0))
            }
            Vector::Pairs(size) => self.pairs(size),
            Vector::Mask(size) => {
                let (source, width) = (self.operand(1), self.width(1));
                let bits = |at: usize| (8 * at..8 * at + 8).filter(move |bit| bit * size < width);
                self.made(|at| bits(at).fold(0, |all, bit| all | source.0[bit * size + size - 1]))
            }
            Vector::Shift(size, shift) => self.shift_elements(size, shift),
            Vector::ShiftLane { left } => {
                let (source, by) = (self.source(), usize::from(self.immediate().unwrap_or(0)).min(LANE_BYTES));
                self.made(|at| match (at % LANE_BYTES, left) {
                    (within, true) if within >= by => source.0[at - by],
                    (within, false) if within + by < LANE_BYTES => source.0[at + by],
                    _ => 0,
                })
            }
            Vector::Repeat(size) => {
                let source = self.operand(1);
                self.made(|at| source.0[at % size])
            }
            Vector::RepeatEach { size, odd, of } => {
                let source = self.operand(1);
                self.made(|at| source.0[at / of * of + if odd { size } else { 0 } + at % size])
            }
            Vector::Insert(size) => self.insert(size),
            Vector::Extract(size) => self.extract(size),
            Vector::InsertSingle => self.insert_single(),
            Vector::Interleave { size, high } => self.interleave(size, high),
            Vector::Words { from } => {
                let (source, by) = (self.operand(1), usize::from(self.immediate().unwrap_or(0)));
                self.made(|at| match (at % LANE_BYTES).wrapping_sub(from) {
                    within @ 0..8 => source.0[at - within + (by >> (within / 2 * 2) & 3) * 2 + within % 2],
                    _ => source.0[at],
                })
            }
            Vector::Four(size) => self.four(size),
            Vector::Two(size) => self.two(size),
            Vector::Select(size) => {
                let (first, last, by) = (self.first(), self.last(), self.immediate().unwrap_or(0));
                // pblendw's eight bits hold for each lane.
                self.made(|at| if by >> (at / size % 8) & 1 != 0 { last.0[at] } else { first.0[at] })
            }
            Vector::Align => self.align(),
            Vector::AlignElements(size) => {
                let (first, last, width) = (self.first(), self.last(), self.width(0));
                let by = usize::from(self.immediate().unwrap_or(0)) % (width / size) * size;
                self.made(|at| match at + by {
                    from if from < width => last.0[from],
                    from if from < 2 * width => first.0[from - width],
                    _ => 0,
                })
            }
            Vector::Quarters => {
                let (first, last, by) = (self.first(), self.last(), usize::from(self.immediate().unwrap_or(0)));
                let count = self.width(0) / LANE_BYTES; // two or four lanes, by a bit or two each
                self.made(|at| {
                    let lane = at / LANE_BYTES % count;
                    let from = (by >> (lane * (count / 2)) & (count - 1)) * LANE_BYTES + at % LANE_BYTES;
                    if lane < count / 2 { first.0[from] } else { last.0[from] }
                })
            }
            Vector::Alternate => match self.immediate() {
                Some(by) => {
                    let source = self.operand(1);
                    self.made(|at| source.0[at / LANE_BYTES * LANE_BYTES + usize::from(by >> (at / 8) & 1) * 8 + at % 8])
                }
                None => self.permuted(4),
            },
            Vector::Halves => {
                let (first, last, by) = (self.first(), self.last(), self.immediate().unwrap_or(0));
                self.made(|at| match (at / LANE_BYTES, by >> (at / LANE_BYTES % 2 * 4) & 0xf) {
                    (2.., _) | (_, 8..) => 0,
                    (_, which) => {
                        let from = usize::from(which & 1) * LANE_BYTES + at % LANE_BYTES;
                        if which & 2 == 0 { first.0[from] } else { last.0[from] }
                    }
                })
            }
            Vector::ByBytes => self.by_bytes(),
            Vector::Uppers => return self.uppers(),
        };
        if self.instruction.op0_register().is_k() && !matches!(rule, Vector::Move | Vector::Mask(_) | Vector::Bytes) {
            return self.write(0, &self.bits(&tags));
        }
        self.write(0, &tags);
    }

    // What becomes of a comparison in a mask: a bit of each element.
    fn bits(&self, tags: &Tags) -> Tags {
        let size = self.element();
        self.made(|at| part(tags, 8 * at * size, 8 * size).iter().fold(0, |all, tag| all | tag))
    }

    // The output, each byte as asked.
    fn made(&self, mut tag: impl FnMut(usize) -> u8) -> Tags {
        let mut tags = Tags::CLEAN;
        tags.0[..self.width(0)].iter_mut().enumerate().for_each(|(at, to)| *to = tag(at));
        tags
    }

    // ---- inputs

    // The last operand that is no immediate.
    fn last_at(&self) -> u32 {
        let registers = |at: &u32| matches!(self.instruction.op_kind(*at), OpKind::Register | OpKind::Memory);
        (0..self.instruction.op_count()).rev().find(registers).unwrap_or(0)
    }

    fn last(&self) -> Tags {
        self.operand(self.last_at())
    }

    // The one before it: in older forms the first, which is written too.
    fn first_at(&self) -> u32 {
        self.last_at().min(2).saturating_sub(1)
    }

    fn first(&self) -> Tags {
        self.operand(self.first_at())
    }

    // What a shift by an immediate shifts.
    fn source(&self) -> Tags {
        self.operand(u32::from(self.instruction.op_count() == 3))
    }

    // All that is read, byte by byte. `fused`: the first operand is an input, not only what may stay there.
    fn all_inputs(&self, fused: bool) -> Tags {
        let reads_first = fused || reads(self.info.op_access(0)) && !self.instruction.has_op_mask();
        let first = if reads_first { self.operand(0) } else { Tags::CLEAN };
        (1..self.instruction.op_count()).fold(first, |tags, at| tags.or(&self.operand(at)))
    }

    // How large the elements are that the operand in memory has, or would have.
    fn element(&self) -> usize {
        match self.instruction.memory_size().element_size() {
            0 => Tags::BYTES_MAX,
            size => size,
        }
    }

    // ---- one element, the rest unchanged

    fn one(&self, tag: u8, size: usize) -> Tags {
        let legacy = self.instruction.code().encoding() == EncodingKind::Legacy;
        let rest = self.operand(u32::from(!legacy));
        let is_vector = self.explicit(0).is_some_and(|register| register.is_vector_register());
        self.made(|at| match at {
            _ if at < size => tag,
            _ if is_vector && at < LANE_BYTES => rest.0[at],
            _ if is_vector => 0,
            _ => tag,
        })
    }

    fn one_fused(&self, size: usize) -> Tags {
        let (old, inputs) = (self.operand(0), self.all_inputs(true));
        let tag = inputs.first(size).union();
        self.made(|at| if at < size { tag } else { old.0[at] })
    }

    fn moved_low(&self, bytes: usize) -> Tags {
        let source = self.last();
        let both_registers = (0..2).all(|at| self.explicit(at).is_some());
        if !both_registers {
            return source.first(bytes);
        }
        let rest = self.first();
        self.made(|at| if at < bytes { source.0[at] } else { rest.0[at] })
    }

    fn moved_half(&self, high: bool) -> Tags {
        let source = self.last();
        let from = if high { 8 } else { 0 };
        if self.explicit(0).is_none() {
            return self.made(|at| if at < 8 { source.0[at + from] } else { 0 });
        }
        let rest = self.first();
        self.made(|at| match at.wrapping_sub(from) {
            within @ 0..8 => source.0[within],
            _ if at < LANE_BYTES => rest.0[at],
            _ => 0,
        })
    }

    fn insert(&self, size: usize) -> Tags {
        let (first, last, width) = (self.first(), self.last(), self.width(0));
        let to = usize::from(self.immediate().unwrap_or(0)) % (width / size) * size;
        self.made(|at| match at.wrapping_sub(to) {
            within if within < size => last.0[within],
            _ => first.0[at],
        })
    }

    fn extract(&self, size: usize) -> Tags {
        let (source, width) = (self.operand(1), self.width(1));
        let from = usize::from(self.immediate().unwrap_or(0)) % (width / size) * size;
        self.made(|at| if at < size { source.0[from + at] } else { 0 })
    }

    fn insert_single(&self) -> Tags {
        let (first, last, by) = (self.first(), self.last(), usize::from(self.immediate().unwrap_or(0)));
        let from = if self.explicit(self.last_at()).is_some() { by >> 6 } else { 0 };
        self.made(|at| match at / 4 {
            4.. => 0,
            element if by >> element & 1 != 0 => 0,
            element if element == by >> 4 & 3 => last.0[from * 4 + at % 4],
            _ => first.0[at],
        })
    }

    // ---- lane by lane

    fn blend(&mut self) {
        let tags = self.operand(1).or(&self.operand(2));
        if !self.instruction.has_op_mask() || self.instruction.zeroing_masking() {
            return self.write(0, &tags);
        }
        let tags = tags.or(&self.deciding(false)).first(self.width(0));
        if let Some(register) = self.explicit(0) {
            self.set_register(register, &tags);
        }
    }

    fn choose(&self, size: usize) -> Tags {
        let named = self.instruction.op_count() > 2;
        let by = if named { self.operand(3) } else { self.state.register(iced_x86::Register::XMM0) };
        lanes(&by, size).or(&self.operand(u32::from(named))).or(&self.operand(1 + u32::from(named)))
    }

    fn carry_elements(&self) -> Tags {
        let (inputs, size) = (self.all_inputs(false), self.element());
        let mut below = 0;
        self.made(|at| {
            below = if at % size == 0 { inputs.0[at] } else { below | inputs.0[at] };
            below
        })
    }

    // Each element is made of two neighbours, or of one that is twice as large.
    fn pairs(&self, size: usize) -> Tags {
        let (first, last) = (self.first(), self.last());
        let lane = self.width(0).min(LANE_BYTES);
        self.made(|at| {
            let within = at % lane;
            let input = if within < lane / 2 { &first } else { &last };
            let from = at / lane * lane + within % (lane / 2) / size * size * 2;
            part(input, from, 2 * size).iter().fold(0, |all, tag| all | tag)
        })
    }

    fn shift_elements(&self, size: usize, shift: Shift) -> Tags {
        let source = self.source();
        let Some(by) = self.immediate() else {
            // By the low half of a register, all elements alike.
            let by = self.last().first(8).union();
            return lanes(&self.first(), size).or(&Tags::all(by, self.width(0)));
        };
        let mut tags = Tags::CLEAN;
        for at in (0..self.width(0)).step_by(size) {
            let mut element = Tags::CLEAN;
            element.0[..size].copy_from_slice(&source.0[at..at + size]);
            let moved = shifted(&element, size, shift, usize::from(by));
            tags.0[at..at + size].copy_from_slice(&moved.0[..size]);
        }
        tags
    }

    fn interleave(&self, size: usize, high: bool) -> Tags {
        let (first, last) = (self.first(), self.last());
        let lane = self.width(0).min(LANE_BYTES);
        self.made(|at| {
            let within = at % lane;
            let input = if (within / size).is_multiple_of(2) { &first } else { &last };
            let from = within / size / 2 * size + if high { lane / 2 } else { 0 };
            input.0[at / lane * lane + from + within % size]
        })
    }

    fn four(&self, size: usize) -> Tags {
        let Some(by) = self.immediate() else { return self.permuted(size) };
        let (source, by, lane) = (self.operand(1), usize::from(by), self.width(0).min(4 * size));
        self.made(|at| source.0[at / lane * lane + (by >> (at / size % 4 * 2) & 3) * size % lane + at % size])
    }

    // By another register: within a lane, or anywhere.
    fn permuted(&self, size: usize) -> Tags {
        let (first, last) = (self.first(), self.last());
        if size == 8 {
            return Tags::all(first.union() | last.union(), Tags::BYTES_MAX);
        }
        lanes(&first.or(&last), LANE_BYTES)
    }

    fn two(&self, size: usize) -> Tags {
        let (first, last, by) = (self.first(), self.last(), usize::from(self.immediate().unwrap_or(0)));
        self.made(|at| {
            let within = at % LANE_BYTES;
            let input = if within < LANE_BYTES / 2 { &first } else { &last };
            let which = if size == 4 { by >> (within / size * 2) & 3 } else { by >> (at / size) & 1 };
            input.0[at / LANE_BYTES * LANE_BYTES + which * size + at % size]
        })
    }

    fn align(&self) -> Tags {
        let (first, last, by) = (self.first(), self.last(), usize::from(self.immediate().unwrap_or(0)));
        let lane = self.width(0).min(LANE_BYTES);
        self.made(|at| match at % lane + by {
            from if from < lane => last.0[at / lane * lane + from],
            from if from < 2 * lane => first.0[at / lane * lane + from - lane],
            _ => 0,
        })
    }

    // The last operand says of each byte where it comes from.
    fn by_bytes(&self) -> Tags {
        let (first, last) = (self.first(), self.last());
        let lane = self.width(0).min(LANE_BYTES);
        let within = |at: usize| at / lane * lane;
        if first.is_clean() {
            return last;
        }
        match self.value_of(self.last_at()) {
            Some(by) => self.made(|at| {
                let moved = if by[at] & 0x80 == 0 { first.0[within(at) + usize::from(by[at]) % lane] } else { 0 };
                last.0[at] | if last.0[at] != 0 { part(&first, within(at), lane).iter().fold(0, |a, t| a | t) } else { moved }
            }),
            None => lanes(&first, lane).or(&last),
        }
    }

    fn value_of(&self, operand: u32) -> Option<[u8; Tags::BYTES_MAX]> {
        match self.explicit(operand) {
            Some(register) if register.is_vector_register() => Some(self.state.vector(register)),
            Some(_) => None,
            None => {
                let (at, bytes) = self.operand_memory()?;
                let mut value = [0; Tags::BYTES_MAX];
                (self.state.read(at, &mut value[..bytes]) == bytes).then_some(value)
            }
        }
    }

    // All but the low halves.
    fn uppers(&mut self) {
        for number in 0..16 {
            let register = iced_x86::Register::XMM0 + number;
            let low = self.state.register(register);
            self.state.set_register(register.full_register(), &low);
        }
    }
}

/// How many bytes a move of whole operands moves, where that is less than both registers have: movq, kmovd.
pub fn moved_bytes(instruction: &Instruction) -> Option<usize> {
    Some(instruction.memory_size().size()).filter(|&bytes| bytes != 0)
}

// `bytes` tags from `from` on, as far as there are such.
fn part(tags: &Tags, from: usize, bytes: usize) -> &[u8] {
    &tags.0[from.min(Tags::BYTES_MAX)..(from + bytes).min(Tags::BYTES_MAX)]
}

/// The union within each lane.
pub fn lanes(tags: &Tags, size: usize) -> Tags {
    match size {
        1 => *tags,
        2 => lanes_of::<2>(tags),
        4 => lanes_of::<4>(tags),
        8 => lanes_of::<8>(tags),
        16 => lanes_of::<16>(tags),
        _ => Tags::all(tags.union(), Tags::BYTES_MAX),
    }
}

fn lanes_of<const BYTES: usize>(tags: &Tags) -> Tags {
    let mut all = *tags;
    for lane in all.0.as_chunks_mut::<BYTES>().0 {
        *lane = [lane.iter().fold(0, |all, tag| all | tag); BYTES];
    }
    all
}
