/* A life in signals: three interval timers of 2 ms (setitimer, timer_create with a value, processor time) arrive while
 * work goes on; siginfo, frame and stack are checked in each handler, one of which runs on an alternate stack. */
#define HEARS_SIGNALS 1
#include "frames.h"
#include <sys/time.h>

static volatile sig_atomic_t real, posix, cpu;
static char alternate[1 << 16];
static timer_t timer;

static int is_alternate(char *place) { return place >= alternate && place < alternate + sizeof alternate; }

static void on_real(int number, siginfo_t *info, void *context)
{
    int kept = errno;
    check(number == SIGALRM && info->si_signo == SIGALRM && info->si_code == SI_KERNEL, "code %d", info->si_code);
    check_frame(context);
    /* It may interrupt the handler that runs on the alternate stack, and stays there then. */
    char here, *before = (char *)frame_register(context, REG_RSP);
    check(is_alternate(&here) == is_alternate(before), "interrupted at stack %p, running at %p", (void *)before, (void *)&here);
    real++;
    errno = kept;
}

static void on_posix(int number, siginfo_t *info, void *context)
{
    check(number == SIGRTMIN + 3 && info->si_code == SI_TIMER && info->si_value.sival_int == 0x5ea1, "code %d, value %x", info->si_code, info->si_value.sival_int);
    check(info->si_overrun >= 0);
    check_frame(context);
    char here;
    check(is_alternate(&here), "not on the alternate stack");
    stack_t now;
    check_call(sigaltstack(0, &now));
    check(now.ss_flags == SS_ONSTACK && now.ss_sp == alternate, "flags %x", now.ss_flags);
    check(((ucontext_t *)context)->uc_stack.ss_sp == alternate);
    posix++;
}

static void on_cpu(int number, siginfo_t *info, void *context)
{
    check(number == SIGVTALRM && info->si_signo == SIGVTALRM);
    check_frame(context);
    cpu++;
}

static NOINLINE uint64_t work(uint64_t seed)
{
    double x = (double)(seed % 97);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        x = x * 0.5 + (double)(seed >> 60);
    }
    return seed + (uint64_t)x;
}

int main(void)
{
    learn_own_text();
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    check_call(sigaltstack(&stack, 0));
    handle(SIGALRM, on_real, SA_RESTART);
    handle(SIGRTMIN + 3, on_posix, SA_ONSTACK | SA_RESTART);
    handle(SIGVTALRM, on_cpu, SA_RESTART);
    struct itimerval every = {{0, 2000}, {0, 2000}};
    uint64_t want = work(77);
    check_call(setitimer(ITIMER_REAL, &every, 0));
    check_call(setitimer(ITIMER_VIRTUAL, &every, 0));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
    event.sigev_value.sival_int = 0x5ea1;
    check_call(timer_create(CLOCK_MONOTONIC, &event, &timer));
    struct itimerspec often = {{0, 2000000}, {0, 2000000}};
    check_call(timer_settime(timer, 0, &often, 0));
    int seen = 0;
    while (victim_round()) {
        int before = real + posix;
        int64_t began = now_ns();
        while (now_ns() - began < 10000000)
            check(work(77) == want, "the work's result changed");
        /* 10 ms of work see at least one of the ten signals that are due, unless the machine stands still. */
        seen = real + posix > before ? 0 : seen + 1;
        check(seen < 20, "no timer has come for 20 rounds");
    }
    check(real > 0 && posix > 0);
    return victim_end();
}
