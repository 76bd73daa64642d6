//! Threads and children: whose slot is whose, what a new thread or child begins with.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::abi::{self, AltStack, Context, RAX, RSP, SLOT_BYTES, THREADS_MAX, mapping, state, trouble};
use crate::cache::Thread;
use crate::emit::GuestPc;
use crate::sys::{self, Locked};
use crate::{dispositions, entry, heap, pages, sources, start};

const CLONE_VM: u64 = 0x100;
const CLONE_FILES: u64 = 0x400;
const CLONE_SIGHAND: u64 = 0x800;
const CLONE_VFORK: u64 = 0x4000;
const CLONE: u64 = 56;
const VFORK: u64 = 58;
pub const CLONE3: u64 = 435;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const EAGAIN: u64 = (-11i64) as u64; // as where there are too many threads

/// Return the addresses of all slots, in use or not.
pub fn slots() -> impl Iterator<Item = u64> {
    sys::mailbox().slots.iter().take_while(|&&slot| slot != 0).map(|&slot| u64::from(slot))
}

/// Return the context of a thread that is possessed, or is to be.
pub fn context_of(tid: u32) -> Option<&'static mut Context> {
    slots().map(sys::context).find(|c| c.tid == tid && c.state != state::FREE && c.state != state::LEFT)
}

/// How many free slots keep what their last threads had translated, for the next ones.
const WARM_MAX: usize = 32;

/// Return the context whose slot `address` lies in.
pub fn context_around(address: u64) -> Option<&'static mut Context> {
    let slot = address & !(SLOT_BYTES - 1);
    slots().any(|s| s == slot).then(|| sys::context(slot))
}

/// Give a context the record that the engine keeps of its thread. Answers false if there is no memory for it.
pub fn furnish(context: &mut Context) -> bool {
    if context.service == 0 {
        if !heap::has_room(abi::HEAP_THREAD_BYTES_MIN) {
            return false;
        }
        let slot = (&raw const *context) as u64;
        pages::discard(slot + abi::SLOT_RETURNS, abi::SLOT_VECTORS - abi::SLOT_RETURNS); // a fork may leave some
        context.service = Box::leak(Box::new(Locked::new(Thread::new(slot)))) as *const Locked<Thread> as u64;
    }
    true
}

fn is_free(context: &Context) -> bool {
    matches!(context.state, state::FREE | state::LEFT)
}

fn is_warm(context: &Context) -> bool {
    is_free(context) && context.is_warm != 0
}

/// This thread is about to end. What it has is kept for a later one, unless there is enough such already.
pub fn leave_behind(context: &mut Context) {
    let is_enough = || slots().filter(|&slot| is_warm(sys::context(slot))).nth(WARM_MAX - 1).is_some();
    context.is_warm = u32::from(!heap::is_low() && !is_enough());
    if let Some(service) = sys::service(context).filter(|_| context.is_warm == 0) {
        service.with(Thread::give_back);
    }
}

/// Give back what ended threads have left behind.
pub fn give_back_idle() {
    for slot in slots() {
        let context = sys::context(slot);
        let is_ours = {
            let _held = start::PROCESS.hold();
            let is_warm = is_warm(context);
            if is_warm {
                context.state = state::PREPARED; // meanwhile
            }
            is_warm
        };
        if is_ours {
            if let Some(service) = sys::service(context) {
                service.with(Thread::give_back);
            }
            context.is_warm = 0;
            context.state = state::FREE;
        }
    }
}

// Find or map a slot for a thread to come: a warm one first.
fn new_slot() -> Option<&'static mut Context> {
    let _held = start::PROCESS.hold();
    let first = |wanted: fn(&Context) -> bool| slots().find(|&slot| wanted(sys::context(slot)));
    if let Some(slot) = first(is_warm).or_else(|| first(is_free)) {
        let context = sys::context(slot);
        context.state = state::PREPARED;
        context.is_warm = 0;
        return Some(context);
    }
    let mailbox = sys::mailbox();
    let count = slots().count();
    if count == THREADS_MAX {
        mailbox.trouble = trouble::THREADS;
        return None;
    }
    let Some(slot) = map_slot().filter(|&slot| is_noted(slot)) else {
        mailbox.trouble = trouble::NO_MEMORY;
        return None;
    };
    mailbox.slots[count] = slot as u32;
    let context = sys::context(slot);
    context.state = state::PREPARED;
    Some(context)
}

