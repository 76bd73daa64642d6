/* A child sends queued signals with rising numbers, as fast as they are taken, while the parent computes, sleeps in
 * pause and waits in poll. None may be lost, doubled or out of order. Prints "good" every 500. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static volatile sig_atomic_t expected = 1, wrong;
static int acknowledge[2];

static void taken(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if (info->si_value.sival_int != expected)
        wrong = 1;
    expected++;
    if (write(acknowledge[1], "x", 1) != 1)
        _exit(3);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = taken, .sa_flags = SA_SIGINFO | SA_RESTART};
    pid_t parent = getpid();
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (pipe(acknowledge) || sigaction(SIGRTMIN, &action, NULL))
        return 1;
    if (!fork()) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int number = 1; getppid() == parent; number++) {
            union sigval value = {.sival_int = number};
            char byte;
            if (sigqueue(parent, SIGRTMIN, value) || read(acknowledge[0], &byte, 1) != 1)
                return 1;
        }
        return 0;
    }
    for (int said = 0;;) {
        switch (expected % 3) {
        case 0:
            if (pause() != -1 || errno != EINTR)
                wrong = 1;
            break;
        case 1:
            for (volatile int i = 0; i < 10000; i++) {
            }
            break;
        case 2:
            poll(NULL, 0, 1);
            break;
        }
        if (wrong) {
            puts("bad order");
            return 1;
        }
        if (expected / 500 > said) {
            said = expected / 500;
            puts("good");
        }
    }
}
