//! What comes in from outside: real calls on real sockets, pipes and files are made in translated code, and the tags, the streams and the rings
//! are looked at afterwards.

mod inside;

use core::arch::global_asm;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use inside::Inside;
use seal::abi::{self, INPUT_BYTES, LABELS, R8, R9, R10, RAX, RDI, RDX, RSI, Stream, mode, source};
use seal::{shadow, sys};

#[rustfmt::skip]
global_asm!(".globl sources_call", "sources_call:", "syscall", "ret");

unsafe extern "C" {
    fn sources_call();
}

const READ: u64 = 0;
const PREAD: u64 = 17;
const READV: u64 = 19;
const RECVFROM: u64 = 45;
const RECVMSG: u64 = 47;
const PREADV: u64 = 295;
const RECVMMSG: u64 = 299;
const PREADV2: u64 = 327;

const MSG_PEEK: u64 = 2;
const MSG_TRUNC: u64 = 0x20;
const MSG_DONTWAIT: u64 = 0x40;

/// Of a buffer's bytes before and after a call: neither input nor label has it.
const STALE: u8 = 0xff;
const AROUND: usize = 16;

/// An engine in taint mode, and what the program in it calls.
struct Program<'a> {
    inside: &'a mut Inside,
    stack: Vec<u64>,
}

impl Program<'_> {
    fn call(&mut self, number: u64, arguments: &[u64]) -> i64 {
        let mut registers = [0; 16];
        registers[RAX] = number;
        for (at, &argument) in arguments.iter().enumerate() {
            registers[[RDI, RSI, RDX, R10, R8, R9][at]] = argument;
        }
        let top = (self.stack.as_ptr() as u64 + self.stack.len() as u64 * 8) & !15;
        self.inside.call(sources_call as *const () as u64, &registers, 0x202, top).0[RAX] as i64
    }

    fn read(&mut self, from: &impl AsRawFd, buffer: &Buffer) -> i64 {
        self.call(READ, &[number(from), buffer.at(), buffer.bytes as u64])
    }
}

fn with(sources: u32, work: impl FnOnce(&mut Program<'_>)) {
    inside::with(mode::TAINT, |inside| {
        sys::mailbox().sources = sources;
        work(&mut Program { inside, stack: vec![0; 4096] });
    });
}

fn number(descriptor: &impl AsRawFd) -> u64 {
    descriptor.as_raw_fd() as u64
}

/// Room for input between other bytes; all of it has stale tags.
struct Buffer {
    all: Vec<u8>,
    bytes: usize,
}

impl Buffer {
    fn new(bytes: usize) -> Buffer {
        let buffer = Buffer { all: vec![0; bytes + 2 * AROUND], bytes };
        buffer.taint();
        buffer
    }

    fn taint(&self) {
        shadow::set_tags(self.all.as_ptr() as u64, self.all.len() as u64, STALE);
    }

    fn at(&self) -> u64 {
        self.all.as_ptr() as u64 + AROUND as u64
    }

    fn data(&self) -> &[u8] {
        &self.all[AROUND..AROUND + self.bytes]
    }

    /// The tags, which nothing but the first `count` bytes may have changed.
    fn tags(&self, count: usize) -> Vec<u8> {
        let tags = tags(self.all.as_ptr() as u64, self.all.len());
        let around = tags[..AROUND].iter().chain(&tags[AROUND + count..]);
        assert!(around.clone().all(|&tag| tag == STALE), "tags beside the input: {tags:x?}");
        tags[AROUND..AROUND + count].to_vec()
    }

    #[track_caller]
    fn has(&self, data: &[u8], tag: u8) {
        assert_eq!(&self.data()[..data.len()], data);
        assert_eq!(self.tags(data.len()), vec![tag; data.len()]);
    }
}

fn tags(address: u64, bytes: usize) -> Vec<u8> {
    sys::octets(shadow::tags_of(address), bytes).to_vec()
}

fn stream(label: usize) -> Stream {
    sys::mailbox().streams[label]
}

/// What the ring has of a stream, the latest `bytes`.
fn ring(label: usize, bytes: u64) -> Vec<u8> {
    let ring = sys::octets(sys::mailbox().input + label as u64 * INPUT_BYTES, INPUT_BYTES as usize);
    let received = stream(label).received;
    (received - bytes..received).map(|at| ring[(at % INPUT_BYTES) as usize]).collect()
}

fn address(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address {
        SocketAddr::V4(v4) => [&[2, 0][..], &port, &v4.ip().octets(), &[0; 20]].concat(),
        SocketAddr::V6(v6) => [&[10, 0][..], &port, &[0; 4], &v6.ip().octets(), &[0; 4]].concat(),
    }
}

fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
    (client, listener.accept().expect("connected").0)
}

