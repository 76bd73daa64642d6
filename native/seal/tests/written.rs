//! The table of what system calls write, against the kernel.
//!
//! Each call is made natively a few times, the memory around its arguments being filled with another pattern each time: the bytes that
//! change are those that the kernel writes. Then it is made in translated code, all of that memory having tags: the bytes that lose theirs must
//! be the same. Of what a call is given in memory one cannot see whether it is written as it was: that may lose them.
//!
//! ```text
//!   ONLY=name cargo test --test written -- --nocapture
//! ```

mod cases;
mod inside;

use core::arch::global_asm;
use std::collections::BTreeSet;

use cases::{Answer, CASES, Case, ROOM_BYTES, Room, SIGNAL, UNTRIED, six};
use inside::Inside;
use seal::abi::{R8, R9, R10, RAX, RDI, RDX, RSI, SigAction, mode};
use seal::{shadow, sys, written};

#[rustfmt::skip]
global_asm!(
    ".globl written_call", "written_call:", "syscall", "ret",
    ".globl written_handler", "written_handler:", "ret",
    ".globl written_restorer", "written_restorer:", "mov eax, 15", "syscall",
);

unsafe extern "C" {
    fn written_call();
    fn written_handler();
    fn written_restorer();
}

const PATTERNS: [u8; 6] = [0xaa, 0x55, 0xc3, 0x3c, 0x96, 0x69];
const STALE: u8 = 0xff;
const ENOSYS: i64 = -38;
const EOPNOTSUPP: i64 = -95;

// The bytes that the kernel changes; None: it does not have this call.
fn natively(room: &mut Room, case: &Case) -> Result<Option<Vec<bool>>, String> {
    let mut changed = vec![false; ROOM_BYTES];
    for pattern in PATTERNS {
        room.fill(pattern);
        let arguments = (case.prepare)(room);
        let before = room.bytes();
        match sys::call(case.number, six(&arguments)) {
            ENOSYS | EOPNOTSUPP => return Ok(None),
            answer if !case.is_right(answer) => return Err(format!("answers {answer} natively")),
            _ => {}
        }
        let now = room.bytes();
        (0..ROOM_BYTES).for_each(|at| changed[at] |= now[at] != before[at]);
    }
    Ok(Some(changed))
}

fn inside_call(inside: &mut Inside, number: u64, arguments: &[u64]) -> i64 {
    let mut registers = [0; 16];
    registers[RAX] = number;
    for (at, &argument) in arguments.iter().enumerate() {
        registers[[RDI, RSI, RDX, R10, R8, R9][at]] = argument;
    }
    let stack = [0u64; 4096];
    let top = (stack.as_ptr() as u64 + size_of_val(&stack) as u64) & !15;
    inside.call(written_call as *const () as u64, &registers, 0x202, top).0[RAX] as i64
}

fn in_engine(inside: &mut Inside, room: &mut Room, case: &Case, changed: &[bool]) -> Result<(), String> {
    room.fill(PATTERNS[0]);
    let arguments = (case.prepare)(room);
    shadow::set_tags(room.begin(), ROOM_BYTES as u64, STALE);
    let answer = inside_call(inside, case.number, &arguments);
    room.undo(); // a signal that comes now has no engine to go to
    if !case.is_right(answer) {
        return Err(format!("answers {answer}"));
    }
    let cleared: Vec<bool> = sys::octets(shadow::tags_of(room.begin()), ROOM_BYTES).iter().map(|&tag| tag == 0).collect();
    shadow::clear_tags(room.begin(), ROOM_BYTES as u64);
    let padded = case.answer == Answer::Padded;
    let kept: Vec<usize> = (0..ROOM_BYTES).filter(|&at| changed[at] && !cleared[at]).collect();
    let lost = |&at: &usize| cleared[at] && !changed[at] && !room.is_given(at) && !padded;
    let lost: Vec<usize> = (0..ROOM_BYTES).filter(lost).collect();
    let written: Vec<usize> = (0..ROOM_BYTES).filter(|&at| changed[at]).collect();
    if !kept.is_empty() || !lost.is_empty() {
        return Err(format!("written {}; kept {}; lost without that {}", runs(&written), runs(&kept), runs(&lost)));
    }
    if written.is_empty() != matches!(case.answer, Answer::Nothing | Answer::Refused(_)) {
        return Err(format!("{} bytes are written", written.len()));
    }
    Ok(())
}

fn runs(bytes: &[usize]) -> String {
    let runs = bytes.chunk_by(|one, next| one + 1 == *next);
    runs.map(|run| format!("{:#x}+{}", run[0], run.len())).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_calls_write_loses_its_tags_and_nothing_else() {
    const SA_RESTORER: u64 = 0x400_0000;
    let only = std::env::var("ONLY").ok();
    let cases: Vec<&Case> = CASES.iter().filter(|case| only.as_ref().is_none_or(|only| case.name.contains(only))).collect();
    let action = SigAction {
        handler: written_handler as *const () as u64,
        flags: SA_RESTORER,
        restorer: written_restorer as *const () as u64,
        mask: 0,
    };
    sys::call(sys::RT_SIGACTION, [SIGNAL, (&raw const action) as u64, 0, 8, 0, 0]);
    let mut room = Room::new();
    let native: Vec<_> = cases.iter().map(|case| natively(&mut room, case)).collect();
    let (mut wrong, mut missing) = (0, Vec::new());
    inside::with(mode::TAINT, |inside| {
        for (case, native) in cases.iter().zip(native) {
            let outcome = match native {
                Ok(Some(changed)) => in_engine(inside, &mut room, case, &changed),
                Ok(None) => {
                    missing.push(case.name);
                    Ok(())
                }
                Err(what) => Err(what),
            };
            if let Err(what) = outcome {
                println!("{}: {what}", case.name);
                wrong += 1;
            }
        }
    });
    let tried: BTreeSet<u64> = cases.iter().map(|case| case.number).collect();
    println!("{} calls in {} forms; this kernel does not have {missing:?}", tried.len(), cases.len());
    assert_eq!(wrong, 0);
}

#[test]
fn the_table_is_in_order_and_each_call_is_tried() {
    let numbers: Vec<u64> = written::ROWS.iter().map(|row| row.number).collect();
    assert!(numbers.is_sorted());
    for pair in written::ROWS.windows(2) {
        assert!(pair[0].number != pair[1].number || pair[0].command.is_some(), "{} is never come to", pair[1].number);
    }
    let tried: BTreeSet<u64> = CASES.iter().map(|case| case.number).chain(UNTRIED.iter().copied()).collect();
    let table: BTreeSet<u64> = numbers.into_iter().collect();
    assert_eq!(table.symmetric_difference(&tried).collect::<Vec<_>>(), Vec::<&u64>::new());
}
