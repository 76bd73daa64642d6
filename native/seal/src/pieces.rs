//! Calls that move much in pieces: interrupted between two, they answer how much they have moved so far.
//!
//! Natively nobody sees that without a signal. So when a controller has stopped such a call in its middle, it is made again for the rest,
//! and the answer is of the whole. The Context has what is moved already (`moved`), and that such a call is under way (`in_pieces`).

use crate::abi::{self, Context, R10, RAX, RCX, RDI, RDX, RSI, request};
use crate::{effects, entry, pages, sys};

const MSG_PEEK: u64 = 2;
const MSG_WAITALL: u64 = 0x100;

/// What a call moves, and where its arguments say how much.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    Buffer,  // rdx bytes at rsi
    File,    // r10 bytes, to a socket; the file's own position says from where
    Vector,  // rdx pieces, listed at rsi
    Message, // those of the msghdr at rsi
}

/// Number, load, and the register with flags where only a call that waits for all moves in pieces.
const CALLS: [(u64, Load, Option<usize>); 7] = [
    (1, Load::Buffer, None),        // write
    (44, Load::Buffer, None),       // sendto
    (45, Load::Buffer, Some(R10)),  // recvfrom
    (20, Load::Vector, None),       // writev
    (40, Load::File, None),         // sendfile
    (46, Load::Message, None),      // sendmsg
    (47, Load::Message, Some(RDX)), // recvmsg
];

const IOVECS_MAX: u64 = 1024; // the kernel's limit
const IOVEC_BYTES: u64 = 16;
const MESSAGE_WORDS: usize = 7;
const MESSAGE_LIST: usize = 2; // where in a msghdr the list stands, and behind it how long it is
const MESSAGE_CONTROL: usize = 4;
/// Where in a slot the rest of a list is written.
const LIST_AT: u64 = abi::SLOT_VECTORS + abi::SLOT_VECTORS_BYTES / 2;

/// `Context::in_pieces`.
pub const UNDER_WAY: u32 = 1;
pub const ADVANCED: u32 = 2; // the registers describe the rest, `whole` the call

/// The numbers of these calls.
pub fn numbers() -> impl Iterator<Item = u64> {
    CALLS.iter().map(|row| row.0)
}

// None: it answers as soon as it has moved anything.
fn load_of(context: &Context) -> Option<Load> {
    let number = context.call_number & 0xffff_ffff;
    let &(_, load, flags) = CALLS.iter().find(|row| row.0 == number)?;
    let waits = flags.is_none_or(|register| context.regs[register] & (MSG_WAITALL | MSG_PEEK) == MSG_WAITALL);
    (waits && (load != Load::File || is_socket(context.regs[RDI]))).then_some(load)
}

// What is sent to a pipe comes back with what fits. (Who is under seccomp makes no call that he does not make himself.)
fn is_socket(descriptor: u64) -> bool {
    const FSTAT: u64 = 5;
    const MODE: usize = 3;
    const SOCKET: u32 = 0o14;
    let mut status = [0u64; 18];
    let known = sys::mailbox().confined == 0 && sys::call3(FSTAT, descriptor, (&raw mut status) as u64, 0) == 0;
    known && status[MODE] as u32 >> 12 == SOCKET
}

/// Make the call, and go on with it for as long as controllers cut it. `context.rip` is behind it.
pub fn make(context: &mut Context) {
    context.call_number = context.regs[RAX];
    let load = load_of(context);
    if context.moved == 0 && (context.request == request::PARK || sys::mailbox().park != 0) {
        return before(context);
    }
    context.in_pieces = if load.is_some() { UNDER_WAY } else { 0 };
    loop {
        if context.moved != 0 && !load.is_some_and(|load| advance(context, load)) {
            return end(context, 0);
        }
        effects::before(context);
        let answer = entry::issue(context);
        effects::after(context, &context.regs, answer);
        restore(context);
        if answer > 0 && core::mem::replace(&mut context.cut, 0) != 0 {
            context.moved += answer as u64;
        } else if !(answer == sys::EFAULT && context.moved == 0 && pages::open_all()) {
            return end(context, answer);
        }
    }
}

// As if the call had not been come to.
fn before(context: &mut Context) {
    context.regs[RAX] = core::mem::take(&mut context.call_number);
    context.rip -= 2;
}

fn end(context: &mut Context, answer: i64) {
    context.in_pieces = 0;
    context.cut = 0;
    if answer == entry::NOT_ISSUED && context.moved == 0 {
        return before(context);
    }
    context.call_number = 0;
    context.regs[RAX] = whole(context, answer);
}

// The answer of the whole, when its last part has answered so.
fn whole(context: &mut Context, answer: i64) -> u64 {
    let moved = core::mem::take(&mut context.moved);
    match answer {
        1.. => moved + answer as u64,
        _ if moved != 0 => moved,
        _ => answer as u64,
    }
}

