//! Code that changes while it runs: rewritten in place, decoded by a loop before it, unmapped and mapped anew, written by the kernel.
//!
//! Each program runs natively and in the engine, twice over, from the same beginning; what it leaves behind must agree. They are written
//! to be copied: into `world::CHANGING`, which may be written and executed.

mod generate;
mod inside;

use core::arch::global_asm;

use generate::Dice;
use generate::world::{CHANGING, World};

// r15 leads back; r14 is the begin of CHANGING; r13 collects.
#[rustfmt::skip]
global_asm!(
    ".macro begin name", ".globl changing_\\name", "changing_\\name:", "mov r15d, offset world_store", "movabs r14, 0x234510000000", "xor r13d, r13d", ".endm",
    ".macro done name", "jmp r15", ".globl changing_\\name\\()_end", "changing_\\name\\()_end:", ".endm",

    // The next instruction but one is changed: it is in the same fragment.
    "begin next",
    "mov dword ptr [rip+2f+1], 0x22222222",
    "nop",
    "2: mov eax, 0x11111111",
    "add r13, rax",
    "done next",

    // A loop changes an operand behind itself and one in itself.
    "begin loop",
    "mov ecx, 20",
    "3: inc dword ptr [rip+4f+2]",
    "4: mov r12d, 7",
    "add r13, r12",
    "add byte ptr [rip+5f+3], 3",
    "5: add r13, 1",
    "dec ecx",
    "jnz 3b",
    "done loop",

    // As an encoded payload begins: decode what follows, and fall into it.
    "begin decode",
    "lea rsi, [rip+7f]",
    "mov ecx, 10",
    "6: xor byte ptr [rsi], 0x5a",
    "inc rsi",
    "loop 6b",
    "7: .byte 0x13, 0xdb, 0x9f, 0x78, 0x5a, 0x5a, 0x5a", // add r13, 0x22, encoded: 49 81 c5 22 00 00 00
    ".byte 0x13, 0xa5, 0x9f", // inc r13
    "8:",
    "done decode",

    // A function is called, rewritten, called again: directly, through a register, through memory, and by a jump.
    "begin function",
    "lea rbx, [rip+20f]",
    "lea rdx, [rip+21f]",
    "mov [rdx], rbx",
    "mov ebp, 6",
    "9: call 20f",
    "add r13, rax",
    "call rbx",
    "add r13, rax",
    "call [rdx]",
    "add r13, rax",
    "lea r12, [rip+10f]",
    "push r12",
    "jmp rbx",
    "10: add r13, rax",
    "mov [rip+20f+1], bp",
    "dec ebp",
    "jnz 9b",
    "jmp r15",
    "20: mov eax, 5",
    "ret",
    ".balign 8",
    "21: .quad 0",
    "done function",

    // The code of the caller changes while the callee runs: what is returned to is new.
    "begin caller",
    "lea rbx, [rip+23f]",
    "call 22f",
    "23: mov eax, 1",
    "add r13, rax",
    "jmp r15",
    "22: mov dword ptr [rbx+1], 77",
    "ret",
    "done caller",

    // Other pages: mapped, written, made executable, called; unmapped; mapped again with other code.
    "begin map",
    "mov ebp, 3",
    "24: mov eax, 9", "lea rdi, [r14+0x8000]", "mov esi, 0x2000", "mov edx, 3", "mov r10d, 0x32", "mov r8, -1", "xor r9d, r9d", "syscall",
    "mov rbx, rax",
    "mov dword ptr [rbx], 0x000000b8", "mov dword ptr [rbx+4], 0x0000c300", "mov [rbx+1], bp", // mov eax, bp; ret
    "mov eax, 10", "mov rdi, rbx", "mov esi, 0x2000", "mov edx, 5", "syscall",
    "call rbx",
    "add r13, rax",
    "mov eax, 10", "mov rdi, rbx", "mov esi, 0x2000", "mov edx, 3", "syscall",
    "add byte ptr [rbx+1], 9",
    "mov eax, 10", "mov rdi, rbx", "mov esi, 0x2000", "mov edx, 5", "syscall",
    "call rbx",
    "add r13, rax",
    "mov eax, 11", "mov rdi, rbx", "mov esi, 0x2000", "syscall",
    "dec ebp",
    "jnz 24b",
    "xor eax, eax", "xor ecx, ecx", "xor r11d, r11d",
    "done map",

    // The same by mremap: code comes to where other code was.
    "begin move",
    "mov eax, 9", "lea rdi, [r14+0x8000]", "mov esi, 0x1000", "mov edx, 7", "mov r10d, 0x32", "mov r8, -1", "xor r9d, r9d", "syscall",
    "mov eax, 9", "lea rdi, [r14+0xa000]", "mov esi, 0x1000", "mov edx, 7", "mov r10d, 0x32", "mov r8, -1", "xor r9d, r9d", "syscall",
    "mov rbx, rax", "lea r12, [r14+0x8000]",
    "mov rax, 0xc300000022b8", "mov [rbx], rax", // mov eax, 0x22; ret
    "mov rax, 0xc300000011b8", "mov [r12], rax",
    "call r12", "add r13, rax",
    "call rbx", "add r13, rax",
    "mov eax, 25", "mov rdi, rbx", "mov esi, 0x1000", "mov edx, 0x1000", "mov r10d, 3", "mov r8, r12", "syscall", // mremap, to a fixed place
    "sub rax, r12", "add r13, rax",
    "call r12", "shl rax, 16", "add r13, rax",
    "mov eax, 11", "mov rdi, r12", "mov esi, 0x1000", "syscall",
    "xor ecx, ecx", "xor r11d, r11d",
    "done move",

    // The kernel writes into code that has run.
    "begin kernel",
    "sub rsp, 64",
    "mov eax, 22", "mov rdi, rsp", "syscall", // pipe
    "call 26f", "add r13, rax",
    "mov dword ptr [rsp+16], 0x1234",
    "mov eax, 1", "mov edi, [rsp+4]", "lea rsi, [rsp+16]", "mov edx, 4", "syscall",
    "add r13, rax",
    "mov eax, 0", "mov edi, [rsp]", "lea rsi, [rip+26f+1]", "mov edx, 4", "syscall",
    "add r13, rax",
    "call 26f", "add r13, rax",
    "mov eax, 3", "mov edi, [rsp]", "syscall",
    "mov eax, 3", "mov edi, [rsp+4]", "syscall",
    "mov qword ptr [rsp], 0",
    "add rsp, 64",
    "xor ecx, ecx", "xor r11d, r11d", "xor eax, eax", "xor edi, edi",
    "jmp r15",
    "26: mov eax, 1", "ret",
    "done kernel",

    // Stores of many bytes, and a string instruction, over code that has run.
    "begin copy",
    "lea rbx, [rip+30f]",
    "call rbx", "add r13, rax",
    "movups xmm0, [rip+31f]", "movups [rbx], xmm0",
    "call rbx", "add r13, rax",
    "lea rsi, [rip+32f]", "mov rdi, rbx", "mov ecx, 8", "cld", "rep movsb",
    "call rbx", "add r13, rax",
    "jmp r15",
    ".balign 16",
    "30: mov eax, 1", "ret", ".balign 16",
    "31: mov eax, 0x100", "ret", ".balign 16",
    "32: mov eax, 0x10000", "ret", ".balign 16",
    "done copy",

    // An instruction becomes another kind: flow, length and flags are not what they were.
    "begin kind",
    "mov ebp, 2",
    "33: xor eax, eax",
    "34: .byte 0x75, 0x03", // jnz +3
    "inc r13", // 49 ff c5
    "add r13, 0x10",
    "mov byte ptr [rip+34b], 0x74", // jz
    "dec ebp",
    "jnz 33b",
    "done kind",

    // A table of addresses that nobody may write, to jump by; then it may be written, and is; then there is another in its place.
    "begin table",
    "mov eax, 9", "mov edi, 0x33000000", "mov esi, 0x1000", "mov edx, 3", "mov r10d, 0x32", "mov r8, -1", "xor r9d, r9d", "syscall",
    "mov rbx, rax",
    "lea rax, [rip+43f]", "mov [rbx], rax", "lea rax, [rip+44f]", "mov [rbx+8], rax", "lea rax, [rip+45f]", "mov [rbx+16], rax",
    "mov eax, 10", "mov rdi, rbx", "mov esi, 0x1000", "mov edx, 1", "syscall",
    "lea r12, [rip+46f]", "mov ebp, 30",
    "jmp 42f",
    "40: mov eax, 10", "mov rdi, rbx", "mov esi, 0x1000", "mov edx, 3", "syscall",
    "mov rax, [rbx]", "xchg rax, [rbx+8]", "mov [rbx], rax",
    "lea r12, [rip+47f]", "mov ebp, 30",
    "jmp 42f",
    "41: mov eax, 9", "mov edi, 0x33000000", "mov esi, 0x1000", "mov edx, 3", "mov r10d, 0x32", "mov r8, -1", "xor r9d, r9d", "syscall",
    "lea rax, [rip+45f]", "mov [rbx], rax", "mov [rbx+8], rax", "mov [rbx+16], rax",
    "lea r12, [rip+48f]", "mov ebp, 30",
    "42: dec ebp", "js 49f",
    "xor edx, edx", "mov eax, ebp", "mov ecx, 3", "div ecx",
    "movzx eax, dl", "mov rax, [rax*8+0x33000000]", "jmp rax",
    "43: add r13, rax", "lea r13, [r13+r13*2]", "jmp 42b",
    "44: sub r13, rax", "rol r13, 5", "cmp ebp, 20", "jb 42b", "dec ebp", "movzx eax, dl", "mov rax, [rax*8+0x33000000]", "jmp rax",
    "45: xor r13, rax", "adc r13, rcx", "movzx eax, dl", "and dl, 1", "mov rcx, rdx", "jmp 42b",
    "49: jmp r12",
    "46: jmp 40b",
    "47: jmp 41b",
    "48: mov eax, 11", "mov rdi, rbx", "mov esi, 0x1000", "syscall",
    "xor eax, eax", "xor ecx, ecx", "xor r11d, r11d",
    "done table",
);