fn vector(parts: &[&Buffer]) -> Vec<u64> {
    parts.iter().flat_map(|part| [part.at(), part.bytes as u64]).collect()
}

#[test]
fn what_a_connection_brings_is_tagged_and_kept() {
    with(source::INET, |program| {
        let (mut client, server) = connection();
        let buffer = Buffer::new(64);
        client.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
        assert_eq!(program.read(&server, &buffer), 16);
        buffer.has(b"GET / HTTP/1.1\r\n", 1);
        client.write_all(b"Host: a").expect("sent");
        buffer.taint();
        assert_eq!(program.call(RECVFROM, &[number(&server), buffer.at(), 64, 0, 0, 0]), 7);
        buffer.has(b"Host: a", 1);
        assert_eq!(ring(0, 23), b"GET / HTTP/1.1\r\nHost: a");
        let stream = stream(0);
        assert_eq!((stream.serial, stream.received, stream.kind), (1, 23, source::INET));
        assert_eq!(u64::from(stream.descriptor), number(&server));
        assert_eq!(stream.local.to_vec(), address(server.local_addr().expect("bound")));
        assert_eq!(stream.peer.to_vec(), address(server.peer_addr().expect("connected")));
        assert_eq!(sys::mailbox().stream_count, 1);
    });
}

#[test]
fn other_descriptors_and_no_policy_clear() {
    with(0, |program| {
        let (mut client, server) = connection();
        let buffer = Buffer::new(64);
        client.write_all(b"abc").expect("sent");
        assert_eq!(program.read(&server, &buffer), 3);
        buffer.has(b"abc", 0);
    });
    with(source::INET, |program| {
        let (mut one, other) = UnixStream::pair().expect("a pair");
        let buffer = Buffer::new(64);
        one.write_all(b"abc").expect("sent");
        assert_eq!(program.read(&other, &buffer), 3);
        buffer.has(b"abc", 0);
        assert_eq!(sys::mailbox().stream_count, 0);
    });
}

#[test]
fn a_list_of_buffers_is_filled_in_order() {
    with(source::INET, |program| {
        let (mut client, server) = connection();
        for (number_of_call, flags) in [(READV, &[][..]), (RECVMSG, &[0][..])] {
            let (one, two, three) = (Buffer::new(5), Buffer::new(8), Buffer::new(4));
            let list = vector(&[&one, &two, &three]);
            client.write_all(b"0123456789").expect("sent");
            let header = [0, 0, list.as_ptr() as u64, 3, 0, 0, 0];
            let (at, count) = if number_of_call == READV { (list.as_ptr(), 3) } else { (header.as_ptr(), 0) };
            let arguments = [&[number(&server), at as u64, count][..], flags].concat();
            assert_eq!(program.call(number_of_call, &arguments[..3]), 10);
            one.has(b"01234", 1);
            two.has(b"56789", 1);
            three.has(b"", 1);
        }
        assert_eq!(ring(0, 20), b"01234567890123456789");
    });
}

#[test]
fn what_is_looked_at_in_advance_is_tagged_and_not_counted() {
    with(source::INET, |program| {
        let (mut client, server) = connection();
        let buffer = Buffer::new(64);
        client.write_all(b"abcdef").expect("sent");
        assert_eq!(program.call(RECVFROM, &[number(&server), buffer.at(), 3, MSG_PEEK, 0, 0]), 3);
        buffer.has(b"abc", 1);
        assert_eq!(stream(0).received, 0);
        buffer.taint();
        assert_eq!(program.read(&server, &buffer), 6);
        buffer.has(b"abcdef", 1);
        assert_eq!(ring(0, 6), b"abcdef");
    });
}