/// Whether the kernel has refused to write where the application may, perhaps because of us. Such a call has not been made yet.
pub fn is_refused(context: &Context, answer: i64) -> bool {
    answer == sys::EFAULT && context.call_number != 0 && context.moved == 0 && pages::any_protected()
}

/// A signal has come in the middle of such a call. `answer`: the call's, if it has any. Says whether the call is over.
pub fn interrupted(context: &mut Context, answer: Option<i64>) -> bool {
    restore(context);
    context.in_pieces = 0;
    context.cut = 0;
    if answer.is_none() && context.moved == 0 {
        return false;
    }
    context.regs[RAX] = whole(context, answer.unwrap_or(0));
    true
}

/// A signal comes before the rest has been asked for: what has been moved is the answer, as natively.
pub fn give_up_the_rest(context: &mut Context) {
    if context.moved != 0 {
        context.rip += 2;
        context.regs[RCX] = context.rip;
        context.regs[RAX] = whole(context, 0);
    }
}

/// Whether a thread is in the middle of such a call, which has answered so. If that moved something, it will go on.
pub fn is_cut(context: &mut Context, answer: i64) -> bool {
    if context.in_pieces != 0
        && answer > 0
        && let Some(load) = load_of(context)
    {
        if answer as u64 >= extent(context, load) {
            return false;
        }
        context.cut = 1;
    }
    context.cut != 0 || context.moved != 0
}

// How much the registers ask for.
fn extent(context: &Context, load: Load) -> u64 {
    let sum = |list, count| {
        let mut sum = 0u64;
        rest(list, count, 0, |_, bytes| sum = sum.saturating_add(bytes));
        sum
    };
    match load {
        Load::Buffer => context.regs[RDX],
        Load::File => context.regs[R10],
        Load::Vector => sum(context.regs[RSI], context.regs[RDX]),
        Load::Message => message(context.regs[RSI]).map_or(0, |m| sum(m[MESSAGE_LIST], m[MESSAGE_LIST + 1])),
    }
}

// Let the registers ask for what is left. False: nothing is.
fn advance(context: &mut Context, load: Load) -> bool {
    let moved = context.moved;
    if moved >= extent(context, load) {
        return false;
    }
    context.whole = [context.regs[RSI], context.regs[RDX], context.regs[R10]];
    context.in_pieces = ADVANCED;
    match load {
        Load::Buffer => {
            context.regs[RSI] += moved;
            context.regs[RDX] -= moved;
        }
        Load::File => context.regs[R10] -= moved,
        Load::Vector => {
            let (list, count) = (context.regs[RSI], context.regs[RDX]);
            [context.regs[RSI], context.regs[RDX]] = list_rest(context, list, count);
        }
        Load::Message => {
            let Some(mut words) = message(context.regs[RSI]) else { return false };
            let list = list_rest(context, words[MESSAGE_LIST], words[MESSAGE_LIST + 1]);
            words[MESSAGE_LIST..MESSAGE_LIST + 2].copy_from_slice(&list);
            words[MESSAGE_CONTROL..MESSAGE_CONTROL + 2].fill(0); // it came with the first part
            let copy = (&raw const *context) as u64 + LIST_AT;
            sys::words(copy, MESSAGE_WORDS).copy_from_slice(&words);
            context.regs[RSI] = copy;
        }
    }
    true
}

fn restore(context: &mut Context) {
    if context.in_pieces == ADVANCED {
        [context.regs[RSI], context.regs[RDX], context.regs[R10]] = context.whole;
        context.in_pieces = UNDER_WAY;
    }
}

fn message(address: u64) -> Option<[u64; MESSAGE_WORDS]> {
    let mut words = [0; MESSAGE_WORDS];
    for (at, word) in words.iter_mut().enumerate() {
        *word = sys::read_guest_u64(address + at as u64 * 8)?;
    }
    Some(words)
}

// Write down what a list names beyond what has been moved; answer where, and how long that is.
fn list_rest(context: &Context, list: u64, count: u64) -> [u64; 2] {
    let begin = (&raw const *context) as u64 + LIST_AT + MESSAGE_WORDS as u64 * 8;
    let mut written = 0;
    rest(list, count, context.moved, |base, bytes| {
        sys::words(begin + written * IOVEC_BYTES, 2).copy_from_slice(&[base, bytes]);
        written += 1;
    });
    [begin, written]
}

fn rest(list: u64, count: u64, mut skipped: u64, mut each: impl FnMut(u64, u64)) {
    for at in 0..count.min(IOVECS_MAX) {
        let address = list + at * IOVEC_BYTES;
        let (Some(base), Some(bytes)) = (sys::read_guest_u64(address), sys::read_guest_u64(address + 8)) else { return };
        let skip = bytes.min(skipped);
        skipped -= skip;
        if bytes > skip {
            each(base + skip, bytes - skip);
        }
    }
}
