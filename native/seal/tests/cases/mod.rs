//! Calls whose effects can be tried without harm: how each is made, one a line where it needs nothing.

use core::arch::global_asm;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use seal::sys;

// The process stops, and ends when it goes on. Its registers do not have the pattern that memory was filled with.
#[rustfmt::skip]
global_asm!(
    ".globl cases_stop", "cases_stop:", "mov eax, 39", "syscall", "mov edi, eax", "mov esi, 19",
    "xor ebx, ebx", "xor edx, edx", "xor ebp, ebp", "xor r8d, r8d", "xor r9d, r9d", "xor r10d, r10d", "xor r12d, r12d", "xor r13d, r13d",
    "xor r14d, r14d", "xor r15d, r15d", "xorps xmm0, xmm0", "xorps xmm1, xmm1", "xorps xmm2, xmm2", "xorps xmm3, xmm3",
    "xorps xmm4, xmm4", "xorps xmm5, xmm5", "xorps xmm6, xmm6", "xorps xmm7, xmm7", "xorps xmm8, xmm8", "xorps xmm9, xmm9",
    "xorps xmm10, xmm10", "xorps xmm11, xmm11", "xorps xmm12, xmm12", "xorps xmm13, xmm13", "xorps xmm14, xmm14", "xorps xmm15, xmm15",
    "mov eax, 62", "syscall", "mov eax, 231", "syscall",
);

unsafe extern "C" {
    fn cases_stop();
}

pub const ROOM_BYTES: usize = 0x1_0000;
const GAP: u64 = 40;

/// Memory that a call is given, and what else it needs for as long as it lasts.
pub struct Room {
    memory: Vec<u64>,
    used: u64,
    given: Vec<(u64, usize)>, // what the call reads
    files: Vec<OwnedFd>,
    children: Vec<u64>,
    made: Vec<(u64, [u64; 3])>, // and the calls that undo it
}

impl Room {
    pub fn new() -> Room {
        let (given, files, children, made) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Room { memory: vec![0; ROOM_BYTES / 8], used: 0, given, files, children, made }
    }

    /// Begin anew, with this in every byte.
    pub fn fill(&mut self, pattern: u8) {
        self.undo();
        self.memory.fill(u64::from_ne_bytes([pattern; 8]));
        (self.used, self.given) = (GAP, Vec::new());
    }

    /// Let nothing be left that calls were prepared with.
    pub fn undo(&mut self) {
        for (number, [a, b, c]) in self.made.drain(..) {
            sys::call3(number, a, b, c);
        }
        for child in self.children.drain(..) {
            sys::call3(KILL, child, 9, 0);
            sys::call(WAIT4, [child, 0, 0, 0, 0, 0]);
        }
        self.files.clear();
    }

    pub fn begin(&self) -> u64 {
        self.memory.as_ptr() as u64
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.memory.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// Whether the byte there is what the call is given.
    pub fn is_given(&self, at: usize) -> bool {
        self.given.iter().any(|&(begin, bytes)| (begin..begin + bytes as u64).contains(&(at as u64)))
    }

    // Room for so many bytes.
    fn empty(&mut self, bytes: usize) -> u64 {
        let at = self.begin() + self.used;
        self.used += (bytes as u64).next_multiple_of(8) + GAP;
        assert!((self.used as usize) < ROOM_BYTES);
        at
    }

    fn put(&mut self, at: u64, data: &[u8]) {
        assert_eq!(sys::write_guest(at, data), data.len());
        self.given.push((at - self.begin(), data.len()));
    }

    fn give(&mut self, data: &[u8]) -> u64 {
        let at = self.empty(data.len());
        self.put(at, data);
        at
    }

    fn words(&mut self, words: &[u64]) -> u64 {
        self.give(&words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>())
    }

    fn text(&mut self, text: &str) -> u64 {
        self.give(&[text.as_bytes(), &[0]].concat())
    }

    fn length(&mut self, bytes: u32) -> u64 {
        self.give(&bytes.to_ne_bytes())
    }

    fn keep(&mut self, file: impl Into<OwnedFd>) -> u64 {
        self.files.push(file.into());
        self.files.last().map_or(0, |file| file.as_raw_fd() as u64)
    }

    fn open(&mut self, number: u64, arguments: &[u64]) -> u64 {
        let descriptor = sys::call(number, six(arguments));
        assert!(descriptor >= 0, "call {number}: {descriptor}");
        // SAFETY: it is new.
        self.keep(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
    }

    // What a call has made, and how it is undone.
    fn make(&mut self, number: u64, arguments: &[u64], undo: u64, more: [u64; 2]) -> u64 {
        let made = sys::call(number, six(arguments));
        assert!(made >= 0, "call {number}: {made}");
        self.made.push((undo, [made as u64, more[0], more[1]]));
        made as u64
    }

    // ---- what calls are made on

    fn pipe(&mut self, data: &[u8]) -> u64 {
        let (reader, mut writer) = std::io::pipe().expect("a pipe");
        writer.write_all(data).expect("written");
        self.keep(writer);
        self.keep(reader)
    }

    fn pipe_to(&mut self) -> u64 {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        self.keep(reader);
        self.keep(writer)
    }

    fn file(&mut self, data: &[u8]) -> u64 {
        let descriptor = self.open(319, &[c"written".as_ptr() as u64, 0]); // memfd_create
        assert_eq!(sys::call3(1, descriptor, data.as_ptr() as u64, data.len() as u64), data.len() as i64);
        sys::call3(8, descriptor, 0, 0); // lseek
        descriptor
    }

    fn file_on_disk(&mut self) -> u64 {
        let path = std::env::temp_dir().join(format!("seal-written-{}", std::process::id()));
        std::fs::write(&path, b"0123456789").expect("a temporary file");
        let file = File::options().read(true).write(true).open(&path).expect("there");
        std::fs::remove_file(&path).expect("there");
        self.keep(file)
    }

    fn listener(&mut self) -> u64 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
        self.keep(client);
        self.keep(listener)
    }

    fn stream(&mut self, data: &[u8]) -> u64 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("loopback");
        client.write_all(data).expect("sent");
        self.keep(client);
        let server = self.keep(listener.accept().expect("connected").0);
        if data.is_empty() {
            return server;
        }
        let polled = [server & 0xffff_ffff | 1 << 32];
        sys::call3(7, polled.as_ptr() as u64, 1, 1000);
        server
    }

