//! A stub of the engine: what a controller needs to meet, and no translation.
//!
//! It speaks the contract (`native/seal/src/abi.rs`), but a thread that is woken gets its registers back and runs on
//! natively. So the controller's steps, loans and rollbacks are tested without the engine.
//!
//! rustc --edition 2024 -O -C panic=abort …; see `tests/possession/engines.py`.
#![no_std]
#![no_main]

#[path = "../../../native/seal/src/abi.rs"]
#[allow(dead_code)]
mod abi;

use abi::*;
use core::arch::{asm, naked_asm};
use core::mem::offset_of;
use core::ptr::addr_of_mut;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// `core` was compiled with unwinding and names this; nothing here unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

unsafe fn system_call(number: u64, a: u64, b: u64, c: u64, d: u64) -> i64 {
    let result: i64;
    unsafe {
        asm!("syscall", inlateout("rax") number as i64 => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            out("rcx") _, out("r11") _);
    }
    result
}

/// The vector registers are the application's: kept around every function.
macro_rules! exported {
    ($name:ident, $inner:ident) => {
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        extern "C" fn $name() {
            naked_asm!(
                "push rbp", "mov rbp, rsp", "sub rsp, 528", "and rsp, -16", "fxsave64 [rsp]",
                "call {inner}",
                "fxrstor64 [rsp]", "leave", "ret",
                inner = sym $inner,
            )
        }
    };
}
exported!(seal_prepare, prepare);
exported!(seal_take_over, take_over);
exported!(seal_recover, recover);
exported!(seal_farewell, farewell);
exported!(seal_restore, restore);

unsafe extern "C" fn prepare(mailbox: *mut Mailbox) -> i64 {
    unsafe {
        if (*mailbox).magic != MAGIC || (*mailbox).version != VERSION {
            return -22;
        }
        (*mailbox).heap_used = 4096;
        *((*mailbox).heap as *mut u64) = MAGIC; // the heap is there and may be written
    }
    0
}

unsafe extern "C" fn take_over(mailbox: *mut Mailbox) -> i64 {
    unsafe {
        for signal in 1..SIGNALS {
            let action = addr_of_mut!((*mailbox).actions[signal]);
            let result = system_call(13, signal as u64, 0, action as u64, 8);
            if result < 0 {
                return result;
            }
        }
        (*mailbox).awake = 1;
    }
    0
}

unsafe extern "C" fn recover(mailbox: *mut Mailbox) -> i64 {
    unsafe {
        for index in 0..(*mailbox).snapshot_count as usize {
            let snapshot = addr_of_mut!((*mailbox).snapshots[index]);
            let rip = (*snapshot).regs[user_regs::RIP];
            let ours = (*mailbox).low <= rip && rip < (*mailbox).heap;
            (*snapshot).status = if ours {
                recovered::BUSY
            } else {
                recovered::NATIVE
            };
        }
    }
    0
}

unsafe extern "C" fn farewell(context: *mut Context) -> i64 {
    unsafe { (*context).state = state::LEFT };
    0
}

unsafe extern "C" fn restore(mailbox: *mut Mailbox) -> i64 {
    unsafe { (*mailbox).awake = 0 };
    0
}

/// Goes on natively where the context says. Below the application's red zone lie for a moment its `rip` and flags.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn seal_wake() {
    naked_asm!(
        "mov dword ptr [rdi + {state}], {running}",
        "cmp dword ptr [rdi + {hold}], 0",
        "je 2f",
        ".globl seal_held", "seal_held:", "int3",
        "2:",
        "cmp dword ptr [rdi + {request}], {park}",
        "jne 3f",
        "mov dword ptr [rdi + {state}], {parked}",
        ".globl seal_parked", "seal_parked:", "int3",
        "3:",
        "mov rbx, rdi",
        "mov eax, 14", "mov edi, 2", "lea rsi, [rbx + {mask}]", "xor edx, edx", "mov r10d, 8", "syscall",
        "mov rdi, rbx",
        "mov rax, [rdi + {regs} + 8*4]",
        "lea rsp, [rax - 128]",
        "push qword ptr [rdi + {rip}]",
        "push qword ptr [rdi + {rflags}]",
        "mov rax, [rdi + {regs} + 8*0]", "mov rcx, [rdi + {regs} + 8*1]", "mov rdx, [rdi + {regs} + 8*2]",
        "mov rbx, [rdi + {regs} + 8*3]", "mov rbp, [rdi + {regs} + 8*5]", "mov rsi, [rdi + {regs} + 8*6]",
        "mov r8, [rdi + {regs} + 8*8]", "mov r9, [rdi + {regs} + 8*9]", "mov r10, [rdi + {regs} + 8*10]",
        "mov r11, [rdi + {regs} + 8*11]", "mov r12, [rdi + {regs} + 8*12]", "mov r13, [rdi + {regs} + 8*13]",
        "mov r14, [rdi + {regs} + 8*14]", "mov r15, [rdi + {regs} + 8*15]", "mov rdi, [rdi + {regs} + 8*7]",
        "popfq",
        "ret 128",
        state = const offset_of!(Context, state), running = const state::RUNNING, parked = const state::PARKED,
        hold = const offset_of!(Context, hold), request = const offset_of!(Context, request),
        mask = const offset_of!(Context, mask), park = const request::PARK, regs = const offset_of!(Context, regs), rip = const offset_of!(Context, rip),
        rflags = const offset_of!(Context, rflags),
    )
}

/// The stub makes no calls for the application: nobody is ever met here.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn seal_issue_after() {
    naked_asm!("ud2")
}
