//! The process's memory as the engine needs to know it: room for arenas, what may be executed, code that may change.
//!
//! Code in pages that are writable is write-protected when it is translated; the write that follows faults, makes the fragments
//! from that page dead in every thread, and goes through. Code that is unmapped, remapped or made inexecutable dies likewise.
//! Code in shared memory can be written where we do not see it: its fragments are compared with it at each entry.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{Mapping, mapping};
use crate::sys::{self, Lock, Locked};
use crate::{heap, start, threads};

pub const PAGE: u64 = 4096;
const PROT_READ: u64 = 1;
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
const MAP_PRIVATE: u64 = 2;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_NORESERVE: u64 = 0x4000;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
const BLOOM_WORDS: usize = 1024;

/// Memory that may be executed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Range {
    pub low: u64,
    pub high: u64,
    protection: u64,
    pub shared: bool,
}

impl Range {
    fn is_writable(&self) -> bool {
        self.protection & PROT_WRITE != 0
    }
}

struct Known {
    code: Vec<Range>,      // all that may be executed
    protected: Vec<Range>, // pages of it that are write-protected by us now
    constant: Vec<Range>,  // what nobody may write or execute
    varying: Vec<u64>,     // pages that were looked for there in vain
    changed: bool,         // since the list was read
}

static KNOWN: Locked<Known> =
    Locked::new(Known { code: Vec::new(), protected: Vec::new(), constant: Vec::new(), varying: Vec::new(), changed: true });
/// Pages that anything was ever translated from, by hash: most unmaps are of none.
static TRANSLATED: [AtomicU64; BLOOM_WORDS] = [const { AtomicU64::new(0) }; BLOOM_WORDS];

/// The lock of what is known of the memory; a fork takes it. Nobody who holds it asks for another.
pub fn lock() -> &'static Lock {
    KNOWN.lock()
}

/// Map `bytes` of code memory within `reach` of `near`; answer where.
pub fn map_near(near: u64, bytes: u64, reach: u64) -> Option<u64> {
    let step = bytes.max(1 << 20);
    let base = near & !(step - 1);
    for distance in nearest(base, step)..reach / step {
        for candidate in [base.checked_sub(distance * step), base.checked_add(distance * step)].into_iter().flatten() {
            if candidate < 0x1_0000 || candidate + bytes > 0x7fff_ffff_0000 {
                continue;
            }
            match map_code(candidate, bytes, MAP_FIXED_NOREPLACE) {
                answer if answer == candidate as i64 => {
                    NEAREST.with(|near| near[place_of_nearest(base)] = (base, step, distance));
                    return remember(candidate, bytes, mapping::ARENA).then_some(candidate);
                }
                sys::ENOMEM => return None,
                answer if answer > 0 => unmap(answer as u64, bytes), // an old kernel took the address for a hint
                _ => {}
            }
        }
    }
    None
}

// By base: with which step, at which distance there was room last. Nearer there is none, until an arena goes.
static NEAREST: Locked<[(u64, u64, u64); NEAREST_KEPT]> = Locked::new([(0, 0, 0); NEAREST_KEPT]);
const NEAREST_KEPT: usize = 16;

fn place_of_nearest(base: u64) -> usize {
    (base >> 20) as usize % NEAREST_KEPT
}

fn nearest(base: u64, step: u64) -> u64 {
    let (known, known_step, distance) = NEAREST.with(|near| near[place_of_nearest(base)]);
    if (known, known_step) == (base, step) { distance } else { 1 }
}

/// Unmap what was mapped for the engine, and forget it.
pub fn unmap_own(address: u64, bytes: u64) {
    {
        let _held = start::PROCESS.hold();
        let mailbox = sys::mailbox();
        let count = mailbox.mapping_count as usize;
        if let Some(entry) = mailbox.mappings[..count].iter_mut().find(|m| m.address == address && m.bytes != 0) {
            entry.bytes = 0; // first: nobody must unmap what comes to lie there
        }
    }
    FORGOTTEN.fetch_add(1, Ordering::Relaxed);
    unmap(address, bytes);
    NEAREST.with(|near| *near = [(0, 0, 0); NEAREST_KEPT]);
}

