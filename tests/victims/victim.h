/* What every victim shares: it works in rounds, says how far it is, and stops when its standard input says so.
 *
 * On standard output, one line each:
 *     ready             the first round is done, natively
 *     17                rounds done, every 20 ms or so
 *     WRONG file:line … a result was wrong; the victim is gone with status 1
 *     SOUND 1234        it was asked to stop, and every round was right; status 0
 *
 * It stops when its standard input is closed or has anything to read, or after VICTIM_ROUNDS rounds. No signal is used
 * for that, so a victim has no handler that it does not want.
 */
#ifndef VICTIM_H
#define VICTIM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef HEARS_SIGNALS
#define HEARS_SIGNALS 0 /* 1: a handler may interrupt a round, natively too */
#endif

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline))

/* How much later than its deadline a wait may end before it is called late. Machines that run tests are busy, and a
 * possession freezes for milliseconds; a deadline that is counted anew at each of them shows all the same. */
#define LATE_MS 900

static struct {
    uint64_t rounds, rounds_max;
    int64_t told_ns;
    int ready;
} victim;

static MAYBE_UNUSED int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static MAYBE_UNUSED __attribute__((format(printf, 4, 5), noreturn)) void
wrong(const char *file, int line, const char *what, const char *format, ...)
{
    char text[600];
    va_list rest;
    int n = snprintf(text, 400, "WRONG %s:%d round %llu: %s", file, line, (unsigned long long)victim.rounds, what);
    n = n < 400 ? n : 399;
    va_start(rest, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, rest);
    va_end(rest);
    if (n > (int)sizeof text - 2)
        n = sizeof text - 2;
    text[n++] = '\n';
    if (write(1, text, (size_t)n) < 0)
        _exit(2);
    _exit(1);
}

#define WRONG(...) wrong(__FILE__, __LINE__, "", __VA_ARGS__)

/* `check(count == 3, "count is %d", count)`; with nothing to add, `check(count == 3)`. */
#define check(condition, ...)                                        \
    do {                                                             \
        if (!(condition))                                            \
            wrong(__FILE__, __LINE__, #condition, "  " __VA_ARGS__); \
    } while (0)

/* For calls that tell their failure by errno. */
#define check_call(call)                                                        \
    do {                                                                        \
        if ((call) == -1)                                                       \
            WRONG(#call ": errno %d (%s)", errno, strerror(errno));             \
    } while (0)

static MAYBE_UNUSED void say_number(const char *before, uint64_t number)
{
    char text[64];
    size_t at = sizeof text;
    text[--at] = '\n';
    do
        text[--at] = (char)('0' + number % 10);
    while (number /= 10);
    size_t n = strlen(before);
    at -= n;
    memcpy(text + at, before, n);
    if (write(1, text + at, sizeof text - at) < 0)
        _exit(3);
}

/* True while there is another round to do. */
static MAYBE_UNUSED int victim_round(void)
{
    static int begun;
    if (!begun) {
        const char *most = getenv("VICTIM_ROUNDS");
        victim.rounds_max = most ? strtoull(most, 0, 10) : 0;
        begun = 1;
        return 1;
    }
    victim.rounds++;
    if (victim.rounds_max)
        return victim.rounds < victim.rounds_max;
    if (!victim.ready) {
        if (write(1, "ready\n", 6) != 6)
            _exit(3);
        victim.ready = 1;
    }
    int64_t now = now_ns();
    if (now - victim.told_ns < 20000000)
        return 1;
    victim.told_ns = now;
    say_number("", victim.rounds);
    struct pollfd input = {0, POLLIN, 0};
    int is_asked = poll(&input, 1, 0);
    check(is_asked >= 0 || (HEARS_SIGNALS && errno == EINTR), "poll: errno %d", errno);
    return is_asked <= 0;
}

static MAYBE_UNUSED int victim_end(void)
{
    say_number("SOUND ", victim.rounds);
    return 0;
}

/* xorshift64*: numbers that look random and are the same in every run. */
static MAYBE_UNUSED uint64_t next_number(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1dULL;
}

static MAYBE_UNUSED void nap_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) == -1 && errno == EINTR)
        ;
}

#endif
