/* A block is copied into a buffer on the stack, as long as the peer says: the return address is overwritten. */
#include "hostile.h"

static NOINLINE int remember(const uint8_t *data, size_t bytes)
{
    uint8_t name[64];
    memcpy(name, data, bytes);
    NOTE_DISTANCE(name);
    return name[0];
}

static void prepare(void)
{
    remember(slots[0], 1);
    AT(distance);
}

static void handle(uint8_t *data, size_t bytes) { remember(data, bytes); }
