/* The function that a new thread begins with lies behind a name: one thread's input takes another one over. */
#include "hostile.h"

static struct session {
    char name[64];
    void *(*work)(void *);
} only;

static volatile int done;
static void *usual(void *of)
{
    done++;
    return of;
}

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes)
{
    only.work = usual;
    memcpy(only.name, data, bytes);
    pthread_t thread;
    if (pthread_create(&thread, 0, only.work, 0))
        die("pthread_create");
    pthread_join(thread, 0);
}
