/* A string is copied into a buffer on the stack until its zero byte: filler and three bytes of the return address. */
#include "hostile.h"

static NOINLINE int remember(const char *text)
{
    char name[64];
    strcpy(name, text);
    NOTE_DISTANCE(name);
    return name[0];
}

static void prepare(void)
{
    remember("");
    AT(distance);
}

static void handle(uint8_t *data, size_t bytes)
{
    (void)bytes;
    remember((const char *)data);
}
