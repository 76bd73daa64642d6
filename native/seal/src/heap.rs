//! The engine's allocator in the image: buddies, in memory that is reserved for it. No libc; of the kernel, only to give pages back.
//!
//! Owns which blocks are free, and how much more may be taken. Refuses to know what for; but who takes much asks first (`grow`,
//! `has_room`) and does without where there is none. A part of each region is a reserve that this does not count, so that what little
//! cannot be refused always finds some.
//!
//! ```text
//!   region  | a mark for each grain | blocks: powers of two of grains, each at a multiple of its size |
//! ```
//! A mark says that a free block begins there, and how large it is. So two free halves find each other, and what is given back
//! serves whatever is asked for next; that of more than a few pages goes back to the kernel meanwhile.

use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

use crate::pages::{self, PAGE};
use crate::start::HEAP;
use crate::sys::{self, Lock};

const GRAIN_LOG2: u32 = 6;
const ORDERS: usize = 27; // 64 bytes to 4 GiB
const REGIONS_MAX: usize = 4; // two in the reservation, two elsewhere
/// Blocks of less are kept when they are free: they are soon wanted again.
const DISCARDED_BYTES_MIN: u64 = 4 * PAGE;
/// What is kept for what cannot be refused: a part of the heap, but no more than that.
const RESERVE_PART: u64 = 8;
const RESERVE_BYTES_MAX: u64 = 32 << 20;
/// A heap of less is a small one.
const SMALL_BYTES: u64 = 32 << 20;

#[derive(Clone, Copy)]
struct Region {
    marks: u64,
    blocks: u64,
    end: u64,
    list: usize, // of free blocks: COMMON or RESERVE
}

const COMMON: usize = 0;
const RESERVE: usize = 1;

impl Region {
    fn mark_of(&self, block: u64) -> u64 {
        self.marks + ((block - self.blocks) >> GRAIN_LOG2)
    }
}

struct State {
    free: [[u64; ORDERS]; 2], // the first free block of each size; 0: none
    regions: [Region; REGIONS_MAX],
    used: u64,
}

pub struct Heap {
    lock: Lock,
    state: UnsafeCell<State>,
}

// SAFETY: `state` is touched under `lock` alone.
unsafe impl Sync for Heap {}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

fn bytes_of(order: usize) -> u64 {
    1 << (order as u32 + GRAIN_LOG2)
}

fn order_of(bytes: usize, alignment: usize) -> usize {
    let bytes = bytes.max(alignment).max(1 << GRAIN_LOG2).next_power_of_two();
    (bytes.trailing_zeros() - GRAIN_LOG2) as usize
}

// A free block's first two words are the next and the one before.
fn links(block: u64) -> &'static mut [u64] {
    sys::words(block, 2)
}

impl State {
    fn region_of(&self, block: u64) -> Region {
        let is_in = |region: &&Region| (region.blocks..region.end).contains(&block);
        *self.regions.iter().find(is_in).unwrap_or(&self.regions[0])
    }

    fn set_mark(region: &Region, block: u64, mark: u8) {
        sys::octets(region.mark_of(block), 1)[0] = mark;
    }

    fn put(&mut self, region: &Region, block: u64, order: usize) {
        let first = self.free[region.list][order];
        links(block).copy_from_slice(&[first, 0]);
        if first != 0 {
            links(first)[1] = block;
        }
        self.free[region.list][order] = block;
        State::set_mark(region, block, order as u8 + 1);
    }

    fn remove(&mut self, region: &Region, block: u64, order: usize) {
        let (next, before) = (links(block)[0], links(block)[1]);
        if next != 0 {
            links(next)[1] = before;
        }
        if before != 0 {
            links(before)[0] = next;
        } else {
            self.free[region.list][order] = next;
        }
        State::set_mark(region, block, 0);
    }

    // The least block that is free and as large.
    fn find(&self, list: usize, order: usize) -> Option<(u64, usize)> {
        (order..ORDERS).map(|order| (self.free[list][order], order)).find(|&(block, _)| block != 0)
    }

    fn take(&mut self, order: usize) -> Option<u64> {
        let (block, found) = self.find(COMMON, order).or_else(|| self.find(RESERVE, order))?;
        let region = self.region_of(block);
        self.remove(&region, block, found);
        for half in (order..found).rev() {
            self.put(&region, block + bytes_of(half), half);
        }
        self.used += bytes_of(order);
        Some(block)
    }