fn is_noted(slot: u64) -> bool {
    let is_noted = pages::note(abi::Mapping { address: slot, bytes: SLOT_BYTES, kind: mapping::SLOT, pad: 0 });
    if !is_noted {
        sys::call3(sys::MUNMAP, slot, SLOT_BYTES, 0);
    }
    is_noted
}

// From 2 GiB downwards, to where the kernel allows it. From where there was room last: above there is none.
fn map_slot() -> Option<u64> {
    const LOW_END: u64 = 1 << 31;
    const FIXED_NOREPLACE: u64 = 0x10_0000;
    const PRIVATE_ANONYMOUS_NORESERVE: u64 = 0x4022;
    static NEXT: AtomicU64 = AtomicU64::new(LOW_END - SLOT_BYTES);
    let mut slot = NEXT.load(Ordering::Relaxed);
    while slot != 0 {
        if slot + SLOT_BYTES == sys::mailbox().low {
            slot -= SLOT_BYTES; // a mailbox is found at the begin of a mapping: nothing may merge with it
        }
        let flags = PRIVATE_ANONYMOUS_NORESERVE | FIXED_NOREPLACE;
        match sys::call(sys::MMAP, [slot, SLOT_BYTES, 3, flags, u64::MAX, 0]) {
            answer if answer == slot as i64 => {
                NEXT.store(slot - SLOT_BYTES, Ordering::Relaxed);
                return Some(slot);
            }
            sys::ENOMEM => return None, // of the process's limit; what is below does not help
            answer if answer > 0 => {
                sys::call3(sys::MUNMAP, answer as u64, SLOT_BYTES, 0); // an old kernel took the address for a hint
            }
            _ => {}
        }
        slot -= SLOT_BYTES;
    }
    NEXT.store(LOW_END - SLOT_BYTES, Ordering::Relaxed); // the application may unmap what is in the way
    None
}

struct Asked {
    flags: u64,
    stack: u64, // the child's stack pointer; 0: the parent's
    signals_cleared: bool,
}

fn asked(context: &Context) -> Option<Asked> {
    let argument = |at| context.regs[at];
    Some(match context.regs[RAX] & 0xffff_ffff {
        CLONE => Asked { flags: argument(abi::RDI), stack: argument(abi::RSI), signals_cleared: false },
        VFORK => Asked { flags: CLONE_VM | CLONE_VFORK, stack: 0, signals_cleared: false },
        CLONE3 => {
            let record = argument(abi::RDI);
            let (flags, stack, size) =
                (sys::read_guest_u64(record)?, sys::read_guest_u64(record + 40)?, sys::read_guest_u64(record + 48)?);
            Asked { flags, stack: if stack == 0 { 0 } else { stack + size }, signals_cleared: flags & CLONE_CLEAR_SIGHAND != 0 }
        }
        _ => Asked { flags: 0, stack: 0, signals_cleared: false },
    })
}

/// Make clone, clone3, fork or vfork; the child begins possessed. `context.rip` is the address behind the call.
pub fn multiply(context: &mut Context) {
    let Some(asked) = asked(context) else {
        context.regs[RAX] = sys::EFAULT as u64;
        return;
    };
    if asked.flags & CLONE_VM == 0 {
        fork(context, &asked);
        return;
    }
    let Some(child) = new_slot() else {
        context.regs[RAX] = EAGAIN;
        return;
    };
    let mut is_ready = furnish(child) && start::provide(child, GuestPc(context.rip));
    if !is_ready {
        give_back_idle();
        is_ready = furnish(child) && start::provide(child, GuestPc(context.rip));
    }
    if !is_ready {
        child.state = state::FREE;
        sys::mailbox().trouble = trouble::NO_MEMORY;
        context.regs[RAX] = EAGAIN;
        return;
    }
    // Signals wait until the child has a stack for them.
    dispositions::block_all();
    inherit(context, child, &asked);
    let apart = asked.flags & CLONE_FILES == 0;
    if apart {
        sources::part();
    }
    let answer = entry::issue_clone(context, child);
    if apart && (answer < 0 || asked.flags & CLONE_VFORK != 0) {
        sources::rejoin();
    }
    dispositions::set_kernel_mask(context);
    if answer < 0 || asked.flags & CLONE_VFORK != 0 {
        child.is_warm = 1;
        child.state = state::FREE; // none came, or it has gone to another image or ended
    } else if child.tid == 0 {
        child.tid = answer as u32;
    }
    context.regs[RAX] = answer as u64;
}

