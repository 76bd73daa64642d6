/* Integer work in registers and memory, with checksums: SHA-256, CRC-32, 128-bit products and quotients, shifts. */
#include "victim.h"

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t ror(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(uint32_t h[8], const uint8_t *block)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (ror(s[4], 6) ^ ror(s[4], 11) ^ ror(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
        uint32_t t2 = (ror(s[0], 2) ^ ror(s[0], 13) ^ ror(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++)
        h[i] += s[i];
}

/* SHA-256 of a million times 'a': FIPS 180-2, B.3. Here of 1,000 blocks of it, and its state kept from round to round. */
static void sha_abc(void)
{
    uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t block[64] = {'a', 'b', 'c', 0x80};
    block[63] = 24;
    sha256_block(h, block);
    check(h[0] == 0xba7816bf && h[7] == 0xf20015ad, "SHA-256 of abc begins with %08x", h[0]);
    memset(block, 'a', sizeof block);
    uint32_t m[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (int i = 0; i < 15625; i++)
        sha256_block(m, block);
    memset(block, 0, sizeof block);
    block[0] = 0x80;
    block[61] = 0x7a; /* 8,000,000 bits */
    block[62] = 0x12;
    sha256_block(m, block);
    check(m[0] == 0xcdc76e5c && m[7] == 0xc7112cd0, "SHA-256 of a million a begins with %08x", m[0]);
}

static void crc(void)
{
    static uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++)
            c = c & 1 ? 0xedb88320 ^ c >> 1 : c >> 1;
        table[i] = c;
    }
    uint32_t c = ~0u;
    for (const char *p = "123456789"; *p; p++)
        c = table[(c ^ (uint8_t)*p) & 255] ^ c >> 8;
    check(~c == 0xcbf43926, "CRC-32 is %08x", ~c);
}

static void products(void)
{
    uint64_t state = 88172645463325252ULL;
    for (int i = 0; i < 2000; i++) {
        uint64_t a = next_number(&state), b = next_number(&state) | 1;
        unsigned __int128 p = (unsigned __int128)a * b;
        uint64_t high, low, q, r;
        __asm__ volatile("mulq %3" : "=d"(high), "=a"(low) : "1"(a), "r"(b) : "cc");
        check(high == (uint64_t)(p >> 64) && low == (uint64_t)p);
        __asm__ volatile("divq %4" : "=d"(r), "=a"(q) : "0"(high % b), "1"(low), "r"(b) : "cc");
        check((unsigned __int128)q * b + r == ((unsigned __int128)(high % b) << 64 | low) && r < b);
        int64_t sq, sr, sa = (int64_t)a, sb = (int64_t)(b >> 1);
        __asm__ volatile("cqto; idivq %3" : "=&d"(sr), "=&a"(sq) : "1"(sa), "r"(sb) : "cc");
        check(sq * sb + sr == sa);
        int n = (int)(b & 63);
        uint64_t l = a;
        __asm__ volatile("shldq %%cl, %1, %0" : "+r"(l) : "r"(b), "c"(n) : "cc");
        check(l == (n ? a << n | b >> (64 - n) : a));
        uint8_t bit;
        __asm__ volatile("btq %2, %1; setc %0" : "=q"(bit) : "m"(a), "r"((uint64_t)n) : "cc", "memory");
        check(bit == (a >> n & 1));
    }
}

int main(void)
{
    while (victim_round()) {
        sha_abc();
        crc();
        products();
    }
    return victim_end();
}