#[test]
fn what_is_dropped_is_counted_and_not_tagged() {
    with(source::INET, |program| {
        let (mut client, server) = connection();
        let buffer = Buffer::new(64);
        client.write_all(b"abcdef").expect("sent");
        assert_eq!(program.call(RECVFROM, &[number(&server), buffer.at(), 4, MSG_TRUNC, 0, 0]), 4);
        buffer.has(b"", 1);
        assert_eq!(stream(0).received, 4);
        assert_eq!(program.read(&server, &buffer), 2);
        buffer.has(b"ef", 1);
        assert_eq!(ring(0, 2), b"ef");

        // Of a datagram, the answer is how long it was.
        let (receiver, sender) = (udp(), udp());
        sender.send_to(b"0123456789", receiver.local_addr().expect("bound")).expect("sent");
        let buffer = Buffer::new(4);
        assert_eq!(program.call(RECVFROM, &[number(&receiver), buffer.at(), 4, MSG_TRUNC, 0, 0]), 10);
        buffer.has(b"0123", 2);
        assert_eq!(stream(1).received, 4);
    });
}

fn udp() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")
}

#[test]
fn each_peer_of_a_datagram_socket_has_its_stream() {
    with(source::INET, |program| {
        let (receiver, one, two) = (udp(), udp(), udp());
        let to = receiver.local_addr().expect("bound");
        let (name, length) = (Buffer::new(128), Buffer::new(4));
        for (sender, data, tag) in [(&one, b"one", 1), (&two, b"two", 2), (&one, b"1st", 1)] {
            let buffer = Buffer::new(16);
            name.taint();
            length.taint();
            sys::write_guest(length.at(), &128u32.to_le_bytes());
            sender.send_to(data, to).expect("sent");
            assert_eq!(program.call(RECVFROM, &[number(&receiver), buffer.at(), 16, 0, name.at(), length.at()]), 3);
            buffer.has(data, tag);
            assert_eq!(name.tags(16), [0; 16]);
            assert_eq!(length.tags(4), [0; 4]);
        }
        for (label, sender) in [(0, &one), (1, &two)] {
            assert_eq!(stream(label).peer.to_vec(), address(sender.local_addr().expect("bound")));
            assert_eq!(stream(label).local.to_vec(), address(to));
        }
        assert_eq!(ring(0, 6), b"one1st");
        assert_eq!(ring(1, 3), b"two");
        // Who does not ask whose they are is not told; a connected socket knows.
        let buffer = Buffer::new(16);
        two.send_to(b"who", to).expect("sent");
        assert_eq!(program.read(&receiver, &buffer), 3);
        buffer.has(b"who", 4);
        assert_eq!(stream(2).peer, [0; 28]);
        receiver.connect(two.local_addr().expect("bound")).expect("connected");
        two.send_to(b"two", to).expect("sent");
        buffer.taint();
        assert_eq!(program.read(&receiver, &buffer), 3);
        buffer.has(b"two", 2);
    });
}

/// A list of `mmsghdr`, each with a buffer and room for a name.
fn messages(buffers: &[Buffer], names: &[Buffer]) -> (Vec<u64>, Vec<u64>) {
    let lists: Vec<u64> = buffers.iter().flat_map(|buffer| vector(&[buffer])).collect();
    let headers = (0..buffers.len()).flat_map(|at| {
        let list = lists.as_ptr() as u64 + at as u64 * 16;
        [names[at].at(), names[at].bytes as u64, list, 1, 0, 0, 0, 0]
    });
    (headers.collect(), lists)
}