fn inherit(context: &Context, child: &mut Context, asked: &Asked) {
    child.regs = context.regs;
    child.regs[RAX] = 0;
    if asked.stack != 0 {
        child.regs[RSP] = asked.stack;
    }
    child.rip = context.rip;
    child.rflags = context.rflags;
    child.regs[abi::RCX] = context.rip;
    child.mask = context.mask;
    child.tid = 0;
    child.request = 0;
    child.hold = 0;
    child.pending_signal = 0;
    child.moved = 0;
    child.has_suspended_mask = 0;
    child.fault_resume = 0;
    // A fork leaves slots whose threads were in the middle of something.
    child.in_pieces = 0;
    child.cut = 0;
    child.once = 0;
    child.call_number = 0;
    child.xmm = context.xmm;
    child.vectors_in_context = 1;
    // Not those of the thread that had the slot before, which may have ended in the middle of what tagged them.
    child.tags = [0; 16];
    child.vector_tags = [[0; abi::VECTOR_BYTES]; abi::VECTOR_REGISTERS];
    child.mask_tags = [0; 8];
    child.x87_tags = [0; 8];
    child.tracking = 0;
    let vfork = asked.flags & CLONE_VFORK != 0;
    child.altstack = if vfork { context.altstack } else { AltStack { flags: 2, ..AltStack::default() } };
    child.rseq_address = 0;
    // Dispositions of its own, where it shares memory but not those: a copy behind its Context.
    child.actions = context.actions;
    if asked.flags & CLONE_SIGHAND == 0 {
        let own = (&raw const *child) as u64 + size_of::<Context>() as u64;
        dispositions::copy_actions(context.actions, own, asked.signals_cleared);
        child.actions = own;
    }
}

// Let no thread change what the engine knows of it while the process is copied; answer of which slots that is known.
fn hold_records() -> [u64; THREADS_MAX.div_ceil(64)] {
    let mut held = [0; THREADS_MAX.div_ceil(64)];
    for (at, slot) in slots().enumerate() {
        if let Some(service) = sys::service(sys::context(slot)) {
            service.lock().take();
            held[at / 64] |= 1 << (at % 64);
        }
    }
    held
}

// A child with memory of its own: a copy of this thread alone, engine and all.
fn fork(context: &mut Context, asked: &Asked) {
    if asked.flags & CLONE_FILES != 0 {
        sources::part(); // who of the two closes one, the other does not hear
    }
    dispositions::block_all();
    let held = hold_records();
    start::before_fork();
    let parent = sys::call(sys::GETPID, [0; 6]) as u64;
    let answer = entry::issue_fork(context);
    start::after_fork();
    let own = (&raw const *context) as u64;
    for (at, slot) in slots().enumerate() {
        let other = sys::context(slot);
        let is_held = held[at / 64] >> (at % 64) & 1 != 0;
        if let Some(service) = sys::service(other).filter(|_| is_held) {
            service.lock().give();
        }
        if answer == 0 && slot != own {
            // What it was in the middle of, nobody finishes here; but what it had is whole.
            other.service = if is_held { other.service } else { 0 };
            other.is_warm = u32::from(is_held);
            other.state = state::FREE;
        }
    }
    if answer == 0 {
        context.tid = sys::call(sys::GETTID, [0; 6]) as u32;
        // These were meant for the parent.
        context.pending_signal = 0;
        context.request = 0;
        let mailbox = sys::mailbox();
        mailbox.park = 0;
        mailbox.pid = sys::call(sys::GETPID, [0; 6]) as u32;
        mailbox.parent = parent;
        // Its parent waits for an answer to these, it does not.
        mailbox.alert_count = 0;
        mailbox.alerts_missed = 0;
        for alert in &mut mailbox.alerts {
            alert.serial = 0;
        }
        if asked.signals_cleared {
            dispositions::copy_actions(context.actions, context.actions, true);
        }
        if asked.stack != 0 {
            context.regs[RSP] = asked.stack;
        }
    }
    dispositions::set_kernel_mask(context);
    context.regs[RAX] = answer as u64;
}