    // With what it is told along with each datagram: when it came (16 bytes), and its time to live (4).
    fn datagrams(&mut self, each: &[&[u8]]) -> u64 {
        const SO_TIMESTAMP: u64 = 29;
        const IP_RECVTTL: u64 = 12;
        let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        for (level, option) in [(1, SO_TIMESTAMP), (0, IP_RECVTTL)] {
            let on = 1u32;
            sys::call(55 - 1, [receiver.as_raw_fd() as u64, level, option, (&raw const on) as u64, 4, 0]); // setsockopt
        }
        let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        for data in each {
            sender.send_to(data, receiver.local_addr().expect("bound")).expect("sent");
        }
        self.keep(receiver)
    }

    fn message(&mut self, name_bytes: usize, control_bytes: usize, buffers: &[usize]) -> [u64; 8] {
        let list: Vec<u64> = buffers.iter().flat_map(|&bytes| [self.empty(bytes), bytes as u64]).collect();
        let list = self.words(&list);
        let name = if name_bytes == 0 { 0 } else { self.empty(name_bytes) };
        let control = if control_bytes == 0 { 0 } else { self.empty(control_bytes) };
        [name, name_bytes as u64, list, buffers.len() as u64, control, control_bytes as u64, 0, 0]
    }

    // A child that ends at once, or stops to be traced.
    fn child(&mut self, stops: bool) -> u64 {
        const FORK: u64 = 57;
        let child = sys::call(FORK, [0; 6]);
        if child == 0 {
            if stops {
                sys::call(PTRACE, [0; 6]);
                // SAFETY: it does not come back.
                unsafe { cases_stop() };
            }
            sys::call(231, [7, 0, 0, 0, 0, 0]);
        }
        if stops {
            sys::call(WAIT4, [child as u64, 0, 2, 0, 0, 0]);
        }
        self.children.push(child as u64);
        child as u64
    }

    fn terminal(&mut self) -> u64 {
        let file = File::options().read(true).write(true).open("/dev/ptmx").expect("terminals");
        self.keep(file)
    }

    fn interface(&mut self, name: &[u8], index: u8) -> u64 {
        let mut request = [0; 40]; // all of it is copied in and out
        request[..name.len()].copy_from_slice(name);
        request[16] = index;
        self.give(&request)
    }

    // A signal comes to this thread in a few milliseconds.
    fn signal_soon(&mut self) {
        const THREAD: u64 = 4;
        const TIMER_CREATE: u64 = 222;
        const TIMER_SETTIME: u64 = 223;
        const TIMER_DELETE: u64 = 226;
        let tid = sys::call(sys::GETTID, [0; 6]) as u64;
        let event = [0, SIGNAL | THREAD << 32, tid, 0, 0, 0, 0, 0];
        let mut timer = 0u32;
        assert_eq!(sys::call3(TIMER_CREATE, 1, event.as_ptr() as u64, (&raw mut timer) as u64), 0);
        self.made.push((TIMER_DELETE, [u64::from(timer), 0, 0]));
        // Again and again: a first one may come before the call.
        let when = [0, 200_000_000, 0, 20_000_000u64];
        assert_eq!(sys::call(TIMER_SETTIME, [u64::from(timer), 0, when.as_ptr() as u64, 0, 0, 0]), 0);
    }
}

pub fn six(arguments: &[u64]) -> [u64; 6] {
    core::array::from_fn(|at| arguments.get(at).copied().unwrap_or(0))
}

pub const SIGNAL: u64 = 10; // which has a handler
const KILL: u64 = 62;
const WAIT4: u64 = 61;
const PTRACE: u64 = 101;
const EINTR: i64 = -4;
const EOVERFLOW: i64 = -75;
const HERE: u64 = -100i64 as u64; // AT_FDCWD

/// How a call answers when it writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Well,
    Padded,       // and what it writes has holes
    Error(i64),   // with this
    Refused(i64), // with this, and it writes nothing
    Nothing,      // well, and it writes nothing
}

pub struct Case {
    pub name: &'static str,
    pub number: u64,
    pub answer: Answer,
    pub prepare: fn(&mut Room) -> Vec<u64>,
}

