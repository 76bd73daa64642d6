//! Which memory of the application's each system call of x86-64 writes.
//!
//! A table: a row is a call, or one of its commands, and where the kernel has written when it answers. Arguments are counted from 0. A call
//! without a row writes nothing; what changes the memory's extent is `extent`'s.
//!
//! Left out: what a call writes through pointers deep in what it is given (bpf, SG_IO, ethtool and their like), memory that is shared with the
//! kernel (io_uring, the buffers of io_submit), and the single words of futexes.

/// When the kernel writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    Done,        // the answer is no error
    Found,       // the answer is more than 0
    Failed(i64), // it is this error
    Always,
}

/// How many bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Bytes(u64),
    Answer,
    Answers(u64),                                      // records of so many, as many as the answer
    Argument(usize),                                   // that argument
    Least(usize),                                      // the answer, but no more than that argument
    Fitting(usize),                                    // the answer, or nothing if that argument is less
    Length(usize), // the u32 that this argument points to, before the call or after it; it is written, too
    Field { pointer: usize, offset: u64, times: u64 }, // a u32 of the record that this argument points to, so many times
    LeastField { pointer: usize, offset: u64 }, // the answer, but no more than that
    Text,          // up to its NUL, and that
    Set(usize),    // a bit for each of so many descriptors, in whole words
    Nodes(usize),  // a bit for each but one, likewise
    Pages(usize),  // a byte for each page of so many bytes
    Timeout,       // a timespec or timeval that was not 0 before
    Semaphores,    // 16 bits each of the set that argument 0 is
    Encoded,       // what the number of an ioctl says, argument 1
}

/// Of what there is one each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Count {
    Argument(usize),
    Answer,
}

/// What a call that moves bytes into the application's memory says of where to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Load {
    Buffer { at: usize, bytes: usize },
    From { at: usize, bytes: usize, name: usize, length: usize }, // and whose they are
    Vector { list: usize, count: usize },
    Message { at: usize },  // a msghdr
    Messages { at: usize }, // as many mmsghdr as the answer says
}

/// What a call writes. A pointer that is 0 is none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// So many bytes behind the pointer that an argument is.
    To(When, usize, Size),
    /// The same, so far behind it.
    Part(When, usize, u64, Size),
    /// So many bytes behind a pointer that stands in the record that an argument points to, so far behind its begin.
    Through(usize, u64, Size),
    /// A field of each record of a list.
    Each { list: usize, count: Count, record_bytes: u64, offset: u64, bytes: u64 },
    /// A socket's address and its length.
    Name(usize, usize),
    /// What was read from the descriptor that argument 0 is. `flags`: the argument that has MSG_PEEK and its like.
    Input { load: Load, flags: Option<usize> },
    /// As many bytes as the answer, over the buffers of a list.
    Spread { list: usize, count: usize },
    /// The same, if argument 0 is the end of a pipe to read from: that end's input.
    Spliced { list: usize, count: usize },
    /// The numbers of a new thread or child, where the flags of clone or the record of clone3 ask for them.
    Born,
}

/// The value of an argument under a mask.
pub struct Command {
    pub at: usize,
    pub mask: u64,
    pub value: u64,
}

/// One call, or one of its commands; those of which none is meant fall to the row without one.
pub struct Row {
    pub number: u64,
    pub command: Option<Command>,
    pub writes: &'static [Write],
}

const fn row(number: u64, writes: &'static [Write]) -> Row {
    Row { number, command: None, writes }
}

const fn command(number: u64, at: usize, value: u64, writes: &'static [Write]) -> Row {
    masked(number, at, 0xffff_ffff, value, writes)
}

const fn masked(number: u64, at: usize, mask: u64, value: u64, writes: &'static [Write]) -> Row {
    Row { number, command: Some(Command { at, mask, value }), writes }
}

const fn ioctl(value: u64, bytes: &'static [Write]) -> Row {
    command(16, 1, value, bytes)
}

