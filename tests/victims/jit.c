/* A just-in-time compiler: functions written to fresh RWX memory, over older ones, through a second mapping of the same
 * pages, and under W^X by mprotect; each is called after each writing. */
#include "victim.h"
#include <sys/mman.h>

typedef uint64_t function(uint64_t);

/* x -> (x ^ key) * factor + addend, for every key; with a loop, so that there is something to link. */
static size_t emit(uint8_t *at, uint64_t key, uint32_t factor, uint32_t turns)
{
    uint8_t *p = at;
#define BYTES(...) do { const uint8_t b_[] = {__VA_ARGS__}; memcpy(p, b_, sizeof b_); p += sizeof b_; } while (0)
#define WORD(w) do { memcpy(p, &(w), sizeof(w)); p += sizeof(w); } while (0)
    BYTES(0x48, 0xb8); /* mov rax, key */
    WORD(key);
    BYTES(0x48, 0x31, 0xf8); /* xor rax, rdi */
    BYTES(0x48, 0x69, 0xc0); /* imul rax, rax, factor */
    WORD(factor);
    BYTES(0xb9); /* mov ecx, turns */
    WORD(turns);
    BYTES(0x48, 0xff, 0xc0); /* again: inc rax */
    BYTES(0xff, 0xc9, 0x75, 0xf9); /* dec ecx; jnz again */
    BYTES(0xc3);
    return (size_t)(p - at);
}

static uint64_t model(uint64_t x, uint64_t key, uint32_t factor, uint32_t turns)
{
    return (x ^ key) * (uint64_t)(int64_t)(int32_t)factor + turns;
}

static void try(uint8_t *write_at, uint8_t *call_at, uint64_t *state, const char *where)
{
    uint64_t key = next_number(state), x = next_number(state);
    uint32_t factor = (uint32_t)next_number(state), turns = 1 + (uint32_t)(next_number(state) % 50);
    emit(write_at, key, factor, turns);
    for (int i = 0; i < 3; i++) {
        uint64_t got = ((function *)(void *)call_at)(x);
        check(got == model(x, key, factor, turns), "%s: %llx, not %llx", where, (unsigned long long)got, (unsigned long long)model(x, key, factor, turns));
    }
}

/* `jit shared` writes through a second mapping too, which no engine can see without looking for it. */
int main(int argc, char **argv)
{
    uint64_t state = 99;
    int shared = argc > 1 && !strcmp(argv[1], "shared");
    uint8_t *reused = mmap(0, 16384, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *careful = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = memfd_create("jit", MFD_CLOEXEC);
    check_call(file);
    check_call(ftruncate(file, 4096));
    uint8_t *writable = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    uint8_t *executable = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    check(reused != MAP_FAILED && careful != MAP_FAILED && writable != MAP_FAILED && executable != MAP_FAILED);
    while (victim_round()) {
        for (int i = 0; i < 50; i++) {
            /* At changing places: over the middle of what was there, and across the border of two pages. */
            uint8_t *at = reused + next_number(&state) % 200 + (i % 5 == 0 ? 4096 - 100 : 0);
            try(at, at, &state, "over an older one");
        }
        for (int i = 0; i < 4; i++) {
            uint8_t *fresh = mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            check(fresh != MAP_FAILED);
            try(fresh + 4080, fresh + 4080, &state, "fresh memory");
            check_call(munmap(fresh, 8192));
        }
        for (int i = 0; i < 10; i++) {
            check_call(mprotect(careful, 4096, PROT_READ | PROT_WRITE));
            emit(careful, (uint64_t)i, 3, 1);
            check_call(mprotect(careful, 4096, PROT_READ | PROT_EXEC));
            check(((function *)(void *)careful)(7) == model(7, (uint64_t)i, 3, 1), "W^X, key %d", i);
        }
        for (int i = 0; shared && i < 10; i++)
            try(writable, executable, &state, "through a second mapping");
    }
    return victim_end();
}
