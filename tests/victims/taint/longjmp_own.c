/* A jump buffer behind a name, with plain addresses in it, as the compiler's own __builtin_longjmp has it. */
#include "hostile.h"

static struct session {
    char name[64];
    void *back[5];
} only;

static void prepare(void) {}

static NOINLINE void leave(void) { __builtin_longjmp(only.back, 1); }

static NOINLINE void begin(const uint8_t *data, size_t bytes)
{
    if (!__builtin_setjmp(only.back)) {
        memcpy(only.name, data, bytes);
        leave();
    }
}

static void handle(uint8_t *data, size_t bytes) { begin(data, bytes); }