#[test]
fn many_messages_at_once() {
    const IPV6_BYTES: usize = 28;
    const SHORT: usize = 20; // not all of the address
    with(source::INET, |program| {
        let receiver = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a port");
        let sender = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).expect("a port");
        let to = receiver.local_addr().expect("bound");
        for data in [&b"a"[..], b"bcdefghijk", b""] {
            sender.send_to(data, to).expect("sent");
        }
        let buffers: Vec<Buffer> = (0..4).map(|_| Buffer::new(8)).collect();
        let names = [Buffer::new(IPV6_BYTES), Buffer::new(SHORT), Buffer::new(128), Buffer::new(128)];
        let (headers, _lists) = messages(&buffers, &names);
        let at = headers.as_ptr() as u64;
        shadow::set_tags(at, 4 * 64, STALE);
        assert_eq!(program.call(RECVMMSG, &[number(&receiver), at, 4, MSG_DONTWAIT, 0]), 3);
        buffers[0].has(b"a", 1);
        buffers[1].has(b"bcdefghi", 2); // a name that is cut short is another's
        buffers[2].has(b"", 1);
        buffers[3].has(b"", 1);
        for (name, bytes) in names.iter().zip([IPV6_BYTES, SHORT, IPV6_BYTES, 0]) {
            assert_eq!(name.tags(bytes), vec![0; bytes]);
        }
        assert_eq!(stream(0).peer.to_vec(), address(sender.local_addr().expect("bound")));
        assert_eq!(ring(0, 1), b"a");
        // msg_namelen, msg_controllen, msg_flags, msg_len
        let written = |at: usize| (8..12).contains(&at) || (40..52).contains(&at) || (56..60).contains(&at);
        for (at, &tag) in tags(at, 4 * 64).iter().enumerate() {
            assert_eq!(tag == 0, at < 3 * 64 && written(at % 64), "header byte {at}");
        }
    });
}

#[test]
fn pipes_unix_sockets_and_standard_input_by_policy() {
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let standard_input = sys::call3(32, 0, 0, 0) as u64; // dup
    sys::call3(33, number(&reader), 0, 0); // dup2
    let mut say = |data: &[u8]| writer.write_all(data).expect("written");
    for (sources, by_number, by_zero) in [(source::UNIX, 1, 0), (source::STDIN, 0, 1), (source::UNIX | source::STDIN, 1, 2)] {
        with(sources, |program| {
            let buffer = Buffer::new(8);
            say(b"pipe");
            assert_eq!(program.read(&reader, &buffer), 4);
            buffer.has(b"pipe", by_number);
            say(b"0");
            buffer.taint();
            assert_eq!(program.call(READ, &[0, buffer.at(), 8]), 1);
            buffer.has(b"0", by_zero);
        });
    }
    sys::call3(33, standard_input, 0, 0);
    sys::call3(sys::CLOSE, standard_input, 0, 0);
    say(b"left");
    reader.read_exact(&mut [0; 4]).expect("read");
    with(source::UNIX, |program| {
        let (mut one, other) = UnixStream::pair().expect("a pair");
        let buffer = Buffer::new(8);
        one.write_all(b"unix").expect("sent");
        assert_eq!(program.read(&other, &buffer), 4);
        buffer.has(b"unix", 1);
        assert_eq!(stream(0).kind, source::UNIX);
    });
}

fn temporary() -> File {
    let name = c"sources";
    let descriptor = sys::call3(319, name.as_ptr() as u64, 0, 0); // memfd_create
    assert!(descriptor > 0);
    // SAFETY: it is new.
    unsafe { File::from_raw_fd(descriptor as i32) }
}

fn list(file: &File) {
    let status = file.metadata().expect("open");
    let mailbox = sys::mailbox();
    mailbox.files[mailbox.file_count as usize] = abi::File { device: status.dev(), inode: status.ino() };
    mailbox.file_count += 1;
}

