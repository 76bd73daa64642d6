/* Three calls deep it keeps on its stack what came from standard input, says where, and waits in pause().
 * Prints "here BUFFER BYTES". For tests that write an alert about it into its mailbox. */
#include <stdio.h>
#include <unistd.h>

__attribute__((noinline)) int take_in(void)
{
    char bytes[512];
    ssize_t got = read(0, bytes, sizeof bytes);
    printf("here %p %zd\n", (void *)bytes, got);
    fflush(stdout);
    pause();
    return bytes[0];
}

__attribute__((noinline)) int serve_one(void)
{
    return take_in() + 1;
}

__attribute__((noinline)) int serve(void)
{
    return serve_one() + 1;
}

int main(void)
{
    return serve() + 1;
}
