//! The engine as it is planted: the library, and what a libc would have supplied.
#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::global_asm;

use seal::start;

struct Global;

// SAFETY: `start::HEAP` is one.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { start::HEAP.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { start::HEAP.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { start::HEAP.realloc(block, layout, size) }
    }
}

#[global_allocator]
static GLOBAL: Global = Global;

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    start::failed(format_args!("{info}"))
}

// What the compiler calls by name. `rep movsb` and `rep stosb` are what current processors are fastest at.
#[rustfmt::skip]
global_asm!(
    ".globl memcpy", "memcpy:", "mov rax, rdi", "mov rcx, rdx", "rep movsb", "ret",
    ".globl memmove", "memmove:", "mov rax, rdi", "mov rcx, rdx", "mov r8, rdi", "sub r8, rsi", "cmp r8, rdx", "jb 2f", "rep movsb", "ret",
    "2:", "std", "lea rsi, [rsi+rcx-1]", "lea rdi, [rdi+rcx-1]", "rep movsb", "cld", "ret",
    ".globl memset", "memset:", "mov r8, rdi", "mov eax, esi", "mov rcx, rdx", "rep stosb", "mov rax, r8", "ret",
    ".globl memcmp", "memcmp:", ".globl bcmp", "bcmp:", "xor eax, eax", "mov rcx, rdx", "test rcx, rcx", "jz 3f", "repe cmpsb", "je 3f",
    "movzx eax, byte ptr [rdi-1]", "movzx ecx, byte ptr [rsi-1]", "sub eax, ecx", "3:", "ret",
    ".globl strlen", "strlen:", "xor eax, eax", "4:", "cmp byte ptr [rdi+rax], 0", "je 5f", "inc rax", "jmp 4b", "5:", "ret",
    ".globl rust_eh_personality", "rust_eh_personality:", "ud2",
);
