/* One word too much: only the saved frame pointer is overwritten. The caller takes its own return address from where that
 * points to. Built without optimisation, so that callers end with `leave`. */
#include "hostile.h"

static NOINLINE int remember(const uint8_t *data, size_t bytes)
{
    uint8_t name[64];
    distance = (uint8_t *)__builtin_frame_address(0) - name;
    size_t most = (size_t)distance + 8; /* so there is place for a word too few */
    memcpy(name, data, bytes < most ? bytes : most);
    return name[0];
}

static NOINLINE int session(const uint8_t *data, size_t bytes)
{
    volatile uint8_t greeting[32] = "hello";
    return remember(data, bytes) + greeting[0];
}

static void prepare(void)
{
    session(slots[0], 0);
    AT(distance);
}

static void handle(uint8_t *data, size_t bytes) { session(data, bytes); }
