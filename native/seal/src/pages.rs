//! The process's memory as the engine needs to know it: room for arenas, and application code that may change.
//!
//! Code in pages that are writable is write-protected when it is translated; the write that follows faults, makes the fragments
//! from that page dead in every thread, and goes through. Code that is unmapped, remapped or made inexecutable dies likewise.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{Mapping, mapping, state};
use crate::sys::{self, Lock, Locked};
use crate::{start, threads};

pub const PAGE: u64 = 4096;
const PROT_READ: u64 = 1;
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
const MAP_PRIVATE: u64 = 2;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_NORESERVE: u64 = 0x4000;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
const BLOOM_WORDS: usize = 1024;

#[derive(Clone, Copy)]
struct Range {
    low: u64,
    high: u64,
    protection: u64,
}

struct Known {
    writable_code: Vec<Range>, // what is both writable and executable
    protected: Vec<Range>,     // pages of it that are write-protected now, with what they were
}

static KNOWN: Locked<Known> = Locked::new(Known { writable_code: Vec::new(), protected: Vec::new() });
/// Pages that anything was ever translated from, by hash: most unmaps are of none.
static TRANSLATED: [AtomicU64; BLOOM_WORDS] = [const { AtomicU64::new(0) }; BLOOM_WORDS];

/// The lock that orders changes to code; a fork takes it. Never taken while a `Thread::lock` is held.
pub fn lock() -> &'static Lock {
    KNOWN.lock()
}

/// Map `bytes` of code memory within `reach` of `near`; answer where.
pub fn map_near(near: u64, bytes: u64, reach: u64) -> Option<u64> {
    let step = 0x200_0000;
    let base = near & !(step - 1);
    for distance in 1..reach / step {
        for candidate in [base.checked_sub(distance * step), base.checked_add(distance * step)].into_iter().flatten() {
            if candidate < 0x1_0000 || candidate + bytes > 0x7fff_ffff_0000 {
                continue;
            }
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
            let protection = PROT_READ | PROT_WRITE | PROT_EXEC;
            let answer = sys::call(sys::MMAP, [candidate, bytes, protection, flags, u64::MAX, 0]);
            if answer == candidate as i64 {
                remember(candidate, bytes, mapping::ARENA);
                return Some(candidate);
            }
            if answer > 0 {
                sys::call3(sys::MUNMAP, answer as u64, bytes, 0); // an old kernel took the address for a hint
            }
            if answer == sys::ENOMEM {
                return None;
            }
        }
    }
    None
}

/// Enter a mapping of the engine's, for the release that will unmap it.
pub fn remember(address: u64, bytes: u64, kind: u32) {
    let _held = start::PROCESS.hold();
    let mailbox = sys::mailbox();
    let count = mailbox.mapping_count as usize;
    if count < mailbox.mappings.len() {
        mailbox.mappings[count] = Mapping { address, bytes, kind, pad: 0 };
        mailbox.mapping_count += 1;
    }
}

/// Give memory back, and see zeros there from now on.
pub fn discard(address: u64, bytes: u64) {
    const MADVISE: u64 = 28;
    const MADV_DONTNEED: u64 = 4;
    sys::call3(MADVISE, address, bytes, MADV_DONTNEED);
}

/// Put back what the controller has patched, in code read from `pc` on.
pub fn see_through_patches(pc: u64, bytes: &mut [u8]) {
    if !sys::has_mailbox() {
        return;
    }
    let mailbox = sys::mailbox();
    for patch in &mailbox.patches[..mailbox.patch_count as usize] {
        for (at, &original) in patch.original[..usize::from(patch.bytes)].iter().enumerate() {
            if let Some(byte) = (patch.address + at as u64).checked_sub(pc).and_then(|offset| bytes.get_mut(offset as usize)) {
                *byte = original;
            }
        }
    }
}

/// Learn which memory is writable and executable, from the kernel's own list.
pub fn learn() {
    KNOWN.with(|known| {
        read_maps(known);
        known.settle();
    });
}

fn read_maps(known: &mut Known) {
    let path = b"/proc/self/maps\0";
    let file = sys::call3(sys::OPEN, path.as_ptr() as u64, 0, 0);
    if file < 0 {
        return;
    }
    let mut line = [0u8; 64];
    let mut filled = 0;
    let mut buffer = [0u8; 2048];
    loop {
        let count = sys::call3(sys::READ, file as u64, buffer.as_mut_ptr() as u64, buffer.len() as u64);
        if count <= 0 {
            break;
        }
        for &byte in &buffer[..count as usize] {
            if byte == b'\n' {
                known.learn_line(&line[..filled]);
                filled = 0;
            } else if filled < line.len() {
                line[filled] = byte;
                filled += 1;
            }
        }
    }
    sys::call3(sys::CLOSE, file as u64, 0, 0);
}

impl Known {
    fn learn_line(&mut self, line: &[u8]) {
        let mut parts = line.split(|&b| b == b'-' || b == b' ');
        let (Some(low), Some(high), Some(rights)) = (parts.next().and_then(hex), parts.next().and_then(hex), parts.next()) else {
            return;
        };
        if rights.len() >= 3 && rights[1] == b'w' && rights[2] == b'x' && !is_ours(low) {
            self.writable_code.push(Range { low, high, protection: PROT_READ | PROT_WRITE | PROT_EXEC });
        }
    }

