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
use seal::descriptors::{Changed, REMEMBERED_MAX};
use seal::{shadow, sources, sys};

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
    /// After what the test itself has done to descriptors, which the engine has not seen.
    fn call(&mut self, number: u64, arguments: &[u64]) -> i64 {
        sources::forget(Changed::All);
        self.make(number, arguments)
    }

    fn make(&mut self, number: u64, arguments: &[u64]) -> i64 {
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
fn more_messages_than_there_is_room_for_notes() {
    const MORE: usize = abi::NOTES as usize + 3;
    with(source::INET, |program| {
        let (mut client, server) = connection();
        let data: Vec<u8> = (0..MORE).map(|at| at as u8).collect();
        client.write_all(&data).expect("sent");
        let buffer = Buffer::new(MORE);
        let name = Buffer::new(128);
        let lists: Vec<u64> = (0..MORE as u64).flat_map(|at| [buffer.at() + at, 1]).collect();
        let list = lists.as_ptr() as u64;
        let headers: Vec<u64> = (0..MORE as u64).flat_map(|at| [name.at(), 128, list + at * 16, 1, 0, 0, 0, 0]).collect();
        let arguments = [number(&server), headers.as_ptr() as u64, MORE as u64, MSG_DONTWAIT, 0];
        assert_eq!(program.call(RECVMMSG, &arguments), MORE as i64);
        buffer.has(&data, 1);
        assert_eq!(ring(0, MORE as u64), data);
        name.has(b"", 0); // a connection has no names to tell
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

#[test]
fn a_number_is_asked_about_again_when_calls_may_have_given_it_to_another() {
    const CLOSE: u64 = 3;
    const DUP: u64 = 32;
    const DUP2: u64 = 33;
    const SENDMSG: u64 = 46;
    const FCNTL: u64 = 72;
    const CLOSE_RANGE: u64 = 436;
    const PLACE: u64 = 200; // where nothing else is opened
    let (mut peer, connection) = connection();
    let (mut end, other_end) = UnixStream::pair().expect("a pair");
    let (carrier, carried) = UnixStream::pair().expect("a pair");
    with(source::INET, |program| {
        sources::forget(Changed::All);
        let buffer = Buffer::new(8);
        let mut is_input = |program: &mut Program<'_>| {
            buffer.taint();
            peer.write_all(b"i").expect("sent");
            end.write_all(b"u").expect("sent");
            assert_eq!(program.make(READ, &[PLACE, buffer.at(), 8]), 1);
            // The other's byte waits for nobody.
            for socket in [&connection as &dyn AsRawFd, &other_end] {
                let descriptor = socket.as_raw_fd() as u64;
                sys::call(RECVFROM, [descriptor, [0u64; 8].as_mut_ptr() as u64, 8, MSG_DONTWAIT, 0, 0]);
            }
            buffer.tags(1) != [0]
        };
        let both = [(number(&connection), true), (number(&other_end), false)];
        for (from, is_a_source) in both.into_iter().cycle().take(4) {
            assert_eq!(program.make(DUP2, &[from, PLACE]), PLACE as i64);
            assert_eq!((is_input(program), is_input(program)), (is_a_source, is_a_source));
        }
        for (from, is_a_source) in both {
            program.make(CLOSE, &[PLACE]);
            assert_eq!(program.make(FCNTL, &[from, 0, PLACE]), PLACE as i64); // F_DUPFD
            assert_eq!(is_input(program), is_a_source);
        }
        // All of them at once, and one that comes with a message: the lowest that is free.
        let mut fillers = Vec::new();
        while fillers.last().is_none_or(|&last| last < PLACE as i64 - 1) {
            fillers.push(sys::call(DUP, [number(&carrier), 0, 0, 0, 0, 0]));
        }
        for (from, is_a_source) in both.into_iter().cycle().take(3) {
            program.make(CLOSE_RANGE, &[PLACE, PLACE, 0]);
            let control = [20u64, 1 << 32 | 1, from]; // SOL_SOCKET, SCM_RIGHTS
            let part = [b"m".as_ptr() as u64, 1];
            let sent = [0, 0, part.as_ptr() as u64, 1, control.as_ptr() as u64, 24, 0];
            assert_eq!(sys::call(SENDMSG, [number(&carrier), sent.as_ptr() as u64, 0, 0, 0, 0]), 1);
            let mut room = [0u64; 3];
            let part = [buffer.at(), 8];
            let received = [0, 0, part.as_ptr() as u64, 1, room.as_mut_ptr() as u64, 24, 0];
            assert_eq!(program.make(RECVMSG, &[number(&carried), received.as_ptr() as u64, 0]), 1);
            assert_eq!(room[2] as u32 as u64, PLACE);
            assert_eq!(is_input(program), is_a_source);
        }
        fillers.into_iter().chain([PLACE as i64]).for_each(|it| _ = sys::call3(sys::CLOSE, it as u64, 0, 0));
    });
}

const CLONE: u64 = 56;
const CLONE3: u64 = 435;
const WAIT4: u64 = 61;
const EXIT_GROUP: u64 = 231;

/// Tags are 4 bytes each where a number is to be written: whether the parent's and the child's have gone.
fn born(program: &mut Program<'_>, by_record: bool, of_child: impl Fn() -> bool) -> ([bool; 2], i64) {
    const VFORK: u64 = 0x4000; // but with memory of its own
    const PARENT_SETTID: u64 = 0x10_0000;
    const CHILD_SETTID: u64 = 0x100_0000;
    const SIGCHLD: u64 = 17;
    let numbers = [Buffer::new(4), Buffer::new(4)];
    let flags = VFORK | PARENT_SETTID | CHILD_SETTID;
    let record = [flags, 0, numbers[1].at(), numbers[0].at(), SIGCHLD, 0, 0, 0];
    let cleared = |which: usize| (0..4).all(|at| !shadow::any_tag(numbers[which].at() + at, 1));
    // The way back is translated before: child and parent share what the test's engine has allocated, but not the code.
    program.call(39, &[]);
    let child = if by_record {
        program.call(CLONE3, &[record.as_ptr() as u64, 64])
    } else {
        program.call(CLONE, &[flags | SIGCHLD, 0, numbers[0].at(), numbers[1].at(), 0])
    };
    if child == 0 {
        let is_right = !cleared(0) && cleared(1) && of_child();
        sys::call(EXIT_GROUP, [u64::from(is_right), 0, 0, 0, 0, 0]);
    }
    assert!(child > 0, "{child}");
    let mut status = 0u32;
    assert_eq!(sys::call3(WAIT4, child as u64, (&raw mut status) as u64, 0), child);
    ([cleared(0), cleared(1)], i64::from(status >> 8))
}

#[test]
fn a_child_has_its_parents_tags_and_streams_and_none_of_its_alerts() {
    with(source::INET, |program| {
        let (mut client, server) = connection();
        let buffer = Buffer::new(8);
        client.write_all(b"abc").expect("sent");
        assert_eq!(program.read(&server, &buffer), 3);
        sys::mailbox().alert_count = 1;
        sys::mailbox().alerts[0].serial = 1;
        for by_record in [false, true] {
            let (cleared, right) = born(program, by_record, || {
                let same = buffer.tags(3) == [1; 3] && ring(0, 3) == b"abc" && stream(0).received == 3;
                let mailbox = sys::mailbox();
                let quiet = mailbox.alert_count == 0 && mailbox.alerts.iter().all(|alert| alert.serial == 0);
                shadow::clear_tags(buffer.at(), 3);
                mailbox.streams[0].received = 77;
                same && quiet
            });
            assert_eq!(cleared, [true, false]);
            assert_eq!(right, 1);
        }
        buffer.has(b"abc", 1);
        assert_eq!((stream(0).received, sys::mailbox().alert_count), (3, 1));
    });
}

#[rustfmt::skip]
global_asm!(
    ".globl sources_handler", "sources_handler:", "inc dword ptr [rip+sources_signals]", "ret",
    ".globl sources_restorer", "sources_restorer:", "mov eax, 15", "syscall",
    ".data", ".balign 4", ".globl sources_signals", "sources_signals: .long 0", ".text",
);

unsafe extern "C" {
    fn sources_handler();
    fn sources_restorer();
    static sources_signals: u32;
}

fn signals() -> u32 {
    // SAFETY: a counter of the handler's, which runs in this thread.
    unsafe { (&raw const sources_signals).read_volatile() }
}

#[test]
fn what_has_come_before_a_signal_is_tagged_once() {
    const SIGNAL: u64 = 12;
    const SA_RESTORER: u64 = 0x400_0000;
    const WAITALL: u64 = 0x100;
    let action = abi::SigAction {
        handler: sources_handler as *const () as u64,
        flags: SA_RESTORER,
        restorer: sources_restorer as *const () as u64,
        mask: 0,
    };
    sys::call(sys::RT_SIGACTION, [SIGNAL, (&raw const action) as u64, 0, 8, 0, 0]);
    with(source::INET, |program| {
        let (mut client, server) = connection();
        let buffer = Buffer::new(64);
        let own = [sys::GETPID, sys::GETTID].map(|number| sys::call(number, [0; 6]) as u64);
        for flags in [WAITALL, 0] {
            let before = signals();
            let received = stream(0).received;
            if flags != 0 {
                client.write_all(b"some").expect("sent");
            }
            // When the thread waits in the kernel, for the rest or for anything, a signal comes, once.
            let waits = || {
                std::fs::read_to_string(format!("/proc/self/task/{}/syscall", own[1])).is_ok_and(|text| text.starts_with("45 "))
            };
            let answer = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !waits() {
                        std::thread::yield_now();
                    }
                    sys::call3(sys::TGKILL, own[0], own[1], SIGNAL);
                });
                program.call(RECVFROM, &[number(&server), buffer.at(), 64, flags, 0, 0])
            });
            assert_eq!(answer, if flags != 0 { 4 } else { sys::EINTR });
            assert_eq!(signals(), before + 1);
            let brought = if flags != 0 { &b"some"[..] } else { b"" };
            buffer.has(brought, 1);
            buffer.taint();
            assert_eq!(stream(0).received, received + brought.len() as u64);
        }
    });
}

