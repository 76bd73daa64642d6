/* A name runs over into the function pointer that lies behind it: on the stack, on the heap, in static memory. */
#include "hostile.h"

#define STACK 1
#define HEAP 2
#define STATIC 3

struct session {
    char name[64];
    void (*greet)(const char *);
};

static volatile int greeted;

static NOINLINE void hello(const char *name) { greeted += name[0]; }

#if WHERE == STATIC
static struct session only = {"", hello};
#endif

static void prepare(void) {}

static NOINLINE void open_session(struct session *one, const uint8_t *data, size_t bytes)
{
    memcpy(one->name, data, bytes);
    one->greet(one->name);
    greeted++; /* so that it is a call, and no jump */
}

static void handle(uint8_t *data, size_t bytes)
{
#if WHERE == STACK
    struct session here = {"", hello};
    open_session(&here, data, bytes);
#elif WHERE == HEAP
    struct session *one = (struct session *)malloc(sizeof *one);
    one->greet = hello;
    open_session(one, data, bytes);
    free(one);
#else
    only.greet = hello;
    open_session(&only, data, bytes);
#endif
}
