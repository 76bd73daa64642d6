/* The address of a signal's handler lies behind a name: the kernel is told it, and goes there when the signal comes. */
#include "hostile.h"

static struct session {
    char name[64];
    void (*on_signal)(int);
} only;

static volatile int heard;
static void usual(int number) { heard += number; }

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes)
{
    only.on_signal = usual;
    memcpy(only.name, data, bytes);
    signal(SIGUSR2, only.on_signal);
    raise(SIGUSR2);
}
