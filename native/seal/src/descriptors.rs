//! What a descriptor leads to: asked of the kernel, or where a filter may forbid that, remembered.
//!
//! A process that confines itself (`Mailbox::confined`) is asked about its descriptors once, before; from then on its own calls tell which are
//! closed, copied and made. A descriptor that comes by another way, such as from another process, is taken for a connection: rather a tag
//! too many than one too few.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::ADDRESS_BYTES;
use crate::sys::{self, Lock, Locked};

pub type Address = [u8; ADDRESS_BYTES];

/// Those beyond are not remembered.
pub const REMEMBERED_MAX: usize = 1024;

// Upper bits of a file's mode, `S_IFMT`.
pub const SOCKET: u32 = 0o14;
pub const PIPE: u32 = 0o1;

pub const AF_UNIX: u32 = 1;
pub const AF_INET: u32 = 2;
pub const AF_INET6: u32 = 10;
const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;
const RAW: u32 = 3;
const TCP: u32 = 6;
const MPTCP: u32 = 262;

/// What `fstat` says.
#[derive(Clone, Copy, Default)]
pub struct Status {
    pub device: u64,
    pub inode: u64,
    pub kind: u32,
    pub bytes: u64,
}

/// How a socket moves bytes.
#[derive(Clone, Copy, Default)]
pub struct Socket {
    kind: u32,
    protocol: u32,
}

impl Socket {
    pub fn has_datagrams(&self) -> bool {
        matches!(self.kind, DATAGRAM | RAW)
    }

    /// Whether it is one stream of IPv4 or IPv6. (There, MSG_TRUNC drops what it counts.)
    pub fn is_tcp(&self) -> bool {
        matches!(self.protocol, TCP | MPTCP)
    }
}

/// One end of a socket.
#[derive(Clone, Copy)]
pub enum End {
    Local,
    Peer,
}

#[derive(Clone, Copy, Default)]
struct Descriptor {
    status: Status,
    family: u32,
    socket: Socket,
    local: Address,
    peer: Address,
    only_reads: bool,
}

/// By number; None: closed, or nothing is known.
struct Remembered {
    descriptors: Vec<Option<Descriptor>>,
    named: u64, // how many have been given an inode of our own
}

static REMEMBERED: Locked<Remembered> = Locked::new(Remembered { descriptors: Vec::new(), named: 0 });

// What is remembered is: nothing, being learnt, complete.
static STATE: AtomicU32 = AtomicU32::new(0);
const LEARN: u32 = 1;
const REMEMBER: u32 = 2;

/// The lock of what is remembered; a fork takes it. Who holds it may ask for the allocator's.
pub fn lock() -> &'static Lock {
    REMEMBERED.lock()
}

pub fn status(descriptor: u64) -> Option<Status> {
    if is_confined() {
        return Some(remembered(descriptor, |it| it.status));
    }
    const FSTAT: u64 = 5;
    const MODE: usize = 3;
    const SIZE: usize = 6;
    let mut words = [0u64; 18];
    let answer = sys::call3(FSTAT, descriptor, (&raw mut words) as u64, 0);
    let [device, inode, ..] = words;
    (answer == 0).then(|| Status { device, inode, kind: words[MODE] as u32 >> 12, bytes: words[SIZE] })
}

/// Return a socket's address family; 0 of what is none.
pub fn family(descriptor: u64) -> u32 {
    const SO_DOMAIN: u64 = 39;
    if is_confined() { remembered(descriptor, |it| it.family) } else { option(descriptor, SO_DOMAIN) }
}

pub fn socket(descriptor: u64) -> Socket {
    const SO_TYPE: u64 = 3;
    const SO_PROTOCOL: u64 = 38;
    if is_confined() {
        return remembered(descriptor, |it| it.socket);
    }
    Socket { kind: option(descriptor, SO_TYPE), protocol: option(descriptor, SO_PROTOCOL) }
}

fn option(descriptor: u64, option: u64) -> u32 {
    const GETSOCKOPT: u64 = 55;
    const SOL_SOCKET: u64 = 1;
    let mut value = 0u32;
    let mut bytes = 4u32;
    let arguments = [descriptor, SOL_SOCKET, option, (&raw mut value) as u64, (&raw mut bytes) as u64, 0];
    if sys::call(GETSOCKOPT, arguments) == 0 { value } else { 0 }
}

