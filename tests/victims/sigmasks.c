/* Masks and flags: every old mask and old action is what was set; SA_NODEFER, SA_RESETHAND, sa_mask, nested handlers,
 * pending signals, SIG_IGN, signals between threads. */
#define HEARS_SIGNALS 1
#include "frames.h"
#include <pthread.h>
#include <sys/syscall.h>

static volatile sig_atomic_t depth, deepest, count[65];

static sigset_t mask_now(void)
{
    sigset_t set;
    check(!pthread_sigmask(SIG_SETMASK, 0, &set));
    return set;
}

static void check_mask(uint64_t want, const char *where)
{
    sigset_t set = mask_now();
    uint64_t got;
    memcpy(&got, &set, 8);
    check(got == want, "%s: the mask is %llx, not %llx", where, (unsigned long long)got, (unsigned long long)want);
}

#define BIT(n) (1ULL << ((n) - 1))

static void on_self(int number, siginfo_t *info, void *context)
{
    check_frame(context);
    check(info->si_signo == number && (info->si_code == SI_TKILL || info->si_code == SI_USER) && info->si_pid == getpid() && info->si_uid == getuid());
    depth++;
    if (depth > deepest)
        deepest = depth;
    if (count[number]++ % 2 == 0)
        raise(number);
    depth--;
}

static void on_outer(int number, siginfo_t *info, void *context)
{
    (void)info;
    check_frame(context);
    count[number]++;
    check_mask(BIT(SIGUSR1) | BIT(SIGWINCH), "in a handler with SIGWINCH in its sa_mask");
    int inner = count[SIGUSR2], later = count[SIGWINCH];
    raise(SIGWINCH); /* waits for our return */
    check(count[SIGWINCH] == later, "a signal in sa_mask came inside the handler");
    sigset_t pending;
    check_call(sigpending(&pending));
    check(sigismember(&pending, SIGWINCH) && !sigismember(&pending, SIGUSR2));
    raise(SIGUSR2); /* comes at once */
    check(count[SIGUSR2] == inner + 1);
    check_mask(BIT(SIGUSR1) | BIT(SIGWINCH), "after the inner handler");
}

static void on_inner(int number, siginfo_t *info, void *context)
{
    (void)info;
    check_frame(context);
    uint64_t mask;
    memcpy(&mask, &((ucontext_t *)context)->uc_sigmask, 8);
    if (number == SIGUSR2)
        check(mask == (BIT(SIGUSR1) | BIT(SIGWINCH)), "the inner frame's mask is %llx", (unsigned long long)mask);
    count[number]++;
}

static void inside_each_other(void)
{
    struct sigaction action = {.sa_sigaction = on_inner, .sa_flags = SA_SIGINFO}, old;
    check_call(sigaction(SIGUSR2, &action, 0));
    check_call(sigaction(SIGWINCH, &action, 0));
    action.sa_sigaction = on_outer;
    sigaddset(&action.sa_mask, SIGWINCH);
    check_call(sigaction(SIGUSR1, &action, 0));
    int outer = count[SIGUSR1], later = count[SIGWINCH];
    raise(SIGUSR1);
    check(count[SIGUSR1] == outer + 1 && count[SIGWINCH] == later + 1);
    check_mask(0, "after all handlers");
    check_call(sigaction(SIGUSR1, 0, &old));
    check(old.sa_sigaction == on_outer && (old.sa_flags & ~0x4000000) == SA_SIGINFO && sigismember(&old.sa_mask, SIGWINCH) && !sigismember(&old.sa_mask, SIGUSR2), "flags %x", old.sa_flags);
}