const fn case(number: u64, name: &'static str, prepare: fn(&mut Room) -> Vec<u64>) -> Case {
    Case { name, number, answer: Answer::Well, prepare }
}

impl Case {
    const fn answers(self, answer: Answer) -> Case {
        Case { answer, ..self }
    }

    pub fn is_right(&self, answer: i64) -> bool {
        match self.answer {
            Answer::Error(error) | Answer::Refused(error) => answer == error,
            _ => answer >= 0,
        }
    }
}

/// Calls of the table that are not tried: they need what not every machine has, or are tried elsewhere.
pub const UNTRIED: &[u64] = &[
    56,  // clone, and
    435, // clone3: in sources.rs
    128, // rt_sigtimedwait: would need a blocked signal
    154, // modify_ldt
    179, // quotactl, and
    443, // quotactl_fd: a file system with quotas
    192, // lgetxattr, and
    194, // listxattr, and
    195, // llistxattr: as the others of their kind
    212, // lookup_dcookie: gone from Linux 6.7 on
    333, // io_pgetevents: as io_getevents
];

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    case(0, "read", |r| vec![r.pipe(b"0123456789"), r.empty(32), 32]),
    case(0, "read of nothing", |r| vec![r.file(b""), r.empty(32), 32]).answers(Answer::Nothing),
    case(4, "stat", |r| vec![r.text("/"), r.empty(144)]),
    case(5, "fstat", |r| vec![r.file(b""), r.empty(144)]),
    case(6, "lstat", |r| vec![r.text("/proc/self"), r.empty(144)]),
    case(7, "poll", |r| { let p = r.pipe(b"x"); let pair = p | 1 << 32; vec![r.words(&[pair, pair | 4 << 32, u64::MAX >> 32]), 3, 0] }),
    case(13, "rt_sigaction", |r| vec![12, 0, r.empty(32), 8]),
    case(14, "rt_sigprocmask", |r| vec![0, 0, r.empty(8), 8]),
    case(16, "ioctl FIGETBSZ", |r| vec![r.file_on_disk(), 2, r.empty(8)]),
    case(16, "ioctl TCGETS", |r| vec![r.terminal(), 0x5401, r.empty(64)]),
    case(16, "ioctl TCGETA", |r| vec![r.terminal(), 0x5405, r.empty(64)]),
    case(16, "ioctl TCGETS2", |r| vec![r.terminal(), 0x802c_542a, r.empty(64)]),
    case(16, "ioctl TIOCOUTQ", |r| vec![r.terminal(), 0x5411, r.empty(64)]),
    case(16, "ioctl TIOCGWINSZ", |r| vec![r.terminal(), 0x5413, r.empty(64)]),
    case(16, "ioctl TIOCGETD", |r| vec![r.terminal(), 0x5424, r.empty(64)]),
    case(16, "ioctl TIOCGPTN", |r| vec![r.terminal(), 0x8004_5430, r.empty(64)]),
    case(16, "ioctl TIOCGLCKTRMIOS", |r| vec![r.terminal(), 0x5456, r.empty(64)]),
    case(16, "ioctl FIONREAD", |r| vec![r.pipe(b"abc"), 0x541b, r.empty(8)]),
    case(16, "ioctl FIONBIO", |r| { let on = r.length(1); vec![r.pipe(b"abc"), 0x5421, on] }).answers(Answer::Nothing),
    case(16, "ioctl FIOQSIZE", |r| vec![r.file_on_disk(), 0x5460, r.empty(8)]),
    case(16, "ioctl FIOGETOWN", |r| vec![r.stream(b""), 0x8903, r.empty(8)]),
    case(16, "ioctl SIOCGPGRP", |r| vec![r.stream(b""), 0x8904, r.empty(8)]),
    case(16, "ioctl SIOCATMARK", |r| vec![r.stream(b""), 0x8905, r.empty(8)]),
    case(16, "ioctl SIOCOUTQNSD", |r| vec![r.stream(b""), 0x894b, r.empty(8)]),
    case(16, "ioctl SIOCGIFNAME", |r| vec![r.stream(b""), 0x8910, r.interface(b"none", 1)]),
    case(16, "ioctl SIOCGIFCONF", |r| { let list = r.empty(400); vec![r.stream(b""), 0x8912, r.words(&[400, list])] }),
    case(16, "ioctl SIOCGIFFLAGS", |r| vec![r.stream(b""), 0x8913, r.interface(b"lo", 77)]),
    case(16, "ioctl SIOCGIFADDR", |r| vec![r.stream(b""), 0x8915, r.interface(b"lo", 77)]),
    case(16, "ioctl SIOCGIFNETMASK", |r| vec![r.stream(b""), 0x891b, r.interface(b"lo", 77)]),
    case(16, "ioctl SIOCGIFMTU", |r| vec![r.stream(b""), 0x8921, r.interface(b"lo", 77)]),
    case(16, "ioctl SIOCGIFHWADDR", |r| vec![r.stream(b""), 0x8927, r.interface(b"lo", 77)]),
    case(16, "ioctl SIOCGIFINDEX", |r| vec![r.stream(b""), 0x8933, r.interface(b"lo", 77)]),
    case(16, "ioctl SIOCGIFTXQLEN", |r| vec![r.stream(b""), 0x8942, r.interface(b"lo", 77)]),
    case(16, "ioctl SIOCGIFMAP", |r| vec![r.stream(b""), 0x8970, r.interface(b"lo", 77)]),
    case(16, "ioctl FS_IOC_GETFLAGS", |r| vec![r.file_on_disk(), 0x8008_6601, r.empty(16)]),
    case(16, "ioctl FS_IOC_GETVERSION", |r| vec![r.file_on_disk(), 0x8008_7601, r.empty(16)]),
    case(16, "ioctl FS_IOC_FIEMAP", |r| { let f = r.file_on_disk(); let at = r.empty(256); r.put(at, &words(&[0, 1 << 20, 1, 3])); vec![f, 0xc020_660b, at] }),
    case(16, "ioctl RNDGETENTCNT", |r| { let f = File::open("/dev/urandom").expect("there"); vec![r.keep(f), 0x8004_5200, r.empty(8)] }),
    case(17, "pread64", |r| vec![r.file(b"0123456789"), r.empty(32), 32, 4]),
    case(19, "readv", |r| { let list = [r.empty(3), 3, r.empty(0), 0, r.empty(32), 32]; vec![r.pipe(b"0123456789"), r.words(&list), 3] }),
    case(22, "pipe", |r| vec![r.empty(8)]),
    case(23, "select", |r| { let (p, s) = (r.pipe(b"x"), set()); let (i, t) = (r.give(&s), r.words(&[1, 5])); with_bit(i, p); vec![p + 1, i, 0, r.give(&s), t] }),
    case(23, "select without waiting", |r| { let (p, s) = (r.pipe(b"x"), set()); let (i, t) = (r.give(&s), r.words(&[0, 0])); with_bit(i, p); vec![p + 1, i, 0, 0, t] }).answers(Answer::Nothing),
    case(27, "mincore", |r| vec![r.begin() & !4095, 3 * 4096 - 5, r.empty(8)]),
    case(31, "shmctl IPC_STAT", |r| vec![segment(r), 2, r.empty(128)]),
    case(31, "shmctl IPC_INFO", |r| vec![segment(r), 3, r.empty(128)]),
    case(31, "shmctl SHM_INFO", |r| vec![segment(r), 14, r.empty(128)]),
    case(35, "nanosleep", |r| { r.signal_soon(); vec![r.words(&[5, 0]), r.empty(16)] }).answers(Answer::Error(EINTR)),
    case(35, "nanosleep to its end", |r| vec![r.words(&[0, 1]), r.empty(16)]).answers(Answer::Nothing),
    case(36, "getitimer", |r| vec![0, r.empty(32)]),
    case(38, "setitimer", |r| vec![2, r.words(&[0, 0, 0, 0]), r.empty(32)]),
    case(40, "sendfile", |r| { let from = r.file(b"0123456789"); let to = r.file(b""); vec![to, from, r.words(&[3]), 5] }),
    case(43, "accept", |r| { let l = r.length(128); vec![r.listener(), r.empty(128), l] }),
    case(43, "accept with little room", |r| { let l = r.length(5); vec![r.listener(), r.empty(128), l] }),
    case(45, "recvfrom", |r| { let l = r.length(128); vec![r.datagrams(&[b"0123456789"]), r.empty(32), 32, 0, r.empty(128), l] }),
    case(45, "recvfrom with little room", |r| { let l = r.length(6); vec![r.datagrams(&[b"0123456789"]), r.empty(32), 4, 0x20, r.empty(128), l] }),
    case(45, "recvfrom of a connection", |r| { let l = r.length(128); vec![r.stream(b"0123456789"), r.empty(32), 32, 0, r.empty(128), l] }),
    case(45, "recvfrom of what is dropped", |r| { let l = r.length(0); vec![r.stream(b"0123456789"), r.empty(32), 32, 0x20, r.empty(0), l] }).answers(Answer::Nothing),
    case(45, "recvfrom of a Unix datagram", |r| { let (one, other) = UnixDatagram::pair().expect("a pair"); one.send(b"0123456789").expect("sent"); vec![r.keep(other), r.empty(32), 4, 0x20, 0, 0] }),
    case(45, "recvfrom of what a Unix stream would drop", |r| vec![unix_stream(r), r.empty(32), 4, 0x20, 0, 0]),
    case(47, "recvmsg", |r| { let m = r.message(128, 256, &[3, 32]); vec![r.datagrams(&[b"0123456789"]), r.words(&m[..7]), 0] }),
    case(47, "recvmsg with little room", |r| { let m = r.message(3, 40, &[3, 2]); vec![r.datagrams(&[b"0123456789"]), r.words(&m[..7]), 0] }),
    case(47, "recvmsg of descriptors", |r| { let m = r.message(0, 64, &[8]); vec![with_descriptors(r), r.words(&m[..7]), 0] }),
    case(51, "getsockname", |r| { let l = r.length(128); vec![r.listener(), r.empty(128), l] }),
    case(52, "getpeername", |r| { let l = r.length(9); vec![r.stream(b""), r.empty(128), l] }),
    case(53, "socketpair", |r| vec![1, 1, 0, r.empty(8)]),
    case(55, "getsockopt SO_TYPE", |r| { let l = r.length(16); vec![r.listener(), 1, 3, r.empty(128), l] }),
    case(55, "getsockopt SO_LINGER", |r| { let l = r.length(6); vec![r.listener(), 1, 13, r.empty(128), l] }),
    case(55, "getsockopt TCP_INFO", |r| { let l = r.length(512); vec![r.stream(b""), 6, 11, r.empty(512), l] }),
    case(61, "wait4", |r| vec![r.child(false), r.empty(4), 0, r.empty(144)]),
    case(61, "wait4 without waiting", |r| { let p = r.child(true); vec![p, r.empty(4), 1, r.empty(144)] }).answers(Answer::Nothing),
    case(63, "uname", |r| vec![r.empty(400)]),
    case(66, "semctl IPC_STAT", |r| vec![semaphores(r), 0, 2, r.empty(128)]),
    case(66, "semctl IPC_INFO", |r| vec![semaphores(r), 0, 3, r.empty(128)]),
    case(66, "semctl GETALL", |r| vec![semaphores(r), 0, 13, r.empty(128)]),
    case(70, "msgrcv", |r| vec![queue(r), r.empty(32), 20, 0, 0]),
    case(71, "msgctl IPC_STAT", |r| vec![queue(r), 2, r.empty(128)]),
    case(71, "msgctl IPC_INFO", |r| vec![queue(r), 3, r.empty(128)]),
    case(72, "fcntl F_GETLK", |r| { let f = r.file(b"x"); vec![f, 5, r.words(&[0, 0, 0, 0])] }),
    case(72, "fcntl F_OFD_GETLK", |r| { let f = r.file(b"x"); vec![f, 36, r.words(&[0, 0, 0, 0])] }),
    case(72, "fcntl F_GETOWN_EX", |r| vec![r.stream(b""), 16, r.empty(16)]),
    case(72, "fcntl F_GETOWNER_UIDS", |r| vec![r.stream(b""), 17, r.empty(16)]),
    case(72, "fcntl F_GET_RW_HINT", |r| vec![r.file(b""), 1035, r.empty(16)]),
    case(78, "getdents", |r| { let d = File::open("/proc/self").expect("there"); vec![r.keep(d), r.empty(1000), 1000] }).answers(Answer::Padded),
    case(79, "getcwd", |r| vec![r.empty(4096), 4096]),
    case(89, "readlink", |r| vec![r.text("/proc/self/exe"), r.empty(256), 256]),
    case(96, "gettimeofday", |r| vec![r.empty(16), r.empty(8)]),
    case(97, "getrlimit", |r| vec![7, r.empty(16)]),
    case(98, "getrusage", |r| vec![0, r.empty(144)]),
    case(99, "sysinfo", |r| vec![r.empty(112)]).answers(Answer::Padded),
    case(100, "times", |r| vec![r.empty(32)]),
    case(101, "ptrace PTRACE_PEEKDATA", |r| vec![2, r.child(true), c"written".as_ptr() as u64, r.empty(8)]),
    case(101, "ptrace PTRACE_GETREGS", |r| vec![12, r.child(true), 0, r.empty(256)]),
    case(101, "ptrace PTRACE_GETFPREGS", |r| vec![14, r.child(true), 0, r.empty(600)]),
    case(101, "ptrace PTRACE_GETEVENTMSG", |r| vec![0x4201, r.child(true), 0, r.empty(16)]),
    case(101, "ptrace PTRACE_GETSIGINFO", |r| vec![0x4202, r.child(true), 0, r.empty(200)]),
    case(101, "ptrace PTRACE_GETREGSET", |r| { let p = [r.empty(400), 400]; vec![0x4204, r.child(true), 1, r.words(&p)] }),
    case(101, "ptrace PTRACE_GETSIGMASK", |r| vec![0x420a, r.child(true), 8, r.empty(16)]),
    case(101, "ptrace PTRACE_GET_SYSCALL_INFO", |r| vec![0x420e, r.child(true), 100, r.empty(200)]).answers(Answer::Padded),
    case(101, "ptrace PTRACE_GET_RSEQ_CONFIGURATION", |r| vec![0x420f, r.child(true), 24, r.empty(200)]),
    case(103, "syslog", |r| vec![3, r.empty(512), 512]),
    case(115, "getgroups", |r| { sys::call3(116, 3, [5u32, 6, 7].as_ptr() as u64, 0); vec![8, r.empty(64)] }),
    case(115, "getgroups, how many", |r| vec![0, r.empty(64)]).answers(Answer::Nothing),
    case(118, "getresuid", |r| vec![r.empty(4), r.empty(4), r.empty(4)]),
    case(120, "getresgid", |r| vec![r.empty(4), r.empty(4), r.empty(4)]),
    case(125, "capget", |r| vec![r.words(&[0x2008_0522]), r.empty(24)]),
    case(127, "rt_sigpending", |r| vec![r.empty(8), 8]),
    case(131, "sigaltstack", |r| vec![0, r.empty(24)]).answers(Answer::Padded),
    case(136, "ustat", |r| vec![device(), r.empty(32)]),
    case(137, "statfs", |r| vec![r.text("/"), r.empty(120)]),
    case(138, "fstatfs", |r| vec![r.file(b""), r.empty(120)]),
    case(139, "sysfs", |r| vec![2, 0, r.empty(64)]),
    case(143, "sched_getparam", |r| vec![0, r.empty(8)]),
    case(148, "sched_rr_get_interval", |r| vec![0, r.empty(16)]),
    case(157, "prctl PR_GET_PDEATHSIG", |r| vec![2, r.empty(8)]),
    case(157, "prctl PR_GET_NAME", |r| vec![16, r.empty(32)]),
    case(157, "prctl PR_GET_TSC", |r| vec![25, r.empty(8)]),
    case(157, "prctl PR_SET_MM_MAP_SIZE", |r| vec![35, 15, r.empty(8)]),
    case(157, "prctl PR_GET_CHILD_SUBREAPER", |r| vec![37, r.empty(8)]),
    case(157, "prctl PR_GET_TID_ADDRESS", |r| vec![40, r.empty(8)]),
    case(157, "prctl PR_GET_AUXV", |r| vec![0x4155_5856, r.empty(100), 100]),
    case(158, "arch_prctl ARCH_GET_FS", |r| vec![0x1003, r.empty(8)]),
    case(158, "arch_prctl ARCH_GET_GS", |r| vec![0x1004, r.empty(8)]),
    case(158, "arch_prctl ARCH_GET_XCOMP_SUPP", |r| vec![0x1021, r.empty(8)]),
    case(158, "arch_prctl ARCH_GET_XCOMP_PERM", |r| vec![0x1022, r.empty(8)]),
    case(159, "adjtimex", |r| { let t = r.empty(208); r.put(t, &[0; 4]); vec![t] }).answers(Answer::Padded),
    case(191, "getxattr", |r| { let f = with_attribute(r); let p = r.text(&format!("/proc/self/fd/{f}")); vec![p, r.text("user.seal"), r.empty(64), 64] }),
    case(193, "fgetxattr", |r| vec![with_attribute(r), r.text("user.seal"), r.empty(64), 64]),
    case(193, "fgetxattr, how long", |r| vec![with_attribute(r), r.text("user.seal"), r.empty(64), 0]).answers(Answer::Nothing),
    case(196, "flistxattr", |r| vec![with_attribute(r), r.empty(64), 64]),
    case(201, "time", |r| vec![r.empty(8)]),
    case(204, "sched_getaffinity", |r| vec![0, 128, r.empty(128)]),
    case(206, "io_setup", |r| vec![1, r.words(&[0])]),
    case(208, "io_getevents", |r| { let c = with_events(r); vec![c, 1, 4, r.empty(200), 0] }),
    case(217, "getdents64", |r| { let d = File::open("/proc/self").expect("there"); vec![r.keep(d), r.empty(1000), 1000] }).answers(Answer::Padded),
    case(222, "timer_create", |r| vec![1, 0, r.empty(8)]),
    case(223, "timer_settime", |r| { let t = timer(r); vec![t, 0, r.words(&[0, 0, 1000, 0]), r.empty(32)] }),
    case(224, "timer_gettime", |r| vec![timer(r), r.empty(32)]),
    case(228, "clock_gettime", |r| vec![0, r.empty(16)]),
    case(229, "clock_getres", |r| vec![0, r.empty(16)]),
    case(230, "clock_nanosleep", |r| { r.signal_soon(); vec![1, 0, r.words(&[5, 0]), r.empty(16)] }).answers(Answer::Error(EINTR)),
    case(230, "clock_nanosleep to a time of day", |r| { r.signal_soon(); vec![0, 1, r.words(&[1 << 40, 0]), r.empty(16)] }).answers(Answer::Refused(EINTR)),
    case(232, "epoll_wait", |r| vec![poll(r), r.empty(100), 8, 0]),
    case(239, "get_mempolicy", |r| vec![r.empty(4), r.empty(256), 1025, 0, 0]),
    case(243, "mq_timedreceive", |r| vec![messages(r), r.empty(64), 64, r.empty(4), 0]),
    case(245, "mq_getsetattr", |r| vec![messages(r), 0, r.empty(64)]),
    case(247, "waitid", |r| vec![1, r.child(false), r.empty(128), 4, r.empty(144)]),
    case(250, "keyctl KEYCTL_DESCRIBE", |r| vec![6, key(r), r.empty(200), 200]),
    case(250, "keyctl KEYCTL_DESCRIBE with little room", |r| vec![6, key(r), r.empty(200), 3]).answers(Answer::Nothing),
    case(250, "keyctl KEYCTL_READ", |r| vec![11, key(r), r.empty(200), 200]),
    case(250, "keyctl KEYCTL_CAPABILITIES", |r| vec![31, r.empty(100), 100]),
    case(262, "newfstatat", |r| vec![HERE, r.text("/"), r.empty(144), 0]),
    case(267, "readlinkat", |r| vec![HERE, r.text("/proc/self/exe"), r.empty(256), 5]),
    case(270, "pselect6", |r| { let (p, s) = (r.pipe(b"x"), set()); let (i, t) = (r.give(&s), r.words(&[1, 5])); with_bit(i, p); vec![p + 1, i, r.give(&s), 0, t, 0] }),
    case(271, "ppoll", |r| { let p = r.pipe(b"x"); let t = r.words(&[1, 5]); vec![r.words(&[p | 1 << 32]), 1, t, 0, 8] }),
    case(271, "ppoll, interrupted", |r| { r.signal_soon(); let p = r.pipe(b""); let t = r.words(&[5, 5]); vec![r.words(&[p | 1 << 32]), 1, t, 0, 8] }).answers(Answer::Error(EINTR)),
    case(274, "get_robust_list", |r| vec![0, r.empty(8), r.empty(8)]),
    case(275, "splice", |r| { let to = r.pipe_to(); vec![r.file(b"0123456789"), r.words(&[2]), to, 0, 5, 0] }),
    case(278, "vmsplice from a pipe", |r| { let list = [r.empty(3), 3, r.empty(32), 32]; vec![r.pipe(b"0123456789"), r.words(&list), 2, 0] }),
    case(279, "move_pages", |r| { let at = r.begin(); vec![0, 2, r.words(&[at, at + 8192]), 0, r.empty(8), 0] }),
    case(281, "epoll_pwait", |r| vec![poll(r), r.empty(100), 8, 0, 0, 8]),
    case(286, "timerfd_settime", |r| { let t = r.open(283, &[1, 0]); vec![t, 0, r.words(&[0, 0, 1000, 0]), r.empty(32)] }),
    case(287, "timerfd_gettime", |r| { let t = r.open(283, &[1, 0]); vec![t, r.empty(32)] }),
    case(288, "accept4", |r| { let l = r.length(128); vec![r.listener(), r.empty(128), l, 0] }),
    case(293, "pipe2", |r| vec![r.empty(8), 0]),
    case(295, "preadv", |r| { let list = [r.empty(3), 3, r.empty(32), 32]; vec![r.file(b"0123456789"), r.words(&list), 2, 1, 0] }),
    case(299, "recvmmsg", |r| {
        let d = r.datagrams(&[b"0123456789", b"a", b""]);
        let all = [r.message(128, 256, &[3, 32]), r.message(6, 0, &[32]), r.message(0, 30, &[32]), r.message(6, 6, &[6])];
        vec![d, r.words(&all.concat()), 4, 0x40, r.words(&[1, 7])]
    }),
    case(302, "prlimit64", |r| vec![0, 7, 0, r.empty(16)]),
    case(303, "name_to_handle_at", |r| { let h = r.empty(136); r.put(h, &128u32.to_ne_bytes()); vec![HERE, r.text("/"), h, r.empty(4), 0] }),
    case(303, "name_to_handle_at with little room", |r| { let h = r.empty(136); r.put(h, &0u32.to_ne_bytes()); vec![HERE, r.text("/"), h, r.empty(4), 0] }).answers(Answer::Error(EOVERFLOW)),
    case(305, "clock_adjtime", |r| { let t = r.empty(208); r.put(t, &[0; 4]); vec![0, t] }).answers(Answer::Padded),
    case(307, "sendmmsg", |r| {
        let list = [r.give(b"0123"), 4];
        let list = r.words(&list);
        let s = r.stream(b"");
        let at = r.empty(128);
        for header in [at, at + 64] {
            r.put(header, &words(&[0, 0, list, 1, 0, 0, 0]));
        }
        vec![s, at, 2, 0]
    }),
    case(309, "getcpu", |r| vec![r.empty(4), r.empty(4), 0]),
    case(310, "process_vm_readv", |r| {
        let (from, to) = ([r.give(b"0123456789"), 10], [r.empty(3), 3, r.empty(32), 32]);
        let own = sys::call(sys::GETPID, [0; 6]) as u64;
        vec![own, r.words(&to), 2, r.words(&from), 1, 0]
    }),
    case(315, "sched_getattr", |r| vec![0, r.empty(100), 80, 0]),
    case(317, "seccomp SECCOMP_GET_NOTIF_SIZES", |r| vec![3, 0, r.empty(16)]),
    case(318, "getrandom", |r| vec![r.empty(64), 50, 0]),
    case(326, "copy_file_range", |r| { let (from, to) = (r.file(b"0123456789"), r.file(b"")); vec![from, r.words(&[3]), to, r.words(&[1]), 5, 0] }),
    case(327, "preadv2", |r| { let list = [r.empty(3), 3, r.empty(32), 32]; vec![r.file(b"0123456789"), r.words(&list), 2, 1, 0, 0] }),
    case(332, "statx", |r| vec![HERE, r.text("/"), 0, 0x7ff, r.empty(256)]),
    case(425, "io_uring_setup", |r| { let p = r.words(&[0; 15]); vec![2, p] }),
    case(441, "epoll_pwait2", |r| vec![poll(r), r.empty(100), 8, r.words(&[0, 0]), 0, 8]),
    case(451, "cachestat", |r| { let f = r.file(b"0123"); vec![f, r.words(&[0, 4]), r.empty(40), 0] }),
    case(457, "statmount", |r| vec![r.words(&[24, mount(), 1 | 2 | 0x10]), r.empty(1024), 1024, 0]).answers(Answer::Padded),
    case(458, "listmount", |r| vec![r.words(&[24, u64::MAX, 0]), r.empty(800), 4, 0]),
    case(459, "lsm_get_self_attr", |r| { let l = r.length(400); vec![100, r.empty(400), l, 0] }),
    case(461, "lsm_list_modules", |r| { let l = r.length(200); vec![r.empty(200), l, 0] }),
    case(464, "getxattrat", |r| { let v = [r.empty(64), 64]; vec![with_attribute(r), r.text(""), 0x1000, r.text("user.seal"), r.words(&v), 16] }),
    case(465, "listxattrat", |r| vec![with_attribute(r), r.text(""), 0x1000, r.empty(64), 64]),
    case(468, "file_getattr", |r| vec![HERE, r.text("/"), r.empty(40), 24, 0]),
];

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn set() -> [u8; 128] {
    [0; 128]
}

