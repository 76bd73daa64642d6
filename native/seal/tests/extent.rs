//! Tags where memory comes, goes and moves: calls are made in translated code, and what the kernel says is there is held against the tags.

mod inside;

use core::arch::global_asm;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;

use inside::Inside;
use seal::abi::{self, R8, R9, R10, RAX, RDI, RDX, RSI, mode, source};
use seal::extent::{FORGOTTEN_BYTES_MAX, MAPPED_BYTES_MAX};
use seal::{shadow, sys};

#[rustfmt::skip]
global_asm!(".globl extent_call", "extent_call:", "syscall", "ret");

unsafe extern "C" {
    fn extent_call();
}

const MMAP: u64 = 9;
const MUNMAP: u64 = 11;
const BRK: u64 = 12;
const MREMAP: u64 = 25;
const MADVISE: u64 = 28;
const SHMGET: u64 = 29;
const SHMAT: u64 = 30;
const SHMCTL: u64 = 31;
const SHMDT: u64 = 67;

const PAGE: u64 = 4096;
const STALE: u8 = 0xff;
const READ_WRITE: u64 = 3;
const PRIVATE: u64 = 0x22; // and anonymous
const FIXED: u64 = 0x10;
const NOBODY: u64 = u64::MAX;

fn call(inside: &mut Inside, number: u64, arguments: &[u64]) -> i64 {
    let mut registers = [0; 16];
    registers[RAX] = number;
    for (at, &argument) in arguments.iter().enumerate() {
        registers[[RDI, RSI, RDX, R10, R8, R9][at]] = argument;
    }
    let stack = [0u64; 4096];
    let top = (stack.as_ptr() as u64 + size_of_val(&stack) as u64) & !15;
    inside.call(extent_call as *const () as u64, &registers, 0x202, top).0[RAX] as i64
}

fn map(inside: &mut Inside, bytes: u64) -> u64 {
    let answer = call(inside, MMAP, &[0, bytes, READ_WRITE, PRIVATE, NOBODY, 0]);
    assert!(answer > 0, "{answer}");
    answer as u64
}

/// Where tags of pages lie, in sizes that are looked through and that are given back to the kernel.
const SIZES: [u64; 4] = [1, 5, 9, 300];

fn with(work: impl Fn(&mut Inside, u64)) {
    for pages in SIZES {
        inside::with(mode::TAINT, |inside| work(inside, pages * PAGE));
    }
}

/// The tags of memory and of a byte to each side of it.
#[track_caller]
fn has(address: u64, bytes: u64, tag: u8, beside: u8) {
    let tags = sys::octets(shadow::tags_of(address - 1), bytes as usize + 2);
    assert_eq!((tags[0], tags[bytes as usize + 1]), (beside, beside));
    let other = tags[1..=bytes as usize].iter().position(|&is| is != tag);
    assert_eq!(other, None, "of {bytes} bytes at {address:#x}");
}

#[test]
fn what_is_unmapped_and_mapped_anew_has_none() {
    with(|inside, bytes| {
        let at = map(inside, bytes + 2 * PAGE) + PAGE;
        shadow::set_tags(at - PAGE, bytes + 2 * PAGE, STALE);
        assert_eq!(call(inside, MUNMAP, &[at, bytes]), 0);
        has(at, bytes, 0, STALE);
        // Nothing has happened if the kernel does not like it.
        assert!(call(inside, MUNMAP, &[at - PAGE + 1, bytes]) < 0);
        has(at, bytes, 0, STALE);
        // As if somebody had unmapped it unseen.
        shadow::set_tags(at, bytes, STALE);
        assert_eq!(call(inside, MMAP, &[at, bytes, READ_WRITE, PRIVATE, NOBODY, 0]), at as i64);
        has(at, bytes, 0, STALE);
        shadow::set_tags(at, bytes, STALE);
        assert_eq!(call(inside, MMAP, &[at, bytes - 5, READ_WRITE, PRIVATE | FIXED, NOBODY, 0]), at as i64);
        has(at, bytes, 0, STALE);
        shadow::clear_tags(at - PAGE, bytes + 2 * PAGE);
        sys::call3(MUNMAP, at - PAGE, bytes + 2 * PAGE, 0);
    });
}

