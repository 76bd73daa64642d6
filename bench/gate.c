/* What is preloaded into a program that `peace.py` possesses from its beginning: it waits for a byte on standard input. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void wait_for_byte(void)
{
    char byte;
    unsetenv("LD_PRELOAD"); /* what it starts itself need not wait */
    if (read(0, &byte, 1) != 1)
        _exit(98);
}