// How many entries of `Mailbox::mappings` are empty.
static FORGOTTEN: AtomicU64 = AtomicU64::new(0);

/// Map `bytes` of zeros that take no room until they are written, away from all else: a program that unmaps a page and maps another in its
/// place must not find us there. Answers where.
pub fn map_apart(bytes: u64, kind: u32) -> Option<u64> {
    const APART: u64 = 64 << 20;
    const NO_RIGHTS: u64 = 0;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    let room = sys::call(sys::MMAP, [0, bytes + 2 * APART, NO_RIGHTS, flags, u64::MAX, 0]);
    if room < 0 {
        return None;
    }
    let begin = room as u64 + APART;
    unmap(room as u64, APART);
    unmap(begin + bytes, APART);
    sys::call3(sys::MPROTECT, begin, bytes, PROT_READ | PROT_WRITE);
    remember(begin, bytes, kind).then_some(begin)
}

/// Map `bytes` of code memory wherever there is room.
pub fn map_anywhere(bytes: u64) -> Option<u64> {
    let answer = map_code(0, bytes, 0);
    if answer < 0 {
        return None;
    }
    remember(answer as u64, bytes, mapping::ARENA).then_some(answer as u64)
}

fn map_code(address: u64, bytes: u64, how: u64) -> i64 {
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | how;
    sys::call(sys::MMAP, [address, bytes, PROT_READ | PROT_WRITE | PROT_EXEC, flags, u64::MAX, 0])
}

fn unmap(address: u64, bytes: u64) {
    sys::call3(sys::MUNMAP, address, bytes, 0);
}

/// Enter a mapping of the engine's, for the release that will unmap it. Where there is no place for it any more it is unmapped at once;
/// the answer says so.
pub fn remember(address: u64, bytes: u64, kind: u32) -> bool {
    let is_noted = {
        let _held = start::PROCESS.hold();
        note(Mapping { address, bytes, kind, pad: 0 })
    };
    if !is_noted {
        unmap(address, bytes);
    }
    is_noted
}

/// The same, by who has locked the mailbox. Unmaps nothing.
pub fn note(mapping: Mapping) -> bool {
    let mailbox = sys::mailbox();
    let count = mailbox.mapping_count as usize;
    if FORGOTTEN.load(Ordering::Relaxed) != 0
        && let Some(entry) = mailbox.mappings[..count].iter_mut().find(|m| m.bytes == 0)
    {
        *entry = mapping;
        FORGOTTEN.fetch_sub(1, Ordering::Relaxed);
        return true;
    }
    if count == mailbox.mappings.len() {
        return false;
    }
    mailbox.mappings[count] = mapping;
    mailbox.mapping_count += 1;
    true
}

/// Give memory back, and see zeros there from now on.
pub fn discard(address: u64, bytes: u64) {
    const MADVISE: u64 = 28;
    const MADV_DONTNEED: u64 = 4;
    if sys::mailbox().confined != 0 {
        sys::octets(address, bytes as usize).fill(0); // which no filter forbids
        return;
    }
    sys::call3(MADVISE, address, bytes, MADV_DONTNEED);
}

/// Learn which memory may be executed: from the kernel's own list, or where that cannot be read, from the controller's copy.
pub fn learn() {
    KNOWN.with(|known| {
        if !read_maps(known) {
            let mailbox = sys::mailbox();
            known.code.clear();
            for code in &mailbox.code[..mailbox.code_count as usize] {
                known.learn(code.low, code.high, u64::from(code.protection), code.shared != 0);
            }
            known.settle();
        }
    });
}

/// Know of no executable memory, so that the kernel's list is read anew.
pub fn forget() {
    KNOWN.with(|known| {
        known.code.clear();
        known.constant.clear();
        known.changed = true;
        known.settle();
    });
}

/// Whether the kernel's list can be read when it is needed. If not, the application's calls have to tell.
pub fn may_learn() -> bool {
    let mailbox = sys::mailbox();
    mailbox.confined == 0 && mailbox.blind == 0
}

