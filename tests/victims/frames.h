/* Where a signal handler's caller may be: in code that was there before anybody came. */
#ifndef FRAMES_H
#define FRAMES_H

#include "victim.h"
#include <signal.h>
#include <ucontext.h>

static struct {
    uint64_t from, to;
} own_text[64];
static int own_texts;

/* Call it before `ready`: an engine's mappings must not be among them. */
static MAYBE_UNUSED void learn_own_text(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512], rights[8];
    unsigned long long from, to;
    check(maps != 0);
    while (fgets(line, sizeof line, maps) && own_texts < 64)
        if (sscanf(line, "%llx-%llx %7s", &from, &to, rights) == 3 && rights[2] == 'x') {
            own_text[own_texts].from = from;
            own_text[own_texts++].to = to;
        }
    fclose(maps);
}

static MAYBE_UNUSED int in_own_text(uint64_t place)
{
    for (int i = 0; i < own_texts; i++)
        if (place >= own_text[i].from && place < own_text[i].to)
            return 1;
    return 0;
}

static MAYBE_UNUSED uint64_t frame_register(void *context, int which)
{
    return (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[which];
}

/* What holds of every frame: the place is ours, the segment is user code, the handler's own stack is not the engine's. */
static MAYBE_UNUSED void check_frame(void *context)
{
    uint64_t rip = frame_register(context, REG_RIP);
    check(in_own_text(rip), "a handler's frame says rip %llx, which is none of ours", (unsigned long long)rip);
    check((frame_register(context, REG_CSGSFS) & 0xffff) == 0x33);
    check(frame_register(context, REG_RSP) > 0x10000);
}

static MAYBE_UNUSED void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO | flags;
    check_call(sigaction(number, &action, 0));
}

#endif
