/* Nothing is injected: the overwritten stack leads from one end of a function to the next. */
#include "hostile.h"

extern const uint8_t pop_rdi[], pop_rsi[], pop_rdx[], pop_rax[], call_system[];
__asm__(".text\n"
        ".globl pop_rdi, pop_rsi, pop_rdx, pop_rax, call_system\n"
        "pop_rdi: pop %rdi\n ret\n"
        "pop_rsi: pop %rsi\n ret\n"
        "pop_rdx: pop %rdx\n ret\n"
        "pop_rax: pop %rax\n ret\n"
        "call_system: syscall\n ret\n");

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
    AT(pop_rdi);
    AT(pop_rsi);
    AT(pop_rdx);
    AT(pop_rax);
    AT(call_system);
}

static void handle(uint8_t *data, size_t bytes) { remember(data, bytes); }
