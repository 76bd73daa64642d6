//! Generated programs, and the place in which they run: natively, and in the engine, from the same beginning.
//!
//! | module | owns |
//! |---|---|
//! | `world` | the memory that programs live in and work on; how one is run; what is compared |
//! | `form` | one instruction of a kind, with operands that work; what cannot be compared, and why |
//! | `processor` | which kinds of instruction there are
//! | `program` | many instructions, with calls, jumps, loops and tables among them |

#![allow(dead_code)] // each test uses a part

pub mod form;
pub mod processor;
pub mod program;
pub mod world;

/// Numbers that are the same for the same seed (splitmix64).
#[derive(Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64, stream: u64) -> Dice {
        let mut dice = Dice(seed ^ stream.wrapping_mul(0xd129_0bdf_3ca4_8f17));
        dice.next();
        dice
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// A number of which the corners are as likely as the rest.
    pub fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => self.below(256),
            1 => (self.below(256) as u8 as i8) as i64 as u64,
            2 => {
                self.pick(&[0, 1, !0, 1 << 63, (1 << 63) - 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0x8000, 0x7fff, 0x80, 0x7f])
            }
            3 => self.next() & 0xffff_ffff,
            _ => self.next(),
        }
    }
}

pub fn shuffle<T>(items: &mut [T], dice: &mut Dice) {
    for at in (1..items.len()).rev() {
        items.swap(at, dice.below(at as u64 + 1) as usize);
    }
}
