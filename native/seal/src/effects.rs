//! What the application's system calls do to tags: what the kernel has written loses its tags, what it has read from a source gets some.
//!
//! Which call writes what is the table of `written`. A call is seen twice: `before` notes what its answer will overwrite (lengths that go
//! in and come out), `after` sees to the tags. A call that moves in pieces is as many calls here.
//!
//! Between the kernel's write and the tag another thread may use what has come.

use crate::abi::{self, Context, R8, R9, R10, RAX, RDI, RDX, RSI, Registers};
use crate::descriptors::{Address, Changed};
use crate::sources::{self, Origin};
use crate::written::{self, Count, Load, Size, When, Write};
use crate::{descriptors, entry, extent, pages, shadow, sys};

const ARGUMENTS: [usize; 6] = [RDI, RSI, RDX, R10, R8, R9];
const MSG_PEEK: u64 = 2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;

const IOVEC_BYTES: u64 = 16;
const IOVECS_MAX: u64 = 1024; // the kernel's limit
const INT: u64 = 0xffff_ffff; // of an argument, all that counts
const TIME_BYTES: u64 = 16;

// struct msghdr, and what mmsghdr has behind it.
const MSG_NAME: u64 = 0;
const MSG_NAMELEN: u64 = 8;
const MSG_IOV: u64 = 16;
const MSG_IOVLEN: u64 = 24;
const MSG_CONTROL: u64 = 32;
const MSG_CONTROLLEN: u64 = 40;
const MSG_FLAGS: u64 = 48;
const MSG_LEN: u64 = 56;
const MESSAGE_BYTES: u64 = 64;

/// A call as the application has made it: its number in rax, its arguments in their registers.
struct Call<'a> {
    registers: &'a Registers,
    answer: i64,
}

/// The lengths that a call finds, in the order of its row: kept in the slot, which a signal in the middle of the call leaves alone.
struct Notes {
    at: u64,
    count: u64,
}

impl Notes {
    fn of(context: &Context) -> Notes {
        Notes { at: (&raw const *context) as u64 + abi::SLOT_NOTES, count: 0 }
    }

    // None: all places are taken. Of a later message's name as much is taken to be written as there is of it.
    fn next(&mut self) -> Option<&mut u64> {
        let at = self.count;
        self.count += 1;
        (at < abi::NOTES).then(|| &mut sys::words(self.at + at * 8, 1)[0])
    }

    fn put(&mut self, value: u64) {
        if let Some(place) = self.next() {
            *place = value;
        }
    }

    fn take(&mut self) -> u64 {
        self.next().map_or(u64::MAX, |place| *place)
    }
}

/// The application is about to make the call that the registers describe.
pub fn before(context: &Context) {
    if !shadow::is_followed() {
        return;
    }
    let mut notes = Notes::of(context);
    let call = Call { registers: &context.regs, answer: 0 };
    for write in call.writes() {
        match *write {
            Write::To(_, _, Size::Length(at)) | Write::Name(_, at) => notes.put(length(call.argument(at))),
            Write::To(_, pointer, Size::Timeout) => notes.put(u64::from(is_time(call.argument(pointer)))),
            Write::Input { load: Load::From { length: at, .. }, .. } => notes.put(length(call.argument(at))),
            Write::Input { load: Load::Message { at }, .. } => notes.put(length(call.argument(at) + MSG_NAMELEN)),
            Write::Input { load: Load::Messages { at }, .. } => {
                for message in 0..call.argument(2).min(abi::NOTES) {
                    notes.put(length(call.argument(at) + message * MESSAGE_BYTES + MSG_NAMELEN));
                }
            }
            _ => {}
        }
    }
    extent::before(call.number(), &call.arguments());
}