/// Return the address of a socket's end, cut short where it is longer; zeros where there is none.
pub fn address(end: End, descriptor: u64) -> Address {
    const GETSOCKNAME: u64 = 51;
    const GETPEERNAME: u64 = 52;
    if is_confined() {
        return remembered(descriptor, |it| match end {
            End::Local => it.local,
            End::Peer => it.peer,
        });
    }
    let number = match end {
        End::Local => GETSOCKNAME,
        End::Peer => GETPEERNAME,
    };
    let mut address = Address::default();
    let mut bytes = ADDRESS_BYTES as u32;
    let answer = sys::call3(number, descriptor, (&raw mut address) as u64, (&raw mut bytes) as u64);
    if answer == 0 { address } else { Address::default() }
}

/// Whether a descriptor is only for reading. Of a pipe, that is one end.
pub fn only_reads(descriptor: u64) -> bool {
    const FCNTL: u64 = 72;
    const F_GETFL: u64 = 3;
    const ACCESS: i64 = 3;
    if is_confined() {
        return remembered(descriptor, |it| it.only_reads);
    }
    let flags = sys::call3(FCNTL, descriptor, F_GETFL, 0);
    flags >= 0 && flags & ACCESS == 0
}

fn is_confined() -> bool {
    sys::mailbox().confined != 0 && STATE.load(Ordering::Acquire) == REMEMBER
}

fn remembered<T>(descriptor: u64, fact: impl Fn(&Descriptor) -> T) -> T {
    REMEMBERED.with(|all| {
        let unknown = all.connection(AF_INET);
        match all.descriptors.get_mut(descriptor as usize) {
            Some(known) => fact(known.get_or_insert(unknown)),
            None => fact(&Descriptor { status: Status { inode: descriptor, ..unknown.status }, ..unknown }),
        }
    })
}

/// Ask about all descriptors, for when the kernel cannot be asked any more. What other threads change meanwhile is heeded.
pub fn learn() {
    let mut none = Vec::new();
    none.resize(REMEMBERED_MAX, None);
    REMEMBERED.with(|all| all.descriptors = none);
    STATE.store(LEARN, Ordering::Release);
    for descriptor in 0..REMEMBERED_MAX as u64 {
        if let Some(status) = status(descriptor) {
            let known = Descriptor {
                status,
                family: family(descriptor),
                socket: socket(descriptor),
                local: address(End::Local, descriptor),
                peer: address(End::Peer, descriptor),
                only_reads: only_reads(descriptor),
            };
            REMEMBERED.with(|all| all.set(descriptor, Some(known)));
        }
    }
    STATE.store(REMEMBER, Ordering::Release);
}

impl Remembered {
    // A stream socket that is unlike all others.
    fn connection(&mut self, family: u32) -> Descriptor {
        const OURS: u64 = 1 << 63;
        self.named += 1;
        let status = Status { kind: SOCKET, inode: OURS | self.named, ..Status::default() };
        let socket = Socket { kind: STREAM, protocol: if family == AF_UNIX { 0 } else { TCP } };
        Descriptor { status, family, socket, ..Descriptor::default() }
    }

    fn get(&self, descriptor: u64) -> Option<Descriptor> {
        *self.descriptors.get(descriptor as usize)?
    }

    fn set(&mut self, descriptor: u64, to: Option<Descriptor>) {
        if let Some(place) = self.descriptors.get_mut(descriptor as usize) {
            *place = to;
        }
    }
}

const CLOSE: u64 = 3;
const PIPE_CALL: u64 = 22;
const DUP: u64 = 32;
const DUP2: u64 = 33;
const SOCKET_CALL: u64 = 41;
const CONNECT: u64 = 42;
const ACCEPT: u64 = 43;
const SOCKETPAIR: u64 = 53;
const FCNTL: u64 = 72;
const ACCEPT4: u64 = 288;
const DUP3: u64 = 292;
const PIPE2: u64 = 293;
const CLOSE_RANGE: u64 = 436;

const CLONE: u64 = 56;
const FORK: u64 = 57;
const VFORK: u64 = 58;
const UNSHARE: u64 = 272;
const CLONE3: u64 = 435;
const PIDFD_GETFD: u64 = 438;

/// Whether a call answers with a descriptor of something else.
#[rustfmt::skip]
fn makes_another(number: u64) -> bool {
    matches!(
        number,
        2 | 85 | 257 | 437 | 304                                                             // open, creat, openat, openat2, open_by_handle_at
        | 213 | 291 | 253 | 294 | 282 | 289 | 283 | 284 | 290 | 300                          // epoll_create … fanotify_init
        | 240 | 298 | 319 | 321 | 323 | 425 | 434 | 444 | 447 | 428 | 430 | 432 | 433 // mq_open … fspick
    )
}

