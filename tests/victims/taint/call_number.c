/* System calls from a table of the program's own: number and arguments lie behind a name. */
#include "hostile.h"
#include <sys/syscall.h>

static struct session {
    char name[64];
    struct {
        uint64_t number, first, second, third;
    } calls[2];
} only;

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes)
{
    memset(&only, 0, sizeof only);
    only.calls[0].number = only.calls[1].number = SYS_getpid;
    memcpy(only.name, data, bytes < sizeof only ? bytes : sizeof only);
    for (int i = 0; i < 2; i++)
        syscall((long)only.calls[i].number, only.calls[i].first, only.calls[i].second, only.calls[i].third);
}
