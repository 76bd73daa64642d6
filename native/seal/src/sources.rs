//! Input: which descriptors it comes from, which label its bytes get, and the latest of it as it was.
//!
//! A stream is a socket (with its peer, if it has datagrams), a pipe or a file. It gets one of eight labels, bits of a tag, when it is first
//! read from; if none is free, that of the stream which has not been read from for longest. `Stream::serial` says whose a label is now: what
//! got its tag before keeps the bit, and is taken for the new stream's. What a stream brings is counted (`Stream::received`) and kept in its
//! label's ring at `Mailbox::input`: byte n at n modulo INPUT_BYTES.
//!
//! What a descriptor leads to is asked when it is first read from, and again when a call may have changed it. What is known of a socket goes by
//! its inode, which no later socket has; of connections more is kept than there are labels, for a server takes turns among its peers.
//!
//! Not seen: another process that closes descriptors which it shares with this one; what comes by io_uring, by the kernel's asynchronous reads,
//! into shared memory. Of threads that read the same stream at once, the ring has the bytes in the order in which they came back from the kernel.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::{ADDRESS_BYTES, INPUT_BYTES, LABELS, Stream, mapping, source};
use crate::descriptors::{AF_INET, AF_INET6, AF_UNIX, Address, Changed, End, PIPE, SOCKET};
use crate::sys::{self, Lock, Locked};
use crate::{descriptors, pages, shadow};

const STANDARD_INPUT: u64 = 0;
const INT: u64 = 0xffff_ffff; // of an argument, all that counts

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
}

/// How many connections are remembered.
const CONNECTIONS: usize = 256;

/// What has been asked about a socket, pipe or file.
#[derive(Clone, Copy)]
struct Connection {
    device: u64,
    inode: u64,  // 0: none yet
    family: u32, // 0: not asked
    has_datagrams: bool,
    local: Address,
    peer: Address,
}

/// Where a descriptor leads. Each has the place that the low bits of its number say.
#[derive(Clone, Copy)]
struct Led {
    descriptor: u64,
    origin: Option<Origin>,
}

/// Of how many descriptors that is remembered.
const LED: usize = 256;
const NOBODY: Led = Led { descriptor: u64::MAX, origin: None };

/// How many threads or processes may have the memory in common with others, and have other descriptors: nothing is remembered meanwhile.
static APART: AtomicU32 = AtomicU32::new(0);

struct Labels {
    labels: [Label; LABELS],
    reads: u64,
    led: [Led; LED],
    changes: u64,                           // how often something of that was forgotten
    connections: [Connection; CONNECTIONS], // each in the place that its inode says
}

static KNOWN: Locked<Labels> = Locked::new(Labels {
    labels: [Label { device: 0, used: 0 }; LABELS],
    reads: 0,
    led: [NOBODY; LED],
    changes: 0,
    connections: [Connection {
        device: 0,
        inode: 0,
        family: 0,
        has_datagrams: false,
        local: [0; ADDRESS_BYTES],
        peer: [0; ADDRESS_BYTES],
    }; CONNECTIONS],
});

/// The lock of the streams; a fork takes it. Nobody who holds it asks for another.
pub fn lock() -> &'static Lock {
    KNOWN.lock()
}

/// Map the rings; answer where.
pub fn map() -> Option<u64> {
    pages::map_apart(LABELS as u64 * INPUT_BYTES, mapping::INPUT)
}

/// Return what `descriptor` leads to, if the policy makes that a source.
pub fn origin(descriptor: u64) -> Option<Origin> {
    let sources = sys::mailbox().sources;
    if sources == 0 {
        return None;
    }
    let descriptor = descriptor & INT;
    let may_be_listed_later = sources & source::FILE != 0;
    if may_be_listed_later || APART.load(Ordering::Acquire) != 0 {
        return ask(descriptor);
    }
    let (known, changes) = KNOWN.with(|known| (known.led[descriptor as usize % LED], known.changes));
    if known.descriptor == descriptor {
        return known.origin;
    }
    let origin = ask(descriptor);
    KNOWN.with(|known| {
        if known.changes == changes {
            known.led[descriptor as usize % LED] = Led { descriptor, origin };
        }
    });
    origin
}

/// A call has changed where descriptors lead.
pub fn forget(changed: Changed) {
    match changed {
        Changed::Nothing => {}
        Changed::One(descriptor) => KNOWN.with(|known| {
            known.changes += 1;
            let place = &mut known.led[(descriptor & INT) as usize % LED];
            if place.descriptor == descriptor & INT {
                *place = NOBODY;
            }
        }),
        Changed::All => KNOWN.with(|known| {
            known.changes += 1;
            known.led = [NOBODY; LED];
        }),
        Changed::Apart => part(),
    }
}

/// From here on somebody may have this memory and other descriptors.
pub fn part() {
    APART.fetch_add(1, Ordering::AcqRel);
    forget(Changed::All);
}

/// One of them less.
pub fn rejoin() {
    forget(Changed::All);
    APART.fetch_sub(1, Ordering::AcqRel);
}

fn ask(descriptor: u64) -> Option<Origin> {
    let mailbox = sys::mailbox();
    let status = descriptors::status(descriptor)?;
    let mut origin = Origin { kind: 0, descriptor: descriptor as u32, device: status.device, inode: status.inode };
    let family = if status.kind == SOCKET { family(&origin) } else { 0 };
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

// Of a socket that has been read from, what has been kept tells.
fn family(socket: &Origin) -> u32 {
    let known = KNOWN.with(|known| known.connections[place_of(socket.inode)]);
    if known.inode == socket.inode && known.device == socket.device && known.family != 0 {
        return known.family;
    }
    descriptors::family(u64::from(socket.descriptor))
}

fn place_of(inode: u64) -> usize {
    inode as usize % CONNECTIONS
}

// What a stream's socket is and whose: kept where that does not change while it lives.
fn connection(origin: &Origin) -> Connection {
    let known = KNOWN.with(|known| known.connections[place_of(origin.inode)]);
    if (known.inode, known.device) == (origin.inode, origin.device) && origin.inode != 0 {
        return known;
    }
    let descriptor = u64::from(origin.descriptor);
    let has_datagrams = descriptors::socket(descriptor).has_datagrams();
    let new = Connection {
        device: origin.device,
        inode: origin.inode,
        family: match origin.kind {
            source::INET => AF_INET,
            source::UNIX => AF_UNIX,
            _ => 0,
        },
        has_datagrams,
        local: descriptors::address(End::Local, descriptor),
        peer: descriptors::address(End::Peer, descriptor),
    };
    if !has_datagrams {
        KNOWN.with(|known| known.connections[place_of(origin.inode)] = new);
    }
    new
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
    let Connection { has_datagrams, local, peer, .. } = connection(origin);
    let peer = said.filter(|_| has_datagrams).unwrap_or(peer);
    KNOWN.with(|known| {
        let at = known.label(origin, has_datagrams, local, peer);
        work(at, &mut sys::mailbox().streams[at]);
    });
}

impl Labels {
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
            self.labels[at] = Label { device: origin.device, used: self.reads };
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
