/* Flags are set, then control goes through an indirect jump, an indirect call, a return, a direct call, a long chain of
 * branches; on the other side every one of CF PF AF ZF SF DF OF must be what it was. There are 128 landing places, so
 * that each pattern is also carried to a place where nobody has been before. */
#include "victim.h"

#define MASK 0xcd5u /* CF PF AF ZF SF DF OF */

/* `pads_x` are 128 pieces of code of 16 bytes each: read the flags, go on. */
__asm__(".text\n"
        ".balign 16\npads_jump:\n.rept 128\n.balign 16\n pushfq\n popq %rax\n cld\n jmpq *%rdx\n.endr\n"
        ".balign 16\npads_call:\n.rept 128\n.balign 16\n pushfq\n popq %rax\n cld\n ret\n.endr\n"
        /* sets its flags itself just before it returns: the caller reads them */
        ".balign 16\npads_ret:\n.rept 128\n.balign 16\n pushq %rcx\n popfq\n ret\n.endr\n"
        ".balign 16\npads_ret8:\n.rept 128\n.balign 16\n pushq %rcx\n popfq\n ret $8\n.endr\n");
extern char pads_jump[], pads_call[], pads_ret[], pads_ret8[];

typedef uint64_t route(uint64_t flags, char *pad);

static NOINLINE uint64_t by_jump_register(uint64_t flags, char *pad)
{
    uint64_t seen;
    __asm__ volatile("subq $128, %%rsp\n leaq 1f(%%rip), %%rdx\n pushq %[f]\n popfq\n jmpq *%[p]\n1: addq $128, %%rsp"
                     : "=&a"(seen) : [f] "r"(flags), [p] "r"(pad) : "rdx", "memory", "cc");
    return seen;
}

static NOINLINE uint64_t by_jump_memory(uint64_t flags, char *pad)
{
    uint64_t seen;
    char *where[2] = {pad, pad};
    __asm__ volatile("subq $128, %%rsp\n leaq 1f(%%rip), %%rdx\n pushq %[f]\n popfq\n jmpq *(%[p], %[one], 8)\n1: addq $128, %%rsp"
                     : "=&a"(seen) : [f] "r"(flags), [p] "r"(where), [one] "r"(1ULL) : "rdx", "memory", "cc");
    return seen;
}

static NOINLINE uint64_t by_call_register(uint64_t flags, char *pad)
{
    uint64_t seen;
    __asm__ volatile("subq $128, %%rsp\n pushq %[f]\n popfq\n callq *%[p]\n addq $128, %%rsp"
                     : "=&a"(seen) : [f] "r"(flags), [p] "r"(pad) : "memory", "cc");
    return seen;
}

static NOINLINE uint64_t by_call_memory(uint64_t flags, char *pad)
{
    uint64_t seen;
    static char *where;
    where = pad;
    __asm__ volatile("subq $128, %%rsp\n pushq %[f]\n popfq\n callq *%[p]\n addq $128, %%rsp"
                     : "=&a"(seen) : [f] "r"(flags), [p] "m"(where) : "memory", "cc");
    return seen;
}

static NOINLINE uint64_t by_return(uint64_t flags, char *pad)
{
    uint64_t seen;
    __asm__ volatile("subq $128, %%rsp\n callq *%[p]\n pushfq\n popq %%rax\n cld\n addq $128, %%rsp"
                     : "=&a"(seen) : "c"(flags), [p] "r"(pad) : "memory", "cc");
    return seen;
}

static NOINLINE uint64_t by_return_8(uint64_t flags, char *pad)
{
    uint64_t seen;
    __asm__ volatile("subq $128, %%rsp\n pushq $5\n callq *%[p]\n pushfq\n popq %%rax\n cld\n addq $128, %%rsp"
                     : "=&a"(seen) : "c"(flags), [p] "r"(pad) : "memory", "cc");
    return seen;
}

/* Direct branches of every length, each a fragment's end. */
static NOINLINE uint64_t by_chain(uint64_t flags, char *pad)
{
    uint64_t seen;
    (void)pad;
    __asm__ volatile("subq $128, %%rsp\n pushq %[f]\n popfq\n"
                     "jmp 2f\n1: .byte 0xe9\n .long 4f - 3f\n3: ud2\n2: jc 1b\n jnc 1b\n ud2\n4: jo 5f\n5: js 6f\n6: jp 7f\n7: jz 8f\n8:\n"
                     "call 9f\n9: leaq 8(%%rsp), %%rsp\n"
                     "pushfq\n popq %%rax\n cld\n addq $128, %%rsp"
                     : "=&a"(seen) : [f] "r"(flags) : "memory", "cc");
    return seen;
}

