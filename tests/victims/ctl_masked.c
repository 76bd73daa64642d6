/* For each byte of standard input: fills so many bytes right before a pointer, then copies so many, and calls through the pointer.
 * The C library does what is short by one masked move where the processor has them. Prints "ready", then "fine" each time. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void fine(void)
{
    puts("fine");
    fflush(stdout);
}

static struct {
    char buffer[48];
    void (*next)(void);
} kept = {"", fine};

int main(void)
{
    unsigned char bytes[64];
    void *(*volatile fill)(void *, int, size_t) = memset;
    void *(*volatile copy)(void *, const void *, size_t) = memcpy;
    puts("ready");
    fflush(stdout);
    for (ssize_t got; (got = read(0, bytes, sizeof bytes)) > 0;) {
        size_t count = bytes[0] & 31;
        fill(kept.buffer + 48 - count, 0, count);
        kept.next();
        copy(kept.buffer + 48 - count, bytes, count);
        kept.next();
    }
    return 0;
}
