/* All sixteen ymm registers hold patterns while a loop turns that touches none of them; then AVX2 work whose results
 * are known from scalar code. Upper halves count: a possession that saves xmm only is found out. */
#include "victim.h"
#include <immintrin.h>

static uint64_t want[16][4], got[16][4];

#define LOAD(n) "vmovdqu " #n "*32(%[w]), %%ymm" #n "\n"
#define STORE(n) "vmovdqu %%ymm" #n ", " #n "*32(%[g])\n"
#define ALL(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define NAMES "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

static NOINLINE uint64_t hold(uint64_t turns)
{
    uint64_t sum = 0;
    __asm__ volatile(ALL(LOAD) "1: addq %[n], %[s]\n decq %[n]\n jnz 1b\n" ALL(STORE) "vzeroupper"
                     : [n] "+r"(turns), [s] "+r"(sum)
                     : [w] "r"(want), [g] "r"(got)
                     : "memory", "cc", NAMES);
    return sum;
}

/* After vzeroupper the upper halves are 0, also when something else used them in between. */
static NOINLINE void upper_stays_zero(void)
{
    __asm__ volatile(ALL(LOAD) "vzeroupper\n movl $20000, %%eax\n 1: decl %%eax\n jnz 1b\n" ALL(STORE)
                     : : [w] "r"(want), [g] "r"(got) : "memory", "cc", "rax", NAMES);
    for (int i = 0; i < 16; i++)
        check(got[i][0] == want[i][0] && got[i][1] == want[i][1] && !got[i][2] && !got[i][3], "ymm%d above xmm: %llx", i, (unsigned long long)got[i][2]);
}

static NOINLINE void kernels(uint64_t *state)
{
    int32_t a[64], b[64], sum[64];
    double x[64], y[64], z[64];
    for (int i = 0; i < 64; i++) {
        a[i] = (int32_t)next_number(state);
        b[i] = (int32_t)next_number(state);
        x[i] = (double)(int32_t)next_number(state);
        y[i] = (double)(int16_t)next_number(state);
    }
    for (int i = 0; i < 64; i += 8) {
        __m256i p = _mm256_mullo_epi32(_mm256_loadu_si256((void *)(a + i)), _mm256_loadu_si256((void *)(b + i)));
        p = _mm256_xor_si256(p, _mm256_srlv_epi32(p, _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0)));
        _mm256_storeu_si256((void *)(sum + i), p);
    }
    for (int i = 0; i < 64; i++) {
        uint32_t p = (uint32_t)a[i] * (uint32_t)b[i];
        check((uint32_t)sum[i] == (p ^ p >> (i & 7)));
    }
    for (int i = 0; i < 64; i += 4)
        _mm256_storeu_pd(z + i, _mm256_fmadd_pd(_mm256_loadu_pd(x + i), _mm256_loadu_pd(y + i), _mm256_set1_pd(1)));
    for (int i = 0; i < 64; i++)
        check(z[i] == x[i] * y[i] + 1, "%g, not %g", z[i], x[i] * y[i] + 1); /* exact: 31 + 15 bits */
    __m256i index = _mm256_set_epi32(60, 3, 17, 41, 8, 55, 29, 0);
    int32_t picked[8];
    _mm256_storeu_si256((void *)picked, _mm256_i32gather_epi32(a, index, 4));
    check(picked[0] == a[0] && picked[1] == a[29] && picked[2] == a[55] && picked[7] == a[60] && picked[6] == a[3]);
    int64_t mask[4] = {-1, 0, -1, 0};
    double kept[4] = {-7, -7, -7, -7};
    _mm256_maskstore_pd(kept, _mm256_loadu_si256((void *)mask), _mm256_loadu_pd(x));
    check(kept[0] == x[0] && kept[1] == -7 && kept[2] == x[2] && kept[3] == -7);
    uint64_t v = next_number(state), m = next_number(state);
    check(_pext_u64(_pdep_u64(v, m), m) == (v & (__builtin_popcountll(m) == 64 ? ~0ULL : (1ULL << __builtin_popcountll(m)) - 1)));
    unsigned long long high, low = _mulx_u64(v, m, &high);
    check(((unsigned __int128)high << 64 | low) == (unsigned __int128)v * m);
}

int main(void)
{
    uint64_t state = 42;
    while (victim_round()) {
        for (int i = 0; i < 16; i++)
            for (int k = 0; k < 4; k++)
                want[i][k] = next_number(&state);
        memset(got, 0, sizeof got);
        uint64_t turns = 1000000;
        check(hold(turns) == turns * (turns + 1) / 2);
        for (int i = 0; i < 16; i++)
            for (int k = 0; k < 4; k++)
                check(got[i][k] == want[i][k], "ymm%d, quadword %d: %llx, not %llx", i, k, (unsigned long long)got[i][k], (unsigned long long)want[i][k]);
        upper_stays_zero();
        kernels(&state);
    }
    return victim_end();
}
