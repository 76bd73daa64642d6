//! The engine's allocator in the image: size classes over the heap that the controller has reserved. No libc, no kernel.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

use crate::sys::{self, Lock};

const CLASSES: usize = 27; // 16 bytes to 1 GiB, by powers of two
const SMALLEST_LOG2: u32 = 4;

struct State {
    free: [*mut u8; CLASSES],
    next: u64,
    end: u64,
}

/// Blocks of a power of two, each aligned to min(its size, 4096), in lists by size.
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

impl Heap {
    pub const fn new() -> Heap {
        Heap { lock: Lock::new(), state: UnsafeCell::new(State { free: [null_mut(); CLASSES], next: 0, end: 0 }) }
    }

    pub fn give_room(&self, begin: u64, bytes: u64) {
        let _held = self.lock.hold();
        // SAFETY: under the lock.
        let state = unsafe { &mut *self.state.get() };
        state.next = begin;
        state.end = begin + bytes;
    }

    /// A fork must not copy the lock while another thread holds it.
    pub fn lock(&self) -> &Lock {
        &self.lock
    }
}

fn class(layout: Layout) -> usize {
    let bytes = layout.size().max(layout.align()).max(1 << SMALLEST_LOG2).next_power_of_two();
    (bytes.trailing_zeros() - SMALLEST_LOG2) as usize
}

// SAFETY: blocks do not overlap, are as large and as aligned as asked, and stay until they are given back.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class(layout);
        if class >= CLASSES {
            return null_mut();
        }
        let _held = self.lock.hold();
        // SAFETY: under the lock; a free block's first word is the next one.
        unsafe {
            let state = &mut *self.state.get();
            let first = state.free[class];
            if !first.is_null() {
                state.free[class] = first.cast::<*mut u8>().read();
                return first;
            }
            let bytes = 1u64 << (class as u32 + SMALLEST_LOG2);
            let at = state.next.next_multiple_of(bytes.min(4096));
            if at + bytes > state.end {
                return null_mut();
            }
            state.next = at + bytes;
            let mailbox = sys::mailbox();
            mailbox.heap_used = state.next - mailbox.heap;
            at as *mut u8
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let class = class(layout);
        let _held = self.lock.hold();
        // SAFETY: under the lock; the block is the caller's to give back.
        unsafe {
            let state = &mut *self.state.get();
            block.cast::<*mut u8>().write(state.free[class]);
            state.free[class] = block;
        }
    }
}