/* Every condition, decided on the far side of an indirect jump. */
static NOINLINE void conditions(uint64_t flags)
{
    uint8_t c[16];
    __asm__ volatile("subq $128, %%rsp\n leaq 1f(%%rip), %%rdx\n pushq %[f]\n popfq\n jmpq *%%rdx\n ud2\n1: leaq 128(%%rsp), %%rsp\n"
                     "seto (%[c])\n setno 1(%[c])\n setb 2(%[c])\n setae 3(%[c])\n sete 4(%[c])\n setne 5(%[c])\n setbe 6(%[c])\n seta 7(%[c])\n"
                     "sets 8(%[c])\n setns 9(%[c])\n setp 10(%[c])\n setnp 11(%[c])\n setl 12(%[c])\n setge 13(%[c])\n setle 14(%[c])\n setg 15(%[c])\n cld"
                     : : [f] "r"(flags), [c] "r"(c) : "rdx", "memory", "cc");
    int cf = flags & 1, pf = flags >> 2 & 1, zf = flags >> 6 & 1, sf = flags >> 7 & 1, of = flags >> 11 & 1;
    int want[8] = {of, cf, zf, cf | zf, sf, pf, sf != of, zf | (sf != of)};
    for (int i = 0; i < 8; i++)
        check(c[2 * i] == want[i] && c[2 * i + 1] == !want[i], "condition %d under flags %llx", 2 * i, (unsigned long long)flags);
}

/* Arithmetic on either side of a branch: the carry of a long addition goes through an indirect jump per digit. */
static NOINLINE void long_addition(uint64_t *state)
{
    uint64_t a[8], b[8], sum[8];
    for (int i = 0; i < 8; i++) {
        a[i] = next_number(state) | (uint64_t)-(i & 1);
        b[i] = next_number(state);
    }
    __asm__ volatile("xorl %%ecx, %%ecx\n leaq 1f(%%rip), %%rdx\n clc\n"
                     "1: movq (%[a], %%rcx, 8), %%rax\n adcq (%[b], %%rcx, 8), %%rax\n movq %%rax, (%[s], %%rcx, 8)\n"
                     "leaq 1(%%rcx), %%rcx\n leaq -8(%%rcx), %%rdi\n xchgq %%rdi, %%rcx\n jrcxz 2f\n xchgq %%rdi, %%rcx\n jmpq *%%rdx\n2:"
                     : : [a] "r"(a), [b] "r"(b), [s] "r"(sum) : "rax", "rcx", "rdx", "rdi", "memory", "cc");
    unsigned __int128 carry = 0;
    for (int i = 0; i < 8; i++) {
        carry += (unsigned __int128)a[i] + b[i];
        check(sum[i] == (uint64_t)carry, "digit %d", i);
        carry >>= 64;
    }
}

int main(void)
{
    static const struct {
        const char *name;
        route *go;
        char *pads;
    } routes[] = {
        {"jump through a register", by_jump_register, pads_jump}, {"jump through memory", by_jump_memory, pads_jump},
        {"call through a register", by_call_register, pads_call}, {"call through memory", by_call_memory, pads_call},
        {"return", by_return, pads_ret}, {"return that pops 8", by_return_8, pads_ret8}, {"direct branches", by_chain, pads_jump},
    };
    static const int bit[7] = {0, 2, 4, 6, 7, 10, 11};
    uint64_t state = 9;
    while (victim_round())
        for (unsigned pattern = 0; pattern < 128; pattern++) {
            uint64_t flags = 0x202;
            for (int i = 0; i < 7; i++)
                flags |= (uint64_t)(pattern >> i & 1) << bit[i];
            for (unsigned i = 0; i < sizeof routes / sizeof *routes; i++) {
                uint64_t seen = routes[i].go(flags, routes[i].pads + 16 * ((pattern + victim.rounds) % 128));
                check((seen & MASK) == (flags & MASK), "%s: flags %llx, not %llx", routes[i].name, (unsigned long long)(seen & MASK), (unsigned long long)(flags & MASK));
            }
            conditions(flags);
            long_addition(&state);
        }
    return victim_end();
}
