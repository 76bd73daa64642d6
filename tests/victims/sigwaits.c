/* Signals that are waited for: sigsuspend, sigwait, sigwaitinfo, sigtimedwait, signalfd. A child that was there before
 * sends them when it is told to; each must come exactly once, to the one that waits. */
#define HEARS_SIGNALS 1
#include "frames.h"
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

static int order_pipe[2];
static pid_t sender;
static volatile sig_atomic_t handled;

struct order {
    int number, value;
    unsigned delay_us;
};

static void be_sender(pid_t to)
{
    struct order order;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(order_pipe[1]);
    while (read(order_pipe[0], &order, sizeof order) == sizeof order) {
        usleep(order.delay_us);
        if (sigqueue(to, order.number, (union sigval){.sival_int = order.value}))
            _exit(1);
    }
    _exit(0);
}

static void send_later(int number, int value, unsigned delay_us)
{
    struct order order = {number, value, delay_us};
    check(write(order_pipe[1], &order, sizeof order) == sizeof order);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    check(number == SIGUSR1 && info->si_code == SI_QUEUE && info->si_pid == sender);
    check_frame(context);
    handled++;
}

int main(void)
{
    learn_own_text();
    check_call(pipe(order_pipe));
    pid_t me = getpid();
    sender = fork();
    if (!sender)
        be_sender(me);
    close(order_pipe[0]);
    sigset_t set, empty, got;
    sigemptyset(&empty);
    sigemptyset(&set);
    for (int i = 0; i < 3; i++)
        sigaddset(&set, SIGRTMIN + i);
    sigaddset(&set, SIGUSR1);
    check_call(sigprocmask(SIG_BLOCK, &set, 0));
    handle(SIGUSR1, on_signal, 0);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    check_call(fd);
    int value = 0;
    siginfo_t info;
    while (victim_round()) {
        unsigned delay = (unsigned)(victim.rounds * 977 % 20000);
        /* sigsuspend: unblocks, lets the handler run, blocks again, says EINTR. */
        int before = handled;
        send_later(SIGUSR1, ++value, delay);
        sigset_t open = set;
        sigdelset(&open, SIGUSR1);
        check(sigsuspend(&open) == -1 && errno == EINTR && handled == before + 1, "handled %d", handled - before);
        check_call(sigprocmask(SIG_BLOCK, &empty, &got));
        check(sigismember(&got, SIGUSR1) && sigismember(&got, SIGRTMIN) && !sigismember(&got, SIGUSR2));
        /* sigwait and sigwaitinfo */
        int number;
        send_later(SIGRTMIN, ++value, delay);
        check(sigwait(&set, &number) == 0 && number == SIGRTMIN);
        send_later(SIGRTMIN + 1, ++value, delay);
        check(sigwaitinfo(&set, &info) == SIGRTMIN + 1 && info.si_value.sival_int == value && info.si_pid == sender);
        /* sigtimedwait: what comes in time, and nothing. */
        struct timespec patience = {20, 0};
        send_later(SIGRTMIN + 2, ++value, delay);
        check(sigtimedwait(&set, &info, &patience) == SIGRTMIN + 2 && info.si_value.sival_int == value, "errno %d", errno);
        struct timespec brief = {0, 30000000};
        int64_t began = now_ns();
        check(sigtimedwait(&set, &info, &brief) == -1 && errno == EAGAIN, "errno %d", errno);
        int64_t took = now_ns() - began;
        check(took >= 30000000 && took < 30000000 + LATE_MS * 1000000LL, "took %lld us", (long long)took / 1000);
        /* signalfd, blocking */
        struct signalfd_siginfo from_fd;
        send_later(SIGRTMIN, ++value, delay);
        check(read(fd, &from_fd, sizeof from_fd) == sizeof from_fd && from_fd.ssi_int == value && (int)from_fd.ssi_signo == SIGRTMIN, "errno %d", errno);
        /* ppoll with a mask that lets the handler in */
        before = handled;
        send_later(SIGUSR1, ++value, delay);
        check(ppoll(0, 0, &patience, &open) == -1 && errno == EINTR && handled == before + 1);
        check_call(sigprocmask(SIG_BLOCK, &empty, &got));
        check(sigismember(&got, SIGUSR1));
    }
    close(order_pipe[1]);
    check(waitpid(sender, 0, 0) == sender);
    return victim_end();
}
