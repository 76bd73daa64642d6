//! The image's allocator: blocks do not overlap, what is given back serves again in one piece, and the reserve is left.

use std::alloc::{GlobalAlloc, Layout};

use seal::abi::Mailbox;
use seal::heap::Heap;
use seal::sys;

const BYTES: u64 = 4 << 20;

/// xorshift64*
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % below
    }
}

fn mapped(bytes: u64) -> u64 {
    let answer = sys::call(sys::MMAP, [0, bytes, 3, 0x4022, u64::MAX, 0]);
    assert!(answer > 0);
    answer as u64
}

// The allocator tells the mailbox what is taken.
fn with_heap(work: impl FnOnce(&Heap, &Mailbox)) {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    let mailbox = mapped(size_of::<Mailbox>().next_multiple_of(4096) as u64);
    sys::set_mailbox(mailbox);
    let heap = Heap::new();
    heap.give_room(mapped(BYTES), BYTES);
    work(&heap, sys::mailbox());
}

fn layout(bytes: u64) -> Layout {
    Layout::from_size_align(bytes as usize, 8).expect("a layout")
}

fn take(heap: &Heap, bytes: u64) -> Option<u64> {
    // SAFETY: the layout is not empty.
    let block = unsafe { heap.alloc(layout(bytes)) } as u64;
    (block != 0).then_some(block)
}

fn give(heap: &Heap, block: u64, bytes: u64) {
    // SAFETY: the test has taken it with that layout.
    unsafe { heap.dealloc(block as *mut u8, layout(bytes)) }
}

#[test]
fn blocks_keep_what_is_written_into_them_and_come_together_again() {
    with_heap(|heap, mailbox| {
        let mut dice = Dice(0x5eed);
        let mut held: Vec<(u64, u64, u8)> = Vec::new();
        for turn in 0..40_000u64 {
            let byte = turn as u8;
            match dice.next(5) {
                0 | 1 => {
                    let bytes = 1 + (dice.next(1 << 14) >> dice.next(14));
                    if let Some(block) = take(heap, bytes) {
                        sys::octets(block, bytes as usize).fill(byte);
                        held.push((block, bytes, byte));
                    }
                }
                2 if !held.is_empty() => {
                    let at = dice.next(held.len() as u64) as usize;
                    let (block, bytes, byte) = held[at];
                    let other = 1 + dice.next(2 * bytes);
                    // SAFETY: as in `give`.
                    let new = unsafe { heap.realloc(block as *mut u8, layout(bytes), other as usize) } as u64;
                    if new == 0 {
                        assert!(other > bytes, "what shrinks is refused");
                        continue;
                    }
                    let kept = bytes.min(other) as usize;
                    assert!(sys::octets(new, kept).iter().all(|&b| b == byte));
                    sys::octets(new, other as usize).fill(byte);
                    held[at] = (new, other, byte);
                }
                _ if !held.is_empty() => {
                    let at = dice.next(held.len() as u64) as usize;
                    let (block, bytes, byte) = held.swap_remove(at);
                    assert!(sys::octets(block, bytes as usize).iter().all(|&b| b == byte), "a block was written by another");
                    give(heap, block, bytes);
                }
                _ => {}
            }
        }
        for (block, bytes, byte) in held {
            assert!(sys::octets(block, bytes as usize).iter().all(|&b| b == byte));
            give(heap, block, bytes);
        }
        assert_eq!(mailbox.heap_used, 0);
        assert!(take(heap, 2 << 20).is_some(), "half of all is there in one piece");
    });
}

#[test]
fn what_asks_leaves_the_reserve_to_what_does_not() {
    with_heap(|heap, mailbox| {
        let mut asked = 0;
        while heap.has_room(4096) {
            take(heap, 4096).expect("it has room");
            asked += 1;
        }
        assert!(mailbox.heap_used <= mailbox.heap_room * 15 / 16);
        let mut refused = 0;
        while take(heap, 4096).is_some() {
            refused += 1;
        }
        assert!(refused * 4096 >= BYTES / 16, "{refused} blocks of reserve beside {asked}");
        assert!(!heap.has_room(64));
    });
}