    // Let `translated` know without the lock whether there is anything to protect.
    fn settle(&self) {
        WRITABLE.store(self.writable_code.len() as u64, Ordering::Release);
    }
}

fn hex(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    u64::from_str_radix(text, 16).ok()
}

fn is_ours(address: u64) -> bool {
    let mailbox = sys::mailbox();
    mailbox.mappings[..mailbox.mapping_count as usize].iter().any(|m| (m.address..m.address + m.bytes).contains(&address))
        || (mailbox.low..mailbox.low + mailbox.low_bytes).contains(&address)
}

fn bloom(page: u64) -> (usize, u64) {
    let hash = (page >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
    (hash as usize % BLOOM_WORDS, 1 << (hash >> 10 & 63))
}

/// A fragment was made from `low..high`: watch these pages.
pub fn translated(low: u64, high: u64) {
    let mut page = low & !(PAGE - 1);
    while page < high {
        let (word, bit) = bloom(page);
        if TRANSLATED[word].load(Ordering::Relaxed) & bit == 0 {
            TRANSLATED[word].fetch_or(bit, Ordering::Relaxed);
        }
        page += PAGE;
    }
    if has_writable_code() {
        protect(low, high);
    }
}

static WRITABLE: AtomicU64 = AtomicU64::new(0);

fn has_writable_code() -> bool {
    WRITABLE.load(Ordering::Acquire) != 0
}

fn protect(low: u64, high: u64) {
    KNOWN.with(|known| protect_pages(known, low, high));
}

fn protect_pages(known: &mut Known, low: u64, high: u64) {
    let mut page = low & !(PAGE - 1);
    while page < high {
        let writable = known.writable_code.iter().find(|r| r.low <= page && page < r.high).copied();
        if let Some(range) = writable
            && !known.protected.iter().any(|r| r.low == page)
        {
            sys::call3(sys::MPROTECT, page, PAGE, range.protection & !PROT_WRITE);
            known.protected.push(Range { low: page, high: page + PAGE, protection: range.protection });
        }
        page += PAGE;
    }
}

/// A write to `address` faulted: if the page is protected by us, make what came from it dead, and let the write through.
pub fn written(address: u64) -> bool {
    let page = address & !(PAGE - 1);
    KNOWN.with(|known| {
        let Some(at) = known.protected.iter().position(|r| r.low == page) else {
            // Another thread may have let it through in the meantime.
            return known.writable_code.iter().any(|r| r.low <= page && page < r.high);
        };
        let range = known.protected.swap_remove(at);
        kill_everywhere(page, page + PAGE);
        sys::call3(sys::MPROTECT, page, PAGE, range.protection);
        true
    })
}

/// Let the kernel write wherever the application may: it was refused once, perhaps because of us. Answers if so.
pub fn open_all() -> bool {
    KNOWN.with(|known| {
        let any = !known.protected.is_empty();
        for range in core::mem::take(&mut known.protected) {
            kill_everywhere(range.low, range.high);
            sys::call3(sys::MPROTECT, range.low, PAGE, range.protection);
        }
        any
    })
}

/// Like `open_all`, at a release: nobody runs, nothing needs to be marked dead.
pub fn restore_all() {
    KNOWN.with(|known| {
        for range in core::mem::take(&mut known.protected) {
            sys::call3(sys::MPROTECT, range.low, PAGE, range.protection);
        }
    });
}

/// What lies in `low..high` is no longer what it was, or no longer executable.
pub fn gone(low: u64, high: u64) {
    KNOWN.with(|known| {
        known.protected.retain(|r| r.low < low || r.low >= high);
        cut(&mut known.writable_code, low, high);
        known.settle();
        if was_translated(low, high) {
            kill_everywhere(low, high);
        }
    });
}

/// `low..high` has these rights now.
pub fn has_rights(low: u64, high: u64, protection: u64) {
    if protection & (PROT_WRITE | PROT_EXEC) == PROT_WRITE | PROT_EXEC {
        KNOWN.with(|known| {
            known.writable_code.push(Range { low, high, protection });
            known.settle();
        });
    }
}

fn cut(ranges: &mut Vec<Range>, low: u64, high: u64) {
    let mut rest = Vec::new();
    ranges.retain(|r| {
        let touched = r.low < high && r.high > low;
        if touched && r.low < low {
            rest.push(Range { high: low, ..*r });
        }
        if touched && r.high > high {
            rest.push(Range { low: high, ..*r });
        }
        !touched
    });
    ranges.extend(rest);
}

fn was_translated(low: u64, high: u64) -> bool {
    let first = low & !(PAGE - 1);
    if high.wrapping_sub(first) > 4096 * PAGE {
        return true;
    }
    (first..high).step_by(PAGE as usize).any(|page| {
        let (word, bit) = bloom(page);
        TRANSLATED[word].load(Ordering::Relaxed) & bit != 0
    })
}

// Under the lock of what is known, with no thread's lock held by the caller.
fn kill_everywhere(low: u64, high: u64) {
    for slot in threads::slots() {
        let context = sys::context(slot);
        if let Some(service) = sys::service(context)
            && context.state != state::AMBUSHED
        {
            service.with(|thread| thread.kill(low, high));
        }
    }
}