/// A filter of system calls under which these end the process.
fn forbid(numbers: &[u32]) -> Vec<u64> {
    const LOAD: u64 = 0x20;
    const EQUAL: u64 = 0x15;
    const RETURN: u64 = 0x06;
    const KILL: u64 = 0x8000_0000;
    const ALLOW: u64 = 0x7fff_0000;
    let mut filter = vec![LOAD];
    for (at, &number) in numbers.iter().enumerate() {
        let to_the_end = (numbers.len() - at) as u64;
        filter.push(EQUAL | to_the_end << 16 | u64::from(number) << 32);
    }
    filter.extend([RETURN | ALLOW << 32, RETURN | KILL << 32]);
    filter
}

#[test]
fn a_confined_process_is_not_asked() {
    const SECCOMP: u64 = 317;
    const ACCEPT: u64 = 43;
    // fstat, getsockname, getpeername, getsockopt: what one asks about descriptors
    let filter = forbid(&[5, 51, 52, 55]);
    let program_of_filter = [filter.len() as u64, filter.as_ptr() as u64];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let to = listener.local_addr().expect("bound");
    let [mut before, mut later] = [(), ()].map(|()| connection());
    let (pipe, mut into) = std::io::pipe().expect("a pipe");
    let (receiver, sender) = (udp(), udp());
    let path = c"/proc/self/comm".as_ptr() as u64;
    // The last descriptor that is remembered, and the first that is not.
    let limit = [REMEMBERED_MAX as u64 + 1; 2];
    assert_eq!(sys::call(302, [0, 7, limit.as_ptr() as u64, 0, 0, 0]), 0); // prlimit64 RLIMIT_NOFILE
    let many = [REMEMBERED_MAX as u64 - 1, REMEMBERED_MAX as u64];
    many.iter().for_each(|&to| assert_eq!(sys::call3(33, number(&pipe), to, 0), to as i64)); // dup2
    let peers = [&before, &later].map(|(_, server)| address(server.peer_addr().expect("connected")));
    let (udp_to, udp_from) = (receiver.local_addr().expect("bound"), address(sender.local_addr().expect("bound")));
    let mut guests: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(to).expect("loopback")).collect();
    let guest_name = address(guests[0].local_addr().expect("bound"));
    with(source::INET, |program| {
        let buffer = Buffer::new(8);
        let read = |program: &mut Program<'_>, descriptor: u64, data: &[u8], tag: u8| {
            buffer.taint();
            assert_eq!(program.call(READ, &[descriptor, buffer.at(), data.len() as u64]), data.len() as i64);
            buffer.has(data, tag);
        };
        before.0.write_all(b"a").expect("sent");
        read(program, number(&before.1), b"a", 1);
        program.call(157, &[38, 1, 0, 0, 0]); // prctl PR_SET_NO_NEW_PRIVS
        assert_eq!(program.call(SECCOMP, &[1, 0, program_of_filter.as_ptr() as u64]), 0);
        assert_eq!(sys::mailbox().confined, 1);

        before.0.write_all(b"bc").expect("sent");
        read(program, number(&before.1), b"b", 1);
        let copy = program.call(32, &[number(&before.1)]) as u64; // dup
        read(program, copy, b"c", 1);
        assert_eq!(ring(0, 3), b"abc");
        later.0.write_all(b"def").expect("sent");
        read(program, number(&later.1), b"de", 2);
        assert_eq!([0, 1].map(|label| stream(label).peer.to_vec()), peers);
        into.write_all(b"pipe").expect("written");
        read(program, number(&pipe), b"pipe", 0);

        // New ones: accepted, with a name and without.
        let (name, length) = (Buffer::new(28), 28u32);
        let accepted = program.call(ACCEPT, &[number(&listener), name.at(), (&raw const length) as u64]) as u64;
        guests[0].write_all(b"guest").expect("sent");
        read(program, accepted, b"guest", 4);
        assert_eq!((stream(2).peer[..16].to_vec(), stream(2).local.to_vec()), (guest_name[..16].to_vec(), address(to)));
        let accepted = program.call(ACCEPT, &[number(&listener), 0, 0]) as u64;
        guests[1].write_all(b"guest").expect("sent");
        read(program, accepted, b"guest", 8);

        // The number of a connection that is closed goes to a file, and back to a connection.
        assert_eq!(program.call(sys::CLOSE, &[copy]), 0);
        let file = program.call(sys::OPEN, &[path, 0, 0]) as u64;
        assert_eq!(file, copy);
        read(program, file, b"sou", 0);
        assert_eq!(program.call(33, &[number(&later.1), file]), file as i64); // dup2
        read(program, file, b"f", 2);

        // A datagram's peer is who the call says.
        sender.send_to(b"udp", udp_to).expect("sent");
        let length = 28u32;
        let arguments = [number(&receiver), buffer.at(), 8, 0, name.at(), (&raw const length) as u64];
        buffer.taint();
        assert_eq!(program.call(RECVFROM, &arguments), 3);
        buffer.has(b"udp", 16);
        assert_eq!(stream(4).peer[..16].to_vec(), udp_from[..16].to_vec());

        // Two ends of a pipe that is made now, and what nobody knows how it came.
        let ends = [0u32; 2];
        assert_eq!(program.call(22, &[ends.as_ptr() as u64]), 0);
        let ends = ends.map(|end| u64::from(std::hint::black_box(end)));
        assert_eq!(sys::call3(1, ends[1], b"x".as_ptr() as u64, 1), 1);
        read(program, ends[0], b"x", 0);
        let unseen = sys::call3(32, ends[0], 0, 0) as u64; // dup
        assert_eq!(sys::call3(1, ends[1], b"y".as_ptr() as u64, 1), 1);
        read(program, unseen, b"y", 32);
        into.write_all(b"manymany").expect("written");
        read(program, many[0], b"many", 0);
        read(program, many[1], b"many", 64);
        for descriptor in [many[0], many[1], file, accepted, ends[0], ends[1], unseen] {
            sys::call3(sys::CLOSE, descriptor, 0, 0);
        }
    });
}
