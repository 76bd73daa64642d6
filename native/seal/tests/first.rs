//! The first things that must hold: functions of this program give the same answer inside as outside.
//!
//! They do not allocate: here the engine shares the program's allocator, which may be in the middle of something.

mod inside;

use seal::abi::{self, mode};

fn run(function: *const (), argument: u64) -> (u64, String) {
    inside::with(mode::NONE, |inside| {
        let mut stack = vec![0u64; 65536];
        let top = unsafe { stack.as_mut_ptr().add(65536 - 8) } as u64 & !15;
        let mut regs = [0; 16];
        regs[abi::RDI] = argument;
        let (out, _) = inside.call(function as u64, &regs, 0x202, top);
        let c = &inside.context;
        (out[abi::RAX], format!("{} fragments, {} instructions, {} dispatches", c.fragments, c.instructions, c.dispatches))
    })
}

extern "C" fn add(n: u64) -> u64 {
    n + 5
}

extern "C" fn sum(n: u64) -> u64 {
    (0..n).fold(0, |a, b| std::hint::black_box(a ^ (b * 3)))
}

#[inline(never)]
extern "C" fn fibonacci(n: u64) -> u64 {
    if n < 2 { n } else { fibonacci(std::hint::black_box(n - 1)) + fibonacci(n - 2) }
}

#[test]
fn functions_answer_the_same() {
    for (name, function, n) in [("add", add as extern "C" fn(u64) -> u64, 37), ("sum", sum, 1000), ("fibonacci", fibonacci, 25)] {
        let expected = function(n);
        let (got, facts) = run(function as *const (), n);
        println!("{name}: {facts}");
        assert_eq!(got, expected, "{name}");
    }
}
