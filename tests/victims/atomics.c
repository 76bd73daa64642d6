/* lock cmpxchg, cmpxchg16b, xadd, xchg, bts, inc and plain spin locks, from four threads on the same words. */
#include "victim.h"
#include <pthread.h>

#define THREADS 4
#define TURNS 4000

static uint64_t added, swapped, incremented, under_lock, taken_bits[4], seats[THREADS];
static _Alignas(16) uint64_t two[2];
static uint32_t spin;
static uint64_t exchanged_in[THREADS], exchanged_out[THREADS], mailbox;
static pthread_barrier_t barrier;
static int stop;

static void *work(void *opaque)
{
    uint64_t me = (uintptr_t)opaque;
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (stop)
            return 0;
        for (uint64_t i = 1; i <= TURNS; i++) {
            uint64_t one = 3, old;
            __asm__ volatile("lock xaddq %0, %1" : "+r"(one), "+m"(added) : : "memory", "cc");
            do {
                old = __atomic_load_n(&swapped, __ATOMIC_RELAXED);
            } while (!__sync_bool_compare_and_swap(&swapped, old, old * 1 + 7));
            __asm__ volatile("lock incq %0" : "+m"(incremented) : : "memory", "cc");
            /* Both halves of a pair move together. */
            uint64_t low = two[0], high = two[1];
            uint8_t done;
            do {
                uint64_t new_low = low + 1, new_high = high + 2;
                __asm__ volatile("lock cmpxchg16b %1\n sete %0" : "=q"(done), "+m"(two), "+a"(low), "+d"(high) : "b"(new_low), "c"(new_high) : "memory", "cc");
            } while (!done);
            check(high == 2 * low, "a pair was torn: %llu, %llu", (unsigned long long)low, (unsigned long long)high);
            /* A spin lock. */
            uint32_t got;
            do {
                got = 1;
                __asm__ volatile("xchgl %0, %1\n pause" : "+r"(got), "+m"(spin) : : "memory");
                if (got)
                    sched_yield();
            } while (got);
            under_lock += i;
            __asm__ volatile("movl $0, %0" : "=m"(spin) : : "memory");
            /* Values passed through a mailbox: what went in came out, once. */
            uint64_t letter = me << 32 | i;
            exchanged_in[me] += letter;
            __asm__ volatile("xchgq %0, %1" : "+r"(letter), "+m"(mailbox) : : "memory");
            exchanged_out[me] += letter;
            /* A seat is taken by one. */
            uint64_t seat = i % 256;
            uint8_t was;
            __asm__ volatile("lock btsq %2, %1\n setc %0" : "=q"(was), "+m"(taken_bits) : "r"(seat) : "memory", "cc");
            if (!was)
                seats[me]++;
        }
        pthread_barrier_wait(&barrier);
    }
}

int main(void)
{
    pthread_t threads[THREADS];
    check(!pthread_barrier_init(&barrier, 0, THREADS + 1));
    for (uintptr_t i = 0; i < THREADS; i++)
        check(!pthread_create(&threads[i], 0, work, (void *)i));
    const uint64_t all = THREADS * TURNS;
    while (victim_round()) {
        added = swapped = incremented = under_lock = mailbox = two[0] = two[1] = 0;
        memset(taken_bits, 0, sizeof taken_bits);
        memset(seats, 0, sizeof seats);
        memset(exchanged_in, 0, sizeof exchanged_in);
        memset(exchanged_out, 0, sizeof exchanged_out);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        check(added == 3 * all && swapped == 7 * all && incremented == all);
        check(two[0] == all && two[1] == 2 * all);
        check(under_lock == THREADS * (uint64_t)TURNS * (TURNS + 1) / 2);
        uint64_t in = 0, out = mailbox, sat = 0;
        for (int i = 0; i < THREADS; i++)
            in += exchanged_in[i], out += exchanged_out[i], sat += seats[i];
        check(in == out && sat == 256, "sat %llu", (unsigned long long)sat);
    }
    stop = 1;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++)
        check(!pthread_join(threads[i], 0));
    return victim_end();
}
