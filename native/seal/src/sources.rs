//! Input: which descriptors it comes from, which label its bytes get, and the latest of it as it was.
//!
//! A stream is a socket (with its peer, if it has datagrams), a pipe or a file. It gets one of eight labels, bits of a tag, when it is first
//! read from; if none is free, that of the stream which has not been read from for longest. `Stream::serial` says whose a label is now: what
//! got its tag before keeps the bit, and is taken for the new stream's. What a stream brings is counted (`Stream::received`) and kept in its
//! label's ring at `Mailbox::input`: byte n at n modulo INPUT_BYTES.
//!
//! A descriptor is looked at each time it is read from. What is known of a socket goes by its inode, which no later socket has.
//!
//! Not seen: what comes by io_uring, by the kernel's asynchronous reads, into shared memory. Of threads that read the same stream at once, the
//! ring has the bytes in the order in which they came back from the kernel.

use crate::abi::{ADDRESS_BYTES, INPUT_BYTES, LABELS, Stream, mapping, source};
use crate::sys::{self, Lock, Locked};
use crate::{pages, shadow};

const STANDARD_INPUT: u64 = 0;

pub type Address = [u8; ADDRESS_BYTES];

/// What a descriptor leads to, where that is a source.
#[derive(Clone, Copy)]
pub struct Origin {
    kind: u32, // `source`
    descriptor: u32,
    device: u64,
    inode: u64,
}

/// Of a label's stream, what the controller need not know.
#[derive(Clone, Copy)]
struct Label {
    device: u64,
    used: u64, // at which read it was last read from
    has_datagrams: bool,
}

struct Labels {
    labels: [Label; LABELS],
    reads: u64,
}

static KNOWN: Locked<Labels> =
    Locked::new(Labels { labels: [Label { device: 0, used: 0, has_datagrams: false }; LABELS], reads: 0 });

/// The lock of the streams; a fork takes it. Nobody who holds it asks for another.
pub fn lock() -> &'static Lock {
    KNOWN.lock()
}

/// Map the rings; answer where.
pub fn map() -> Option<u64> {
    const FLAGS: u64 = 0x4022; // private, anonymous, no reserve
    const PROTECTION: u64 = 3;
    let bytes = LABELS as u64 * INPUT_BYTES;
    let begin = sys::call(sys::MMAP, [0, bytes, PROTECTION, FLAGS, u64::MAX, 0]);
    if begin < 0 {
        return None;
    }
    pages::remember(begin as u64, bytes, mapping::INPUT);
    Some(begin as u64)
}

/// Return what `descriptor` leads to, if the policy makes that a source.
pub fn origin(descriptor: u64) -> Option<Origin> {
    const AF_UNIX: u32 = 1;
    const AF_INET: u32 = 2;
    const AF_INET6: u32 = 10;
    let mailbox = sys::mailbox();
    if mailbox.sources == 0 {
        return None;
    }
    let status = status(descriptor)?;
    let mut origin = Origin { kind: 0, descriptor: descriptor as u32, device: status.device, inode: status.inode };
    let family = if status.kind == SOCKET { family(descriptor) } else { 0 };
    let files = &mailbox.files[..(mailbox.file_count as usize).min(mailbox.files.len())];
    let is_listed = files.iter().any(|file| (file.device, file.inode) == (status.device, status.inode));
    let kinds = [
        (source::FILE, is_listed),
        (source::INET, matches!(family, AF_INET | AF_INET6)),
        (source::UNIX, family == AF_UNIX || status.kind == PIPE && descriptor != STANDARD_INPUT),
        (source::STDIN, descriptor == STANDARD_INPUT),
    ];
    origin.kind = kinds.iter().find(|&&(kind, is)| is && mailbox.sources & kind != 0)?.0;
    Some(origin)
}

/// Whether a descriptor's bytes are one stream of IPv4 or IPv6. (There, MSG_TRUNC drops what it counts.)
pub fn is_tcp(descriptor: u64) -> bool {
    const TCP: u32 = 6;
    const MPTCP: u32 = 262;
    matches!(socket_option(descriptor, SO_PROTOCOL), Some(TCP | MPTCP))
}

/// The stream's next bytes have come to where `places` tells: it is given something to call with address and number of bytes, in order.
/// `said`: whose they are, if the call has told. Without `advance` they will come once more.
pub fn receive(origin: &Origin, said: Option<Address>, advance: bool, places: impl FnOnce(&mut dyn FnMut(u64, u64))) {
    with_stream(origin, said, |at, stream| {
        places(&mut |address, bytes| {
            if advance {
                keep(at, stream.received, address, bytes);
                stream.received += bytes;
            }
            shadow::set_tags(address, bytes, 1 << at);
        });
    });
}

/// The stream's next bytes have been dropped: the ring does not have them.
pub fn drop(origin: &Origin, bytes: u64) {
    with_stream(origin, None, |_, stream| stream.received += bytes);
}

