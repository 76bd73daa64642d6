/* Calls and returns that are no pairs: call-and-pop for the address, push-and-return, a return address that is changed,
 * returns that drop arguments, a callee that leaves two levels at once, a stack that lies elsewhere; and loop, jrcxz,
 * jecxz. Return addresses on the stack must be the program's own, to the byte. */
#include "victim.h"

static NOINLINE void call_and_pop(void)
{
    char *popped, *true_place, *pushed;
    __asm__ volatile("subq $128, %%rsp\n call 1f\n1: popq %0\n leaq 1b(%%rip), %1\n movq -8(%%rsp), %2\n addq $128, %%rsp"
                     : "=&r"(popped), "=&r"(true_place), "=&r"(pushed) : : "memory");
    check(popped == true_place, "popped %p, not %p", (void *)popped, (void *)true_place);
    check(pushed == true_place, "below the stack stands %p, not %p", (void *)pushed, (void *)true_place);
}

static NOINLINE uint64_t push_and_return(uint64_t n)
{
    __asm__ volatile("subq $128, %%rsp\n leaq 1f(%%rip), %%rax\n pushq %%rax\n ret\n ud2\n"
                     "1: leaq 2f(%%rip), %%rax\n pushq $0\n movq %%rax, (%%rsp)\n addq $3, %0\n ret\n ud2\n"
                     "2: addq $128, %%rsp" : "+r"(n) : : "rax", "memory", "cc");
    return n;
}

/* The callee returns behind the five bytes that follow the call. */
static NOINLINE uint64_t skip_after_call(uint64_t n)
{
    __asm__ volatile("subq $128, %%rsp\n call 1f\n .byte 0xe9, 0xff, 0xff, 0xff, 0x7f\n jmp 2f\n"
                     "1: addq $5, (%%rsp)\n incq %0\n ret\n2: addq $128, %%rsp" : "+r"(n) : : "memory", "cc");
    return n;
}

static NOINLINE uint64_t drop_arguments(uint64_t n)
{
    uint64_t before, after;
    __asm__ volatile("subq $128, %%rsp\n movq %%rsp, %1\n pushq $1\n pushq $2\n pushq $3\n call 1f\n jmp 2f\n"
                     "1: addq 8(%%rsp), %0\n addq 16(%%rsp), %0\n addq 24(%%rsp), %0\n ret $24\n2: movq %%rsp, %2\n addq $128, %%rsp"
                     : "+r"(n), "=&r"(before), "=&r"(after) : : "memory", "cc");
    check(before == after, "rsp is off by %lld", (long long)(after - before));
    return n;
}

/* The inner callee drops its own return address, so that it returns to its caller's caller. */
static NOINLINE uint64_t two_levels(uint64_t n)
{
    __asm__ volatile("subq $128, %%rsp\n call 1f\n jmp 3f\n1: call 2f\n ud2\n2: addq $8, %%rsp\n addq $7, %0\n ret\n3: addq $128, %%rsp"
                     : "+r"(n) : : "memory", "cc");
    return n;
}

/* A return is the only way to each of 64 places, from one and the same ret. */
static NOINLINE uint64_t many_from_one(uint64_t n)
{
    __asm__ volatile("subq $128, %%rsp\n xorl %%ecx, %%ecx\n"
                     "1: leaq 3f(%%rip), %%rax\n leaq (%%rcx, %%rcx), %%rdx\n leaq (%%rax, %%rdx, 8), %%rax\n pushq %%rax\n cmpl $64, %%ecx\n je 4f\n incl %%ecx\n jmp 2f\n"
                     ".balign 8\n2: ret\n ud2\n"
                     ".balign 16\n3: .rept 64\n .balign 16\n addq $1, %0\n jmp 1b\n .endr\n .balign 16\n ud2\n4: addq $136, %%rsp"
                     : "+r"(n) : : "rax", "rcx", "rdx", "memory", "cc");
    return n;
}

/* The stack lies in the data segment for a while, and at odd addresses. */
static NOINLINE uint64_t elsewhere(uint64_t n, unsigned odd)
{
    static char stack[4096];
    char *top = stack + sizeof stack - 64 + odd;
    __asm__ volatile("movq %%rsp, %%rbx\n movq %1, %%rsp\n call 1f\n jmp 2f\n1: pushq %0\n popq %%rax\n call 3f\n ret\n3: leaq 1(%%rax), %0\n ret\n"
                     "2: movq %%rbx, %%rsp" : "+r"(n) : "r"(top) : "rax", "rbx", "memory", "cc");
    return n;
}

static NOINLINE void loops(void)
{
    uint64_t n = 0;
    __asm__ volatile("movl $1000, %%ecx\n1: incq %0\n loop 1b" : "+r"(n) : : "rcx", "cc");
    check(n == 1000);
    __asm__ volatile("movl $10, %%ecx\n1: incq %0\n cmpq $1005, %0\n loopne 1b" : "+r"(n) : : "rcx", "cc");
    check(n == 1005);
    __asm__ volatile("movl $10, %%ecx\n1: incq %0\n cmpq %0, %0\n loope 1b" : "+r"(n) : : "rcx", "cc");
    check(n == 1015);
    __asm__ volatile("movq $0x100000000, %%rcx\n jrcxz 1f\n incq %0\n jecxz 2f\n1: ud2\n2: xorl %%ecx, %%ecx\n jrcxz 3f\n ud2\n3: incq %0"
                     : "+r"(n) : : "rcx", "cc");
    check(n == 1017);
    __asm__ volatile("movq $0x100000003, %%rcx\n1: incq %0\n addr32 loop 1b" : "+r"(n) : : "rcx", "cc");
    check(n == 1020, "%llu", (unsigned long long)n);
    /* loop leaves flags alone */
    uint8_t carry, overflow;
    __asm__ volatile("movb $0x7f, %%al\n addb $1, %%al\n stc\n movl $3, %%ecx\n1: loop 1b\n setc %0\n seto %1" : "=q"(carry), "=q"(overflow) : : "rax", "rcx", "cc");
    check(carry && overflow);
}

