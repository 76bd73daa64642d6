/* One of each kind of instruction that a translator may get wrong: rip-relative operands of every shape with every
 * register in use, pushf and popf, lahf, xlat, bit tests that reach far, BCD's heirs, carry-less products, SSE4.2 strings,
 * AES and SHA, cmpxchg8b, movbe, non-temporal stores, enter, segment overrides, prefixes in odd orders, xsave. */
#include "victim.h"
#include <cpuid.h>
#include <immintrin.h>

static __attribute__((used)) uint64_t cell[8];

static NOINLINE void rip_relative(uint64_t x)
{
    uint64_t got;
    cell[0] = x;
    __asm__ volatile("movq cell(%%rip), %0" : "=r"(got));
    check(got == x);
    __asm__ volatile("addq $0x1234567, cell(%%rip)\n addb $1, cell+8(%%rip)\n movw $0x5678, cell+16(%%rip)\n movq $-2, cell+24(%%rip)" : : : "memory", "cc");
    check(cell[0] == x + 0x1234567 && (uint16_t)cell[2] == 0x5678 && cell[3] == ~1ULL);
    __asm__ volatile("imulq $1000003, cell(%%rip), %0" : "=r"(got) : : "cc");
    check(got == cell[0] * 1000003);
    __asm__ volatile("leaq cell+40(%%rip), %0" : "=r"(got));
    check(got == (uint64_t)&cell[5]);
    __asm__ volatile("movdqu cell(%%rip), %%xmm5\n vpaddq cell(%%rip), %%xmm5, %%xmm6\n movq %%xmm6, %0" : "=r"(got) : : "xmm5", "xmm6");
    check(got == 2 * cell[0]);
    __asm__ volatile("shldq $5, %1, cell+32(%%rip)\n cmpq $7, cell(%%rip)\n testl $1, cell(%%rip)\n sete %b0" : "=q"(got) : "r"(x) : "memory", "cc");
    check((got & 1) == !(cell[0] & 1));
    __asm__ volatile("pushq cell(%%rip)\n popq cell+56(%%rip)" : : : "memory");
    check(cell[7] == cell[0]);
    /* every general register is taken */
    uint64_t sum;
    __asm__ volatile("pushq %%rbp\n pushq %%rbx\n movl $1, %%eax\n movl $2, %%ebx\n movl $3, %%ecx\n movl $4, %%edx\n movl $5, %%esi\n movl $6, %%edi\n movl $7, %%ebp\n"
                     "movl $8, %%r8d\n movl $9, %%r9d\n movl $10, %%r10d\n movl $11, %%r11d\n movl $12, %%r12d\n movl $13, %%r13d\n movl $14, %%r14d\n movl $15, %%r15d\n"
                     "addq cell(%%rip), %%rax\n xchgq %%r15, cell+8(%%rip)\n xchgq %%r15, cell+8(%%rip)\n"
                     "addq %%rbx, %%rax\n addq %%rcx, %%rax\n addq %%rdx, %%rax\n addq %%rsi, %%rax\n addq %%rdi, %%rax\n addq %%rbp, %%rax\n addq %%r8, %%rax\n"
                     "addq %%r9, %%rax\n addq %%r10, %%rax\n addq %%r11, %%rax\n addq %%r12, %%rax\n addq %%r13, %%rax\n addq %%r14, %%rax\n addq %%r15, %%rax\n popq %%rbx\n popq %%rbp"
                     : "=a"(sum) : : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
    check(sum == cell[0] + 120, "%lld", (long long)(sum - cell[0]));
}

static NOINLINE void odds_and_ends(uint64_t x)
{
    static uint8_t table[256];
    for (int i = 0; i < 256; i++)
        table[i] = (uint8_t)(i * 7 + 3);
    uint64_t a = x, b, c;
    __asm__ volatile("xlat" : "+a"(a) : "b"(table) : "memory");
    check((uint8_t)a == table[x & 255] && a >> 8 == x >> 8);
    __asm__ volatile("stc\n lahf\n movzbl %%ah, %%ecx\n movb $0x46, %%ah\n sahf\n setz %%dl\n setc %%dh\n movzwl %%dx, %%edx" : "=c"(b), "=d"(c) : : "rax", "cc");
    check((b & 1) && c == 1, "%llx %llx", (unsigned long long)b, (unsigned long long)c);
    __asm__ volatile("subq $128, %%rsp\n pushfq\n popq %0\n orq $0x40000, %0\n xorq $0x40001, %0\n pushq %0\n popfq\n pushfq\n popq %1\n addq $128, %%rsp" : "=&r"(b), "=&r"(c) : : "memory", "cc");
    check((b & 0xcd5) == (c & 0xcd5));
    static uint64_t bits[128];
    memset(bits, 0, sizeof bits);
    bits[100] = 1ULL << 17;
    uint8_t set;
    int64_t offset = 17 + 64 * 36;
    __asm__ volatile("btq %2, %1\n setc %0" : "=q"(set) : "m"(bits[64]), "r"(offset) : "cc", "memory");
    check(set == 1, "a bit 288 bytes on");
    offset = -64 * 60;
    __asm__ volatile("btsq %1, %0" : "+m"(bits[64]) : "r"(offset) : "cc", "memory");
    check(bits[4] == 1);
    uint32_t low = (uint32_t)x, swapped;
    __asm__ volatile("movbel %1, %0" : "=r"(swapped) : "m"(low));
    check(swapped == __builtin_bswap32(low));
    uint64_t pair = x, expected = x;
    __asm__ volatile("lock cmpxchg8b %0" : "+m"(pair), "+A"(expected) : "b"(1), "c"(2) : "memory", "cc");
    uint64_t high_edx = x >> 32, low_eax = (uint32_t)x;
    pair = x;
    __asm__ volatile("cmpxchg8b %0\n setz %1" : "+m"(pair), "=q"(set), "+a"(low_eax), "+d"(high_edx) : "b"(1), "c"(2) : "memory", "cc");
    check(set && pair == 0x200000001ULL);
    uint64_t to = 0;
    __asm__ volatile("movntiq %1, %0\n sfence" : "=m"(to) : "r"(x) : "memory");
    check(to == x);
    uint64_t n;
    __asm__ volatile("crc32q %1, %0" : "=r"(n) : "r"(x), "0"(0ULL));
    uint32_t crc = 0;
    for (int i = 0; i < 64; i++)
        crc = (crc ^ (uint32_t)(x >> i & 1)) & 1 ? (crc >> 1) ^ 0x82f63b78 : crc >> 1;
    check(n == crc);
    /* prefixes that do nothing, in front of instructions that do something */
    __asm__ volatile(".byte 0x26, 0x48, 0x89, 0xc8\n .byte 0x66, 0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0\n .byte 0x3e, 0x3e, 0x48, 0x83, 0xc0, 1" : "=a"(n) : "c"(x) : "cc");
    check(n == x + 1);
    __asm__ volatile("movq %1, %%rax\n cwtl\n cltq\n cqto" : "=d"(n) : "r"(x) : "rax");
    check(n == (uint64_t)(int64_t) - (int)((x >> 15) & 1));
    uint64_t deep;
    __asm__ volatile("movq %%rsp, %%rcx\n subq $128, %%rsp\n pushq %%rbp\n movq %%rsp, %%rbp\n enter $16, $3\n movq %%rcx, %%rax\n subq %%rsp, %%rax\n leave\n popq %%rbp\n movq %%rcx, %%rsp"
                     : "=a"(deep) : : "rcx", "memory", "cc");
    check(deep == 128 + 8 + 8 + 3 * 8 + 16, "%llu", (unsigned long long)deep);
    uint64_t wide;
    __asm__ volatile("movabsq $0x1122334455667788, %0" : "=r"(wide));
    check(wide == 0x1122334455667788ULL);
    uint8_t rd, seed;
    __asm__ volatile("1: rdrand %0\n setc %1\n jnc 1b" : "=r"(wide), "=q"(rd) : : "cc");
    __asm__ volatile("movq $-1, %%rax\n addl $1, %%eax\n setz %0\n" : "=q"(seed) : : "rax", "cc");
    check(rd && seed);
    __asm__ volatile("movl $-1, %%eax\n .byte 0x67, 0x8d, 0x44, 0x00, 0x05" : "=a"(wide)); /* lea eax, [eax+eax+5] with a 32-bit address */
    check(wide == 3, "%llx", (unsigned long long)wide);
}

static __attribute__((target("sse4.2,aes,pclmul,sha"))) NOINLINE void vectors(uint64_t x)
{
    __m128i text = _mm_loadu_si128((const void *)"a brown fox, say"), set = _mm_loadu_si128((const void *)",x              ");
    check(_mm_cmpestri(set, 2, text, 16, _SIDD_CMP_EQUAL_ANY) == 10);
    check(_mm_cmpistri(set, text, _SIDD_CMP_EQUAL_ANY) == 1);
    __m128i zero = _mm_setzero_si128(), product = _mm_clmulepi64_si128(_mm_set_epi64x(0, 3), _mm_set_epi64x(0, (long long)x), 0);
    check((uint64_t)_mm_cvtsi128_si64(product) == (x ^ x << 1));
    /* FIPS 197, appendix B: the first round */
    __m128i state = _mm_set_epi64x(0x0848f8e92a8dc69aLL, (long long)0xbee2f4a0e33d3d19ULL), key = zero;
    state = _mm_aesdeclast_si128(_mm_aesenclast_si128(state, key), key);
    check((uint64_t)_mm_cvtsi128_si64(state) == 0xbee2f4a0e33d3d19ULL);
    __m128i sha = _mm_sha256msg1_epu32(_mm_set_epi32(4, 3, 2, 1), _mm_set_epi32(8, 7, 6, 5));
    uint32_t w = 2;
    check((uint32_t)_mm_cvtsi128_si32(sha) == 1 + ((w >> 7 | w << 25) ^ (w >> 18 | w << 14) ^ w >> 3));
    __m128i mask = _mm_set_epi8(-1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0, -1, 0);
    char out[16];
    memset(out, '.', 16);
    _mm_maskmoveu_si128(text, mask, out);
    check(!memcmp(out, ". .r.w. .o.,.s.y", 16), "%.16s", out);
}

static NOINLINE void extended_state(void)
{
    static _Alignas(64) uint8_t area[16384], again[16384];
    unsigned a, b, c, d;
    if (!__get_cpuid_count(13, 0, &a, &b, &c, &d) || b > sizeof area)
        return;
    memset(area, 0, sizeof area);
    memset(again, 0, sizeof again);
    __asm__ volatile("movq $0x123456789, %%rax\n movq %%rax, %%xmm7\n movl $7, %%eax\n xorl %%edx, %%edx\n xsave (%0)\n"
                     "pxor %%xmm7, %%xmm7\n xrstor (%0)\n xsave (%1)\n" : : "r"(area), "r"(again) : "rax", "rdx", "xmm7", "memory");
    uint64_t seven;
    memcpy(&seven, again + 160 + 7 * 16, 8);
    check(seven == 0x123456789);
    __asm__ volatile("fxsave64 (%0)\n fxrstor64 (%0)" : : "r"(area) : "memory");
    __asm__ volatile("xorl %%ecx, %%ecx\n xgetbv" : "=a"(a), "=d"(d) : : "rcx");
    check((a & 3) == 3);
}

int main(void)
{
    unsigned a, b, c, d;
    int sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
    uint64_t state = 12;
    while (victim_round())
        for (int i = 0; i < 200; i++) {
            uint64_t x = next_number(&state);
            rip_relative(x);
            odds_and_ends(x);
            if (sha)
                vectors(x);
            extended_state();
        }
    return victim_end();
}