use Load::{Buffer, From, Message, Messages, Vector};
use Size::{
    Answer, Answers, Argument, Bytes, Encoded, Field, Fitting, Least, LeastField, Length, Nodes, Pages, Semaphores, Set, Text,
    Timeout,
};
use When::{Always, Done, Failed, Found};
use Write::{Born, Each, Input, Name, Part, Spliced, Spread, Through, To};

const EINTR: i64 = -4;
const EINVAL: i64 = -22;
const EOVERFLOW: i64 = -75;

const BUFFER: &[Write] = &[Input { load: Buffer { at: 1, bytes: 2 }, flags: None }];
const VECTOR: &[Write] = &[Input { load: Vector { list: 1, count: 2 }, flags: None }];
const POLLED: Write = Each { list: 0, count: Count::Argument(1), record_bytes: 8, offset: 6, bytes: 2 };
const SETS: [Write; 3] = [To(Done, 1, Set(0)), To(Done, 2, Set(0)), To(Done, 3, Set(0))];
const THREE_IDS: &[Write] = &[To(Done, 0, Bytes(4)), To(Done, 1, Bytes(4)), To(Done, 2, Bytes(4))];
const TWO_OFFSETS: &[Write] = &[To(Found, 1, Bytes(8)), To(Found, 3, Bytes(8))];
const EVENTS: &[Write] = &[To(Found, 1, Answers(12))];

// Results of ioctl.
const SHORT: &[Write] = &[To(Done, 2, Bytes(2))];
const INT: &[Write] = &[To(Done, 2, Bytes(4))];
const LONG: &[Write] = &[To(Done, 2, Bytes(8))];
const TIME: &[Write] = &[To(Done, 2, Bytes(16))];
const TERMIOS: &[Write] = &[To(Done, 2, Bytes(36))];
const INTERFACE: &[Write] = &[To(Done, 2, Bytes(40))];

// Results of prctl, ptrace, quotactl.
const PRCTL_INT: &[Write] = &[To(Done, 1, Bytes(4))];
const PEEKED: &[Write] = &[To(Done, 3, Bytes(8))];
const QUOTA_COMMAND: u64 = 0xffff_ff00;
const DISK_QUOTA: &[Write] = &[To(Done, 3, Bytes(72))];
const XFS_QUOTA: &[Write] = &[To(Done, 3, Bytes(112))];

