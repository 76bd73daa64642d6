/* rep movs, stos, lods, cmps and scas of every width, upwards and downwards, overlapping, with lengths from 0. */
#include "victim.h"

static uint8_t a[6000], b[6000], model[6000];

static void move(void *d, const void *s, uint64_t n, int bytes, int down)
{
#define MOVE(x) __asm__ volatile("testl %3, %3\n jz 1f\n std\n1: rep movs" #x "\n cld" : "+D"(d), "+S"(s), "+c"(n) : "r"(down) : "memory", "cc")
    if (bytes == 1) MOVE(b);
    else if (bytes == 2) MOVE(w);
    else if (bytes == 4) MOVE(l);
    else MOVE(q);
    check(n == 0);
}

static void store(void *d, uint64_t value, uint64_t n, int bytes, int down)
{
#define STORE(x) __asm__ volatile("testl %3, %3\n jz 1f\n std\n1: rep stos" #x "\n cld" : "+D"(d), "+c"(n) : "a"(value), "r"(down) : "memory", "cc")
    if (bytes == 1) STORE(b);
    else if (bytes == 2) STORE(w);
    else if (bytes == 4) STORE(l);
    else STORE(q);
}

/* One element at a time, in order: what overlapping moves must do. */
static void model_move(uint8_t *d, const uint8_t *s, uint64_t n, int bytes, int down)
{
    for (; n; n--) {
        uint8_t one[8];
        memcpy(one, s, (size_t)bytes);
        memcpy(d, one, (size_t)bytes);
        d += down ? -bytes : bytes;
        s += down ? -bytes : bytes;
    }
}

static void compares(uint64_t *state)
{
    size_t n = next_number(state) % 300 + 1, at = next_number(state) % n;
    memcpy(b, a, 400);
    b[at] ^= 1;
    const uint8_t *p = a, *q = b;
    uint64_t left = n;
    uint8_t equal;
    __asm__ volatile("repe cmpsb\n sete %3" : "+S"(p), "+D"(q), "+c"(left), "=q"(equal) : : "memory", "cc");
    check(!equal && p == a + at + 1 && left == n - at - 1, "differs at %zu of %zu", at, n);
    p = a + n - 1;
    q = b + n - 1;
    left = n;
    __asm__ volatile("std\n repe cmpsb\n cld\n sete %3" : "+S"(p), "+D"(q), "+c"(left), "=q"(equal) : : "memory", "cc");
    check(!equal && p + 1 == a + at && left == at);
    memset(b, 7, 400);
    b[at] = 9;
    q = b;
    left = n;
    __asm__ volatile("repne scasb" : "+D"(q), "+c"(left) : "a"(9) : "memory", "cc");
    check(q == b + at + 1 && left == n - at - 1);
    q = b;
    left = 0;
    __asm__ volatile("cmpb %%al, %%al\n repne scasb\n sete %2" : "+D"(q), "+c"(left), "=q"(equal) : "a"(9) : "memory", "cc");
    check(q == b && equal, "with a count of 0, scas changes nothing");
    uint64_t value = 0;
    p = a;
    __asm__ volatile("lodsq\n lodsb" : "+S"(p), "+a"(value) : : "memory");
    check(p == a + 9 && (uint8_t)value == a[8]);
    p = a;
    q = b;
    __asm__ volatile("movsb\n movsw\n movsl\n movsq" : "+S"(p), "+D"(q) : : "memory");
    check(p == a + 15 && q == b + 15 && !memcmp(a, b, 15));
}

int main(void)
{
    static const int widths[4] = {1, 2, 4, 8};
    uint64_t state = 4;
    for (size_t i = 0; i < sizeof a; i++)
        a[i] = (uint8_t)next_number(&state);
    while (victim_round())
        for (int turn = 0; turn < 64; turn++) {
            int bytes = widths[turn & 3], down = turn >> 2 & 1;
            uint64_t n = turn % 8 == 7 ? 0 : next_number(&state) % (1500 / (unsigned)bytes);
            /* Overlap by little, by much, exactly, or not at all. */
            int64_t apart = (turn & 8) ? (int64_t)(next_number(&state) % 64) - 32 : (int64_t)(next_number(&state) % 1500);
            uint8_t *s = b + 2500, *d = s + apart;
            memcpy(b, a, sizeof b);
            memcpy(model, a, sizeof b);
            move(d, s, n, bytes, down);
            model_move(model + (d - b), model + (s - b), n, bytes, down);
            check(!memcmp(b, model, sizeof b), "movs of %d bytes, %llu times, apart %lld, %s", bytes, (unsigned long long)n, (long long)apart, down ? "down" : "up");
            uint64_t value = next_number(&state);
            store(d, value, n, bytes, down);
            for (uint64_t i = 0; i < n; i++)
                memcpy(model + (d - b) + (down ? -(int64_t)i : (int64_t)i) * bytes, &value, (size_t)bytes);
            check(!memcmp(b, model, sizeof b), "stos of %d bytes", bytes);
            compares(&state);
        }
    return victim_end();
}
