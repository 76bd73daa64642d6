//! Memory whose tags would lie where other memory's are: calls are made in translated code, where the kernel would have them meet.

mod inside;

use core::arch::global_asm;

use inside::Inside;
use seal::abi::{R8, R9, R10, RAX, RDI, RDX, RSI, mode};
use seal::{shadow, sys, window};

#[rustfmt::skip]
global_asm!(".globl window_call", "window_call:", "syscall", "ret");

unsafe extern "C" {
    fn window_call();
}

const MMAP: u64 = 9;
const MPROTECT: u64 = 10;
const MUNMAP: u64 = 11;
const BRK: u64 = 12;
const MREMAP: u64 = 25;
const MINCORE: u64 = 27;

const MAY_MOVE: u64 = 1;
const NONE: u64 = 0;
const READ_WRITE: u64 = 3;
const PRIVATE: u64 = 0x22; // and anonymous
const FIXED: u64 = 0x10_0000; // without replacing
const NOBODY: u64 = u64::MAX;
const BYTES: u64 = 3 << 20;
const WINDOW: u64 = 1 << 32;

fn call(inside: &mut Inside, number: u64, arguments: &[u64]) -> i64 {
    let mut registers = [0; 16];
    registers[RAX] = number;
    for (at, &argument) in arguments.iter().enumerate() {
        registers[[RDI, RSI, RDX, R10, R8, R9][at]] = argument;
    }
    let stack = [0u64; 4096];
    let top = (stack.as_ptr() as u64 + size_of_val(&stack) as u64) & !15;
    inside.call(window_call as *const () as u64, &registers, 0x202, top).0[RAX] as i64
}

#[track_caller]
fn map_as(inside: &mut Inside, at: u64, bytes: u64, rights: u64, flags: u64) -> u64 {
    let answer = call(inside, MMAP, &[at, bytes, rights, PRIVATE | flags, NOBODY, 0]);
    assert!(answer > 0, "{answer}");
    answer as u64
}

#[track_caller]
fn map(inside: &mut Inside, bytes: u64) -> u64 {
    map_as(inside, 0, bytes, READ_WRITE, 0)
}

fn unmap(inside: &mut Inside, at: u64, bytes: u64) {
    assert_eq!(call(inside, MUNMAP, &[at, bytes]), 0);
}

/// Where the kernel will place the next mapping of so many bytes; what is mapped lies `above` it in the window, far away otherwise.
fn next(inside: &mut Inside, bytes: u64, above: u64) -> (u64, u64) {
    let next = map(inside, bytes);
    unmap(inside, next, bytes);
    let other = map_as(inside, next - 64 * WINDOW + above, bytes, READ_WRITE, FIXED);
    (next, other)
}

fn is_there(at: u64) -> bool {
    sys::call3(MINCORE, at, 4096, [0u8; 8].as_mut_ptr() as u64) == 0
}

#[track_caller]
fn apart(a: u64, b: u64, bytes: u64) {
    let distance = a.wrapping_sub(b) % WINDOW;
    assert!((bytes..=WINDOW - bytes).contains(&distance), "{a:#x} and {b:#x} meet");
}

#[test]
fn what_the_kernel_has_placed_does_not_meet_the_rest() {
    for above in [0, 4096, BYTES - 4096] {
        inside::with(mode::TAINT, |inside| {
            let (at, other) = next(inside, BYTES, above);
            let placed = map(inside, BYTES);
            apart(placed, other, BYTES);
            assert!(!is_there(at), "mapped twice");
            assert_eq!(sys::write_guest(placed, &[1; 4096]), 4096);
            shadow::set_tags(placed, BYTES, 4);
            assert!(!shadow::any_tag(other, BYTES));
            // Where nothing is any more there is room again.
            unmap(inside, placed, BYTES);
            unmap(inside, other, BYTES);
            let again = map(inside, BYTES);
            assert_eq!(again, at);
            assert!(!shadow::any_tag(again, BYTES));
            unmap(inside, again, BYTES);
        });
    }
}

#[test]
fn who_asks_for_a_place_gets_it() {
    inside::with(mode::TAINT, |inside| {
        let (at, other) = next(inside, BYTES, 0);
        assert_eq!(map_as(inside, at, BYTES, READ_WRITE, FIXED), at);
        unmap(inside, at, BYTES);
        unmap(inside, other, BYTES);
    });
}

