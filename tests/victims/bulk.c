/* A great deal of code, each part of it run rarely: 4,096 functions of a few hundred bytes, called in a changing order. */
#include "victim.h"

#define ONE(n)                                                                                                     \
    static NOINLINE uint64_t f##n(uint64_t x)                                                                      \
    {                                                                                                              \
        x = (x ^ (0x9e37 + 0x##n)) * (2 * 0x##n + 1);                                                              \
        if (x & 64)                                                                                                \
            x += 0x##n * 3;                                                                                        \
        else                                                                                                       \
            x ^= x >> (0x##n % 31 + 1);                                                                            \
        for (unsigned i = 0; i != 0x##n % 5; i++)                                                                  \
            x = x * 5 + i;                                                                                         \
        return x & 1 ? x - 0x##n : x + 0x##n;                                                                      \
    }
static uint64_t model(uint64_t n, uint64_t x)
{
    x = (x ^ (0x9e37 + n)) * (2 * n + 1);
    x = x & 64 ? x + n * 3 : x ^ x >> (n % 31 + 1);
    for (unsigned i = 0; i < n % 5; i++)
        x = x * 5 + i;
    return x & 1 ? x - n : x + n;
}
#define HEX(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) X(n##8) X(n##9) X(n##a) X(n##b) X(n##c) X(n##d) X(n##e) X(n##f)
#define HEX2(X, n) HEX(X, n##0) HEX(X, n##1) HEX(X, n##2) HEX(X, n##3) HEX(X, n##4) HEX(X, n##5) HEX(X, n##6) HEX(X, n##7) \
    HEX(X, n##8) HEX(X, n##9) HEX(X, n##a) HEX(X, n##b) HEX(X, n##c) HEX(X, n##d) HEX(X, n##e) HEX(X, n##f)
#define ALL(X) HEX2(X, 0) HEX2(X, 1) HEX2(X, 2) HEX2(X, 3) HEX2(X, 4) HEX2(X, 5) HEX2(X, 6) HEX2(X, 7) \
    HEX2(X, 8) HEX2(X, 9) HEX2(X, a) HEX2(X, b) HEX2(X, c) HEX2(X, d) HEX2(X, e) HEX2(X, f)
ALL(ONE)
#define NAME(n) f##n,
static uint64_t (*const all[4096])(uint64_t) = {ALL(NAME)};

int main(void)
{
    uint64_t state = 21;
    while (victim_round()) {
        uint64_t step = next_number(&state) | 1, at = next_number(&state);
        for (int i = 0; i < 4096; i++) {
            uint64_t n = (at += step) % 4096, x = next_number(&state);
            check(all[n](x) == model(n, x), "function %llu", (unsigned long long)n);
        }
    }
    return victim_end();
}
