//! What the controller calls, and the first and last steps of each thread.

use crate::abi::{AltStack, Context, Mailbox, mapping, mode, state, trouble};
use crate::emit::GuestPc;
use crate::heap::Heap;
use crate::sys::{self, Lock};
use crate::{calls, descriptors, dispositions, entry, pages, recover, shadow, sources, threads, window};

pub static HEAP: Heap = Heap::new();
/// Orders changes to the mailbox.
pub static PROCESS: Lock = Lock::new();

/// Once, after planting: the heap, what is to be known of the process, everything that would make the first steps slow.
pub extern "C" fn prepare(mailbox: &mut Mailbox) -> i64 {
    sys::set_mailbox((&raw const *mailbox) as u64);
    calls::fill_wanted_table(mailbox.mode);
    if mailbox.mapping_count == 0 {
        pages::remember(mailbox.low, mailbox.low_bytes, mapping::LOW);
    }
    give_heap_its_room(mailbox);
    let _ = crate::translate::decode_one(entry::gate()); // which makes the decoder's tables
    if mailbox.mode != mode::NONE {
        let Some(base) = shadow::map() else { return sys::ENOMEM };
        mailbox.shadow_offset = base;
    }
    if mailbox.mode == mode::TAINT {
        let Some(input) = sources::map() else { return sys::ENOMEM };
        mailbox.input = input;
        if window::map().is_none() {
            return sys::ENOMEM;
        }
    }
    pages::learn();
    for slot in threads::slots() {
        let context = sys::context(slot);
        if !threads::furnish(context) || !provide(context, first_code()) {
            return sys::ENOMEM;
        }
    }
    0
}

// What lies in the reservation, and elsewhere the rest: untouched, it costs nothing. Of that as much as can be had.
fn give_heap_its_room(mailbox: &mut Mailbox) {
    if mailbox.heap == 0 {
        return; // in tests of the crate, which have an allocator of their own
    }
    HEAP.give_room(mailbox.heap, mailbox.heap_bytes);
    let mut more = mailbox.heap_bytes_max.saturating_sub(mailbox.heap_bytes) & !(pages::PAGE - 1);
    while more >= mailbox.heap_bytes {
        if let Some(begin) = pages::map_apart(more, mapping::HEAP) {
            HEAP.give_room(begin, more);
            return;
        }
        more /= 2;
    }
}

/// With all threads stopped: the dispositions become the engine's.
pub extern "C" fn take_over(mailbox: &mut Mailbox) -> i64 {
    dispositions::take_over(mailbox);
    if !pages::may_learn() {
        pages::learn(); // for the last time
    }
    if mailbox.confined != 0 {
        learn_descriptors();
    }
    for slot in threads::slots() {
        let context = sys::context(slot);
        context.actions = (&raw const mailbox.actions) as u64;
        if !threads::furnish(context) || !provide(context, first_code()) {
            return sys::ENOMEM;
        }
    }
    if pages::may_learn() {
        pages::forget(); // the application went on since, and what it has mapped is read when code is wanted
    }
    mailbox.awake = 1;
    0
}

/// With all threads stopped: the dispositions become the application's again, and the pages' rights.
pub extern "C" fn restore(mailbox: &mut Mailbox) -> i64 {
    dispositions::give_back(mailbox);
    pages::restore_all();
    mailbox.awake = 0;
    0
}

/// A thread's first step in the engine.
pub extern "C" fn prologue(context: &mut Context) {
    context.altstack = dispositions::exchange_altstack(context);
    if context.rseq_address != 0 {
        const UNREGISTER: u64 = 1;
        let arguments =
            [context.rseq_address, u64::from(context.rseq_bytes), UNREGISTER, u64::from(context.rseq_signature), 0, 0];
        sys::call(sys::RSEQ, arguments);
    }
    shadow::enter();
    dispositions::set_kernel_mask(context);
    context.state = state::RUNNING;
}

