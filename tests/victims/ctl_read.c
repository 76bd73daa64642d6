/* Waits in read() and echoes. Prints "EINTR" and ends if read ever says that. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    char bytes[256];
    for (;;) {
        ssize_t got = read(0, bytes, sizeof bytes);
        if (got < 0) {
            puts(errno == EINTR ? "EINTR" : "failed");
            return 1;
        }
        if (got == 0)
            return 0;
        if (write(1, bytes, got) != got)
            return 1;
    }
}
