//! Which of the application's pages lie where in the shadow's window, and where new ones may, so that no two of them share their tags.
//!
//! Owns a table with a cell for each page of the window: which 4 GiB of the address space the page is of that has its tags there. Memory that
//! the kernel has placed where it would meet other memory in the window is placed anew, as near below as there is room: programs take what
//! they get, but where they have asked for a fixed place. The break does not grow into a meeting; whoever allocates takes other memory then.
//!
//! Owns also the question whether a tag may be another's: code that nobody may write is not taken for input then.
//!
//! What meets all the same: memory that met when the process was possessed, at fixed places or below 4 GiB, in mappings of more than a
//! GiB, and that of processes that filter their calls or whose maps the engine may not read. `eudaemon status --json` says how much.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{R8, R9, R10, RDI, RDX, RSI, Registers, mapping};
use crate::extent::FORGOTTEN_BYTES_MAX;
use crate::pages::{self, PAGE};
use crate::sys::{self, Lock, Locked};

const WINDOW_PAGES: u64 = (1 << 32) / PAGE;
const LOW_END: u64 = 1 << 32; // who asked for less will not do with more
const ADDRESSES_END: u64 = 1 << 47;
/// Room that the main heap and the main stack may grow into.
const HEAP_ROOM_BYTES: u64 = 256 << 20;
const STACK_ROOM_BYTES: u64 = 8 << 20;
/// How far below its first place memory is placed anew.
const REACH_BYTES: u64 = 64 << 30;
const JUMP_BYTES_MIN: u64 = 4 << 20;
const TRIES_MAX: usize = 16;

const BRK: u64 = 12;
const MREMAP: u64 = 25;
const MAP_FIXED: u64 = 0x10;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;

/// In a cell, beside whose the page is: others meet it there.
const MET: u16 = 0x8000;

/// Whether the table says what the process has mapped.
static LEARNED: Locked<bool> = Locked::new(false);
static TABLE: AtomicU64 = AtomicU64::new(0);

/// The lock of the table; a fork takes it. Who holds it asks for no other.
pub fn lock() -> &'static Lock {
    LEARNED.lock()
}

/// Map the table, which takes room only where there is memory.
pub fn map() -> Option<()> {
    let table = pages::map_apart(WINDOW_PAGES * 2, mapping::WINDOW)?;
    LEARNED.with(|learned| *learned = false);
    TABLE.store(table, Ordering::Release);
    Some(())
}

// Use the table, if there is one and it says what the process has mapped, or can be made to.
fn known<R>(work: impl FnOnce(&mut [u16]) -> R) -> Option<R> {
    with_table(|table, learned| {
        if !*learned && pages::may_learn() {
            learn(table);
            *learned = true;
        }
        learned.then(|| work(table))
    })
}

fn with_table<R>(work: impl FnOnce(&mut [u16], &mut bool) -> Option<R>) -> Option<R> {
    let table = Some(TABLE.load(Ordering::Acquire)).filter(|&table| table != 0)?;
    LEARNED.with(|learned| work(sys::halves(table, WINDOW_PAGES as usize), learned))
}

// These pages go; where others have met them, the table is learned anew when it is asked next.
fn leave(low: u64, high: u64) {
    with_table(|table, learned| {
        *learned &= give(table, low, high);
        Some(())
    });
}

fn learn(table: &mut [u16]) {
    let (mut stack, end_of_heap) = (0, sys::call(BRK, [0; 6]) as u64);
    pages::each_place(|low, high, is_stack| {
        take(table, low, high);
        if is_stack {
            stack = low;
        }
    });
    take(table, stack.saturating_sub(STACK_ROOM_BYTES), stack);
    take(table, end_of_heap, end_of_heap + HEAP_ROOM_BYTES);
}

fn cell(page: u64) -> usize {
    (page / PAGE % WINDOW_PAGES) as usize
}

// 0 is nobody: what the pages of 4 GiB from 0x4000_0000_0000 on would have, where no kernel puts anything by itself.
fn owner(page: u64) -> u16 {
    (page >> 32) as u16 ^ 0x4000
}

fn pages_of(low: u64, high: u64) -> impl DoubleEndedIterator<Item = u64> {
    let counts = low < high && high - low <= FORGOTTEN_BYTES_MAX && high <= ADDRESSES_END;
    let (first, end) = if counts { (low / PAGE, high.div_ceil(PAGE)) } else { (0, 0) };
    (first..end).map(|page| page * PAGE)
}

// Who is there first stays.
fn take(table: &mut [u16], low: u64, high: u64) {
    for page in pages_of(low, high) {
        let cell = &mut table[cell(page)];
        if *cell == 0 {
            *cell = owner(page);
        } else if *cell & !MET != owner(page) {
            *cell |= MET;
        }
    }
}

// Answers whether the table still says all: who has met these pages is named nowhere.
fn give(table: &mut [u16], low: u64, high: u64) -> bool {
    let mut is_whole = true;
    for page in pages_of(low, high) {
        let cell = &mut table[cell(page)];
        if *cell & !MET == owner(page) {
            is_whole &= *cell & MET == 0;
            *cell = 0;
        }
    }
    is_whole
}

fn meets(table: &[u16], low: u64, high: u64) -> bool {
    pages_of(low, high).any(|page| ![0, owner(page)].contains(&(table[cell(page)] & !MET)))
}

