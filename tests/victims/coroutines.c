/* Coroutines by makecontext and swapcontext, a dozen of them in turn, and by a hand-written switch of stacks; signals
 * come meanwhile. */
#define HEARS_SIGNALS 1
#include "victim.h"
#include <signal.h>
#include <sys/time.h>
#include <ucontext.h>

#define MANY 12
static ucontext_t scheduler, routines[MANY];
static char stacks[MANY][1 << 15];
static uint64_t sums[MANY];
static volatile sig_atomic_t ticks;

static void on_tick(int number)
{
    (void)number;
    ticks++;
}

static void routine(int me)
{
    double kept = me * 1.5;
    for (uint64_t i = 1;; i++) {
        uint64_t local = i * (uint64_t)me;
        check_call(swapcontext(&routines[me], &scheduler));
        sums[me] += local;
        check(kept == me * 1.5);
    }
}

/* The usual three instructions a library would have: callee-saved registers and the stack pointer change hands. */
void switch_stacks(void **save, void *load);
__asm__(".text\n.globl switch_stacks\nswitch_stacks:\n pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "movq %rsp, (%rdi)\n movq %rsi, %rsp\n popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n");

static void *main_stack, *other_stack;
static volatile uint64_t passed;

static void __attribute__((noreturn)) other(void)
{
    for (uint64_t i = 0;; i++) {
        passed += i & 3;
        switch_stacks(&other_stack, main_stack);
    }
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    check_call(sigaction(SIGALRM, &action, 0));
    struct itimerval every = {{0, 3000}, {0, 3000}};
    check_call(setitimer(ITIMER_REAL, &every, 0));
    for (int i = 0; i < MANY; i++) {
        check_call(getcontext(&routines[i]));
        routines[i].uc_stack.ss_sp = stacks[i];
        routines[i].uc_stack.ss_size = sizeof stacks[i];
        routines[i].uc_link = 0;
        makecontext(&routines[i], (void (*)(void))routine, 1, i);
    }
    static _Alignas(16) char stack[1 << 15];
    uint64_t *top = (uint64_t *)(void *)(stack + sizeof stack - 16);
    *--top = 0;                       /* where `other` would return to */
    *--top = (uint64_t)(uintptr_t)other;
    top -= 6;
    other_stack = top;
    uint64_t turns = 0;
    while (victim_round()) {
        for (int k = 0; k < 50; k++) {
            turns++;
            for (int i = 0; i < MANY; i++)
                check_call(swapcontext(&scheduler, &routines[i]));
        }
        for (int i = 0; i < MANY; i++)
            check(sums[i] == (uint64_t)i * (turns * (turns - 1) / 2), "routine %d: %llu", i, (unsigned long long)sums[i]);
        uint64_t before = passed;
        for (int k = 0; k < 400; k++)
            switch_stacks(&main_stack, other_stack);
        check(passed == before + 600, "%llu", (unsigned long long)(passed - before));
    }
    return victim_end();
}