#[test]
fn what_is_thrown_away_has_none() {
    const WILLNEED: u64 = 3;
    const DONTNEED: u64 = 4;
    with(|inside, bytes| {
        let at = map(inside, bytes + 2 * PAGE) + PAGE;
        shadow::set_tags(at - PAGE, bytes + 2 * PAGE, STALE);
        assert_eq!(call(inside, MADVISE, &[at, bytes, WILLNEED]), 0);
        has(at, bytes, STALE, STALE);
        assert_eq!(call(inside, MADVISE, &[at, bytes, DONTNEED]), 0);
        has(at, bytes, 0, STALE);
        shadow::clear_tags(at - PAGE, bytes + 2 * PAGE);
        sys::call3(MUNMAP, at - PAGE, bytes + 2 * PAGE, 0);
    });
}

#[test]
fn what_moves_takes_its_tags_along() {
    const MAY_MOVE: u64 = 1;
    const TO: u64 = 2;
    with(|inside, bytes| {
        let (from, to) = (map(inside, bytes), map(inside, bytes + PAGE));
        let tag = |at: u64| [0, 1, 2, 128][(at / 700 % 4) as usize];
        (0..bytes).for_each(|at| shadow::set_tags(from + at, 1, tag(at)));
        shadow::set_tags(to, bytes + PAGE, STALE);
        assert_eq!(call(inside, MREMAP, &[from, bytes, bytes + PAGE, MAY_MOVE | TO, to]), to as i64);
        assert!(!shadow::any_tag(from, bytes));
        let moved = sys::octets(shadow::tags_of(to), (bytes + PAGE) as usize);
        assert!((0..bytes + PAGE).all(|at| moved[at as usize] == if at < bytes { tag(at) } else { 0 }));
        // It shrinks where it is.
        shadow::set_tags(to, bytes + PAGE, STALE);
        assert_eq!(call(inside, MREMAP, &[to, bytes + PAGE, PAGE, 0]), to as i64);
        assert!(!shadow::any_tag(to + PAGE, bytes));
        has(to + 1, PAGE - 2, STALE, STALE);
        shadow::clear_tags(to, PAGE);
        sys::call3(MUNMAP, to, PAGE, 0);
    });
}

#[test]
fn the_heap_ends_where_it_ends() {
    with(|inside, bytes| {
        let end = call(inside, BRK, &[0]) as u64;
        let odd = end.next_multiple_of(PAGE) + 100;
        assert_eq!(call(inside, BRK, &[odd + bytes]), (odd + bytes) as i64);
        shadow::set_tags(odd - 50, bytes + 50, STALE);
        assert_eq!(call(inside, BRK, &[odd]), odd as i64);
        let kept = odd.next_multiple_of(PAGE); // the rest of a page stays
        has(odd - 49, kept - odd + 49 - 1, STALE, STALE);
        assert!(!shadow::any_tag(kept, bytes));
        shadow::clear_tags(odd - 50, kept - odd + 50);
        assert_eq!(call(inside, BRK, &[end]), end as i64);
    });
}

#[test]
fn a_segment_begins_without_tags() {
    with(|inside, bytes| {
        let segment = sys::call3(SHMGET, 0, bytes, 0o1600) as u64;
        let at = call(inside, SHMAT, &[segment, 0, 0]) as u64;
        shadow::set_tags(at, bytes, STALE);
        assert_eq!(call(inside, SHMDT, &[at]), 0);
        assert_eq!(call(inside, SHMAT, &[segment, at, 0]), at as i64);
        assert!(!shadow::any_tag(at, bytes));
        assert_eq!(call(inside, SHMDT, &[at]), 0);
        sys::call3(SHMCTL, segment, 0, 0);
    });
}

