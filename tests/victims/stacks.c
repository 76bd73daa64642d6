/* Stacks at their limits: one that overflows and is caught on the alternate stack, one that is grown by faults of the
 * program's own handler, one that ends exactly where its function stops, handlers on a stack of the smallest size. */
#define HEARS_SIGNALS 1
#include "victim.h"
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf out;
static char *low, *high;
static volatile sig_atomic_t grown, small;
static void *expected;

static void on_overflow(int number, siginfo_t *info, void *context)
{
    (void)context;
    char *address = info->si_addr;
    check(number == SIGSEGV);
    if (address >= low && address < high) { /* our own stack, given page by page */
        grown++;
        check_call(mprotect((char *)((uintptr_t)address & ~4095UL), 4096, PROT_READ | PROT_WRITE));
        return;
    }
    siglongjmp(out, 1);
}

static NOINLINE int endless(int n)
{
    volatile char room[512];
    room[0] = (char)n;
    if (n < 0)
        return 0;
    return endless(n + 1) + room[0];
}

static NOINLINE int used(int n)
{
    volatile char room[300];
    room[n % 300] = 1;
    return n ? used(n - 1) + room[n % 300] : 0;
}

static void *overflows(void *unused)
{
    static __thread char alternate[1 << 14];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    check_call(sigaltstack(&stack, 0));
    if (sigsetjmp(out, 1) == 0) {
        endless(0);
        WRONG("a stack without end");
    }
    stack.ss_flags = SS_DISABLE;
    check_call(sigaltstack(&stack, 0));
    return unused;
}

static void on_small(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    ucontext_t *frame = context;
    check(frame->uc_stack.ss_sp == expected);
    small++;
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_overflow, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    check_call(sigaction(SIGSEGV, &action, 0));
    action.sa_sigaction = on_small;
    check_call(sigaction(SIGUSR1, &action, 0));
    static char alternate[1 << 14];
    size_t least = (size_t)sysconf(_SC_MINSIGSTKSZ) + 1024;
    char *tight = malloc(least);
    while (victim_round()) {
        pthread_t thread;
        pthread_attr_t attr;
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, 1 << 17);
        check(!pthread_create(&thread, &attr, overflows, 0));
        check(!pthread_join(thread, 0));
        /* Our own growing stack. */
        stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
        check_call(sigaltstack(&stack, 0));
        low = mmap(0, 1 << 18, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(low != MAP_FAILED);
        high = low + (1 << 18);
        grown = 0;
        int result;
        __asm__ volatile("movq %%rsp, %%rbx\n movq %[top], %%rsp\n movl $500, %%edi\n call *%[f]\n movq %%rbx, %%rsp"
                         : "=a"(result) : [top] "r"(high), [f] "r"(used) : "rbx", "rdi", "rsi", "rdx", "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
        check(result == 500 && grown >= 30, "%d, grown by %d pages", result, grown);
        check_call(munmap(low, 1 << 18));
        low = high = 0;
        /* The smallest alternate stack that the system names. */
        stack = (stack_t){.ss_sp = tight, .ss_size = least};
        check_call(sigaltstack(&stack, 0));
        expected = tight;
        int before = small;
        for (int i = 0; i < 20; i++)
            raise(SIGUSR1);
        check(small == before + 20);
        stack_t tiny = {.ss_sp = tight, .ss_size = 100};
        check(sigaltstack(&tiny, 0) == -1 && errno == ENOMEM, "errno %d", errno);
    }
    return victim_end();
}
