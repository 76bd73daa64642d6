//! Threads and children: whose slot is whose, what a new thread or child begins with.

use alloc::boxed::Box;

use crate::abi::{self, AltStack, Context, RAX, RSP, SLOT_BYTES, THREADS_MAX, mapping, state, trouble};
use crate::cache::Thread;
use crate::emit::GuestPc;
use crate::sys::{self, Locked};
use crate::{dispositions, entry, sources, start};

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

/// Return the context whose slot `address` lies in.
pub fn context_around(address: u64) -> Option<&'static mut Context> {
    let slot = address & !(SLOT_BYTES - 1);
    slots().any(|s| s == slot).then(|| sys::context(slot))
}

/// Give a context the record that the engine keeps of its thread.
pub fn furnish(context: &mut Context) {
    if context.service == 0 {
        let slot = (&raw const *context) as u64;
        context.service = Box::leak(Box::new(Locked::new(Thread::new(slot)))) as *const Locked<Thread> as u64;
    }
}

// Find or map a slot for a thread to come.
fn new_slot() -> Option<&'static mut Context> {
    let _held = start::PROCESS.hold();
    if let Some(slot) = slots().find(|&slot| matches!(sys::context(slot).state, state::FREE | state::LEFT)) {
        let context = sys::context(slot);
        context.state = state::PREPARED;
        return Some(context);
    }
    let mailbox = sys::mailbox();
    let count = slots().count();
    if count == THREADS_MAX {
        mailbox.trouble = trouble::THREADS;
        return None;
    }
    // MAP_32BIT finds room between 1 and 2 GiB; twice the size, to be aligned.
    const MAP_32BIT: u64 = 0x40;
    let flags = 0x22 | 0x4000 | MAP_32BIT;
    let answer = sys::call(sys::MMAP, [0, 2 * SLOT_BYTES, 3, flags, u64::MAX, 0]);
    if answer < 0 {
        mailbox.trouble = trouble::NO_MEMORY;
        return None;
    }
    let begin = answer as u64;
    let slot = begin.next_multiple_of(SLOT_BYTES);
    if slot > begin {
        sys::call3(sys::MUNMAP, begin, slot - begin, 0);
    }
    if begin + SLOT_BYTES > slot {
        sys::call3(sys::MUNMAP, slot + SLOT_BYTES, begin + SLOT_BYTES - slot, 0);
    }
    mailbox.slots[count] = slot as u32;
    let context = sys::context(slot);
    context.state = state::PREPARED;
    let at = mailbox.mapping_count as usize;
    if at < mailbox.mappings.len() {
        mailbox.mappings[at] = abi::Mapping { address: slot, bytes: SLOT_BYTES, kind: mapping::SLOT, pad: 0 };
        mailbox.mapping_count += 1;
    }
    Some(context)
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
    furnish(child);
    if !start::provide(child, GuestPc(context.rip)) {
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

// A child with memory of its own: a copy of this thread alone, engine and all.
fn fork(context: &mut Context, asked: &Asked) {
    if asked.flags & CLONE_FILES != 0 {
        sources::part(); // who of the two closes one, the other does not hear
    }
    dispositions::block_all();
    start::before_fork();
    let parent = sys::call(sys::GETPID, [0; 6]) as u64;
    let answer = entry::issue_fork(context);
    start::after_fork();
    if answer == 0 {
        let own = (&raw const *context) as u64;
        for slot in slots().filter(|&slot| slot != own) {
            // What the others were in the middle of, nobody finishes here.
            sys::context(slot).state = state::FREE;
            sys::context(slot).service = 0;
        }
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