#[test]
fn a_listed_file_has_tags_where_it_is_mapped() {
    const FILE_BYTES: usize = 2 * PAGE as usize + 77;
    let data: Vec<u8> = (0..FILE_BYTES).map(|at| (at % 251) as u8).collect();
    // SAFETY: it is new.
    let mut file = unsafe { File::from_raw_fd(sys::call3(319, c"extent".as_ptr() as u64, 0, 0) as i32) }; // memfd_create
    file.write_all(&data).expect("written");
    let descriptor = file.as_raw_fd() as u64;
    let status = file.metadata().expect("open");
    inside::with(mode::TAINT, |inside| {
        let mut map = |offset: u64, rights: u64| {
            let answer = call(inside, MMAP, &[0, 4 * PAGE, rights, 2, descriptor, offset]);
            assert!(answer > 0, "{answer}");
            answer as u64
        };
        let unlisted = map(0, READ_WRITE);
        assert!(!shadow::any_tag(unlisted, 4 * PAGE));
        let mailbox = sys::mailbox();
        mailbox.sources = source::FILE;
        mailbox.files[0] = abi::File { device: status.dev(), inode: status.ino() };
        mailbox.file_count = 1;
        let whole = map(0, READ_WRITE);
        let rest = map(PAGE, READ_WRITE);
        let unreadable = map(2 * PAGE, 0);
        for (at, offset) in [(whole, 0), (rest, PAGE), (unreadable, 2 * PAGE)] {
            let bytes = FILE_BYTES as u64 - offset;
            assert!(sys::octets(shadow::tags_of(at), bytes as usize).iter().all(|&tag| tag == 1));
            assert!(!shadow::any_tag(at + bytes, 4 * PAGE - bytes));
        }
        let stream = sys::mailbox().streams[0];
        assert_eq!((stream.kind, stream.inode, stream.serial), (source::FILE, status.ino(), 1));
        assert_eq!(stream.received, FILE_BYTES as u64 * 3 - 3 * PAGE);
        assert_eq!(&sys::octets(sys::mailbox().input, FILE_BYTES), &data);
        for at in [unlisted, whole, rest, unreadable] {
            assert_eq!(call(inside, MUNMAP, &[at, 4 * PAGE]), 0);
            assert!(!shadow::any_tag(at, 4 * PAGE));
        }
    });
}

#[test]
fn of_much_a_part_is_seen_to() {
    const NORESERVE: u64 = 0x4000;
    const TRUNCATE: u64 = 77;
    inside::with(mode::TAINT, |inside| {
        for (bytes, left) in [(FORGOTTEN_BYTES_MAX, 0), (FORGOTTEN_BYTES_MAX + PAGE, STALE)] {
            let arguments = [0, bytes, READ_WRITE, PRIVATE | NORESERVE, NOBODY, 0];
            let at = call(inside, MMAP, &arguments) as u64;
            sys::call3(MUNMAP, at, bytes, 0);
            shadow::set_tags(at + PAGE, 1, STALE);
            assert_eq!(call(inside, MMAP, &[at, bytes, READ_WRITE, PRIVATE | NORESERVE, NOBODY, 0]), at as i64);
            assert_eq!(sys::octets(shadow::tags_of(at + PAGE), 1)[0], left);
            shadow::clear_tags(at + PAGE, 1);
            sys::call3(MUNMAP, at, bytes, 0);
        }
        // SAFETY: it is new.
        let file = unsafe { File::from_raw_fd(sys::call3(319, c"extent".as_ptr() as u64, 0, 0) as i32) };
        let (descriptor, bytes) = (file.as_raw_fd() as u64, MAPPED_BYTES_MAX + PAGE);
        assert_eq!(sys::call3(TRUNCATE, descriptor, bytes, 0), 0);
        let status = file.metadata().expect("open");
        let mailbox = sys::mailbox();
        mailbox.sources = source::FILE;
        mailbox.files[0] = abi::File { device: status.dev(), inode: status.ino() };
        mailbox.file_count = 1;
        let at = call(inside, MMAP, &[0, bytes, READ_WRITE, 2, descriptor, 0]) as u64;
        let tags = sys::octets(shadow::tags_of(at), bytes as usize);
        assert_eq!(tags.iter().position(|&tag| tag != 1), Some(MAPPED_BYTES_MAX as usize));
        assert!(tags[MAPPED_BYTES_MAX as usize..].iter().all(|&tag| tag == 0));
        assert_eq!(sys::mailbox().streams[0].received, MAPPED_BYTES_MAX);
        assert_eq!(call(inside, MUNMAP, &[at, bytes]), 0);
        assert!(!shadow::any_tag(at, bytes));
    });
}