macro_rules! programs {
    ($($name:ident: $begin:ident $end:ident,)*) => {
        unsafe extern "C" { $(fn $begin(); fn $end();)* }
        fn programs() -> Vec<(&'static str, Vec<u8>)> {
            vec![$((stringify!($name), bytes($begin as *const () as u64, $end as *const () as u64)),)*]
        }
    };
}

programs! {
    next: changing_next changing_next_end,
    r#loop: changing_loop changing_loop_end,
    decode: changing_decode changing_decode_end,
    function: changing_function changing_function_end,
    caller: changing_caller changing_caller_end,
    map: changing_map changing_map_end,
    r#move: changing_move changing_move_end,
    kernel: changing_kernel changing_kernel_end,
    copy: changing_copy changing_copy_end,
    kind: changing_kind changing_kind_end,
    table: changing_table changing_table_end,
}

fn bytes(begin: u64, end: u64) -> Vec<u8> {
    // SAFETY: between two labels of the code above.
    unsafe { core::slice::from_raw_parts(begin as *const u8, (end - begin) as usize) }.to_vec()
}

#[test]
fn code_that_changes_runs_as_it_is() {
    let mut world = World::new();
    world.set_changing(&[0xcc]);
    inside::with(inside::mode(), |inside| {
        let mut wrong = Vec::new();
        for (name, code) in programs() {
            for round in 0..3u64 {
                // At several distances from the page's end, so that code lies on two pages as well.
                let at = [0, 0xff0, 0xfe0 - code.len() as u64 / 2][round as usize];
                let mut page = vec![0xcc; at as usize];
                page.extend_from_slice(&code);
                world.set_changing(&page);
                inside.flush();
                world.shuffle(&mut Dice::new(round, 1));
                for time in 0..2 {
                    let native = world.run_natively(CHANGING.begin + at);
                    let within = world.run_inside(inside, CHANGING.begin + at);
                    let differences = world.differences(&native, &within);
                    println!(
                        "{name} at {at:#x}: {:#x}{}",
                        native.regs[13],
                        native.fault.map_or(String::new(), |f| format!(", signal {}", f.signal))
                    );
                    if !differences.is_empty() {
                        wrong.push(format!(
                            "{name} at {at:#x}, time {time}: {}",
                            differences[..differences.len().min(4)].join("; ")
                        ));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    });
}
