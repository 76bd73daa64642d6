/* setjmp and longjmp through many frames, sigsetjmp and siglongjmp out of signal handlers, also off an alternate stack. */
#define HEARS_SIGNALS 1
#include "victim.h"
#include <setjmp.h>
#include <signal.h>

static jmp_buf back;
static sigjmp_buf out;
static volatile sig_atomic_t handled;
static volatile int never = -1, *volatile nowhere = (volatile int *)16;

static NOINLINE int deep(int n, int value)
{
    volatile char here[64];
    here[0] = (char)n;
    if (n == never)
        return here[0];
    if (n == 0)
        longjmp(back, value);
    return deep(n - 1, value) + here[0];
}

static void leave(int number)
{
    handled++;
    siglongjmp(out, number);
}

int main(void)
{
    static char stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    check_call(sigaltstack(&alternate, 0));
    struct sigaction action = {.sa_handler = leave};
    check_call(sigaction(SIGUSR1, &action, 0));
    check_call(sigaction(SIGSEGV, &action, 0));
    action.sa_flags = SA_ONSTACK;
    check_call(sigaction(SIGUSR2, &action, 0));
    while (victim_round())
        for (volatile int i = 1; i <= 100; i++) {
            int got = setjmp(back);
            if (got == 0)
                deep(i * 10, i);
            check(got == i, "longjmp gave %d, not %d", got, i);
            volatile int number = i % 3 == 0 ? SIGUSR1 : i % 3 == 1 ? SIGUSR2 : SIGSEGV;
            got = sigsetjmp(out, 1);
            if (got == 0) {
                if (number == SIGSEGV)
                    *nowhere = 1;
                else
                    raise(number);
                WRONG("came back from signal %d", number);
            }
            check(got == number, "siglongjmp gave %d, not %d", got, number);
            sigset_t mask;
            check_call(sigprocmask(SIG_SETMASK, 0, &mask));
            for (int s = 1; s < 32; s++)
                check(!sigismember(&mask, s), "signal %d stayed blocked", s);
            stack_t now;
            check_call(sigaltstack(0, &now));
            check(now.ss_sp == stack && now.ss_size == sizeof stack && now.ss_flags == 0, "alternate stack %p, flags %x", now.ss_sp, now.ss_flags);
            /* Without the mask it stays blocked. */
            got = sigsetjmp(out, 0);
            if (got == 0)
                raise(SIGUSR1);
            check_call(sigprocmask(SIG_SETMASK, 0, &mask));
            check(sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGUSR2));
            sigemptyset(&mask);
            check_call(sigprocmask(SIG_SETMASK, &mask, 0));
        }
    check(handled > 0);
    return victim_end();
}
