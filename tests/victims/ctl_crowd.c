/* A crowd: N threads (first argument) that work and check, and W at a time (second) that come and go, in here and in a child.
 * Prints "good" after each wave while all is as it should be, "bad WHY" otherwise. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 128 * 1024, NUMBERS = 24 };

static void bad(const char *why, int error)
{
    printf("bad %s: %s\n", why, strerror(error));
    exit(1);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Much of the C library, so that there is code to translate: numbers to text and back, sorted. */
static double work(unsigned seed)
{
    double numbers[NUMBERS], sum = 0;
    for (int i = 0; i < NUMBERS; i++) {
        char text[64], *copy;
        snprintf(text, sizeof text, "%.3f %x", (seed % 97) * 3.5 - i * i, i);
        copy = strdup(text);
        numbers[i] = strtod(copy, NULL);
        free(copy);
    }
    qsort(numbers, NUMBERS, sizeof *numbers, by_value);
    for (int i = 0; i < NUMBERS; i++)
        sum += numbers[i] * (i + 1);
    return sum;
}

static void *stay(void *opaque)
{
    unsigned seed = (unsigned)(uintptr_t)opaque;
    double first = work(seed);
    for (;;) {
        struct timespec nap = {0, 200000000 + (seed % 100) * 1000000};
        nanosleep(&nap, NULL);
        if (work(seed) != first)
            bad("sum", 0);
    }
    return NULL;
}

static pthread_barrier_t all;

static void *pass(void *opaque)
{
    unsigned seed = (unsigned)(uintptr_t)opaque;
    pthread_barrier_wait(&all); /* so many at a time */
    if (work(seed) != work(seed))
        bad("sum", 0);
    return opaque;
}

static pthread_attr_t small;

static void wave(int coming)
{
    pthread_t *threads = calloc((size_t)coming + 1, sizeof *threads);
    int error;
    pthread_barrier_init(&all, NULL, (unsigned)coming + 1);
    for (int i = 0; i < coming; i++)
        if ((error = pthread_create(&threads[i], &small, pass, (void *)(uintptr_t)i)))
            bad("create in a wave", error);
    pthread_barrier_wait(&all);
    for (int i = 0; i < coming; i++)
        pthread_join(threads[i], NULL);
    free(threads);
}

int main(int count, char **words)
{
    int staying = count > 1 ? atoi(words[1]) : 64, coming = count > 2 ? atoi(words[2]) : 16, error, status;
    pthread_t one;
    setvbuf(stdout, NULL, _IOLBF, 0);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK_BYTES);
    for (int i = 1; i < staying; i++)
        if ((error = pthread_create(&one, &small, stay, (void *)(uintptr_t)i)))
            bad("create", error);
    for (;;) {
        wave(coming);
        pid_t child = coming ? fork() : 0;
        if (coming && !child) {
            wave(coming / 4);
            _exit(0);
        }
        if (child && (waitpid(child, &status, 0) != child || status))
            bad("child", 0);
        puts("good");
        usleep(50000);
    }
}
