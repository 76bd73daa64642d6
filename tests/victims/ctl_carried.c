/* For each pair of standard input, a seed and how many rounds: sums in which carry and overflow live over arithmetic, address reckoning and
 * vectors, while a timer's handler makes flags of its own. Prints "ready", then what has come of each pair, and how many signals came. */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#define ROUNDS_MAX 1000000

static volatile long signals;

static void on_alarm(int signal)
{
    uint64_t value = (uint64_t)signal;
    __asm__ volatile("xor %%eax, %%eax; add $5, %%eax; cmp %%rax, %0" : "+r"(value) : : "rax", "cc");
    signals++;
}

static void ring(int microseconds)
{
    struct itimerval every = {{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &every, NULL);
}

int main(void)
{
    uint64_t pair[2];
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    puts("ready");
    fflush(stdout);
    while (read(0, pair, sizeof pair) == sizeof pair) {
        uint64_t a = pair[0], b = pair[0] * 3 + 1, d = 7, rounds = 0;
        uint32_t e = (uint32_t)a;
        while (rounds < pair[1] && rounds < ROUNDS_MAX)
            rounds++; /* decided by input, and none itself */
        ring(150);
        for (uint64_t round = 0; round < rounds; round++)
            __asm__ volatile(
                "add %[a], %[b]\n lea 5(%[a],%[b],2), %[d]\n adc %[d], %[a]\n inc %[b]\n adc $3, %[d]\n seto %%r8b\n"
                "sbb %[b], %[a]\n mov %k[e], %%eax\n cmp %[a], %[b]\n cdqe\n movq %[b], %%xmm1\n pxor %%xmm1, %%xmm2\n"
                "punpcklqdq %%xmm2, %%xmm1\n pcmpeqb %%xmm2, %%xmm1\n pmovmskb %%xmm1, %%r9d\n adc %%r9, %[b]\n setp %%r9b\n"
                "mov $13, %%ecx\n cmp %[d], %[b]\n rcr $1, %[a]\n jo 1f\n shl %%cl, %k[e]\n 1: movzbl %%r8b, %%r8d\n"
                "movzbl %%r9b, %%r9d\n add %%r8, %[a]\n adc %%r9, %[b]\n adc %%rax, %[d]\n xor %k[b], %k[e]\n"
                : [a] "+r"(a), [b] "+r"(b), [d] "+r"(d), [e] "+r"(e)
                :
                : "rax", "rcx", "r8", "r9", "xmm1", "xmm2", "cc");
        ring(0);
        printf("%016lx %016lx %016lx %08x %ld\n", a, b, d, e, signals);
        fflush(stdout);
    }
    return 0;
}
