/* The stack is executable: the overwritten return address leads to `jmp rsp`, and that to the code behind it. */
#include "hostile.h"

extern const uint8_t jump_rsp[];
__asm__(".text\n.globl jump_rsp\njump_rsp:\n    jmp *%rsp\n");

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
    AT(jump_rsp);
}

static void handle(uint8_t *data, size_t bytes) { remember(data, bytes); }
