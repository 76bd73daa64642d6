/* System calls that a handler interrupts: with SA_RESTART they go on and keep their deadline, without it they say EINTR,
 * once for each signal and never without one. poll, nanosleep and their like say EINTR in either case. */
#define HEARS_SIGNALS 1
#include "frames.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>

static pthread_t waiter;
static int tube[2], quiet[2], polled;
static sem_t go;
static volatile int wanted_signals, delay_us;
static volatile sig_atomic_t came, all;

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number;
    check(info->si_code == SI_TKILL && info->si_pid == getpid());
    check_frame(context);
    came++;
    all++;
}

/* Sends the signals that it is asked for, then a byte if the wait needs one to end. */
static volatile int writes;
static void *sender(void *unused)
{
    for (;;) {
        while (sem_wait(&go))
            ;
        if (wanted_signals < 0)
            return unused;
        for (int i = 0; i < wanted_signals; i++) {
            usleep((useconds_t)delay_us);
            int before = all;
            check(!pthread_kill(waiter, SIGUSR1));
            for (int64_t began = now_ns(); all == before; usleep(100)) /* two that are pending are one, also natively */
                check(now_ns() - began < 20000000000LL, "a signal does not come");
        }
        if (writes) {
            usleep((useconds_t)delay_us);
            check(write(tube[1], "x", 1) == 1);
        }
    }
}

static void ask(int signals, int delay, int write_after)
{
    wanted_signals = signals;
    delay_us = delay;
    writes = write_after;
    came = 0;
    sem_post(&go);
}

static void flags(int f) { handle(SIGUSR1, on_signal, f); }

/* After the wait was interrupted the others of its signals are waited for, so that the next case begins in quiet. */
static void settle(int signals)
{
    for (int64_t began = now_ns(); came < signals;)
        check(now_ns() - began < 20000000000LL, "%d of %d signals came", came, signals);
}

int main(void)
{
    learn_own_text();
    waiter = pthread_self();
    sem_init(&go, 0, 0);
    check_call(pipe(tube));
    check_call(pipe(quiet));
    polled = epoll_create1(0);
    struct epoll_event want = {.events = EPOLLIN};
    check_call(epoll_ctl(polled, EPOLL_CTL_ADD, quiet[0], &want));
    pthread_t thread;
    flags(SA_RESTART);
    sigset_t usr;
    sigemptyset(&usr);
    sigaddset(&usr, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &usr, 0);
    check(!pthread_create(&thread, 0, sender, 0));
    pthread_sigmask(SIG_UNBLOCK, &usr, 0);
    uint64_t state = 6;
    char byte;
    while (victim_round()) {
        int delay = 1000 + (int)(next_number(&state) % 20000);
        /* read with SA_RESTART */
        flags(SA_RESTART);
        ask(3, delay, 1);
        check(read(tube[0], &byte, 1) == 1, "errno %d", errno);
        settle(3);
        /* read without: EINTR as often as signals came while it waited */
        flags(0);
        ask(3, delay, 1);
        int interrupted = 0;
        for (;;) {
            int before = came;
            ssize_t n = read(tube[0], &byte, 1);
            if (n == 1)
                break;
            check(n == -1 && errno == EINTR && came > before, "n %zd errno %d, %d signals", n, errno, came - before);
            interrupted++;
        }
        check(interrupted <= 3);
        settle(3);
        /* poll, epoll_wait and nanosleep: EINTR in spite of SA_RESTART */
        flags(SA_RESTART);
        struct pollfd one = {quiet[0], POLLIN, 0};
        for (int kind = 0; kind < 3; kind++) {
            ask(1, delay, 0);
            int64_t began = now_ns();
            struct timespec two_s = {2, 0}, left = {9, 9};
            struct epoll_event got;
            int n = kind == 0 ? poll(&one, 1, 2000) : kind == 1 ? epoll_wait(polled, &got, 1, 2000) : nanosleep(&two_s, &left);
            int64_t took = now_ns() - began;
            /* The signal may have come before the wait began: then nothing interrupts it. */
            if (took < 1900000000)
                check(n == -1 && errno == EINTR && came == 1, "kind %d: n %d errno %d, %d came", kind, n, errno, came);
            if (kind == 2 && took < 1900000000) {
                int64_t rest = left.tv_sec * 1000000000LL + left.tv_nsec;
                check(rest > 0 && rest <= 2000000000 && took + rest >= 2000000000 - 1000000 && took + rest < 2000000000 + LATE_MS * 1000000LL, "took %lld, left %lld", (long long)took, (long long)rest);
            }
            settle(1);
        }
        /* a relative futex wait under SA_RESTART keeps its deadline */
        sem_t never;
        sem_init(&never, 0, 0);
        struct timespec until;
        int64_t began = now_ns();
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 150000000;
        if (until.tv_nsec >= 1000000000)
            until.tv_sec++, until.tv_nsec -= 1000000000;
        ask(2, delay, 0);
        int n;
        while ((n = sem_timedwait(&never, &until)) == -1 && errno == EINTR)
            ;
        int64_t took = now_ns() - began;
        check(n == -1 && errno == ETIMEDOUT && took >= 149000000 && took < 150000000 + LATE_MS * 1000000LL, "took %lld us", (long long)took / 1000);
        settle(2);
    }
    wanted_signals = -1;
    sem_post(&go);
    check(!pthread_join(thread, 0));
    return victim_end();
}
