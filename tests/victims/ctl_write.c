/* Moves much, most of the time in the middle of it, by every call that moves in pieces. Each must answer the whole, and every byte come
 * once and in its place. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MUCH = 1 << 18, WAYS = 5 };
static char much[MUCH];
static int ends[2], pair[2], other[2], file;

static char pattern(size_t at) { return (char)(at * 7 ^ at >> 8); }

static void receive(int from)
{
    static char sink[1 << 14];
    usleep(20000);
    for (size_t at = 0; at < MUCH;) {
        ssize_t got = read(from, sink, sizeof sink);
        if (got <= 0)
            exit(2);
        for (ssize_t k = 0; k < got; k++)
            if (sink[k] != pattern(at + (size_t)k)) {
                dprintf(1, "bad: byte %zu is another's\n", at + (size_t)k);
                exit(1);
            }
        at += (size_t)got;
        usleep(1000);
    }
}

static void *drain(void *unused)
{
    (void)unused;
    for (int way = 0;; way = (way + 1) % WAYS) {
        receive(way < 2 ? ends[0] : pair[0]);
        usleep(20000);
        if (write(other[1], "1234567", 7) != 7)
            exit(2);
    }
    return NULL;
}

static ssize_t move(int way)
{
    struct iovec parts[3] = {{much, 100}, {much + 100, MUCH - 5000}, {much + MUCH - 4900, 4900}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    off_t from = 0;
    switch (way) {
    case 0: return write(ends[1], much, MUCH);
    case 1: return writev(ends[1], parts, 3);
    case 2: return sendfile(pair[1], file, &from, MUCH);
    case 3: return send(pair[1], much, MUCH, 0);
    default: return sendmsg(pair[1], &message, 0);
    }
}

int main(void)
{
    pthread_t thread;
    char got[16];
    for (size_t at = 0; at < MUCH; at++)
        much[at] = pattern(at);
    file = memfd_create("much", 0);
    if (file < 0 || write(file, much, MUCH) != MUCH || pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
        socketpair(AF_UNIX, SOCK_STREAM, 0, other) || pthread_create(&thread, NULL, drain, NULL))
        return 2;
    for (int way = 0;; way = (way + 1) % WAYS) {
        ssize_t moved = move(way);
        if (moved != MUCH) {
            dprintf(1, "bad: way %d moved %zd\n", way, moved);
            return 1;
        }
        usleep(30000);
        if (write(other[1], "12345", 5) != 5 || (moved = recv(other[0], got, 12, MSG_WAITALL)) != 12) {
            dprintf(1, "bad: received %zd\n", moved);
            return 1;
        }
        dprintf(1, "good\n");
    }
}