/// In the order of their numbers, and of a call the rows with a command first.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row(0, BUFFER), // read
    row(4, &[To(Done, 1, Bytes(144))]), // stat
    row(5, &[To(Done, 1, Bytes(144))]), // fstat
    row(6, &[To(Done, 1, Bytes(144))]), // lstat
    row(7, &[POLLED]), // poll
    row(13, &[To(Done, 2, Bytes(32))]), // rt_sigaction
    row(14, &[To(Done, 2, Bytes(8))]), // rt_sigprocmask
    ioctl(0x0001, INT), // FIBMAP
    ioctl(0x0002, INT), // FIGETBSZ
    ioctl(0x0301, &[To(Done, 2, Bytes(16))]), // HDIO_GETGEO
    ioctl(0x125e, INT), // BLKROGET
    ioctl(0x1260, LONG), // BLKGETSIZE
    ioctl(0x1263, LONG), // BLKRAGET
    ioctl(0x1265, LONG), // BLKFRAGET
    ioctl(0x1267, SHORT), // BLKSECTGET
    ioctl(0x1268, INT), // BLKSSZGET
    ioctl(0x1278, INT), // BLKIOMIN
    ioctl(0x1279, INT), // BLKIOOPT
    ioctl(0x127a, INT), // BLKALIGNOFF
    ioctl(0x127b, INT), // BLKPBSZGET
    ioctl(0x127c, INT), // BLKDISCARDZEROES
    ioctl(0x127e, SHORT), // BLKROTATIONAL
    ioctl(0x4c03, &[To(Done, 2, Bytes(168))]), // LOOP_GET_STATUS
    ioctl(0x4c05, &[To(Done, 2, Bytes(232))]), // LOOP_GET_STATUS64
    ioctl(0x5401, TERMIOS), // TCGETS
    ioctl(0x5405, &[To(Done, 2, Bytes(18))]), // TCGETA
    ioctl(0x540f, INT), // TIOCGPGRP
    ioctl(0x5411, INT), // TIOCOUTQ, SIOCOUTQ
    ioctl(0x5413, LONG), // TIOCGWINSZ
    ioctl(0x5415, INT), // TIOCMGET
    ioctl(0x5419, INT), // TIOCGSOFTCAR
    ioctl(0x541b, INT), // FIONREAD, SIOCINQ
    ioctl(0x541e, &[To(Done, 2, Bytes(72))]), // TIOCGSERIAL
    ioctl(0x5424, INT), // TIOCGETD
    ioctl(0x5429, INT), // TIOCGSID
    ioctl(0x542e, &[To(Done, 2, Bytes(32))]), // TIOCGRS485
    ioctl(0x5456, TERMIOS), // TIOCGLCKTRMIOS
    ioctl(0x5459, INT), // TIOCSERGETLSR
    ioctl(0x545d, &[To(Done, 2, Bytes(80))]), // TIOCGICOUNT
    ioctl(0x5460, LONG), // FIOQSIZE
    ioctl(0x8903, INT), // FIOGETOWN
    ioctl(0x8904, INT), // SIOCGPGRP
    ioctl(0x8905, INT), // SIOCATMARK
    ioctl(0x8906, TIME), // SIOCGSTAMP
    ioctl(0x8907, TIME), // SIOCGSTAMPNS
    ioctl(0x8910, INTERFACE), // SIOCGIFNAME
    ioctl(0x8912, &[Through(2, 8, Field { pointer: 2, offset: 0, times: 1 }), To(Done, 2, Bytes(16))]), // SIOCGIFCONF
    ioctl(0x8913, INTERFACE), // SIOCGIFFLAGS
    ioctl(0x8915, INTERFACE), // SIOCGIFADDR
    ioctl(0x8917, INTERFACE), // SIOCGIFDSTADDR
    ioctl(0x8919, INTERFACE), // SIOCGIFBRDADDR
    ioctl(0x891b, INTERFACE), // SIOCGIFNETMASK
    ioctl(0x891d, INTERFACE), // SIOCGIFMETRIC
    ioctl(0x891f, INTERFACE), // SIOCGIFMEM
    ioctl(0x8921, INTERFACE), // SIOCGIFMTU
    ioctl(0x8927, INTERFACE), // SIOCGIFHWADDR
    ioctl(0x8929, INTERFACE), // SIOCGIFSLAVE
    ioctl(0x8933, INTERFACE), // SIOCGIFINDEX
    ioctl(0x8935, INTERFACE), // SIOCGIFPFLAGS
    ioctl(0x8942, INTERFACE), // SIOCGIFTXQLEN
    ioctl(0x8947, INTERFACE), // SIOCGMIIPHY
    ioctl(0x8948, INTERFACE), // SIOCGMIIREG
    ioctl(0x894b, INT), // SIOCOUTQNSD
    ioctl(0x8954, &[To(Done, 2, Bytes(68))]), // SIOCGARP
    ioctl(0x8970, INTERFACE), // SIOCGIFMAP
    ioctl(0x8004_54d2, INTERFACE), // TUNGETIFF: its number has another size
    ioctl(0x8008_6601, INT), // FS_IOC_GETFLAGS: likewise
    ioctl(0x8008_7601, INT), // FS_IOC_GETVERSION: likewise
    ioctl(0xc020_660b, &[To(Done, 2, Bytes(32)), Part(Done, 2, 32, Field { pointer: 2, offset: 20, times: 56 })]), // FS_IOC_FIEMAP
    row(16, &[To(Done, 2, Encoded)]), // ioctl
    row(17, BUFFER), // pread64
    row(19, VECTOR), // readv
    row(22, &[To(Done, 0, Bytes(8))]), // pipe
    row(23, &[SETS[0], SETS[1], SETS[2], To(Always, 4, Timeout)]), // select
    row(27, &[To(Done, 2, Pages(1))]), // mincore
    command(31, 1, 2, &[To(Done, 2, Bytes(112))]), // shmctl IPC_STAT
    command(31, 1, 3, &[To(Done, 2, Bytes(72))]), // … IPC_INFO
    command(31, 1, 13, &[To(Done, 2, Bytes(112))]), // … SHM_STAT
    command(31, 1, 14, &[To(Done, 2, Bytes(48))]), // … SHM_INFO
    command(31, 1, 15, &[To(Done, 2, Bytes(112))]), // … SHM_STAT_ANY
    row(35, &[To(Failed(EINTR), 1, Bytes(16))]), // nanosleep
    row(36, &[To(Done, 1, Bytes(32))]), // getitimer
    row(38, &[To(Done, 2, Bytes(32))]), // setitimer
    row(40, &[To(Done, 2, Bytes(8))]), // sendfile
    row(43, &[Name(1, 2)]), // accept
    row(45, &[Input { load: From { at: 1, bytes: 2, name: 4, length: 5 }, flags: Some(3) }]), // recvfrom
    row(47, &[Input { load: Message { at: 1 }, flags: Some(2) }]), // recvmsg
    row(51, &[Name(1, 2)]), // getsockname
    row(52, &[Name(1, 2)]), // getpeername
    row(53, &[To(Done, 3, Bytes(8))]), // socketpair
    row(55, &[To(Done, 3, Length(4))]), // getsockopt
    row(56, &[Born]), // clone
    row(61, &[To(Found, 1, Bytes(4)), To(Found, 3, Bytes(144))]), // wait4
    row(63, &[To(Done, 0, Bytes(390))]), // uname
    command(66, 2, 2, &[To(Done, 3, Bytes(104))]), // semctl IPC_STAT
    command(66, 2, 3, &[To(Done, 3, Bytes(40))]), // … IPC_INFO
    command(66, 2, 13, &[To(Done, 3, Semaphores)]), // … GETALL
    command(66, 2, 18, &[To(Done, 3, Bytes(104))]), // … SEM_STAT
    command(66, 2, 19, &[To(Done, 3, Bytes(40))]), // … SEM_INFO
    command(66, 2, 20, &[To(Done, 3, Bytes(104))]), // … SEM_STAT_ANY
    row(70, &[To(Done, 1, Bytes(8)), Part(Done, 1, 8, Answer)]), // msgrcv
    command(71, 1, 2, &[To(Done, 2, Bytes(120))]), // msgctl IPC_STAT
    command(71, 1, 3, &[To(Done, 2, Bytes(32))]), // … IPC_INFO
    command(71, 1, 11, &[To(Done, 2, Bytes(120))]), // … MSG_STAT
    command(71, 1, 12, &[To(Done, 2, Bytes(32))]), // … MSG_INFO
    command(71, 1, 13, &[To(Done, 2, Bytes(120))]), // … MSG_STAT_ANY
    command(72, 1, 5, &[To(Done, 2, Bytes(32))]), // fcntl F_GETLK
    command(72, 1, 16, &[To(Done, 2, Bytes(8))]), // … F_GETOWN_EX
    command(72, 1, 17, &[To(Done, 2, Bytes(8))]), // … F_GETOWNER_UIDS
    command(72, 1, 36, &[To(Done, 2, Bytes(32))]), // … F_OFD_GETLK
    command(72, 1, 1035, &[To(Done, 2, Bytes(8))]), // … F_GET_RW_HINT
    command(72, 1, 1037, &[To(Done, 2, Bytes(8))]), // … F_GET_FILE_RW_HINT
    row(78, &[To(Done, 1, Answer)]), // getdents
    row(79, &[To(Done, 0, Answer)]), // getcwd
    row(89, &[To(Done, 1, Answer)]), // readlink
    row(96, &[To(Done, 0, Bytes(16)), To(Done, 1, Bytes(8))]), // gettimeofday
    row(97, &[To(Done, 1, Bytes(16))]), // getrlimit
    row(98, &[To(Done, 1, Bytes(144))]), // getrusage
    row(99, &[To(Done, 0, Bytes(112))]), // sysinfo
    row(100, &[To(Always, 0, Bytes(32))]), // times
    command(101, 0, 1, PEEKED), // ptrace PTRACE_PEEKTEXT
    command(101, 0, 2, PEEKED), // … PEEKDATA
    command(101, 0, 3, PEEKED), // … PEEKUSER
    command(101, 0, 12, &[To(Done, 3, Bytes(216))]), // … GETREGS
    command(101, 0, 14, &[To(Done, 3, Bytes(512))]), // … GETFPREGS
    command(101, 0, 25, &[To(Done, 3, Bytes(16))]), // … GET_THREAD_AREA
    command(101, 0, 0x4201, PEEKED), // … GETEVENTMSG
    command(101, 0, 0x4202, &[To(Done, 3, Bytes(128))]), // … GETSIGINFO
    command(101, 0, 0x4204, &[Through(3, 0, Field { pointer: 3, offset: 8, times: 1 }), Part(Done, 3, 8, Bytes(8))]), // … GETREGSET
    command(101, 0, 0x4209, &[To(Found, 3, Answers(128))]), // … PEEKSIGINFO
    command(101, 0, 0x420a, PEEKED), // … GETSIGMASK
    command(101, 0, 0x420c, &[To(Found, 3, Answers(8))]), // … SECCOMP_GET_FILTER
    command(101, 0, 0x420d, &[To(Found, 3, Answer)]), // … SECCOMP_GET_METADATA
    command(101, 0, 0x420e, &[To(Found, 3, Least(2))]), // … GET_SYSCALL_INFO
    command(101, 0, 0x420f, &[To(Found, 3, Least(2))]), // … GET_RSEQ_CONFIGURATION
    command(101, 0, 0x4211, &[To(Done, 3, Bytes(32))]), // … GET_SYSCALL_USER_DISPATCH_CONFIG
    command(103, 0, 2, &[To(Done, 1, Answer)]), // syslog SYSLOG_ACTION_READ
    command(103, 0, 3, &[To(Done, 1, Answer)]), // … READ_ALL
    command(103, 0, 4, &[To(Done, 1, Answer)]), // … READ_CLEAR
    command(115, 0, 0, &[]), // getgroups: how many
    row(115, &[To(Done, 1, Answers(4))]), // getgroups
    row(118, THREE_IDS), // getresuid
    row(120, THREE_IDS), // getresgid
    row(125, &[To(Failed(EINVAL), 0, Bytes(4)), To(Done, 1, Bytes(24))]), // capget: of versions 2 and 3
    row(127, &[To(Done, 0, Argument(1))]), // rt_sigpending
    row(128, &[To(Found, 1, Bytes(128))]), // rt_sigtimedwait
    row(131, &[To(Done, 1, Bytes(24))]), // sigaltstack
    row(136, &[To(Done, 1, Bytes(32))]), // ustat
    row(137, &[To(Done, 1, Bytes(120))]), // statfs
    row(138, &[To(Done, 1, Bytes(120))]), // fstatfs
    command(139, 0, 2, &[To(Done, 2, Text)]), // sysfs: the name of a file system
    row(143, &[To(Done, 1, Bytes(4))]), // sched_getparam
    row(148, &[To(Done, 1, Bytes(16))]), // sched_rr_get_interval
    command(154, 0, 0, &[To(Found, 1, Answer)]), // modify_ldt: read
    command(154, 0, 2, &[To(Found, 1, Answer)]), // … read the default
    command(157, 0, 2, PRCTL_INT), // prctl PR_GET_PDEATHSIG
    command(157, 0, 16, &[To(Done, 1, Bytes(16))]), // … PR_GET_NAME
    command(157, 0, 25, PRCTL_INT), // … PR_GET_TSC
    command(157, 0, 35, &[To(Done, 2, Bytes(4))]), // … PR_SET_MM: only PR_SET_MM_MAP_SIZE has a pointer that is written
    command(157, 0, 37, PRCTL_INT), // … PR_GET_CHILD_SUBREAPER
    command(157, 0, 40, &[To(Done, 1, Bytes(8))]), // … PR_GET_TID_ADDRESS
    command(157, 0, 0x4155_5856, &[To(Found, 1, Least(2))]), // … PR_GET_AUXV
    command(158, 0, 0x1003, &[To(Done, 1, Bytes(8))]), // arch_prctl ARCH_GET_FS
    command(158, 0, 0x1004, &[To(Done, 1, Bytes(8))]), // … ARCH_GET_GS
    command(158, 0, 0x1021, &[To(Done, 1, Bytes(8))]), // … ARCH_GET_XCOMP_SUPP
    command(158, 0, 0x1022, &[To(Done, 1, Bytes(8))]), // … ARCH_GET_XCOMP_PERM
    command(158, 0, 0x1024, &[To(Done, 1, Bytes(8))]), // … ARCH_GET_XCOMP_GUEST_PERM
    command(158, 0, 0x4001, &[To(Done, 1, Bytes(8))]), // … ARCH_GET_UNTAG_MASK
    command(158, 0, 0x4003, &[To(Done, 1, Bytes(8))]), // … ARCH_GET_MAX_TAG_BITS
    command(158, 0, 0x5005, &[To(Done, 1, Bytes(8))]), // … ARCH_SHSTK_STATUS
    row(159, &[To(Done, 0, Bytes(208))]), // adjtimex
    masked(179, 0, QUOTA_COMMAND, 0x8000_0400, &[To(Done, 3, Bytes(4))]), // quotactl Q_GETFMT
    masked(179, 0, QUOTA_COMMAND, 0x8000_0500, &[To(Done, 3, Bytes(24))]), // … Q_GETINFO
    masked(179, 0, QUOTA_COMMAND, 0x8000_0700, DISK_QUOTA), // … Q_GETQUOTA
    masked(179, 0, QUOTA_COMMAND, 0x8000_0900, DISK_QUOTA), // … Q_GETNEXTQUOTA
    masked(179, 0, QUOTA_COMMAND, 0x0058_0300, XFS_QUOTA), // … Q_XGETQUOTA
    masked(179, 0, QUOTA_COMMAND, 0x0058_0500, &[To(Done, 3, Bytes(80))]), // … Q_XGETQSTAT
    masked(179, 0, QUOTA_COMMAND, 0x0058_0800, &[To(Done, 3, Bytes(160))]), // … Q_XGETQSTATV
    masked(179, 0, QUOTA_COMMAND, 0x0058_0900, XFS_QUOTA), // … Q_XGETNEXTQUOTA
    row(191, &[To(Done, 2, Least(3))]), // getxattr
    row(192, &[To(Done, 2, Least(3))]), // lgetxattr
    row(193, &[To(Done, 2, Least(3))]), // fgetxattr
    row(194, &[To(Done, 1, Least(2))]), // listxattr
    row(195, &[To(Done, 1, Least(2))]), // llistxattr
    row(196, &[To(Done, 1, Least(2))]), // flistxattr
    row(201, &[To(Done, 0, Bytes(8))]), // time
    row(204, &[To(Done, 2, Answer)]), // sched_getaffinity
    row(206, &[To(Done, 1, Bytes(8))]), // io_setup
    row(208, &[To(Found, 3, Answers(32))]), // io_getevents
    row(212, &[To(Done, 1, Answer)]), // lookup_dcookie
    row(217, &[To(Done, 1, Answer)]), // getdents64
    row(222, &[To(Done, 2, Bytes(4))]), // timer_create
    row(223, &[To(Done, 3, Bytes(32))]), // timer_settime
    row(224, &[To(Done, 1, Bytes(32))]), // timer_gettime
    row(228, &[To(Done, 1, Bytes(16))]), // clock_gettime
    row(229, &[To(Done, 1, Bytes(16))]), // clock_getres
    masked(230, 1, 1, 0, &[To(Failed(EINTR), 3, Bytes(16))]), // clock_nanosleep, not to a time of day
    row(232, EVENTS), // epoll_wait
    row(239, &[To(Done, 0, Bytes(4)), To(Done, 1, Nodes(2))]), // get_mempolicy
    row(243, &[To(Done, 1, Answer), To(Done, 3, Bytes(4))]), // mq_timedreceive
    row(245, &[To(Done, 2, Bytes(64))]), // mq_getsetattr
    row(247, &[To(Done, 2, Bytes(12)), Part(Done, 2, 16, Bytes(12)), To(Done, 4, Bytes(144))]), // waitid
    command(250, 0, 6, &[To(Found, 2, Fitting(3))]), // keyctl KEYCTL_DESCRIBE
    command(250, 0, 11, &[To(Found, 2, Fitting(3))]), // … KEYCTL_READ
    command(250, 0, 17, &[To(Found, 2, Least(3))]), // … KEYCTL_GET_SECURITY
    command(250, 0, 23, &[To(Found, 2, Least(3))]), // … KEYCTL_DH_COMPUTE
    command(250, 0, 24, &[To(Done, 4, Bytes(56))]), // … KEYCTL_PKEY_QUERY
    command(250, 0, 25, &[To(Found, 4, Answer)]), // … KEYCTL_PKEY_ENCRYPT
    command(250, 0, 26, &[To(Found, 4, Answer)]), // … KEYCTL_PKEY_DECRYPT
    command(250, 0, 27, &[To(Found, 4, Answer)]), // … KEYCTL_PKEY_SIGN
    command(250, 0, 31, &[To(Found, 1, Argument(2))]), // … KEYCTL_CAPABILITIES
    row(262, &[To(Done, 2, Bytes(144))]), // newfstatat
    row(267, &[To(Done, 2, Answer)]), // readlinkat
    row(270, &[SETS[0], SETS[1], SETS[2], To(Always, 4, Timeout)]), // pselect6
    row(271, &[POLLED, To(Always, 2, Timeout)]), // ppoll
    row(274, &[To(Done, 1, Bytes(8)), To(Done, 2, Bytes(8))]), // get_robust_list
    row(275, TWO_OFFSETS), // splice
    row(278, &[Spliced { list: 1, count: 2 }]), // vmsplice
    row(279, &[Each { list: 4, count: Count::Argument(1), record_bytes: 4, offset: 0, bytes: 4 }]), // move_pages
    row(281, EVENTS), // epoll_pwait
    row(286, &[To(Done, 3, Bytes(32))]), // timerfd_settime
    row(287, &[To(Done, 1, Bytes(32))]), // timerfd_gettime
    row(288, &[Name(1, 2)]), // accept4
    row(293, &[To(Done, 0, Bytes(8))]), // pipe2
    row(295, VECTOR), // preadv
    row(299, &[Input { load: Messages { at: 1 }, flags: Some(3) }, To(Found, 4, Bytes(16))]), // recvmmsg
    row(302, &[To(Done, 3, Bytes(16))]), // prlimit64
    row(303, &[ // name_to_handle_at
        To(Done, 2, Bytes(8)), Part(Done, 2, 8, Field { pointer: 2, offset: 0, times: 1 }), To(Done, 3, Bytes(4)),
        To(Failed(EOVERFLOW), 2, Bytes(8)), To(Failed(EOVERFLOW), 3, Bytes(4)),
    ]),
    row(305, &[To(Done, 1, Bytes(208))]), // clock_adjtime
    row(307, &[Each { list: 1, count: Count::Answer, record_bytes: 64, offset: 56, bytes: 4 }]), // sendmmsg
    row(309, &[To(Done, 0, Bytes(4)), To(Done, 1, Bytes(4))]), // getcpu
    row(310, &[Spread { list: 1, count: 2 }]), // process_vm_readv
    row(315, &[To(Done, 1, Argument(2))]), // sched_getattr
    command(317, 0, 3, &[To(Done, 2, Bytes(6))]), // seccomp SECCOMP_GET_NOTIF_SIZES
    row(318, &[To(Done, 0, Answer)]), // getrandom
    row(326, TWO_OFFSETS), // copy_file_range
    row(327, VECTOR), // preadv2
    row(332, &[To(Done, 4, Bytes(256))]), // statx
    row(333, &[To(Found, 3, Answers(32))]), // io_pgetevents
    row(425, &[To(Done, 1, Bytes(120))]), // io_uring_setup
    row(435, &[Born]), // clone3
    row(441, EVENTS), // epoll_pwait2
    masked(443, 1, QUOTA_COMMAND, 0x8000_0400, &[To(Done, 3, Bytes(4))]), // quotactl_fd Q_GETFMT
    masked(443, 1, QUOTA_COMMAND, 0x8000_0500, &[To(Done, 3, Bytes(24))]), // … Q_GETINFO
    masked(443, 1, QUOTA_COMMAND, 0x8000_0700, DISK_QUOTA), // … Q_GETQUOTA
    masked(443, 1, QUOTA_COMMAND, 0x8000_0900, DISK_QUOTA), // … Q_GETNEXTQUOTA
    masked(443, 1, QUOTA_COMMAND, 0x0058_0300, XFS_QUOTA), // … Q_XGETQUOTA
    masked(443, 1, QUOTA_COMMAND, 0x0058_0500, &[To(Done, 3, Bytes(80))]), // … Q_XGETQSTAT
    masked(443, 1, QUOTA_COMMAND, 0x0058_0800, &[To(Done, 3, Bytes(160))]), // … Q_XGETQSTATV
    masked(443, 1, QUOTA_COMMAND, 0x0058_0900, XFS_QUOTA), // … Q_XGETNEXTQUOTA
    row(451, &[To(Done, 2, Bytes(40))]), // cachestat
    row(457, &[To(Done, 1, Field { pointer: 1, offset: 0, times: 1 })]), // statmount
    row(458, &[To(Done, 1, Answers(8))]), // listmount
    row(459, &[To(Done, 1, Length(2))]), // lsm_get_self_attr
    row(461, &[To(Done, 0, Length(1))]), // lsm_list_modules
    row(464, &[Through(4, 0, LeastField { pointer: 4, offset: 8 })]), // getxattrat
    row(465, &[To(Done, 3, Least(4))]), // listxattrat
    row(468, &[To(Done, 2, Argument(3))]), // file_getattr
];

const NUMBERS: usize = 512;

// By a call's number, the first row that is not of a lesser one.
static FIRST: [u16; NUMBERS] = {
    let mut first = [0; NUMBERS];
    let (mut number, mut row) = (0, 0);
    while number < NUMBERS {
        while row < ROWS.len() && ROWS[row].number < number as u64 {
            row += 1;
        }
        first[number] = row as u16;
        number += 1;
    }
    first
};

/// Return what a call writes, by its number and the values of its arguments.
pub fn writes(number: u64, argument: impl Fn(usize) -> u64) -> &'static [Write] {
    let Some(&begin) = FIRST.get(number as usize) else { return &[] };
    let of_call = ROWS[usize::from(begin)..].iter().take_while(|row| row.number == number);
    let mut meant = of_call.filter(|row| row.command.as_ref().is_none_or(|it| argument(it.at) & it.mask == it.value));
    meant.next().map_or(&[], |row| row.writes)
}