#[test]
fn where_a_filter_may_forbid_it_nothing_is_placed_anew() {
    inside::with(mode::TAINT, |inside| {
        let (at, other) = next(inside, BYTES, 0);
        sys::mailbox().confined = 1;
        assert_eq!(map(inside, BYTES), at);
        sys::mailbox().confined = 0;
        unmap(inside, at, BYTES);
        unmap(inside, other, BYTES);
    });
}

#[test]
fn what_grows_does_not_grow_into_the_rest() {
    inside::with(mode::TAINT, |inside| {
        let at = map(inside, 2 * BYTES);
        unmap(inside, at + BYTES, BYTES);
        let other = map_as(inside, at + BYTES - 64 * WINDOW, BYTES, READ_WRITE, FIXED);
        assert_eq!(sys::write_guest(at, b"kept"), 4);
        shadow::set_tags(at, 2, 8);
        // Not at any price: it does not move where it may not.
        let moved = call(inside, MREMAP, &[at, BYTES, 2 * BYTES, MAY_MOVE]) as u64;
        apart(moved, other, 2 * BYTES);
        let mut kept = [0; 4];
        assert_eq!((sys::read_guest(moved, &mut kept), &kept), (4, b"kept"));
        assert_eq!(sys::octets(shadow::tags_of(moved), 4), [8, 8, 0, 0]);
        assert!(!shadow::any_tag(at, BYTES) && !is_there(at));
        unmap(inside, moved, 2 * BYTES);
        unmap(inside, other, BYTES);
    });
}

#[test]
fn the_heap_does_not_grow_into_the_rest() {
    inside::with(mode::TAINT, |inside| {
        let end = (call(inside, BRK, &[0]) as u64).next_multiple_of(4096);
        assert_eq!(call(inside, BRK, &[end]), end as i64);
        // Nobody is given what may become heap.
        let room = end + (100 << 20);
        let at = map_as(inside, room + 5 * WINDOW, BYTES, READ_WRITE, 0);
        apart(at, room, BYTES);
        unmap(inside, at, BYTES);
        assert_eq!(call(inside, BRK, &[end + BYTES]), (end + BYTES) as i64);
        let beyond = end + (300 << 20);
        if sys::call(BRK, [beyond + 4096, 0, 0, 0, 0, 0]) != (beyond + 4096) as i64 {
            return eprintln!("the kernel has put something above the heap: try again");
        }
        sys::call(BRK, [end + BYTES, 0, 0, 0, 0, 0]);
        let other = map_as(inside, beyond + 5 * WINDOW, BYTES, READ_WRITE, FIXED);
        assert_eq!(call(inside, BRK, &[beyond + 4096]), (end + BYTES) as i64, "refused");
        assert_eq!(call(inside, BRK, &[beyond]), beyond as i64);
        assert_eq!(call(inside, BRK, &[end]), end as i64);
        unmap(inside, other, BYTES);
    });
}

#[test]
fn who_shares_tags_is_known() {
    inside::with(mode::TAINT, |inside| {
        let (at, other) = next(inside, BYTES, BYTES - 4096);
        assert_eq!(map_as(inside, at, BYTES, READ_WRITE, FIXED), at);
        let shares = |at: u64| window::shares(at, 16);
        assert_eq!([at, at + BYTES - 4104, at + BYTES - 4096].map(shares), [false, true, true]);
        assert!(shares(other));
        unmap(inside, other, BYTES);
        unmap(inside, at, BYTES);
    });
}

#[test]
fn what_is_opened_within_a_large_mapping_counts() {
    const LARGE: u64 = 3 << 30;
    const RESERVED: u64 = 0x4000;
    inside::with(mode::TAINT, |inside| {
        let large = map_as(inside, 0, LARGE, NONE, RESERVED);
        let (at, bytes) = (map(inside, BYTES), BYTES);
        unmap(inside, at, bytes);
        let twin = large + (at - large) % WINDOW; // where it has its tags, in what is large; or behind it
        if twin + bytes <= large + LARGE {
            assert_eq!(call(inside, MPROTECT, &[twin, bytes, READ_WRITE]), 0);
            let placed = map(inside, bytes);
            apart(placed, twin, bytes);
            unmap(inside, placed, bytes);
        }
        unmap(inside, large, LARGE);
    });
}