#[test]
fn files_that_are_listed() {
    with(source::FILE, |program| {
        let (mut listed, mut other) = (temporary(), temporary());
        list(&listed);
        for file in [&mut listed, &mut other] {
            file.write_all(b"0123456789").expect("written");
            file.rewind().expect("rewound");
        }
        let buffer = Buffer::new(4);
        assert_eq!(program.read(&other, &buffer), 4);
        buffer.has(b"0123", 0);
        buffer.taint();
        assert_eq!(program.read(&listed, &buffer), 4);
        buffer.has(b"0123", 1);
        buffer.taint();
        assert_eq!(program.call(PREAD, &[number(&listed), buffer.at(), 2, 7]), 2);
        buffer.has(b"78", 1);
        for (call, at) in [(PREADV, 5), (PREADV2, 6)] {
            buffer.taint();
            let list = vector(&[&buffer]);
            assert_eq!(program.call(call, &[number(&listed), list.as_ptr() as u64, 1, at, 0, 0]), 4.min(10 - at as i64));
            buffer.has(&b"0123456789"[at as usize..(at as usize + 4).min(10)], 1);
        }
        assert_eq!(ring(0, 14), b"01237856786789");
        assert_eq!((stream(0).kind, stream(0).inode), (source::FILE, listed.metadata().expect("open").ino()));
    });
}

#[test]
fn the_ring_has_the_latest() {
    with(source::INET, |program| {
        let (mut client, server) = connection();
        let data: Vec<u8> = (0..3 * INPUT_BYTES + 77).map(|at| (at % 251) as u8 ^ (at >> 13) as u8).collect();
        let buffer = Buffer::new(2 * INPUT_BYTES as usize);
        let mut read = 0;
        // Pieces of all sizes, one of more than a ring among them.
        for piece in [1, 100, INPUT_BYTES as usize - 3, 2, INPUT_BYTES as usize * 3 / 2, 70_000].into_iter().cycle() {
            let piece = piece.min(data.len() - read);
            if piece == 0 {
                break;
            }
            let sender = std::thread::scope(|scope| {
                let sender = scope.spawn(|| client.write_all(&data[read..read + piece]));
                buffer.taint();
                let arguments = [number(&server), buffer.at(), piece as u64, 0x100, 0, 0]; // MSG_WAITALL
                assert_eq!(program.call(RECVFROM, &arguments), piece as i64);
                sender.join()
            });
            sender.expect("joined").expect("sent");
            buffer.has(&data[read..read + piece], 1);
            read += piece;
            assert_eq!(stream(0).received, read as u64);
            let kept = read.min(INPUT_BYTES as usize);
            assert!(ring(0, kept as u64) == data[read - kept..read]);
        }
    });
}

#[test]
fn the_label_that_was_not_used_for_longest_goes_to_a_new_stream() {
    with(source::INET, |program| {
        let mut connections: Vec<_> = (0..=LABELS).map(|_| connection()).collect();
        let buffer = Buffer::new(8);
        let mut read = |program: &mut Program<'_>, which: usize, label: usize| {
            connections[which].0.write_all(b"x").expect("sent");
            buffer.taint();
            assert_eq!(program.read(&connections[which].1, &buffer), 1);
            buffer.has(b"x", 1 << label);
        };
        (0..LABELS).for_each(|which| read(program, which, which));
        read(program, 0, 0);
        let before = stream(1);
        read(program, LABELS, 1);
        assert_eq!((stream(1).serial, stream(1).received), (LABELS as u64 + 1, 1));
        assert_ne!((stream(1).inode, stream(1).peer), (before.inode, before.peer));
        assert_eq!((stream(0).serial, stream(0).received), (1, 2));
        read(program, 1, 2); // it has lost its own
        assert_eq!((stream(2).serial, stream(2).received), (LABELS as u64 + 2, 1));
    });
}

#[test]
fn a_descriptor_that_is_another_now_is_another_stream() {
    with(source::INET, |program| {
        let (mut one, first) = connection();
        let buffer = Buffer::new(8);
        one.write_all(b"1").expect("sent");
        assert_eq!(program.read(&first, &buffer), 1);
        let (mut two, second) = connection();
        two.write_all(b"2").expect("sent");
        assert_eq!(program.call(33, &[number(&second), number(&first)]), number(&first) as i64); // dup2
        buffer.taint();
        assert_eq!(program.read(&first, &buffer), 1);
        buffer.has(b"2", 2);
        // The same one by two numbers.
        two.write_all(b"3").expect("sent");
        buffer.taint();
        assert_eq!(program.read(&second, &buffer), 1);
        buffer.has(b"3", 2);
        assert_eq!(ring(1, 2), b"23");
    });
}