/// The kernel has answered the call that `registers` describe.
pub fn after(context: &Context, registers: &Registers, answer: i64) {
    if !shadow::is_followed() || answer == entry::NOT_ISSUED {
        return;
    }
    let mut notes = Notes::of(context);
    let call = Call { registers, answer };
    for write in call.writes() {
        match *write {
            Write::To(when, pointer, size) => call.to(when, call.argument(pointer), size, &mut notes),
            Write::Part(when, pointer, offset, size) => call.to(when, call.argument(pointer) + offset, size, &mut notes),
            Write::Through(pointer, offset, size) => {
                let to = sys::read_guest_u64(call.argument(pointer) + offset).unwrap_or(0);
                call.to(When::Done, to, size, &mut notes);
            }
            Write::Each { list, count, record_bytes, offset, bytes } => {
                let count = match count {
                    _ if answer < 0 || call.argument(list) == 0 => 0,
                    Count::Argument(at) => call.argument(at) & INT,
                    Count::Answer => answer as u64,
                };
                (0..count).for_each(|at| shadow::clear_tags(call.argument(list) + at * record_bytes + offset, bytes));
            }
            Write::Name(name, length) => {
                call.name(call.argument(name), call.argument(length), notes.take());
            }
            Write::Input { load, flags } => call.input(load, flags.map_or(0, |at| call.argument(at)), &mut notes),
            Write::Spread { list, count } => call.spread(None, list, count),
            Write::Spliced { list, count } => {
                if answer > 0 && descriptors::only_reads(call.argument(0)) {
                    call.spread(sources::origin(call.argument(0)).as_ref(), list, count);
                }
            }
            Write::Born => call.born(),
        }
    }
    extent::after(call.number(), &call.arguments(), answer);
    descriptors::after(call.number(), &call.arguments(), answer);
    sources::forget(descriptors::changed(call.number(), &call.arguments(), answer));
}

