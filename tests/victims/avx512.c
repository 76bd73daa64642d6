/* 32 zmm registers and seven mask registers hold patterns while a loop turns; then masked work with known results. */
#include "victim.h"
#include <immintrin.h>

static uint64_t want[32][8], got[32][8], want_k[8], got_k[8];

#define LOAD(n) "vmovdqu64 " #n "*64(%[w]), %%zmm" #n "\n"
#define STORE(n) "vmovdqu64 %%zmm" #n ", " #n "*64(%[g])\n"
#define LOADK(n) "kmovq " #n "*8(%[wk]), %%k" #n "\n"
#define STOREK(n) "kmovq %%k" #n ", " #n "*8(%[gk])\n"
#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) \
    X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define ALLK(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

static NOINLINE uint64_t hold(uint64_t turns)
{
    uint64_t sum = 0;
    __asm__ volatile(ALL(LOAD) ALLK(LOADK) "1: addq %[n], %[s]\n decq %[n]\n jnz 1b\n" ALL(STORE) ALLK(STOREK) "vzeroupper"
                     : [n] "+r"(turns), [s] "+r"(sum)
                     : [w] "r"(want), [g] "r"(got), [wk] "r"(want_k), [gk] "r"(got_k)
                     : "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                       "xmm12", "xmm13", "xmm14", "xmm15", "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",
                       "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7");
    return sum;
}

static NOINLINE void kernels(uint64_t *state)
{
    int32_t a[16], out[16], packed[16];
    for (int i = 0; i < 16; i++)
        a[i] = (int32_t)next_number(state);
    __mmask16 m = (__mmask16)next_number(state);
    __m512i va = _mm512_loadu_si512(a);
    _mm512_storeu_si512(out, _mm512_mask_add_epi32(_mm512_set1_epi32(-1), m, va, _mm512_set1_epi32(5)));
    memset(packed, 0, sizeof packed);
    _mm512_mask_compressstoreu_epi32(packed, m, va);
    int n = 0;
    for (int i = 0; i < 16; i++) {
        check(out[i] == (m >> i & 1 ? (int32_t)((uint32_t)a[i] + 5) : -1));
        if (m >> i & 1)
            check(packed[n++] == a[i]);
    }
    check(n == __builtin_popcount(m) && (n == 16 || packed[n] == 0));
    __mmask16 greater = _mm512_cmpgt_epi32_mask(va, _mm512_setzero_si512());
    for (int i = 0; i < 16; i++)
        check((greater >> i & 1) == (a[i] > 0));
    __m512i t = _mm512_ternarylogic_epi64(va, _mm512_set1_epi64(0x0f0f), _mm512_set1_epi64(-1), 0x96);
    int64_t three[8], whole[8];
    _mm512_storeu_si512(three, t);
    memcpy(whole, a, sizeof whole);
    for (int i = 0; i < 8; i++)
        check(three[i] == (whole[i] ^ 0x0f0f ^ -1));
    int32_t table[16], spread[16] = {0};
    for (int i = 0; i < 16; i++)
        table[i] = 15 - i;
    _mm512_i32scatter_epi32(spread, _mm512_loadu_si512(table), va, 4);
    for (int i = 0; i < 16; i++)
        check(spread[i] == a[15 - i]);
}

int main(void)
{
    uint64_t state = 77;
    while (victim_round()) {
        for (int i = 0; i < 32; i++)
            for (int k = 0; k < 8; k++)
                want[i][k] = next_number(&state);
        for (int i = 0; i < 8; i++)
            want_k[i] = next_number(&state);
        uint64_t turns = 1000000;
        check(hold(turns) == turns * (turns + 1) / 2);
        for (int i = 0; i < 32; i++)
            for (int k = 0; k < 8; k++)
                check(got[i][k] == want[i][k], "zmm%d, quadword %d: %llx, not %llx", i, k, (unsigned long long)got[i][k], (unsigned long long)want[i][k]);
        for (int i = 0; i < 8; i++)
            check(got_k[i] == want_k[i], "k%d: %llx, not %llx", i, (unsigned long long)got_k[i], (unsigned long long)want_k[i]);
        for (int i = 0; i < 200; i++)
            kernels(&state);
    }
    return victim_end();
}