/// Return the executable memory that is known as the `at`th, counted from 0; None behind the last.
pub fn known(at: usize) -> Option<Range> {
    KNOWN.with(|known| known.code.get(at).copied())
}

/// Return the executable memory around `pc`, if it is that.
pub fn executable(pc: u64) -> Option<Range> {
    KNOWN.with(|known| {
        if let Some(range) = known.around(pc) {
            return Some(range);
        }
        if sys::mailbox().confined == 0 {
            read_maps(known); // it may have come by a way that the engine does not follow
        }
        known.around(pc)
    })
}

/// Whether the application may write the code at `pc`.
pub fn may_be_written(pc: u64) -> bool {
    executable(pc).is_none_or(|range| range.is_writable() || range.shared)
}

fn read_maps(known: &mut Known) -> bool {
    let mut has_begun = false;
    let could = each_map(|line| {
        if !core::mem::replace(&mut has_begun, true) {
            known.code.clear(); // not where the list cannot be read
            known.constant.clear();
            known.changed = false;
        }
        known.learn_line(line);
    });
    known.settle();
    sys::mailbox().blind = u32::from(!could);
    could
}

/// Whether all of `low..high` may be read, and neither written nor executed, by anybody. Who relies on it says so by `translated` before.
pub fn is_constant(low: u64, high: u64) -> bool {
    const VARYING_MAX: usize = 256;
    let page = low & !(PAGE - 1);
    KNOWN.with(|known| {
        let is = |known: &Known| known.constant.iter().any(|r| r.low <= low && high <= r.high);
        if is(known) || !known.changed || known.varying.contains(&page) || !may_learn() {
            return is(known);
        }
        read_maps(known);
        if !is(known) && known.varying.len() < VARYING_MAX {
            known.varying.push(page);
        }
        is(known)
    })
}

/// Name all that the application has mapped: from where to where, and whether it is the main thread's stack.
pub fn each_place(mut see: impl FnMut(u64, u64, bool)) {
    each_map(|line| {
        if let Some((low, high, _)) = place_of(line).filter(|place| !is_ours(place.0)) {
            see(low, high, line.ends_with(b"[stack]"));
        }
    });
}

fn each_map(mut see: impl FnMut(&[u8])) -> bool {
    let path = b"/proc/self/maps\0";
    let file = sys::call3(sys::OPEN, path.as_ptr() as u64, 0, 0);
    if file < 0 {
        return false;
    }
    let mut line = [0u8; 96]; // of a name, its beginning
    let mut filled = 0;
    let mut buffer = [0u8; 2048];
    loop {
        let count = sys::call3(sys::READ, file as u64, buffer.as_mut_ptr() as u64, buffer.len() as u64);
        if count <= 0 {
            break;
        }
        for &byte in &buffer[..count as usize] {
            if byte == b'\n' {
                see(&line[..filled]);
                filled = 0;
            } else if filled < line.len() {
                line[filled] = byte;
                filled += 1;
            }
        }
    }
    sys::call3(sys::CLOSE, file as u64, 0, 0);
    true
}

// Of a line of the list: "low-high rights …".
fn place_of(line: &[u8]) -> Option<(u64, u64, &[u8])> {
    let mut words = line.split(|&b| b == b' ');
    let mut ends = words.next()?.split(|&b| b == b'-').map(hex);
    let (low, high) = (ends.next()??, ends.next()??);
    Some((low, high, words.next().filter(|rights| rights.len() >= 4)?))
}

impl Known {
    fn learn_line(&mut self, line: &[u8]) {
        let Some((low, high, rights)) = place_of(line) else { return };
        if rights == b"r--p" && !is_ours(low) && heap::grow(&mut self.constant) {
            self.constant.push(Range { low, high, protection: PROT_READ, shared: false });
        }
        if rights[2] != b'x' {
            return;
        }
        let right = |at: usize, letter, bit| if rights[at] == letter { bit } else { 0 };
        self.learn(low, high, PROT_EXEC | right(0, b'r', PROT_READ) | right(1, b'w', PROT_WRITE), rights[3] == b's');
    }

