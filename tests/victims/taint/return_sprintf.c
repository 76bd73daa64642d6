/* A line for a log is written with sprintf into a buffer on the stack. */
#include "hostile.h"

static NOINLINE int note(const char *who)
{
    char line[100];
    sprintf(line, "log in of %s", who);
    NOTE_DISTANCE(line);
    return line[0];
}

static void prepare(void)
{
    note("");
    AT(distance);
}

static void handle(uint8_t *data, size_t bytes)
{
    (void)bytes;
    note((const char *)data);
}
