/* A process that starts itself anew, again and again, carrying its count along: its place and its descriptors stay. */
#include "victim.h"
#include <signal.h>

int main(int argc, char **argv)
{
    (void)argc;
    const char *carried = getenv("VICTIM_CARRIED"), *most = getenv("VICTIM_ROUNDS");
    char *end = 0;
    unsigned long long count = carried ? strtoull(carried, &end, 10) : 0, pid = end && *end ? strtoull(end + 1, 0, 10) : 0;
    check(!carried || pid == (unsigned long long)getpid(), "the process number changed from %llu", pid);
    struct sigaction old;
    check_call(sigaction(SIGUSR1, 0, &old));
    check(old.sa_handler == SIG_DFL, "a handler has survived exec");
    sigset_t set;
    check_call(sigprocmask(SIG_SETMASK, 0, &set));
    check(sigismember(&set, SIGUSR2) == (count > 0), "the mask has not survived exec");
    stack_t stack;
    check_call(sigaltstack(0, &stack));
    check(stack.ss_flags == SS_DISABLE);
    struct sigaction action = {.sa_handler = _exit};
    check_call(sigaction(SIGUSR1, &action, 0));
    sigaddset(&set, SIGUSR2);
    check_call(sigprocmask(SIG_SETMASK, &set, 0));
    if (count == 1)
        check(write(1, "ready\n", 6) == 6);
    if (count % 16 == 2)
        say_number("", count);
    nap_ms(5);
    struct pollfd input = {0, POLLIN, 0};
    if (most ? count >= strtoull(most, 0, 10) : count > 1 && poll(&input, 1, 0) != 0) {
        victim.rounds = count;
        return victim_end();
    }
    char text[64];
    snprintf(text, sizeof text, "%llu %d", count + 1, getpid());
    setenv("VICTIM_CARRIED", text, 1);
    execv("/proc/self/exe", argv);
    WRONG("execv: errno %d", errno);
}
