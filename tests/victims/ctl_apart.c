/* For each line of standard input: maps memory and reads it to there, maps more where that would lie a multiple of 4 GiB apart, and calls
 * through a pointer in it. Prints "ready", then "fine" each time. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES (8UL << 20)
#define APART (64UL << 32)

static void fine(void)
{
    puts("fine");
    fflush(stdout);
}

static char *map(char *where, size_t bytes)
{
    return mmap(where, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (where ? MAP_FIXED_NOREPLACE : 0), -1, 0);
}

int main(void)
{
    puts("ready");
    fflush(stdout);
    for (int grown = 0;; grown ^= 1) {
        char *place = map(NULL, 2 * BYTES);
        char *input = map(place - APART, 2 * BYTES);
        size_t bytes = grown ? BYTES : 2 * BYTES;
        munmap(place, 2 * BYTES);
        if (read(0, input + BYTES, 64) <= 0)
            return 0;
        char *other = map(NULL, bytes);
        if (grown)
            other = mremap(other, BYTES, 2 * BYTES, MREMAP_MAYMOVE);
        void (*volatile *next)(void) = (void *)(other + BYTES);
        *next = fine;
        read(0, input + BYTES, 64); /* behind it, so that the tag is the later */
        (*next)();
        munmap(other, 2 * BYTES);
        munmap(input, 2 * BYTES);
    }
}
