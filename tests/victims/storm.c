/* Threads are made and end, all the time: joined, detached, cancelled in a wait, ended by pthread_exit with cleanup
 * handlers and destructors of thread-specific data; four at once make them. */
#include "victim.h"
#include <pthread.h>

static uint64_t begun, destroyed, cleaned;
static pthread_key_t key;
static volatile int stop;

static void destroy(void *value)
{
    check((uintptr_t)value == 0x1234);
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}
static void clean(void *value) { __atomic_add_fetch((uint64_t *)value, 1, __ATOMIC_SEQ_CST); }

static void *brief(void *n)
{
    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    check(!pthread_setspecific(key, (void *)0x1234));
    volatile uint64_t sum = 0;
    for (uint64_t i = 0; i < (uintptr_t)n * 1000; i++)
        sum += i;
    return (void *)((uintptr_t)n + 1);
}
static void *exits(void *n)
{
    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    check(!pthread_setspecific(key, (void *)0x1234));
    pthread_cleanup_push(clean, &cleaned);
    pthread_exit((void *)((uintptr_t)n + 2));
    pthread_cleanup_pop(0);
}
static void *waits(void *n)
{
    __atomic_add_fetch(&begun, 1, __ATOMIC_SEQ_CST);
    check(!pthread_setspecific(key, (void *)0x1234));
    pthread_cleanup_push(clean, &cleaned);
    for (;;)
        nap_ms(10000);
    pthread_cleanup_pop(0);
    return n;
}

static void *maker(void *opaque)
{
    uint64_t *made = opaque;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    while (!stop) {
        pthread_t t[4];
        void *result;
        check(!pthread_create(&t[0], 0, brief, (void *)7));
        check(!pthread_create(&t[1], 0, exits, (void *)8));
        check(!pthread_create(&t[2], 0, waits, (void *)9));
        check(!pthread_create(&t[3], &detached, brief, (void *)1));
        check(!pthread_join(t[0], &result) && (uintptr_t)result == 8);
        check(!pthread_join(t[1], &result) && (uintptr_t)result == 10);
        check(!pthread_cancel(t[2]));
        check(!pthread_join(t[2], &result) && result == PTHREAD_CANCELED);
        __atomic_add_fetch(made, 4, __ATOMIC_SEQ_CST);
    }
    return 0;
}

int main(void)
{
    pthread_t makers[4];
    static uint64_t made[4];
    check(!pthread_key_create(&key, destroy));
    for (int i = 0; i < 4; i++)
        check(!pthread_create(&makers[i], 0, maker, &made[i]));
    uint64_t last = 0;
    while (victim_round()) {
        uint64_t all;
        for (int64_t began = now_ns();; nap_ms(1)) {
            all = 0;
            for (int i = 0; i < 4; i++)
                all += __atomic_load_n(&made[i], __ATOMIC_SEQ_CST);
            if (all != last)
                break;
            check(now_ns() - began < 20000000000LL, "no thread has ended for 20 s");
        }
        last = all;
    }
    stop = 1;
    uint64_t all = 0;
    for (int i = 0; i < 4; i++) {
        check(!pthread_join(makers[i], 0));
        all += made[i];
    }
    for (int i = 0; i < 5000 && __atomic_load_n(&destroyed, __ATOMIC_SEQ_CST) < begun; i++)
        nap_ms(1); /* the last detached ones */
    /* A thread cancelled before it began its work has neither counted, nor anything to destroy. */
    check(destroyed == begun && begun <= all && begun >= all / 4 * 3, "%llu made, %llu begun, %llu destroyed", (unsigned long long)all, (unsigned long long)begun, (unsigned long long)destroyed);
    check(cleaned >= all / 4, "%llu cleaned", (unsigned long long)cleaned);
    return victim_end();
}
