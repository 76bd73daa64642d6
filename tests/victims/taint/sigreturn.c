/* A signal handler copies what the peer said over its own frame: where the program was interrupted is input, and it is the
 * kernel that would go there. A message: 8 bytes for the interrupted rip, if there are more than 64. */
#include "hostile.h"
#include <ucontext.h>

static const uint8_t *said;
static size_t said_bytes;

static void on_usr1(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (said_bytes > 64)
        memcpy(&((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP], said + 64, 8);
}

static void prepare(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_usr1;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGUSR1, &action, 0);
}

static void handle(uint8_t *data, size_t bytes)
{
    said = data;
    said_bytes = bytes;
    raise(SIGUSR1);
}
