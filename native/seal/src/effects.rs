//! What the application's system calls do to tags: what the kernel has written loses its tags, what it has read from a source gets some.
//!
//! Which call writes what is the table of `written`. A call is seen twice: `before` notes what its answer will overwrite (lengths that go
//! in and come out), `after` sees to the tags. A call that moves in pieces is as many calls here.
//!
//! Between the kernel's write and the tag another thread may use what has come.

use crate::abi::{self, Context, R8, R9, R10, RAX, RDI, RDX, RSI, Registers, mode};
use crate::sources::{self, Address, Origin};
use crate::written::{self, Load, Row, Size, When, Write};
use crate::{entry, shadow, sys};

const ARGUMENTS: [usize; 6] = [RDI, RSI, RDX, R10, R8, R9];
const MSG_PEEK: u64 = 2;
const MSG_TRUNC: u64 = 0x20;
const MSG_ERRQUEUE: u64 = 0x2000;

const IOVEC_BYTES: u64 = 16;
const IOVECS_MAX: u64 = 1024; // the kernel's limit
const MESSAGES_MAX: u64 = 1024; // likewise

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

    // None: all places are taken.
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
        self.next().map_or(0, |place| *place)
    }
}

fn follows_tags() -> bool {
    sys::mailbox().mode == mode::TAINT
}

/// The application is about to make the call that the registers describe.
pub fn before(context: &Context) {
    if !follows_tags() {
        return;
    }
    let mut notes = Notes::of(context);
    let call = Call { registers: &context.regs, answer: 0 };
    for write in call.writes() {
        match *write {
            Write::To(_, _, Size::Length(at)) => notes.put(length(call.argument(at))),
            Write::Input { load: Load::From { length: at, .. }, .. } => notes.put(length(call.argument(at))),
            Write::Input { load: Load::Message { at }, .. } => notes.put(length(call.argument(at) + MSG_NAMELEN)),
            Write::Input { load: Load::Messages { at }, .. } => {
                for message in 0..call.argument(2).min(MESSAGES_MAX) {
                    notes.put(length(call.argument(at) + message * MESSAGE_BYTES + MSG_NAMELEN));
                }
            }
            _ => {}
        }
    }
}

/// The kernel has answered the call that `registers` describe.
pub fn after(context: &Context, registers: &Registers, answer: i64) {
    if !follows_tags() || answer == entry::NOT_ISSUED {
        return;
    }
    let mut notes = Notes::of(context);
    let call = Call { registers, answer };
    for write in call.writes() {
        match *write {
            Write::To(when, pointer, size) => call.to(when, pointer, size, &mut notes),
            Write::Input { load, flags } => call.input(load, flags.map_or(0, |at| call.argument(at)), &mut notes),
        }
    }
}

impl Call<'_> {
    fn argument(&self, at: usize) -> u64 {
        self.registers[ARGUMENTS[at]]
    }

    fn writes(&self) -> impl Iterator<Item = &'static Write> {
        let is_meant = |row: &&Row| row.command.is_none_or(|(at, value)| self.argument(at) & 0xffff_ffff == value);
        written::rows(self.registers[RAX] & 0xffff_ffff).iter().find(is_meant).map_or(&[][..], |row| row.writes).iter()
    }

    fn to(&self, when: When, pointer: usize, size: Size, notes: &mut Notes) {
        let noted = if let Size::Length(_) = size { notes.take() } else { 0 };
        let happens = match when {
            When::Done => self.answer >= 0,
            When::Found => self.answer > 0,
            When::Interrupted => self.answer == sys::EINTR,
            When::Always => true,
        };
        let address = self.argument(pointer);
        if !happens || address == 0 {
            return;
        }
        let bytes = match size {
            Size::Bytes(bytes) => bytes,
            Size::Argument(at) => self.argument(at),
            Size::Answer => self.answer as u64,
            Size::Answers(bytes) => self.answer as u64 * bytes,
            Size::Least(at) => self.argument(at).min(self.answer as u64),
            Size::Length(at) => {
                shadow::clear_tags(self.argument(at), 4);
                noted.min(length(self.argument(at)))
            }
        };
        shadow::clear_tags(address, bytes);
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
                for number in 0..(self.answer.max(0) as u64).min(MESSAGES_MAX) {
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
        controls(word(MSG_CONTROL), word(MSG_CONTROLLEN));
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
        if left != 0 && self.flags & MSG_TRUNC != 0 && sources::is_tcp(self.descriptor) {
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
    while begin != 0 && bytes - at >= HEADER_BYTES {
        let Some(length) = sys::read_guest_u64(begin + at).filter(|&length| length >= HEADER_BYTES) else { return };
        let length = length.min(bytes - at);
        shadow::clear_tags(begin + at, length);
        at += length.next_multiple_of(8).min(bytes - at);
    }
}

// A length that the application has written down.
fn length(at: u64) -> u64 {
    u64::from(sys::read_guest_u32(at).unwrap_or(0))
}