fn with_bit(set: u64, bit: u64) {
    sys::octets(set + bit / 8, 1)[0] |= 1 << (bit % 8);
}

fn segment(room: &mut Room) -> u64 {
    room.make(29, &[0, 4096, 0o600], 31, [0, 0]) // shmget, shmctl IPC_RMID
}

fn semaphores(room: &mut Room) -> u64 {
    room.make(64, &[0, 5, 0o600], 66, [0, 0]) // semget, semctl IPC_RMID
}

fn queue(room: &mut Room) -> u64 {
    let queue = room.make(68, &[0, 0o600], 71, [0, 0]); // msgget, msgctl IPC_RMID
    let message = *b"\x01\0\0\0\0\0\0\0text";
    sys::call(69, [queue, message.as_ptr() as u64, 4, 0, 0, 0]); // msgsnd
    queue
}

fn unix_stream(room: &mut Room) -> u64 {
    let (mut one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
    one.write_all(b"0123456789").expect("sent");
    room.keep(other)
}

fn with_descriptors(room: &mut Room) -> u64 {
    const SCM_RIGHTS: u64 = 1;
    let (one, other) = UnixDatagram::pair().expect("a pair");
    let control = [20, 1 | SCM_RIGHTS << 32, 0u64];
    let data = [b"data".as_ptr() as u64, 4];
    let message = [0, 0, data.as_ptr() as u64, 1, control.as_ptr() as u64, 24, 0];
    assert_eq!(sys::call3(46, one.as_raw_fd() as u64, message.as_ptr() as u64, 0), 4); // sendmsg
    room.keep(other)
}

fn device() -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/").expect("there").dev()
}

