/* An overwritten function pointer that is jumped to: the last thing that a function does. */
#include "hostile.h"

static struct session {
    char name[64];
    int (*greet)(const char *);
} only;

static NOINLINE int hello(const char *name) { return name[0]; }

static NOINLINE int finish(void)
{
    int done;
    __asm__ volatile("call 1f; jmp 2f; 1: jmp *%2; 2:" : "=a"(done) : "D"(only.name), "r"(only.greet) : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
    return done;
}

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes)
{
    only.greet = hello;
    memcpy(only.name, data, bytes);
    finish();
}
