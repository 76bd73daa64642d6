/* Real-time signals queued by another process, each with the next number: they arrive in order and none is lost, lower
 * signals first. Two threads of ours may take them. */
#define HEARS_SIGNALS 1
#include "frames.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct shared {
    volatile uint32_t sent, stop;
} *shared;
static volatile uint32_t received;
static volatile sig_atomic_t blocked_too_early;

static void be_sender(pid_t to)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (!shared->stop) {
        union sigval value = {.sival_int = (int)shared->sent + 1};
        if (sigqueue(to, SIGRTMIN + 2, value) == 0)
            shared->sent++;
        else if (errno != EAGAIN)
            _exit(1);
        if (shared->sent % 16 == 0)
            usleep(500);
    }
    _exit(0);
}

static void on_number(int number, siginfo_t *info, void *context)
{
    check_frame(context);
    check(number == SIGRTMIN + 2 && info->si_code == SI_QUEUE, "code %d", info->si_code);
    check(info->si_value.sival_int == (int)received + 1, "number %d after %u", info->si_value.sival_int, received);
    received++;
}

static volatile sig_atomic_t low, high, wrong_order;

static void on_low(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    check_frame(context);
    low++;
    if (high)
        wrong_order = 1;
}

static void on_high(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info, (void)context;
    high++;
}

int main(void)
{
    learn_own_text();
    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(shared != MAP_FAILED);
    handle(SIGRTMIN + 2, on_number, SA_RESTART);
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, SIGRTMIN + 4);
    sigaddset(&both, SIGRTMIN + 7);
    struct sigaction action = {.sa_sigaction = on_high, .sa_flags = SA_SIGINFO | SA_RESTART};
    action.sa_mask = both;
    check_call(sigaction(SIGRTMIN + 7, &action, 0));
    action.sa_sigaction = on_low;
    check_call(sigaction(SIGRTMIN + 4, &action, 0));
    pid_t me = getpid(), sender = fork();
    if (!sender)
        be_sender(me);
    while (victim_round()) {
        uint32_t before = received;
        for (int64_t began = now_ns(); received < before + 64;)
            check(now_ns() - began < 20000000000LL, "no signal for 20 s; received %u of %u", received, shared->sent);
        /* Queued while blocked, each of them counts: five of one, three of another. When they are let in, the kernel
         * makes the lower number's frame first, so that the higher number's handler, whose frame lies on top, runs
         * first; but each blocks the other here, and so the lower runs first. */
        check_call(sigprocmask(SIG_BLOCK, &both, 0));
        low = high = 0;
        for (int i = 0; i < 3; i++)
            check_call(sigqueue(me, SIGRTMIN + 7, (union sigval){.sival_int = i}));
        for (int i = 0; i < 5; i++)
            check_call(sigqueue(me, SIGRTMIN + 4, (union sigval){.sival_int = i}));
        check_call(sigprocmask(SIG_UNBLOCK, &both, 0));
        check(low == 5 && high == 3 && !wrong_order, "low %d of 5, high %d of 3, wrong order %d", low, high, wrong_order);
    }
    shared->stop = 1;
    check(waitpid(sender, 0, 0) == sender);
    nap_ms(20);
    check(received == shared->sent, "received %u of %u", received, shared->sent);
    return victim_end();
}
