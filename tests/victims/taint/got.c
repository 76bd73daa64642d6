/* Behind a name lies a pointer to which something is stored: the attacker has it point to where the program keeps the
 * address of a library's function. With STORES_INPUT that something is input too; else it is the program's own address. */
#include "hostile.h"

static struct session {
    char name[64];
    uint64_t *where;
    uint64_t what;
} only;

static uint64_t usual_place;

/* Where `call getppid` gets its address from: this is built with -fno-plt. */
static uint64_t *slot_of_getppid(void)
{
    uint64_t *slot;
    __asm__("lea getppid@GOTPCREL(%%rip), %0" : "=r"(slot));
    return slot;
}

static void prepare(void)
{
    only.what = (uint64_t)getppid();
    at("getppid", (uint64_t)(uintptr_t)slot_of_getppid());
}

static volatile int parent;

static void handle(uint8_t *data, size_t bytes)
{
    only.where = &usual_place;
#if STORES_INPUT
    only.what = 0;
    memcpy(only.name, data, bytes);
    *only.where = only.what;
#else
    memcpy(only.name, data, bytes < 72 ? bytes : 72);
    *only.where = (uint64_t)(uintptr_t)hijacked; /* the one that it would store anyway */
#endif
    parent = getppid();
}
