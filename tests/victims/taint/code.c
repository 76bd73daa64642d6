/* A filter that the peer sends is executed: no pointer is wrong, the code itself is input. It lies on the heap, the stack,
 * or in memory mapped for it. */
#include "hostile.h"

#define STACK 1
#define MAPPED 2

static volatile int filtered;
static NOINLINE int usual(void) { return 1; }

static void prepare(void) {}

static NOINLINE void filter(const uint8_t *data, size_t bytes)
{
#if WHERE == STACK
    uint8_t code[256];
#else
    uint8_t *code = (uint8_t *)mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        die("mmap");
#endif
    int (*chosen)(void) = usual;
    if (bytes > 40 && bytes < 256) { /* ordinary talk is shorter */
        memcpy(code, data, bytes);
        __asm__ volatile("" : : "r"(code) : "memory"); /* the compiler does not know that code is read */
        chosen = (int (*)(void))(uintptr_t)code;
    }
    filtered += chosen();
#if WHERE != STACK
    munmap(code, 4096);
#endif
}

static void handle(uint8_t *data, size_t bytes) { filter(data, bytes); }