/* rsp as an operand: push and pop it, call and jump through it, exchange it, frames by enter and leave. */
static NOINLINE void stack_pointer(void)
{
    uint64_t a, b, c;
    __asm__ volatile("subq $128, %%rsp\n movq %%rsp, %0\n pushq %%rsp\n popq %1\n movq %%rsp, %2\n addq $128, %%rsp" : "=&r"(a), "=&r"(b), "=&r"(c) : : "memory", "cc");
    check(a == b && b == c);
    __asm__ volatile("subq $128, %%rsp\n leaq 1f(%%rip), %%rax\n pushq %%rax\n pushq %%rax\n callq *8(%%rsp)\n jmp 2f\n1: ret\n2: leaq 3f(%%rip), %%rax\n"
                     "movq %%rax, (%%rsp)\n jmpq *(%%rsp)\n ud2\n3: popq 8(%%rsp)\n movq (%%rsp), %0\n movq 8(%%rsp), %1\n addq $136, %%rsp"
                     : "=&r"(a), "=&r"(b) : : "rax", "memory", "cc");
    check(a != b || a == b);
    __asm__ volatile("subq $128, %%rsp\n movq %%rsp, %%rax\n movq %%rbp, %%rdx\n enter $32, $0\n leaq 8(%%rbp), %%rcx\n movq (%%rbp), %%rsi\n leave\n"
                     "subq %%rcx, %%rax\n subq %%rsi, %%rdx\n addq $128, %%rsp" : "=&a"(a), "=&d"(b) : : "rcx", "rsi", "memory", "cc");
    check(a == 0 && b == 0);
    __asm__ volatile("subq $128, %%rsp\n leaq -64(%%rsp), %%rax\n movq %%rsp, %%rcx\n xchgq %%rax, %%rsp\n pushq $77\n popq %%rdx\n xchgq %%rax, %%rsp\n subq %%rsp, %%rcx\n addq $128, %%rsp"
                     : "=c"(a), "=d"(b) : : "rax", "memory", "cc");
    check(a == 0 && b == 77);
    uint16_t small = 0x1234, back;
    __asm__ volatile("subq $128, %%rsp\n pushw %1\n popw %0\n addq $128, %%rsp" : "=r"(back) : "r"(small) : "memory", "cc");
    check(back == small);
}

/* The system call instruction puts the next address into rcx and the flags into r11. */
static NOINLINE void around_a_system_call(void)
{
    uint64_t number, next, flags, true_next, rbx, rbp, r8, r9, r10, r12, r15;
    __asm__ volatile("movq %%rbp, %%r13\n movl $39, %%eax\n movl $0x77, %%ebx\n movl $0x66, %%r8d\n movl $0x55, %%r9d\n movl $0x44, %%r10d\n movl $0x33, %%r12d\n movl $0x22, %%r15d\n"
                     "movl $0x11, %%ebp\n cmpl $1, %%eax\n stc\n syscall\n1: movq %%rbp, %%rdx\n movq %%r13, %%rbp\n leaq 1b(%%rip), %%rsi"
                     : "=a"(number), "=c"(next), "=&S"(true_next), "=b"(rbx), "=d"(rbp)
                     : : "r8", "r9", "r10", "r11", "r12", "r13", "r15", "memory", "cc");
    __asm__ volatile("movl $0x66, %%r8d\n movl $0x55, %%r9d\n movl $0x44, %%r10d\n movl $0x33, %%r12d\n movl $0x22, %%r15d\n movl $39, %%eax\n stc\n syscall\n"
                     "movq %%r8, %0\n movq %%r9, %1\n movq %%r10, %2\n movq %%r11, %3\n movq %%r12, %4\n movq %%r15, %5"
                     : "=m"(r8), "=m"(r9), "=m"(r10), "=m"(flags), "=m"(r12), "=m"(r15)
                     : : "rax", "rcx", "r8", "r9", "r10", "r11", "r12", "r15", "memory", "cc");
    check(number == (uint64_t)getpid());
    check(next == true_next, "rcx is %llx after a system call, not %llx", (unsigned long long)next, (unsigned long long)true_next);
    check((flags & 1) && (flags & 0x202) == 0x202, "r11 is %llx", (unsigned long long)flags);
    check(rbx == 0x77 && rbp == 0x11 && r8 == 0x66 && r9 == 0x55 && r10 == 0x44 && r12 == 0x33 && r15 == 0x22);
}

int main(void)
{
    while (victim_round())
        for (unsigned i = 0; i < 200; i++) {
            call_and_pop();
            check(push_and_return(4) == 7);
            check(skip_after_call(6) == 7);
            check(drop_arguments(1) == 7);
            check(two_levels(0) == 7);
            check(many_from_one(1) == 65, "%llu", (unsigned long long)many_from_one(1));
            check(elsewhere(6, i % 16) == 7);
            loops();
            stack_pointer();
            around_a_system_call();
        }
    return victim_end();
}