fn mount() -> u64 {
    const STATX_MNT_ID_UNIQUE: u64 = 0x4000;
    const MOUNT: usize = 18;
    let mut status = [0u64; 32];
    let at = (&raw mut status) as u64;
    sys::call(332, [HERE, c"/".as_ptr() as u64, 0, STATX_MNT_ID_UNIQUE, at, 0]);
    status[MOUNT]
}

fn with_attribute(room: &mut Room) -> u64 {
    let file = room.file_on_disk();
    let arguments = [file, c"user.seal".as_ptr() as u64, b"value".as_ptr() as u64, 5, 0, 0];
    assert_eq!(sys::call(190, arguments), 0); // fsetxattr
    file
}

fn with_events(room: &mut Room) -> u64 {
    const WRITE: u64 = 1;
    let mut context = 0u64;
    assert_eq!(sys::call3(206, 4, (&raw mut context) as u64, 0), 0);
    room.made.push((207, [context, 0, 0])); // io_destroy
    let file = room.file(b"");
    let block = [7, 0, WRITE | file << 32, b"data".as_ptr() as u64, 4, 0, 0, 0];
    let list = [block.as_ptr() as u64];
    assert_eq!(sys::call3(209, context, 1, list.as_ptr() as u64), 1); // io_submit
    context
}

