/* A byte from the peer chooses among many cases, by the compiler's jump table: an address that depends on input, and nothing
 * wrong about it. Behind it a message may run over, as elsewhere. */
#include "hostile.h"

static volatile uint64_t result;

static NOINLINE void choose(uint8_t which, uint64_t x)
{
    switch (which & 15) {
    case 0: result += x * 3; break;
    case 1: result ^= x << 7; break;
    case 2: result -= x; break;
    case 3: result *= 5; break;
    case 4: result /= x | 1; break;
    case 5: result %= x | 3; break;
    case 6: result = ~result; break;
    case 7: result |= x; break;
    case 8: result &= x; break;
    case 9: result = x - result; break;
    case 10: result = x >> 3; break;
    case 11: result += 11; break;
    case 12: result = result << 1 | x; break;
    case 13: result = __builtin_bswap64(result); break;
    case 14: result ^= 0xffff; break;
    default: result = (uint64_t)__builtin_popcountll(result); break;
    }
}

static NOINLINE int remember(const uint8_t *data, size_t bytes)
{
    uint8_t name[64];
    memcpy(name, data, bytes);
    for (size_t i = 0; i < bytes; i++)
        choose(name[i & 63], i);
    return name[0];
}

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes) { remember(data, bytes); }
