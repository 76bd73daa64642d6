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
static uint64_t restarts, slowly;
static int stop;
static pthread_barrier_t barrier;

static struct rseq *area(void) { return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset); }

/* One more for this processor, as librseq does it: the number that was read before must still be the thread's in the
 * critical section, which begins again when the thread was moved or interrupted within. A thread that is not registered
 * (its `cpu_id` is -1) never gets through; after a few attempts it takes the slow way. */
static void count(struct rseq *rseq)
{
    for (int attempt = 0; attempt < 8; attempt++) {
        uint32_t cpu = *(volatile uint32_t *)&rseq->cpu_id_start;
        __asm__ goto volatile(
            ".pushsection __rseq_cs, \"aw\"\n .balign 32\n 3: .long 0, 0\n .quad 1f, 2f-1f, 4f\n .popsection\n"
            "leaq 3b(%%rip), %%rax\n movq %%rax, 8(%[r])\n"
            "1: cmpl %[cpu], 4(%[r])\n jne 4f\n movl %[cpu], %%ecx\n shlq $6, %%rcx\n movq (%[c], %%rcx), %%rdx\n incq %%rdx\n movq %%rdx, (%[c], %%rcx)\n"
            "2: jmp 5f\n .byte 0x0f, 0xb9, 0x3d\n .long 0x53053053\n 4: jmp %l[again]\n 5:"
            : : [r] "r"(rseq), [c] "r"(counters), [cpu] "r"(cpu) : "rax", "rcx", "rdx", "memory", "cc" : again);
        rseq->rseq_cs = 0;
        return;
    again:
        __atomic_add_fetch(&restarts, 1, __ATOMIC_RELAXED);
    }
    rseq->rseq_cs = 0;
    __atomic_add_fetch(&slowly, 1, __ATOMIC_RELAXED);
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
        uint64_t sum = slowly;
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
