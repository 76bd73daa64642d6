/* The C library's jump buffer behind a name. Its addresses are mangled with a secret of the process, which the attacker has
 * seen leak. */
#include "hostile.h"
#include <setjmp.h>

static struct session {
    char name[64];
    jmp_buf back;
} only;

static void prepare(void)
{
    uint64_t guard;
    __asm__("mov %%fs:0x30, %0" : "=r"(guard));
    at("guard", guard);
}

static NOINLINE void begin(const uint8_t *data, size_t bytes)
{
    if (!setjmp(only.back)) {
        memcpy(only.name, data, bytes);
        longjmp(only.back, 1);
    }
}

static void handle(uint8_t *data, size_t bytes) { begin(data, bytes); }
