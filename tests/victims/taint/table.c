/* An index from the peer into a table of functions, unchecked. Behind the table are the administrator's functions, and then
 * the peer's name: an address of the program's own, or input. A message: the index (8 bytes), then the name. */
#include "hostile.h"

static volatile int greeted;
static void hello(void) { greeted++; }

static struct {
    void (*ordinary[4])(void);
    void (*privileged[4])(void);
    char name[64];
} all = {{hello, hello, hello, hello}, {hijacked, hijacked, hijacked, hijacked}, ""};

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes)
{
    uint64_t index = 0;
    memcpy(&index, data, bytes < 8 ? bytes : 8);
    if (bytes > 8)
        memcpy(all.name, data + 8, bytes - 8 < 64 ? bytes - 8 : 64);
    all.ordinary[index]();
}
