/* Code that writes into itself: before every call, from within the function, into the instruction just ahead, and into
 * a loop that is running. The C program's own text is made writable for that. */
#include "victim.h"
#include <sys/mman.h>

extern char patch_first[], patch_last[];
uint64_t patched(uint64_t x);
uint64_t ahead(uint64_t n);
uint64_t in_loop(uint64_t n);
extern uint32_t patched_immediate, ahead_immediate;
extern uint8_t loop_step;
/* Unaligned immediates inside instructions, named by labels before their last bytes. */
__asm__(".text\n.balign 4096\n.globl patch_first\npatch_first:\n"
        "patched: leaq (%rdi), %rax\n .byte 0x48, 0x05\n.globl patched_immediate\npatched_immediate: .long 0\n ret\n"
        /* writes n into the next instruction but two, then executes it */
        "ahead: movl %edi, ahead_immediate(%rip)\n nop\n nop\n .byte 0xb8\n.globl ahead_immediate\nahead_immediate: .long 0\n ret\n"
        /* adds 1 for ten turns, then changes its own add to 3 for ten more, and back */
        "in_loop: movb $1, loop_step(%rip)\n xorl %eax, %eax\n movl $20, %ecx\n"
        "1: .byte 0x48, 0x83, 0xc0\n.globl loop_step\nloop_step: .byte 1\n cmpl $11, %ecx\n jne 2f\n movb $3, loop_step(%rip)\n 2: decl %ecx\n jnz 1b\n addq %rdi, %rax\n ret\n"
        ".balign 4096\n.globl patch_last\npatch_last:\n");

int main(void)
{
    check_call(mprotect(patch_first, (size_t)(patch_last - patch_first), PROT_READ | PROT_WRITE | PROT_EXEC));
    uint64_t state = 8;
    uint64_t (*volatile call_patched)(uint64_t) = patched, (*volatile call_ahead)(uint64_t) = ahead, (*volatile call_loop)(uint64_t) = in_loop;
    while (victim_round())
        for (int i = 0; i < 100; i++) {
            uint32_t n = (uint32_t)next_number(&state) >> 1;
            *(volatile uint32_t *)&patched_immediate = n;
            uint64_t got = call_patched(5);
            check(got == 5 + (uint64_t)n, "patched before the call: %llu, not %llu", (unsigned long long)got, (unsigned long long)n + 5);
            got = call_ahead(n);
            check(got == n, "patched just ahead: %llu, not %u", (unsigned long long)got, n);
            got = call_loop(2);
            check(got == 2 + 10 + 30, "patched in a running loop: %llu", (unsigned long long)got);
        }
    return victim_end();
}
