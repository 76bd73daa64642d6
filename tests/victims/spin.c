/* Hot loops that never make a system call: of one instruction, of two that jump to each other, through an indirect jump,
 * through calls, with rep in them. A release must get them out at once. */
#include "victim.h"
#include <pthread.h>

static volatile uint32_t stop;
static uint64_t counts[6];

/* Each counts in memory until `stop` is set. */
#define LOOP(name, body)                                                                                                    \
    static void *name(void *count)                                                                                          \
    {                                                                                                                       \
        __asm__ volatile("subq $128, %%rsp\n" body "\n addq $128, %%rsp" : : [n] "r"(count), [s] "r"(&stop) : "rax", "rcx", "rdx", "rsi", "rdi", "memory", "cc"); \
        return 0;                                                                                                           \
    }
LOOP(tight, "1: incq (%[n])\n cmpl $0, (%[s])\n je 1b")
LOOP(two, "1: incq (%[n])\n jmp 3f\n 2: cmpl $0, (%[s])\n je 1b\n jmp 4f\n 3: jmp 2b\n 4:")
LOOP(indirect, "leaq 1f(%%rip), %%rax\n 1: incq (%[n])\n cmpl $0, (%[s])\n jne 2f\n jmpq *%%rax\n 2:")
LOOP(calling, "1: call 3f\n cmpl $0, (%[s])\n je 1b\n jmp 4f\n 3: incq (%[n])\n ret\n 4:")
LOOP(returning, "1: incq (%[n])\n cmpl $0, (%[s])\n jne 2f\n leaq 1b(%%rip), %%rax\n pushq %%rax\n ret\n 2:")
LOOP(strings, "1: movq %[n], %%rsi\n movq %[n], %%rdi\n movl $1, %%ecx\n incq (%[n])\n rep movsq\n cmpl $0, (%[s])\n je 1b")

int main(void)
{
    static void *(*const loops[6])(void *) = {tight, two, indirect, calling, returning, strings};
    pthread_t threads[6];
    for (int i = 0; i < 6; i++)
        check(!pthread_create(&threads[i], 0, loops[i], &counts[i]));
    uint64_t seen[6] = {0};
    while (victim_round()) {
        nap_ms(20);
        for (int i = 0; i < 6; i++) {
            uint64_t now;
            for (int64_t began = now_ns(); (now = __atomic_load_n(&counts[i], __ATOMIC_RELAXED)) == seen[i]; nap_ms(1))
                check(now_ns() - began < 20000000000LL, "loop %d stands still", i);
            check(now > seen[i], "loop %d went back", i);
            seen[i] = now;
        }
    }
    stop = 1;
    for (int i = 0; i < 6; i++)
        check(!pthread_join(threads[i], 0));
    return victim_end();
}