    fn learn(&mut self, low: u64, high: u64, mut protection: u64, shared: bool) {
        if is_ours(low) {
            return;
        }
        if self.protected.iter().any(|r| low <= r.low && r.low < high) {
            protection |= PROT_WRITE; // we have taken it away
        }
        self.code.push(Range { low, high, protection, shared: shared || (protection & PROT_WRITE != 0 && !may_protect()) });
    }

    fn around(&self, pc: u64) -> Option<Range> {
        self.code.iter().find(|r| r.low <= pc && pc < r.high).copied()
    }

    // Let `translated` know without the lock whether there is anything to protect.
    fn settle(&self) {
        WRITABLE.store(self.code.iter().filter(|r| r.is_writable() && !r.shared).count() as u64, Ordering::Release);
    }
}

// Whether code that is written may be met by write protection. Where seccomp may forbid that, it is compared, like shared code.
fn may_protect() -> bool {
    sys::mailbox().confined == 0
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
static PROTECTED: AtomicU64 = AtomicU64::new(0); // it only grows: any at all since possession

fn has_writable_code() -> bool {
    WRITABLE.load(Ordering::Acquire) != 0
}

fn protect(low: u64, high: u64) {
    KNOWN.with(|known| protect_pages(known, low, high));
}

fn protect_pages(known: &mut Known, low: u64, high: u64) {
    let mut page = low & !(PAGE - 1);
    while page < high {
        if let Some(range) = known.around(page).filter(|r| r.is_writable() && !r.shared)
            && !known.protected.iter().any(|r| r.low == page)
        {
            sys::call3(sys::MPROTECT, page, PAGE, range.protection & !PROT_WRITE);
            known.protected.push(Range { low: page, high: page + PAGE, ..range });
            PROTECTED.fetch_add(1, Ordering::Release);
        }
        page += PAGE;
    }
}

/// A write to `address` faulted: if the page is protected by us, let the write through, and make what came from it dead.
///
/// In this order: a thread that translates from the page meanwhile protects it again, and either its fragment is made dead here or the
/// write faults once more.
pub fn written(address: u64) -> bool {
    let page = address & !(PAGE - 1);
    let opened = KNOWN.with(|known| {
        let at = known.protected.iter().position(|r| r.low == page)?;
        let range = known.protected.swap_remove(at);
        sys::call3(sys::MPROTECT, page, PAGE, range.protection);
        Some(range)
    });
    if opened.is_some() {
        kill_everywhere(page, page + PAGE);
        return true;
    }
    // Another thread may have let it through in the meantime.
    KNOWN.with(|known| known.around(page).is_some_and(|r| r.is_writable()))
}

/// Let the kernel write wherever the application may: it was refused once, perhaps because of us. Answers if so.
pub fn open_all() -> bool {
    let opened = KNOWN.with(|known| {
        for range in &known.protected {
            sys::call3(sys::MPROTECT, range.low, PAGE, range.protection);
        }
        core::mem::take(&mut known.protected)
    });
    for range in &opened {
        kill_everywhere(range.low, range.high);
    }
    !opened.is_empty()
}

/// Whether there are pages that the application may write and that we have protected.
pub fn any_protected() -> bool {
    PROTECTED.load(Ordering::Acquire) != 0
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
        cut(&mut known.code, low, high);
        cut(&mut known.constant, low, high);
        known.varying.retain(|&page| page < low || page >= high);
        known.changed = true;
        known.settle();
    });
    if was_translated(low, high) {
        kill_everywhere(low, high);
    }
}

/// `low..high` has these rights now. `shared`: others may write it, by another address.
pub fn has_rights(low: u64, high: u64, protection: u64, shared: bool) {
    if protection & PROT_EXEC != 0 {
        KNOWN.with(|known| {
            cut(&mut known.code, low, high);
            known.code.push(Range { low, high, protection, shared: shared || (protection & PROT_WRITE != 0 && !may_protect()) });
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

// With no lock held: each thread's is taken in turn.
fn kill_everywhere(low: u64, high: u64) {
    for slot in threads::slots() {
        let context = sys::context(slot);
        if let Some(service) = sys::service(context) {
            service.with(|thread| thread.kill(low, high));
        }
    }
}