/// What a call has done to the process's descriptors.
pub enum Changed {
    Nothing,
    One(u64), // closed, or made
    All,      // several of them
    Apart,    // another table than other threads'
}

/// Say what a call has done to the process's descriptors. What comes with a message is its reader's to see.
pub fn changed(number: u64, arguments: &[u64; 6], answer: i64) -> Changed {
    const CLONE_FILES: u64 = 0x400;
    match number {
        CLOSE => Changed::One(arguments[0]),
        UNSHARE if arguments[0] & CLONE_FILES != 0 => Changed::Apart,
        CLOSE_RANGE | PIPE_CALL | PIPE2 | SOCKETPAIR | CLONE | FORK | VFORK | CLONE3 => Changed::All,
        DUP | DUP2 | DUP3 | SOCKET_CALL | ACCEPT | ACCEPT4 | PIDFD_GETFD => Changed::One(answer as u64),
        FCNTL if is_copy(arguments[1]) => Changed::One(answer as u64),
        _ if makes_another(number) => Changed::One(answer as u64),
        _ => Changed::Nothing,
    }
}

fn is_copy(command: u64) -> bool {
    const F_DUPFD: u64 = 0;
    const F_DUPFD_CLOEXEC: u64 = 1030;
    matches!(command & 0xffff_ffff, F_DUPFD | F_DUPFD_CLOEXEC)
}

/// A confined process has made a call, which may have changed what a descriptor leads to.
pub fn after(number: u64, arguments: &[u64; 6], answer: i64) {
    const TYPE: u64 = 0xf;
    if STATE.load(Ordering::Acquire) < LEARN || answer < 0 {
        return;
    }
    let made = answer as u64;
    let [first, second, third, ..] = *arguments;
    REMEMBERED.with(|all| match number {
        CLOSE => all.set(first, None),
        CLOSE_RANGE if third & CLOSE_ON_EXEC == 0 => {
            (first..=second.min(REMEMBERED_MAX as u64)).for_each(|descriptor| all.set(descriptor, None));
        }
        DUP | DUP2 | DUP3 => all.set(made, all.get(first)),
        FCNTL if is_copy(second) => all.set(made, all.get(first)),
        SOCKET_CALL => {
            let mut new = all.connection(first as u32);
            new.socket.kind = (second & TYPE) as u32;
            new.socket.protocol = if new.socket.kind == STREAM { new.socket.protocol } else { third as u32 };
            all.set(made, Some(new));
        }
        CONNECT => {
            if let Some(mut known) = all.get(first) {
                known.peer = read_address(second, third);
                all.set(first, Some(known));
            }
        }
        ACCEPT | ACCEPT4 => {
            let listener = all.get(first);
            let mut new = all.connection(AF_INET);
            if let Some(listener) = listener {
                (new.family, new.socket, new.local) = (listener.family, listener.socket, listener.local);
            }
            if second != 0 {
                new.peer = read_address(second, u64::from(sys::read_guest_u32(third).unwrap_or(0)));
            }
            all.set(made, Some(new));
        }
        PIPE_CALL | PIPE2 => all.pair(first, |pipe| pipe.status.kind = PIPE),
        SOCKETPAIR => all.pair(arguments[3], |_| {}),
        _ if makes_another(number) => all.set(made, Some(Descriptor::default())),
        _ => {}
    });
}

const CLOSE_ON_EXEC: u64 = 4;

impl Remembered {
    // Two descriptors that a call has written down: ends of a pipe, or Unix sockets.
    fn pair(&mut self, at: u64, change: impl Fn(&mut Descriptor)) {
        let mut end = self.connection(AF_UNIX);
        change(&mut end);
        for (place, only_reads) in [(at, true), (at + 4, false)] {
            if end.status.kind == SOCKET {
                end.status.inode = self.connection(AF_UNIX).status.inode;
            }
            if let Some(descriptor) = sys::read_guest_u32(place) {
                self.set(u64::from(descriptor), Some(Descriptor { only_reads, ..end }));
            }
        }
    }
}

fn read_address(at: u64, bytes: u64) -> Address {
    let mut address = Address::default();
    let count = address.len().min(bytes as usize);
    sys::read_guest(at, &mut address[..count]);
    address
}