/// Map what room a thread needs for translated code: some in any case, all that there may ever be code for where seccomp may forbid it
/// later. Answers whether there is any.
pub fn provide(context: &Context, near: GuestPc) -> bool {
    sys::service(context).is_some_and(|service| service.with(|thread| thread.provide(sys::mailbox().confined != 0, near)))
}

// Where the application's code begins, as far as that is known.
fn first_code() -> GuestPc {
    GuestPc(pages::known(0).map_or(sys::mailbox().low, |range| range.low))
}

/// The application is about to filter its system calls. From here on the engine makes none that it could do without; what needs them is
/// done before, for all threads: the filter may be for all.
pub fn confine() {
    while threads::slots().any(|slot| sys::context(slot).state == state::PREPARED) {
        sys::call(sys::SCHED_YIELD, [0; 6]); // for the first steps of a thread
    }
    pages::learn();
    for slot in threads::slots() {
        let context = sys::context(slot);
        if context.state == state::FREE {
            threads::furnish(context);
        }
        if let Some(service) = sys::service(context) {
            service.with(|thread| thread.provide(true, first_code()));
        }
    }
    learn_descriptors();
    sys::mailbox().confined = 1;
    pages::learn(); // what can be written is compared now, instead of protected
    pages::open_all();
}

// For when nothing may be asked about them.
fn learn_descriptors() {
    if shadow::is_followed() {
        descriptors::learn();
    }
}

/// A new thread's first step: it has no alternate stack and no rseq, and all signals are blocked.
pub extern "C" fn child(context: &mut Context) {
    shadow::enter();
    dispositions::exchange_altstack(context);
    context.tid = sys::call(sys::GETTID, [0; 6]) as u32;
    dispositions::set_kernel_mask(context);
    context.state = state::RUNNING;
}

/// A thread's last step: what belongs to threads is as the application had it. Answers where its vectors are, if not in the processor.
pub extern "C" fn farewell(context: &mut Context) -> u64 {
    shadow::leave();
    let stack: AltStack = context.altstack;
    sys::call3(sys::SIGALTSTACK, (&raw const stack) as u64, 0, 0);
    if context.rseq_address != 0 {
        let arguments = [context.rseq_address, u64::from(context.rseq_bytes), 0, u64::from(context.rseq_signature), 0, 0];
        sys::call(sys::RSEQ, arguments);
    }
    if let Some(service) = sys::service(context) {
        service.peek(|thread| {
            recover::mend_fpu(thread, context, true);
            recover::mend_fpu(thread, context, false);
        });
    }
    context.state = state::LEFT;
    if context.vectors_in_context != 0 { (&raw const context.xmm) as u64 } else { 0 }
}

/// Whether an address lies in the engine's own code.
pub fn is_image(address: u64) -> bool {
    entry::image().contains(&address)
}

/// No other thread may be inside the allocator or the mailbox while the process is copied.
pub fn before_fork() {
    sources::lock().take();
    descriptors::lock().take();
    window::lock().take();
    pages::lock().take();
    PROCESS.take();
    HEAP.lock().take();
}

pub fn after_fork() {
    HEAP.lock().give();
    PROCESS.give();
    pages::lock().give();
    window::lock().give();
    descriptors::lock().give();
    sources::lock().give();
}

/// The engine has failed in this thread, which cannot go on in it: say so and stop here, where a debugger finds it.
pub fn failed(reason: core::fmt::Arguments<'_>) -> ! {
    if sys::has_mailbox() {
        let mailbox = sys::mailbox();
        mailbox.trouble = trouble::PANIC;
        let _ = core::fmt::write(&mut Note { text: &mut mailbox.note, used: 0 }, reason);
    }
    dispositions::default_effect(SIGABRT);
    loop {
        sys::call(sys::SCHED_YIELD, [0; 6]);
    }
}

const SIGABRT: u32 = 6;

struct Note<'a> {
    text: &'a mut [u8],
    used: usize,
}

impl core::fmt::Write for Note<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = &mut self.text[self.used..];
        let count = room.len().min(text.len());
        room[..count].copy_from_slice(&text.as_bytes()[..count]);
        self.used += count;
        Ok(())
    }
}
