/* Blocks copied through vector registers and by the C library, at every alignment, and compared byte by byte. */
#include "victim.h"
#include <immintrin.h>

#define BYTES 20000

static uint8_t from[BYTES + 256], to[BYTES + 256];

static NOINLINE void copy_xmm(uint8_t *d, const uint8_t *s, size_t n)
{
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        __m128i a = _mm_loadu_si128((const void *)(s + i)), b = _mm_loadu_si128((const void *)(s + i + 16));
        __m128i c = _mm_loadu_si128((const void *)(s + i + 32)), e = _mm_loadu_si128((const void *)(s + i + 48));
        _mm_storeu_si128((void *)(d + i), a);
        _mm_storeu_si128((void *)(d + i + 16), b);
        _mm_storeu_si128((void *)(d + i + 32), c);
        _mm_storeu_si128((void *)(d + i + 48), e);
    }
    for (; i < n; i++)
        d[i] = s[i];
}

static NOINLINE void copy_rep(uint8_t *d, const uint8_t *s, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
}

static NOINLINE void copy_libc(uint8_t *d, const uint8_t *s, size_t n) { memcpy(d, s, n); }

static NOINLINE void copy_pairs(uint8_t *d, const uint8_t *s, size_t n)
{
    /* Stores that bypass the cache need 16-byte alignment: the ragged ends go by hand. */
    while (n && ((uintptr_t)d & 15)) {
        *d++ = *s++;
        n--;
    }
    for (; n >= 16; n -= 16, d += 16, s += 16)
        _mm_stream_si128((void *)d, _mm_loadu_si128((const void *)s));
    _mm_sfence();
    while (n--)
        *d++ = *s++;
}

static void (*const copies[])(uint8_t *, const uint8_t *, size_t) = {copy_xmm, copy_rep, copy_libc, copy_pairs};

int main(void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)next_number(&state);
    while (victim_round())
        for (int turn = 0; turn < 16; turn++) {
            size_t n = next_number(&state) % BYTES, a = next_number(&state) % 64, b = next_number(&state) % 64;
            unsigned which = (unsigned)turn % 4;
            memset(to, 0x5a, sizeof to);
            copies[which](to + a, from + b, n);
            for (size_t i = 0; i < sizeof to; i++) {
                uint8_t want = i >= a && i < a + n ? from[i - a + b] : 0x5a;
                check(to[i] == want, "copy %u of %zu bytes, from +%zu to +%zu: byte %zu is %02x, not %02x", which, n, b, a, i, to[i], want);
            }
        }
    return victim_end();
}
