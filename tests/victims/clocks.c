/* The vDSO's clocks against the system call's, the vsyscall page's three entries where it is mapped, rdtsc, rdtscp,
 * cpuid, getcpu. Time does not go backwards, and both ways of asking say the same. */
#include "victim.h"
#include <cpuid.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>

static int64_t ns(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

static int has_vsyscall(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int found = 0;
    check(maps != 0);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "[vsyscall]"))
            found = strstr(line, "xp ") != 0;
    fclose(maps);
    return found;
}

int main(void)
{
    static const clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE};
    int vsyscall = has_vsyscall();
    unsigned a, b, c, d, a0, b0, c0, d0;
    __cpuid(0, a0, b0, c0, d0);
    uint64_t last_tsc = 0;
    while (victim_round()) {
        for (unsigned i = 0; i < sizeof ids / sizeof *ids; i++) {
            struct timespec before, between, after;
            for (int k = 0; k < 50; k++) {
                check(syscall(SYS_clock_gettime, ids[i], &before) == 0);
                check_call(clock_gettime(ids[i], &between));
                check(syscall(SYS_clock_gettime, ids[i], &after) == 0);
                check(ns(before) <= ns(between) && ns(between) <= ns(after), "clock %d: %lld, %lld, %lld", (int)ids[i], (long long)ns(before), (long long)ns(between), (long long)ns(after));
            }
        }
        time_t now = time(0);
        struct timeval of_day;
        check_call(gettimeofday(&of_day, 0));
        check(of_day.tv_sec - now <= 30 && of_day.tv_sec >= now);
        if (vsyscall) {
            time_t (*old_time)(time_t *) = (time_t(*)(time_t *))0xffffffffff600400;
            int (*old_gettimeofday)(struct timeval *, void *) = (int (*)(struct timeval *, void *))0xffffffffff600000;
            int (*old_getcpu)(unsigned *, unsigned *, void *) = (int (*)(unsigned *, unsigned *, void *))0xffffffffff600800;
            time_t stored = 0, got = old_time(&stored);
            check(got == stored && got - now <= 30 && got >= now, "vsyscall time %lld, %lld", (long long)got, (long long)now);
            struct timeval old_day;
            check(old_gettimeofday(&old_day, 0) == 0 && old_day.tv_sec - now <= 30 && old_day.tv_sec >= now);
            unsigned cpu = 999;
            check(old_getcpu(&cpu, 0, 0) == 0 && cpu < 999);
        }
        uint32_t low, high, aux;
        for (int i = 0; i < 100; i++) {
            __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
            uint64_t one = (uint64_t)high << 32 | low;
            __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(aux));
            uint64_t two = (uint64_t)high << 32 | low;
            check(two >= one && one >= last_tsc, "the time stamp counter went back");
            last_tsc = two;
        }
        __cpuid(0, a, b, c, d);
        check(a == a0 && b == b0 && c == c0 && d == d0);
        unsigned cpu, node;
        check(syscall(SYS_getcpu, &cpu, &node, 0) == 0);
        check(sched_getcpu() >= 0);
    }
    return victim_end();
}
