//! Which memory of the application's each system call writes, on x86-64.
//!
//! A table: a row is a call, or one of its commands, and where the kernel writes when it has answered. Arguments are counted from 0.
//! A call without a row writes nothing.

/// When the kernel writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum When {
    Done,        // the answer is no error
    Found,       // the answer is more than 0
    Interrupted, // the answer is EINTR
    Always,
}

/// How many bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Bytes(u64),
    Argument(usize), // as many as that argument says
    Answer,
    Answers(u64),  // as many as the answer, times so many
    Least(usize),  // as many as the answer, and no more than that argument says
    Length(usize), // as the u32 says that this argument points to, before the call and after it; it is written, too
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

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// So many bytes behind that pointer, if it is one.
    To(When, usize, Size),
    /// What was read from the descriptor that argument 0 is. `flags`: the argument that has MSG_PEEK and its like.
    Input { load: Load, flags: Option<usize> },
}

/// One call, or with `command` one of what it can do: the value of an argument.
pub struct Row {
    pub number: u64,
    pub command: Option<(usize, u64)>,
    pub writes: &'static [Write],
}

const fn row(number: u64, writes: &'static [Write]) -> Row {
    Row { number, command: None, writes }
}

use Load::{Buffer, From, Message, Messages, Vector};
use Write::Input;

const BUFFER: Load = Buffer { at: 1, bytes: 2 };
const VECTOR: Load = Vector { list: 1, count: 2 };

/// In the order of their numbers.
pub static ROWS: &[Row] = &[
    row(0, &[Input { load: BUFFER, flags: None }]),  // read
    row(17, &[Input { load: BUFFER, flags: None }]), // pread64
    row(19, &[Input { load: VECTOR, flags: None }]), // readv
    row(45, &[Input { load: From { at: 1, bytes: 2, name: 4, length: 5 }, flags: Some(3) }]), // recvfrom
    row(47, &[Input { load: Message { at: 1 }, flags: Some(2) }]), // recvmsg
    row(295, &[Input { load: VECTOR, flags: None }]), // preadv
    row(299, &[Input { load: Messages { at: 1 }, flags: Some(3) }]), // recvmmsg
    row(327, &[Input { load: VECTOR, flags: None }]), // preadv2
];

/// Return the rows of a call.
pub fn rows(number: u64) -> &'static [Row] {
    let begin = ROWS.partition_point(|row| row.number < number);
    let count = ROWS[begin..].iter().take_while(|row| row.number == number).count();
    &ROWS[begin..begin + count]
}