impl Call<'_> {
    fn number(&self) -> u64 {
        self.registers[RAX] & INT
    }

    fn argument(&self, at: usize) -> u64 {
        self.registers[ARGUMENTS[at]]
    }

    fn arguments(&self) -> [u64; 6] {
        ARGUMENTS.map(|register| self.registers[register])
    }

    fn writes(&self) -> &'static [Write] {
        written::writes(self.number(), |at| self.argument(at))
    }

    fn to(&self, when: When, address: u64, size: Size, notes: &mut Notes) {
        let noted = if matches!(size, Size::Length(_) | Size::Timeout) { notes.take() } else { 0 };
        let happens = match when {
            When::Done => self.answer >= 0,
            When::Found => self.answer > 0,
            When::Failed(error) => self.answer == error,
            When::Always => true,
        };
        if happens && address != 0 {
            shadow::clear_tags(address, self.bytes(address, size, noted));
        }
    }

    fn bytes(&self, address: u64, size: Size, noted: u64) -> u64 {
        const BITS: u64 = 64;
        const SET_MAX: u64 = 0x1_0000; // the kernel stops at the process's table of descriptors, which we do not know
        let answer = self.answer as u64;
        let field = |pointer, offset| length(self.argument(pointer) + offset);
        match size {
            Size::Bytes(bytes) => bytes,
            Size::Answer => answer,
            Size::Answers(bytes) => answer * bytes,
            Size::Argument(at) => self.argument(at),
            Size::Least(at) => answer.min(self.argument(at)),
            Size::Fitting(at) => {
                if answer <= self.argument(at) {
                    answer
                } else {
                    0
                }
            }
            Size::Length(at) => {
                shadow::clear_tags(self.argument(at), 4);
                noted.min(length(self.argument(at)))
            }
            Size::Field { pointer, offset, times } => field(pointer, offset) * times,
            Size::LeastField { pointer, offset } => answer.min(field(pointer, offset)),
            Size::Text => text_bytes(address),
            Size::Set(at) => (self.argument(at) & INT).min(SET_MAX).div_ceil(BITS) * 8,
            Size::Nodes(at) => self.argument(at).saturating_sub(1).div_ceil(BITS) * 8,
            Size::Pages(at) => self.argument(at).div_ceil(pages::PAGE),
            Size::Timeout => noted * TIME_BYTES,
            Size::Semaphores => semaphores(self.argument(0)) * 2,
            Size::Encoded => encoded_bytes(self.argument(1)),
        }
    }

    fn spread(&self, origin: Option<&Origin>, list: usize, count: usize) {
        let arrived = Arrived { origin, descriptor: self.argument(0), flags: 0 };
        arrived.in_room(self.answer, None, |each| vector(self.argument(list), self.argument(count), each));
    }

    // In the parent, and in a child with memory of its own.
    fn born(&self) {
        const CLONE3: u64 = 435;
        const NEED: [(u64, u64, usize); 3] = [
            // Flag; where the pointer is in the record of clone3, in the arguments of clone.
            (0x1000, 8, 2),      // CLONE_PIDFD
            (0x10_0000, 24, 2),  // CLONE_PARENT_SETTID
            (0x100_0000, 16, 3), // CLONE_CHILD_SETTID
        ];
        const CLONE_VM: u64 = 0x100;
        const CLONE_CHILD_SETTID: u64 = 0x100_0000;
        if self.answer < 0 {
            return;
        }
        let by_record = self.number() == CLONE3;
        let record = self.argument(0);
        let flags = if by_record { sys::read_guest_u64(record).unwrap_or(0) } else { record };
        for (flag, offset, argument) in NEED {
            let is_ours = flags & CLONE_VM != 0 || (flag == CLONE_CHILD_SETTID) == (self.answer == 0);
            if flags & flag != 0 && is_ours {
                let to = if by_record { sys::read_guest_u64(record + offset).unwrap_or(0) } else { self.argument(argument) };
                shadow::clear_tags(to, 4);
            }
        }
    }

    fn input(&self, load: Load, flags: u64, notes: &mut Notes) {
        let descriptor = self.argument(0);
        let origin = if self.answer > 0 { sources::origin(descriptor) } else { None };
        let arrived = Arrived { origin: origin.as_ref(), descriptor, flags };
        match load {
            Load::Buffer { at, bytes } => {
                arrived.in_room(self.answer, None, |each| each(self.argument(at), self.argument(bytes)))
            }
            Load::From { at, bytes, name, length } => {
                let said = self.name(self.argument(name), self.argument(length), notes.take());
                arrived.in_room(self.answer, said, |each| each(self.argument(at), self.argument(bytes)));
            }
            Load::Vector { list, count } => {
                arrived.in_room(self.answer, None, |each| vector(self.argument(list), self.argument(count), each));
            }
            Load::Message { at } => self.message(&arrived, self.argument(at), self.answer, notes.take()),
            Load::Messages { at } => {
                for number in 0..self.answer.max(0) as u64 {
                    let header = self.argument(at) + number * MESSAGE_BYTES;
                    let bytes = length(header + MSG_LEN);
                    shadow::clear_tags(header + MSG_LEN, 4);
                    self.message(&arrived, header, bytes as i64, notes.take());
                }
            }
        }
    }

    fn message(&self, arrived: &Arrived<'_>, header: u64, answer: i64, name_bytes: u64) {
        if self.answer < 0 {
            return;
        }
        let word = |at| sys::read_guest_u64(header + at).unwrap_or(0);
        let said = self.name(word(MSG_NAME), header + MSG_NAMELEN, name_bytes);
        shadow::clear_tags(header + MSG_FLAGS, 4);
        shadow::clear_tags(header + MSG_CONTROLLEN, 8);
        if word(MSG_CONTROL) != 0 && word(MSG_CONTROLLEN) != 0 {
            sources::forget(Changed::All); // descriptors may be among them
            controls(word(MSG_CONTROL), word(MSG_CONTROLLEN));
        }
        arrived.in_room(answer, said, |each| vector(word(MSG_IOV), word(MSG_IOVLEN), each));
    }

    // A socket's address is written, as much of it as there was room for, and how long it is. Answers the address.
    fn name(&self, name: u64, length_at: u64, room: u64) -> Option<Address> {
        if self.answer < 0 || name == 0 {
            return None;
        }
        let bytes = length(length_at).min(room);
        shadow::clear_tags(length_at, 4);
        shadow::clear_tags(name, bytes);
        let mut address = Address::default();
        let count = address.len().min(bytes as usize);
        (count != 0 && sys::read_guest(name, &mut address[..count]) == count).then_some(address)
    }
}