fn with_stream(origin: &Origin, said: Option<Address>, work: impl FnOnce(usize, &mut Stream)) {
    const NOBODY: Address = [0; ADDRESS_BYTES]; // also of what is no socket
    let descriptor = u64::from(origin.descriptor);
    let known = KNOWN.with(|known| known.any(origin).map(|at| known.labels[at].has_datagrams));
    let has_datagrams = known.unwrap_or_else(|| has_datagrams(descriptor));
    let ask = |number| address(number, descriptor).filter(|_| known.is_none() || has_datagrams).unwrap_or(NOBODY);
    let peer = said.filter(|_| has_datagrams).unwrap_or_else(|| ask(GETPEERNAME));
    let local = ask(GETSOCKNAME);
    KNOWN.with(|known| {
        let at = known.label(origin, has_datagrams, local, peer);
        work(at, &mut sys::mailbox().streams[at]);
    });
}

impl Labels {
    // Find any stream of this socket, pipe or file.
    fn any(&self, origin: &Origin) -> Option<usize> {
        (0..LABELS).find(|&at| self.is(at, origin))
    }

    fn is(&self, label: usize, origin: &Origin) -> bool {
        let Stream { serial, kind, inode, .. } = sys::mailbox().streams[label];
        serial != 0 && (kind, inode, self.labels[label].device) == (origin.kind, origin.inode, origin.device)
    }

    // Find or make the stream.
    fn label(&mut self, origin: &Origin, has_datagrams: bool, local: Address, peer: Address) -> usize {
        let streams = &mut sys::mailbox().streams;
        self.reads += 1;
        let is = |&at: &usize| self.is(at, origin) && (!has_datagrams || streams[at].peer == peer);
        let found = (0..LABELS).find(is);
        let last_used = |&at: &usize| if streams[at].serial == 0 { 0 } else { self.labels[at].used };
        let oldest = || (0..LABELS).min_by_key(last_used).unwrap_or(0);
        let at = found.unwrap_or_else(oldest);
        self.labels[at].used = self.reads;
        if found.is_none() {
            self.labels[at] = Label { device: origin.device, used: self.reads, has_datagrams };
            sys::mailbox().stream_count += 1;
            let serial = sys::mailbox().stream_count;
            let Origin { kind, descriptor, inode, .. } = *origin;
            streams[at] = Stream { serial, received: 0, inode, descriptor, kind, local, peer };
        }
        at
    }
}

fn keep(label: usize, received: u64, address: u64, bytes: u64) {
    let ring = sys::mailbox().input + label as u64 * INPUT_BYTES;
    let mut at = bytes.saturating_sub(INPUT_BYTES);
    while at < bytes {
        let place = (received + at) % INPUT_BYTES;
        let count = (bytes - at).min(INPUT_BYTES - place);
        sys::read_guest(address + at, sys::octets(ring + place, count as usize));
        at += count;
    }
}

// ---- what the kernel says of a descriptor

const GETSOCKNAME: u64 = 51;
const GETPEERNAME: u64 = 52;
const SO_TYPE: u64 = 3;
const SO_PROTOCOL: u64 = 38;
const SO_DOMAIN: u64 = 39;

// Its upper bits of the mode, `S_IFMT`.
const SOCKET: u32 = 0o14;
const PIPE: u32 = 0o1;

struct Status {
    device: u64,
    inode: u64,
    kind: u32,
}

fn status(descriptor: u64) -> Option<Status> {
    const FSTAT: u64 = 5;
    const MODE: usize = 3;
    let mut words = [0u64; 18];
    let answer = sys::call3(FSTAT, descriptor, (&raw mut words) as u64, 0);
    (answer == 0).then(|| Status { device: words[0], inode: words[1], kind: words[MODE] as u32 >> 12 })
}

fn family(descriptor: u64) -> u32 {
    socket_option(descriptor, SO_DOMAIN).unwrap_or(0)
}

fn has_datagrams(descriptor: u64) -> bool {
    const DATAGRAM: u32 = 2;
    const RAW: u32 = 3;
    matches!(socket_option(descriptor, SO_TYPE), Some(DATAGRAM | RAW))
}

fn socket_option(descriptor: u64, option: u64) -> Option<u32> {
    const GETSOCKOPT: u64 = 55;
    const SOL_SOCKET: u64 = 1;
    let mut value = 0u32;
    let mut bytes = 4u32;
    let arguments = [descriptor, SOL_SOCKET, option, (&raw mut value) as u64, (&raw mut bytes) as u64, 0];
    (sys::call(GETSOCKOPT, arguments) == 0).then_some(value)
}

// What getsockname or getpeername answers, cut short.
fn address(number: u64, descriptor: u64) -> Option<Address> {
    let mut address = [0; ADDRESS_BYTES];
    let mut bytes = ADDRESS_BYTES as u32;
    let answer = sys::call3(number, descriptor, (&raw mut address) as u64, (&raw mut bytes) as u64);
    (answer == 0).then_some(address)
}
