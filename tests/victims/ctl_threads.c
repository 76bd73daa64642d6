/* N threads (first argument): a third compute and check, a third wait in futex with a timeout, a third in a pipe.
 * Prints "good" every half second while all is as it should be, "bad WHY" otherwise. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static _Atomic unsigned long turns;

static void bad(const char *why)
{
    printf("bad %s\n", why);
    exit(1);
}

static void *compute(void *unused)
{
    (void)unused;
    uint64_t first = 0;
    for (;;) {
        uint64_t a = 1, sum = 0;
        for (uint64_t i = 0; i < 100000; i++) {
            a = a * 6364136223846793005u + i;
            sum ^= a >> 9;
        }
        if (first && sum != first)
            bad("sum");
        first = sum;
        turns++;
        usleep(2000);
    }
}

static void *timed(void *unused)
{
    (void)unused;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 50000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_mutex_lock(&mutex);
        int result = pthread_cond_timedwait(&condition, &mutex, &until);
        pthread_mutex_unlock(&mutex);
        if (result != ETIMEDOUT)
            bad("timedwait");
        turns++;
    }
}

static void *piped(void *unused)
{
    (void)unused;
    int ends[2];
    char byte;
    if (pipe(ends))
        bad("pipe");
    ssize_t got = read(ends[0], &byte, 1); /* for ever */
    bad(got < 0 && errno == EINTR ? "EINTR" : "read");
    return NULL;
}

int main(int count, char **words)
{
    static void *(*const kinds[])(void *) = {compute, timed, piped};
    int threads = count > 1 ? atoi(words[1]) : 64;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, kinds[i % 3], NULL))
            bad("create");
    }
    for (;;) {
        unsigned long before = turns;
        struct timespec half = {0, 500000000};
        if (nanosleep(&half, NULL))
            bad("nanosleep");
        if (turns == before)
            bad("stands still");
        puts("good");
    }
}
