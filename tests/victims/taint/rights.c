/* The rights of the page with a peer's notes lie behind a name: the attacker has it made executable. The call into it is
 * the program's own mistake. */
#include "hostile.h"

static struct session {
    char name[64];
    uint64_t rights;
} only;

static uint8_t *page;
static volatile int done;

static void prepare(void)
{
    page = (uint8_t *)mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        die("mmap");
}

static void handle(uint8_t *data, size_t bytes)
{
    only.rights = PROT_READ | PROT_WRITE;
    memcpy(only.name, data, bytes < sizeof only ? bytes : sizeof only);
    memcpy(page, data + sizeof only, bytes > sizeof only ? bytes - sizeof only : 0);
    if (mprotect(page, 4096, (int)only.rights))
        return;
    if (only.rights & PROT_EXEC)
        ((void (*)(void))(uintptr_t)page)();
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}
