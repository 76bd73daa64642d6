/* A jump table as compilers make it for position-independent code, with one register for the index and what is loaded by it:
 * the place in the table depends on input, and what lies there does not. Behind it a message may run over, as elsewhere. */
#include "hostile.h"

extern int choose(uint8_t which);
__asm__(".text\n"
        ".globl choose\n"
        "choose:\n"
        "    movzbl %dil, %r10d\n"
        "    and $3, %r10d\n"
        "    lea 9f(%rip), %r11\n"
        "    movslq (%r11, %r10, 4), %r10\n"
        "    add %r11, %r10\n"
        "    jmp *%r10\n"
        "1:  mov $1, %eax\n"
        "    ret\n"
        "2:  mov $2, %eax\n"
        "    ret\n"
        "    .section .rodata\n"
        "    .p2align 2\n"
        "9:  .long 1b - 9b, 2b - 9b, 2b - 9b, 1b - 9b\n"
        "    .text\n");

static volatile int sum;

static NOINLINE int remember(const uint8_t *data, size_t bytes)
{
    uint8_t name[64];
    memcpy(name, data, bytes);
    for (size_t i = 0; i < bytes; i++)
        sum += choose(name[i & 63]);
    return name[0];
}

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes) { remember(data, bytes); }