// The next place below `from` where nothing has tags, as well aligned as `from` is.
fn free_below(table: &[u16], from: u64, bytes: u64, lowest: u64) -> Option<u64> {
    const HUGE: u64 = 2 << 20;
    let step = if bytes >= HUGE { HUGE } else { PAGE };
    let mut low = from.checked_sub(step)?;
    while low >= lowest {
        match pages_of(low, low + bytes).rev().find(|&page| table[cell(page)] != 0) {
            None => return Some(low),
            Some(taken) => low = low.checked_sub((low + bytes - taken).next_multiple_of(step))?,
        }
    }
    None
}

// Try places below `from` until one has been taken by `map`, which answers what the kernel does. What lies in the way and is not in the table
// is the engine's, or larger than what is counted: it is left behind by longer and longer steps.
fn place_below(from: u64, bytes: u64, mut map: impl FnMut(u64) -> i64) -> Option<u64> {
    let lowest = from.saturating_sub(REACH_BYTES).max(LOW_END);
    let (mut at, mut jump) = (from, JUMP_BYTES_MIN);
    for _ in 0..TRIES_MAX {
        at = known(|table| free_below(table, at, bytes, lowest))??;
        match map(at) {
            answer if answer == at as i64 => return Some(at),
            answer if answer > 0 => {
                unmap(answer as u64, bytes); // an old kernel took the address for a hint
                return None;
            }
            sys::EEXIST => {
                at = at.checked_sub(jump)?;
                jump *= 2;
            }
            _ => return None,
        }
    }
    None
}

fn unmap(address: u64, bytes: u64) {
    sys::call3(sys::MUNMAP, address, bytes, 0);
}

fn whole(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(PAGE).unwrap_or(u64::MAX)
}

fn end_of(address: u64, bytes: u64) -> u64 {
    address.saturating_add(whole(bytes))
}

/// Whether any of these bytes shares its tag with other memory: then a tag may be the other's.
pub fn shares(address: u64, bytes: u64) -> bool {
    known(|table| pages_of(address, address + bytes).any(|page| table[cell(page)] & MET != 0)) == Some(true)
}

/// The application is about to make this call about its memory. Answers for the kernel, if that is not to be asked.
pub fn before(number: u64, registers: &Registers) -> Option<i64> {
    let [address, bytes] = [registers[RDI], registers[RSI]];
    match number {
        BRK if address != 0 => known(|table| {
            let end = sys::call(BRK, [0; 6]);
            let has_met = meets(table, end as u64, address);
            if !has_met {
                take(table, end as u64, address);
            }
            has_met.then_some(end)
        })?,
        sys::MUNMAP => {
            leave(address, end_of(address, bytes));
            None
        }
        _ => known(|_| None)?,
    }
}

/// The kernel has answered so. Answers where the memory lies now.
pub fn settle(number: u64, registers: &Registers, answer: i64) -> i64 {
    if answer < 0 {
        return answer;
    }
    match number {
        sys::MMAP => mapped(registers, answer as u64) as i64,
        MREMAP => moved(registers, answer as u64) as i64,
        sys::MPROTECT => {
            // Within a mapping too large to be counted as a whole.
            known(|table| take(table, registers[RDI], end_of(registers[RDI], registers[RSI])));
            answer
        }
        _ => answer,
    }
}

// Whether memory would meet other here, and may be placed anew: a filter may forbid the calls for that.
fn must_move(place: u64, bytes: u64) -> bool {
    let may_move = place >= LOW_END && sys::mailbox().confined == 0;
    may_move && known(|table| meets(table, place, place + bytes)) == Some(true)
}

fn mapped(registers: &Registers, place: u64) -> u64 {
    const MUST_STAY: u64 = MAP_FIXED | MAP_FIXED_NOREPLACE | 0x40 | 0x100 | 0x4_0000; // 32BIT, GROWSDOWN, HUGETLB
    let (bytes, flags) = (whole(registers[RSI]), registers[R10]);
    let mut at = place;
    if must_move(place, bytes) && flags & MUST_STAY == 0 {
        let [rights, descriptor, offset] = [registers[RDX], registers[R8], registers[R9]];
        let again = |place| sys::call(sys::MMAP, [place, bytes, rights, flags | MAP_FIXED_NOREPLACE, descriptor, offset]);
        if let Some(other) = place_below(place, bytes, again) {
            unmap(place, bytes);
            at = other;
        }
    }
    known(|table| take(table, at, at + bytes));
    at
}

fn moved(registers: &Registers, place: u64) -> u64 {
    const MAY_MOVE: u64 = 1;
    const FIXED: u64 = 2;
    const OLD_STAYS: u64 = 4;
    const NO_RIGHTS: u64 = 0;
    const RESERVED: u64 = 0x4022; // private, anonymous, without reserve
    let [from, old_bytes, bytes, flags] = [registers[RDI], whole(registers[RSI]), whole(registers[RDX]), registers[R10]];
    if flags & OLD_STAYS == 0 {
        leave(from, from.saturating_add(old_bytes));
    }
    let mut at = place;
    if must_move(place, bytes) && flags & (MAY_MOVE | FIXED) == MAY_MOVE {
        let reserve = |place| sys::call(sys::MMAP, [place, bytes, NO_RIGHTS, RESERVED | MAP_FIXED_NOREPLACE, u64::MAX, 0]);
        if let Some(other) = place_below(place, bytes, reserve) {
            let answer = sys::call(MREMAP, [place, bytes, bytes, MAY_MOVE | FIXED, other, 0]);
            if answer == other as i64 {
                at = other;
            } else {
                unmap(other, bytes);
            }
        }
    }
    known(|table| take(table, at, at + bytes));
    at
}
