//! Where the application's memory comes, goes and moves: new and gone pages have no tags, moved ones take theirs along, and a file that is a
//! source has some where it is mapped.
//!
//! What will be gone is forgotten before the call: once it is, another thread may get the same place from the kernel, and read into it.
//! Only in a move that race is left.
//!
//! Pages of shared memory and of files that are discarded (MADV_DONTNEED) come back as they were, but without tags.

use crate::pages::PAGE;
use crate::{descriptors, shadow, sources, sys};

const MMAP: u64 = 9;
const MUNMAP: u64 = 11;
const BRK: u64 = 12;
const MREMAP: u64 = 25;
const MADVISE: u64 = 28;
const SHMAT: u64 = 30;

const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;

/// Of a file that is mapped, as much has tags.
pub const MAPPED_BYTES_MAX: u64 = 64 << 20;
/// A mapping of more is room for what will be mapped there later, and taken to have no tags.
pub const FORGOTTEN_BYTES_MAX: u64 = 1 << 30;

/// The application is about to make this call.
pub fn before(number: u64, arguments: &[u64; 6]) {
    const MADV_DONTNEED: u64 = 4;
    const MADV_REMOVE: u64 = 9;
    const MADV_DONTNEED_LOCKED: u64 = 24;
    const MADV_GUARD_INSTALL: u64 = 102;
    let [address, bytes, third, flags, ..] = *arguments;
    match number {
        MMAP if flags & MAP_FIXED != 0 => forget(address, bytes),
        MUNMAP => forget(address, bytes),
        MADVISE if matches!(third, MADV_DONTNEED | MADV_REMOVE | MADV_DONTNEED_LOCKED | MADV_GUARD_INSTALL) => {
            forget(address, bytes);
        }
        BRK if address != 0 => {
            let end = (sys::call(BRK, [0; 6]) as u64).next_multiple_of(PAGE);
            let begin = address.next_multiple_of(PAGE);
            if begin < end {
                forget(begin, end - begin);
            }
        }
        _ => {}
    }
}

/// The kernel has answered it.
pub fn after(number: u64, arguments: &[u64; 6], answer: i64) {
    if answer < 0 {
        return;
    }
    let place = answer as u64;
    let [address, bytes, new_bytes, flags, descriptor, offset] = *arguments;
    match number {
        MMAP => {
            if flags & MAP_FIXED == 0 && bytes <= FORGOTTEN_BYTES_MAX {
                forget(place, bytes); // from before the engine knew, or from where a segment was detached
            }
            if flags & MAP_ANONYMOUS == 0 {
                map_source(place, bytes, descriptor, offset);
            }
        }
        MREMAP => moved(address, bytes, place, new_bytes),
        SHMAT => forget(place, segment_bytes(address)),
        _ => {}
    }
}

// A range that the kernel takes: it begins with a page and ends with one.
fn forget(address: u64, bytes: u64) {
    if address.is_multiple_of(PAGE) {
        shadow::forget_tags(address, whole_pages(bytes));
    }
}

fn whole_pages(bytes: u64) -> u64 {
    bytes.saturating_add(PAGE - 1) & !(PAGE - 1)
}

fn moved(from: u64, bytes: u64, to: u64, new_bytes: u64) {
    let (bytes, new_bytes) = (whole_pages(bytes), whole_pages(new_bytes));
    let kept = if bytes == 0 { new_bytes } else { bytes.min(new_bytes) }; // 0: shared memory, mapped once more
    if to != from {
        forget(to, new_bytes);
        shadow::copy_tags(from, to, kept);
        forget(from, bytes);
    } else if new_bytes < bytes {
        forget(from + new_bytes, bytes - new_bytes);
    }
}

fn map_source(place: u64, bytes: u64, descriptor: u64, offset: u64) {
    if let Some(origin) = sources::origin(descriptor) {
        let file_bytes = descriptors::status(descriptor).map_or(0, |status| status.bytes);
        let bytes = bytes.min(file_bytes.saturating_sub(offset)).min(MAPPED_BYTES_MAX);
        if bytes != 0 {
            sources::receive(&origin, None, true, |each| each(place, bytes));
        }
    }
}

// How large a segment of shared memory is.
fn segment_bytes(segment: u64) -> u64 {
    const SHMCTL: u64 = 31;
    const IPC_STAT: u64 = 2;
    const BYTES: usize = 6;
    let mut status = [0u64; 14];
    if sys::mailbox().confined != 0 {
        return 0;
    }
    let answer = sys::call3(SHMCTL, segment, IPC_STAT, (&raw mut status) as u64);
    if answer < 0 { 0 } else { status[BYTES] }
}