    fn give(&mut self, mut block: u64, mut order: usize) {
        self.used -= bytes_of(order);
        let region = self.region_of(block);
        if bytes_of(order) >= DISCARDED_BYTES_MIN && sys::mailbox().confined == 0 {
            pages::discard(block, bytes_of(order));
        }
        while order + 1 < ORDERS {
            let other = region.blocks + ((block - region.blocks) ^ bytes_of(order));
            let is_free = other + bytes_of(order) <= region.end && sys::octets(region.mark_of(other), 1)[0] == order as u8 + 1;
            if !is_free {
                break;
            }
            self.remove(&region, other, order);
            block = block.min(other);
            order += 1;
        }
        self.put(&region, block, order);
    }

    fn add(&mut self, begin: u64, bytes: u64, list: usize) {
        let marks_bytes = (bytes >> GRAIN_LOG2).next_multiple_of(PAGE);
        let region = Region { marks: begin, blocks: begin + marks_bytes, end: begin + bytes, list };
        let Some(place) = self.regions.iter_mut().find(|region| region.end == 0) else { return };
        *place = region;
        let mut at = region.blocks;
        for order in (0..ORDERS).rev() {
            if at + bytes_of(order) <= region.end {
                self.put(&region, at, order);
                at += bytes_of(order);
            }
        }
        sys::mailbox().heap_room += region.end - region.blocks;
    }
}

impl Heap {
    pub const fn new() -> Heap {
        const NONE: Region = Region { marks: 0, blocks: 0, end: 0, list: COMMON };
        Heap {
            lock: Lock::new(),
            state: UnsafeCell::new(State { free: [[0; ORDERS]; 2], regions: [NONE; REGIONS_MAX], used: 0 }),
        }
    }

    /// Take blocks from these whole pages of zeros as well.
    pub fn give_room(&self, begin: u64, bytes: u64) {
        let reserve = (bytes / RESERVE_PART).min(RESERVE_BYTES_MAX) & !(PAGE - 1);
        self.with(|state| {
            state.add(begin, reserve, RESERVE);
            state.add(begin + reserve, bytes - reserve, COMMON);
        });
    }

    /// Whether so many bytes can be taken in one piece, and the reserve be left.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.with(|state| state.find(COMMON, order_of(bytes as usize, 1)).is_some())
    }

    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let _held = self.lock.hold();
        // SAFETY: under the lock.
        let state = unsafe { &mut *self.state.get() };
        let answer = work(state);
        sys::mailbox().heap_used = state.used;
        answer
    }

    /// A fork must not copy the lock while another thread holds it.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }
}

// SAFETY: blocks do not overlap, are as large and (up to a page) as aligned as asked, and stay until they are given back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let order = order_of(layout.size(), layout.align());
        self.with(|state| if order < ORDERS { state.take(order) } else { None }).map_or(null_mut(), |block| block as *mut u8)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.with(|state| state.give(block as u64, order_of(layout.size(), layout.align())));
    }

    /// A block that shrinks stays where it is, so that this never fails.
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (before, after) = (order_of(layout.size(), layout.align()), order_of(size, layout.align()));
        if after <= before {
            self.with(|state| (after..before).for_each(|half| state.give(block as u64 + bytes_of(half), half)));
            return block;
        }
        // SAFETY: the caller's; the new block is larger than the old one.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                core::ptr::copy_nonoverlapping(block, new, layout.size());
                self.dealloc(block, layout);
            }
            new
        }
    }
}

// What there is, and what of that is taken. Where it is not this allocator's to say (in tests), there is always more.
fn room() -> Option<(u64, u64)> {
    if !sys::has_mailbox() {
        return None;
    }
    let mailbox = sys::mailbox();
    (mailbox.heap_room != 0).then_some((mailbox.heap_room, mailbox.heap_used))
}

/// Whether so many bytes can be taken in one piece, and the reserve be left.
pub fn has_room(bytes: u64) -> bool {
    room().is_none() || HEAP.has_room(bytes)
}

/// Whether it is time to do with less.
pub fn is_low() -> bool {
    room().is_some_and(|(all, used)| used > all / 4 * 3)
}

/// Whether there is little from the beginning.
pub fn is_small() -> bool {
    room().is_some_and(|(all, _)| all < SMALL_BYTES)
}

/// Let a list have room for one more, where that can be had. Who is told no has a list that is full.
pub fn grow<T>(list: &mut Vec<T>) -> bool {
    if list.len() < list.capacity() {
        return true;
    }
    let more = list.capacity().max(4);
    has_room(((list.capacity() + more) * size_of::<T>()) as u64) && list.try_reserve_exact(more).is_ok()
}
