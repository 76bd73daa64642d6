/* What the peer said is taken for a format. With %n it writes the number of what was printed so far. */
#include "hostile.h"

static volatile int greeted;
static void hello(void) { greeted++; }
static void (*greet)(void) = hello;
static volatile int64_t words; /* of the stack, between its top and the text */

static NOINLINE void note(const uint8_t *data, size_t bytes)
{
    char line[64];
    char text[512];
    memcpy(text, data, bytes < 512 ? bytes : 511);
    text[bytes < 512 ? bytes : 511] = 0;
    register uint64_t top __asm__("rsp");
    words = (int64_t)(((uint64_t)(uintptr_t)text - top) / 8);
    snprintf(line, sizeof line, text);
    greeted += line[0];
}

static void prepare(void)
{
    note(slots[0], 0);
    AT(words);
    at("greet", (uint64_t)(uintptr_t)&greet);
}

static void handle(uint8_t *data, size_t bytes)
{
    note(data, bytes);
    greet();
}