fn timer(room: &mut Room) -> u64 {
    let mut timer = 0u32;
    assert_eq!(sys::call3(222, 1, 0, (&raw mut timer) as u64), 0);
    room.made.push((226, [u64::from(timer), 0, 0])); // timer_delete
    u64::from(timer)
}

fn poll(room: &mut Room) -> u64 {
    let poll = room.open(291, &[0]); // epoll_create1
    for pipe in [room.pipe(b"x"), room.pipe(b"y")] {
        let event = [1 | pipe << 32, 0];
        assert_eq!(sys::call(233, [poll, 1, pipe, event.as_ptr() as u64, 0, 0]), 0); // epoll_ctl
    }
    poll
}

fn messages(room: &mut Room) -> u64 {
    const CREATE: u64 = 0o102;
    let attributes = [0, 4, 64, 0, 0, 0, 0, 0u64];
    let name = c"seal-written".as_ptr() as u64;
    let queue = room.open(240, &[name, CREATE, 0o600, attributes.as_ptr() as u64]); // mq_open
    sys::call3(241, name, 0, 0); // mq_unlink
    assert_eq!(sys::call(242, [queue, b"text".as_ptr() as u64, 4, 3, 0, 0]), 0); // mq_timedsend
    queue
}

fn key(_: &mut Room) -> u64 {
    const PROCESS_KEYRING: u64 = -2i64 as u64;
    let arguments = [c"user".as_ptr() as u64, c"seal".as_ptr() as u64, b"secret".as_ptr() as u64, 6, PROCESS_KEYRING, 0];
    sys::call(248, arguments) as u64 // add_key
}