/// What has come from a descriptor by one call.
struct Arrived<'a> {
    origin: Option<&'a Origin>,
    descriptor: u64,
    flags: u64,
}

impl Arrived<'_> {
    // As many bytes as the call answers have come to where there is room: `room` is given something to call with address and bytes.
    fn in_room(&self, answer: i64, said: Option<Address>, room: impl Fn(&mut dyn FnMut(u64, u64))) {
        let mut left = answer.max(0) as u64;
        let advances = self.flags & (MSG_PEEK | MSG_ERRQUEUE) == 0;
        if left != 0 && self.flags & MSG_TRUNC != 0 && descriptors::socket(self.descriptor).is_tcp() {
            if let Some(origin) = self.origin.filter(|_| advances) {
                sources::drop(origin, left);
            }
            return;
        }
        let mut places = |each: &mut dyn FnMut(u64, u64)| {
            room(&mut |address, bytes| {
                let count = bytes.min(left);
                left -= count;
                if count != 0 {
                    each(address, count);
                }
            });
        };
        match self.origin {
            Some(origin) => sources::receive(origin, said, advances, places),
            None => places(&mut shadow::clear_tags),
        }
    }
}

fn vector(list: u64, count: u64, each: &mut dyn FnMut(u64, u64)) {
    for at in 0..count.min(IOVECS_MAX) {
        let address = list + at * IOVEC_BYTES;
        let (Some(base), Some(bytes)) = (sys::read_guest_u64(address), sys::read_guest_u64(address + 8)) else { return };
        each(base, bytes);
    }
}

// Control messages: each begins with its length, and the next one at a multiple of 8.
fn controls(begin: u64, bytes: u64) {
    const HEADER_BYTES: u64 = 16;
    let mut at = 0;
    while bytes - at >= HEADER_BYTES {
        let Some(length) = sys::read_guest_u64(begin + at).filter(|&length| length >= HEADER_BYTES) else { return };
        let length = length.min(bytes - at);
        shadow::clear_tags(begin + at, length);
        at += length.next_multiple_of(8).min(bytes - at);
    }
}

// What the number of an ioctl says that it writes.
fn encoded_bytes(command: u64) -> u64 {
    const READ: u64 = 1 << 31;
    if command & READ != 0 { command >> 16 & 0x3fff } else { 0 }
}

fn text_bytes(begin: u64) -> u64 {
    const TEXT_BYTES_MAX: u64 = 4096;
    let mut byte = [0];
    let is_end = |at: &u64| sys::read_guest(begin + at, &mut byte) == 0 || byte[0] == 0;
    (0..TEXT_BYTES_MAX).find(is_end).map_or(TEXT_BYTES_MAX, |last| last + 1)
}

// How many semaphores a set has.
fn semaphores(set: u64) -> u64 {
    const SEMCTL: u64 = 66;
    const IPC_STAT: u64 = 2;
    const COUNT: usize = 10;
    let mut status = [0u64; 13];
    if sys::mailbox().confined != 0 {
        return 0;
    }
    let answer = sys::call(SEMCTL, [set, 0, IPC_STAT, (&raw mut status) as u64, 0, 0]);
    if answer < 0 { 0 } else { status[COUNT] }
}

fn is_time(at: u64) -> bool {
    let is_some = |at| sys::read_guest_u64(at).is_some_and(|value| value != 0);
    at != 0 && (is_some(at) || is_some(at + 8))
}

// A length that the application has written down; where it has said nowhere, the fault is spared.
fn length(at: u64) -> u64 {
    if at < pages::PAGE { 0 } else { u64::from(sys::read_guest_u32(at).unwrap_or(0)) }
}
