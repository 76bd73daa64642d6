/* Writes much into a pipe, most of the time in the middle of it; every write must be whole, and every recv that waits for all. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MUCH = 1 << 18 };
static char much[MUCH], sink[1 << 14];
static int ends[2], pair[2];

static void *drain(void *unused)
{
    (void)unused;
    for (;;) {
        usleep(20000);
        for (int left = MUCH; left > 0;) {
            ssize_t got = read(ends[0], sink, sizeof sink);
            if (got <= 0)
                exit(2);
            left -= (int)got;
            usleep(2000);
        }
        usleep(20000);
        if (write(pair[1], "1234567", 7) != 7)
            exit(2);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    char got[16];
    if (pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || pthread_create(&thread, NULL, drain, NULL))
        return 2;
    for (;;) {
        ssize_t moved = write(ends[1], much, MUCH);
        if (moved != MUCH) {
            dprintf(1, "bad: wrote %zd\n", moved);
            return 1;
        }
        usleep(30000);
        if (write(pair[1], "12345", 5) != 5 || (moved = recv(pair[0], got, 12, MSG_WAITALL)) != 12) {
            dprintf(1, "bad: received %zd\n", moved);
            return 1;
        }
        usleep(30000);
        dprintf(1, "good\n");
    }
}
