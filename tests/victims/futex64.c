/* 64 threads hand a token round by condition variables, and count under one mutex, a barrier and a read-write lock. */
#include "victim.h"
#include <pthread.h>

#define THREADS 64

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, counting = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turns[THREADS];
static pthread_barrier_t barrier;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t token, counted, by_atomic, pair[2];
static int stop, turn;
static uint64_t passed[THREADS];

static void *work(void *opaque)
{
    int me = (int)(intptr_t)opaque;
    uint64_t state = (uint64_t)me + 1;
    for (;;) {
        for (int i = 0; i < 4; i++) {
            pthread_mutex_lock(&mutex);
            while (turn != me)
                check(!pthread_cond_wait(&turns[me], &mutex));
            passed[me]++;
            token++;
            turn = (me + 1) % THREADS;
            pthread_cond_signal(&turns[turn]);
            pthread_mutex_unlock(&mutex);
        }
        for (int i = 0; i < 100; i++) {
            pthread_mutex_lock(&counting);
            counted++;
            pthread_mutex_unlock(&counting);
            __atomic_add_fetch(&by_atomic, next_number(&state) % 8, __ATOMIC_RELAXED);
            if (me % 8 == 0 && i % 16 == 0) {
                pthread_rwlock_wrlock(&lock);
                pair[0]++;
                sched_yield();
                pair[1]++;
                pthread_rwlock_unlock(&lock);
            } else {
                pthread_rwlock_rdlock(&lock);
                check(pair[0] == pair[1], "a reader saw half a write");
                pthread_rwlock_unlock(&lock);
            }
        }
        /* Everyone has done the same number of rounds here; the main thread looks between the two barriers. */
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        if (stop)
            return opaque;
    }
}

int main(void)
{
    pthread_t threads[THREADS];
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 16);
    check(!pthread_barrier_init(&barrier, 0, THREADS + 1));
    for (int i = 0; i < THREADS; i++)
        check(!pthread_cond_init(&turns[i], 0));
    for (int i = 0; i < THREADS; i++)
        check(!pthread_create(&threads[i], &small, work, (void *)(intptr_t)i));
    uint64_t rounds = 0;
    for (int more = victim_round(); more;) {
        pthread_barrier_wait(&barrier);
        rounds++;
        check(token == rounds * 4 * THREADS && counted == rounds * 100 * THREADS, "%llu tokens, %llu counts after %llu rounds",
              (unsigned long long)token, (unsigned long long)counted, (unsigned long long)rounds);
        for (int i = 0; i < THREADS; i++)
            check(passed[i] == rounds * 4, "thread %d", i);
        more = victim_round();
        stop = !more;
        pthread_barrier_wait(&barrier);
    }
    for (int i = 0; i < THREADS; i++) {
        void *got;
        check(!pthread_join(threads[i], &got) && (int)(intptr_t)got == i);
    }
    return victim_end();
}