static void flags(void)
{
    struct sigaction action = {.sa_sigaction = on_self, .sa_flags = SA_SIGINFO}, old;
    check_call(sigaction(SIGUSR1, &action, 0));
    depth = deepest = 0;
    int before = count[SIGUSR1] = count[SIGUSR1] / 2 * 2;
    raise(SIGUSR1);
    check(count[SIGUSR1] == before + 2 && deepest == 1, "deferred: %d deep", deepest);
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    check_call(sigaction(SIGUSR1, &action, 0));
    depth = deepest = 0;
    raise(SIGUSR1);
    check(count[SIGUSR1] == before + 4 && deepest == 2, "SA_NODEFER: %d deep", deepest);
    action.sa_flags = SA_SIGINFO | SA_RESETHAND;
    action.sa_sigaction = on_inner;
    check_call(sigaction(SIGURG, &action, &old));
    before = count[SIGURG];
    raise(SIGURG); /* its default is to be ignored */
    raise(SIGURG);
    check(count[SIGURG] == before + 1, "SA_RESETHAND: came %d times", count[SIGURG] - before);
    check_call(sigaction(SIGURG, 0, &old));
    check(old.sa_handler == SIG_DFL);
    check(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
    raise(SIGUSR2);
    check(signal(SIGUSR2, SIG_DFL) == SIG_IGN);
}

static void masks(void)
{
    uint64_t state = victim.rounds + 1, expected = 0;
    const uint64_t never = BIT(SIGKILL) | BIT(SIGSTOP) | BIT(32) | BIT(33); /* 32 and 33 are the C library's own */
    for (int i = 0; i < 40; i++) {
        uint64_t bits = next_number(&state) & ~never, was;
        sigset_t set, old;
        memset(&set, 0, sizeof set);
        memcpy(&set, &bits, 8);
        int how = i % 3 == 0 ? SIG_BLOCK : i % 3 == 1 ? SIG_UNBLOCK : SIG_SETMASK;
        check_call(sigprocmask(how, &set, &old));
        memcpy(&was, &old, 8);
        check(was == expected, "the old mask is %llx, not %llx", (unsigned long long)was, (unsigned long long)expected);
        expected = how == SIG_BLOCK ? expected | bits : how == SIG_UNBLOCK ? expected & ~bits : bits;
        check_mask(expected, "after a change");
    }
    /* KILL and STOP cannot be blocked, and a wrong request changes nothing. */
    sigset_t all;
    memset(&all, 0xff, sizeof all);
    check(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, 0, 8L) == 0);
    uint64_t got;
    check(syscall(SYS_rt_sigprocmask, SIG_SETMASK, 0, &got, 8L) == 0);
    check(got == ~(BIT(SIGKILL) | BIT(SIGSTOP)), "all blocked is %llx", (unsigned long long)got);
    uint64_t none = 0;
    check(syscall(SYS_rt_sigprocmask, 77L, &none, &got, 8L) == -1 && errno == EINVAL);
    check(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, 0, 4L) == -1 && errno == EINVAL);
    check(syscall(SYS_rt_sigprocmask, SIG_SETMASK, (void *)8, 0, 8L) == -1 && errno == EFAULT);
    check(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, &got, 8L) == 0 && got == ~(BIT(SIGKILL) | BIT(SIGSTOP)));
    /* What was blocked comes at the unblocking, before the call returns. */
    handle(SIGUSR1, on_inner, 0);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    check_call(sigprocmask(SIG_BLOCK, &one, 0));
    int before = count[SIGUSR1];
    raise(SIGUSR1);
    raise(SIGUSR1);
    check(count[SIGUSR1] == before);
    check_call(sigprocmask(SIG_UNBLOCK, &one, 0));
    check(count[SIGUSR1] == before + 1, "a pending signal came %d times", count[SIGUSR1] - before);
}

static pthread_t first;
static volatile sig_atomic_t answered;

static void on_thread(int number, siginfo_t *info, void *context)
{
    (void)info;
    check_frame(context);
    check(!pthread_equal(pthread_self(), first) == (number == SIGUSR2), "signal %d in the wrong thread", number);
    if (number == SIGUSR2)
        check(!pthread_kill(first, SIGWINCH));
    else
        answered = 1;
}

static volatile sig_atomic_t stop_other;

static void *other_thread(void *unused)
{
    while (!stop_other)
        sched_yield();
    return unused;
}

static void between_threads(void)
{
    pthread_t other;
    first = pthread_self();
    handle(SIGUSR2, on_thread, 0);
    handle(SIGWINCH, on_thread, 0);
    stop_other = 0;
    check(!pthread_create(&other, 0, other_thread, 0));
    for (int i = 0; i < 10; i++) {
        answered = 0;
        check(!pthread_kill(other, SIGUSR2));
        for (int64_t began = now_ns(); !answered;)
            check(now_ns() - began < 10000000000LL, "no answer for 10 s");
    }
    stop_other = 1;
    check(!pthread_join(other, 0));
}

int main(void)
{
    learn_own_text();
    while (victim_round()) {
        inside_each_other();
        flags();
        masks();
        between_threads();
    }
    return victim_end();
}
