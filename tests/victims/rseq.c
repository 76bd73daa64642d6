/* Restartable sequences: the C library's registration is there, the processor number in it is right, and a hand-made
 * critical section counts for each processor from four threads without losing one. */
#include "victim.h"
#include <pthread.h>
#include <sched.h>
#include <sys/rseq.h>

#define THREADS 4
#define TURNS 20000

static struct counter {
    _Alignas(64) uint64_t value;
} counters[256];
static uint64_t restarts;
static int stop;
static pthread_barrier_t barrier;

static struct rseq *area(void) { return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset); }

/* One more for this processor; begins again when the thread was moved or interrupted in between. */
static void count(struct rseq *rseq)
{
    for (;;) {
        uint64_t restarted = 0;
        __asm__ goto volatile(
            ".pushsection __rseq_cs, \"aw\"\n .balign 32\n 3: .long 0, 0\n .quad 1f, 2f-1f, 4f\n .popsection\n"
            "leaq 3b(%%rip), %%rax\n movq %%rax, 8(%[r])\n"
            "1: movl 4(%[r]), %%ecx\n shlq $6, %%rcx\n movq (%[c], %%rcx), %%rdx\n incq %%rdx\n movq %%rdx, (%[c], %%rcx)\n"
            "2: jmp 5f\n .byte 0x0f, 0xb9, 0x3d\n .long 0x53053053\n 4: jmp %l[restarted]\n 5:"
            : : [r] "r"(rseq), [c] "r"(counters) : "rax", "rcx", "rdx", "memory", "cc" : restarted);
        rseq->rseq_cs = 0;
        return;
    restarted:
        restarted = 1;
        __atomic_add_fetch(&restarts, restarted, __ATOMIC_RELAXED);
    }
}

static void *work(void *unused)
{
    struct rseq *rseq = area();
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (stop)
            return unused;
        for (int i = 0; i < TURNS; i++)
            count(rseq);
        pthread_barrier_wait(&barrier);
    }
}

int main(void)
{
    pthread_t threads[THREADS];
    check(__rseq_size >= 20 || __rseq_size == 32, "the C library has not registered: %u", __rseq_size);
    check(!pthread_barrier_init(&barrier, 0, THREADS + 1));
    for (int i = 0; i < THREADS; i++)
        check(!pthread_create(&threads[i], 0, work, 0));
    uint64_t rounds = 0;
    while (victim_round()) {
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        rounds++;
        uint64_t sum = 0;
        for (int i = 0; i < 256; i++)
            sum += counters[i].value;
        check(sum == rounds * THREADS * TURNS, "counted %llu of %llu", (unsigned long long)sum, (unsigned long long)rounds * THREADS * TURNS);
        /* The number of the processor is one that we may run on. */
        cpu_set_t set;
        check_call(sched_getaffinity(0, sizeof set, &set));
        int cpu = sched_getcpu();
        check(cpu >= 0 && CPU_ISSET(cpu, &set), "processor %d", cpu);
    }
    stop = 1;
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++)
        check(!pthread_join(threads[i], 0));
    return victim_end();
}
