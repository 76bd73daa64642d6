/* Leaf functions keep what they need in the 128 bytes below the stack pointer, across branches of every kind. */
#include "victim.h"

/* Writes 16 words below rsp, takes an indirect jump, a direct branch and some turns of a loop, and reads them back. */
static NOINLINE uint64_t leaf(uint64_t seed, uint64_t turns)
{
    uint64_t bad = 0;
    __asm__ volatile(
        ".irp at, 8,16,24,32,40,48,56,64,72,80,88,96,104,112,120,128\n"
        " leaq \\at(%[s]), %%rax\n movq %%rax, -\\at(%%rsp)\n"
        ".endr\n"
        "leaq 1f(%%rip), %%rax\n jmpq *%%rax\n ud2\n"
        "1: movq %[t], %%rcx\n2: decq %%rcx\n jnz 2b\n"
        ".irp at, 8,16,24,32,40,48,56,64,72,80,88,96,104,112,120,128\n"
        " leaq \\at(%[s]), %%rax\n xorq -\\at(%%rsp), %%rax\n orq %%rax, %[b]\n"
        ".endr\n"
        : [b] "+r"(bad) : [s] "r"(seed), [t] "r"(turns) : "rax", "rcx", "memory", "cc");
    return bad;
}

/* What the compiler itself puts there. */
static NOINLINE uint32_t small(uint32_t a, uint32_t b)
{
    volatile uint32_t kept[24];
    for (int i = 0; i < 24; i++)
        kept[i] = a * (uint32_t)i + b;
    uint32_t sum = 0;
    for (int i = 0; i < 24; i++)
        sum += kept[i] ^ (uint32_t)i;
    return sum;
}

int main(void)
{
    uint32_t first = small(3, 5);
    uint64_t state = 5;
    while (victim_round()) {
        for (int i = 0; i < 200; i++)
            check(leaf(next_number(&state), 1 + next_number(&state) % 2000) == 0);
        for (int i = 0; i < 2000; i++)
            check(small(3, 5) == first);
    }
    return victim_end();
}
