/* Thread-local storage of every model, in twelve threads: values stay each thread's own, and fs points where it did. */
#include "victim.h"
#include <asm/prctl.h>
#include <pthread.h>
#include <sys/syscall.h>

#define THREADS 12
static __thread uint64_t a = 5, b[64];
static __thread char text[100] = "as it begins";
__thread uint64_t outside __attribute__((tls_model("global-dynamic"))) = 9;
static volatile int stop;
static uint64_t rounds[THREADS];

static void *work(void *opaque)
{
    uint64_t me = (uintptr_t)opaque, fs, self, state = me + 1;
    check(a == 5 && b[7] == 0 && !strcmp(text, "as it begins") && outside == 9);
    check(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs) == 0);
    __asm__ volatile("movq %%fs:0, %0" : "=r"(self));
    check(fs == self && (uint64_t)pthread_self() == self, "fs %llx, %llx", (unsigned long long)fs, (unsigned long long)self);
    snprintf(text, sizeof text, "thread %llu", (unsigned long long)me);
    uint64_t sum = 0;
    a = outside = 0;
    while (!stop) {
        for (int i = 0; i < 10000; i++) {
            uint64_t n = next_number(&state) >> 8;
            sum += n;
            a += n;
            b[i % 64] = n;
            outside += n;
            check(b[i % 64] == n && a == sum && outside == sum, "thread %llu", (unsigned long long)me);
        }
        errno = (int)me + 1000;
        sched_yield();
        check(errno == (int)me + 1000);
        char want[32];
        snprintf(want, sizeof want, "thread %llu", (unsigned long long)me);
        check(!strcmp(text, want));
        __asm__ volatile("movq %%fs:0, %0" : "=r"(self));
        check(fs == self);
        __atomic_add_fetch(&rounds[me], 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

int main(void)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        check(!pthread_create(&threads[i], 0, work, (void *)i));
    uint64_t seen[THREADS] = {0};
    while (victim_round())
        for (int i = 0; i < THREADS; i++) {
            for (int64_t began = now_ns(); __atomic_load_n(&rounds[i], __ATOMIC_SEQ_CST) == seen[i]; nap_ms(1))
                check(now_ns() - began < 20000000000LL, "thread %d stands still", i);
            seen[i] = rounds[i];
        }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        check(!pthread_join(threads[i], 0));
    return victim_end();
}
