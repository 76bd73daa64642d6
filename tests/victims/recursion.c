/* 100,000 frames deep: the stack grows while it runs, every frame's content and every return address holds. Then the
 * same through pointers, so that calls and returns do not pair in the way that a return predictor expects. */
#include "victim.h"
#include <pthread.h>
#include <sys/resource.h>

struct frame {
    struct frame *up;
    uint64_t depth, mark;
};

static NOINLINE uint64_t down(struct frame *up, uint64_t depth, uint64_t n)
{
    struct frame here = {up, depth, depth * 0x9e3779b97f4a7c15ULL};
    uint64_t sum = depth < n ? down(&here, depth + 1, n) : 0;
    check(here.up == up && here.depth == depth && here.mark == depth * 0x9e3779b97f4a7c15ULL, "frame %llu", (unsigned long long)depth);
    return sum + depth;
}

typedef uint64_t step(uint64_t n);
static NOINLINE uint64_t even(uint64_t n);
static NOINLINE uint64_t odd(uint64_t n);
static step *volatile steps[2] = {even, odd};
static NOINLINE uint64_t even(uint64_t n) { return n ? steps[1](n - 1) + 1 : 0; }
static NOINLINE uint64_t odd(uint64_t n) { return n ? steps[0](n - 1) + 2 : 0; }

static void *in_thread(void *unused)
{
    check(down(0, 0, 20000) == 20000ULL * 20001 / 2);
    return unused;
}

int main(int argc, char **argv)
{
    (void)argc;
    struct rlimit limit;
    check_call(getrlimit(RLIMIT_STACK, &limit));
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < (60 << 20)) {
        limit.rlim_cur = 64 << 20;
        check_call(setrlimit(RLIMIT_STACK, &limit));
        execv("/proc/self/exe", argv); /* the limit holds from the next program on */
    }
    while (victim_round()) {
        check(down(0, 0, 100000) == 100000ULL * 100001 / 2);
        check(even(100000) == 150000);
        pthread_t thread;
        check(!pthread_create(&thread, 0, in_thread, 0));
        pthread_join(thread, 0);
    }
    return victim_end();
}
