/* Measures how long it stands still: each of N threads reads the clock as fast as it can, and the longest gap between
 * two reads since the last line is printed, in microseconds, beside the count. `freeze N`, default 1.
 *
 * With more threads than processors all gaps are long, because threads wait for their turn; so all but the first sleep
 * in a futex and are woken only in turn, as a server's would. */
#include "victim.h"
#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static int stop, turn = -1;

static void *sleeper(void *opaque)
{
    int me = (int)(intptr_t)opaque;
    pthread_mutex_lock(&mutex);
    while (!stop) {
        if (turn == me)
            turn = -1;
        pthread_cond_wait(&wake, &mutex);
    }
    pthread_mutex_unlock(&mutex);
    return 0;
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1;
    pthread_t threads[512];
    pthread_attr_t small;
    check(count >= 1 && count <= 512);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 16);
    for (int i = 1; i < count; i++)
        check(!pthread_create(&threads[i], &small, sleeper, (void *)(intptr_t)i));
    int64_t worst = 0, last = now_ns(), told = last, worst_at = 0;
    while (victim_round()) {
        for (int i = 0; i < 10000; i++) {
            int64_t now = now_ns();
            if (now - last > worst) {
                worst = now - last;
                worst_at = now;
            }
            last = now;
        }
        if (last - told >= 20000000) {
            char text[80];
            int n = snprintf(text, sizeof text, "gap %lld at %lld\n", (long long)worst / 1000, (long long)worst_at);
            check(write(1, text, (size_t)n) == n);
            worst = 0;
            told = last = now_ns();
        }
    }
    pthread_mutex_lock(&mutex);
    stop = 1;
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&mutex);
    for (int i = 1; i < count; i++)
        check(!pthread_join(threads[i], 0));
    return victim_end();
}
