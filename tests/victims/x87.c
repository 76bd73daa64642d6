/* The x87 stack holds eight values, its control and status words are odd, MMX registers and MXCSR too, while a loop
 * turns. Precision control, rounding, top of stack, condition codes and sticky flags must all come through. */
#include "victim.h"
#include <immintrin.h>

static NOINLINE void spin(unsigned turns) { __asm__ volatile("1: decl %0\n jnz 1b" : "+r"(turns) : : "cc"); }

static NOINLINE void stack_of_eight(void)
{
    long double in[8], out[8];
    uint16_t control, status;
    for (int i = 0; i < 8; i++)
        in[i] = (long double)(i + 1) / 3;
    __asm__ volatile("fninit\n"
                     "fldt 112(%1)\n fldt 96(%1)\n fldt 80(%1)\n fldt 64(%1)\n fldt 48(%1)\n fldt 32(%1)\n fldt 16(%1)\n fldt (%1)\n"
                     "movl $200000, %%eax\n 1: decl %%eax\n jnz 1b\n"
                     "fstpt (%2)\n fstpt 16(%2)\n fstpt 32(%2)\n fstpt 48(%2)\n fstpt 64(%2)\n fstpt 80(%2)\n fstpt 96(%2)\n fstpt 112(%2)\n"
                     "fnstcw %0\n"
                     : "=m"(control) : "r"(in), "r"(out)
                     : "rax", "cc", "memory", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
    __asm__ volatile("fnstsw %0" : "=m"(status));
    for (int i = 0; i < 8; i++)
        check(in[i] == out[i], "st(%d)", i);
    check(control == 0x37f && (status & 0x3800) == 0, "control %x, status %x", control, status);
}

static NOINLINE void words(void)
{
    /* Double precision, round up; then a pop too many leaves its mark in the status word. */
    uint16_t control = 0x0a7f, read_control, before, after;
    __asm__ volatile("fninit\n fldcw %0\n fldpi\n fld1\n fcompp\n fstp %%st(0)\n fnstsw %1" : : "m"(control), "m"(before) : "memory");
    spin(200000);
    __asm__ volatile("fnstsw %0\n fnstcw %1\n fninit" : "=m"(after), "=m"(read_control));
    check(before == after && read_control == control, "status %x then %x, control %x", before, after, read_control);
    check(before & 0x41, "stack fault not shown: %x", before);
}

static NOINLINE void rounding(void)
{
    static const unsigned modes[4] = {0x1f80, 0x3f80, 0x5f80, 0x7f80};
    static const int rounded[4] = {2, 2, 3, 2}; /* of 2.5: nearest even, down, up, to zero */
    static const int negative[4] = {-2, -3, -2, -2};
    unsigned was = _mm_getcsr();
    for (int i = 0; i < 4; i++) {
        _mm_setcsr(modes[i]);
        volatile double a = 2.5, b = -2.5;
        spin(50000);
        int x = _mm_cvtsd_si32(_mm_set_sd(a)), y = _mm_cvtsd_si32(_mm_set_sd(b));
        unsigned now = _mm_getcsr();
        _mm_setcsr(was);
        check(x == rounded[i] && y == negative[i], "mode %x: %d, %d", modes[i], x, y);
        check((now & ~0x3fu) == modes[i] && (now & 0x20), "mxcsr %x of %x", now, modes[i]);
    }
    /* Sticky flags stay; denormals are zeros where asked. */
    _mm_setcsr(0x1f80 | 0x8040);
    volatile double tiny = 4.9e-324, one = 1, zero = 0;
    spin(50000);
    volatile double none = tiny * one, infinite = one / zero;
    unsigned flags = _mm_getcsr();
    spin(50000);
    unsigned later = _mm_getcsr();
    _mm_setcsr(was);
    check(none == 0 && infinite > 1e308 && (flags & 4) && flags == later && (flags & 0x8040) == 0x8040, "%g, %x, %x", none, flags, later);
}

static NOINLINE void mmx(void)
{
    uint64_t in[8], out[8], state = victim.rounds + 1;
    for (int i = 0; i < 8; i++)
        in[i] = next_number(&state);
    __asm__ volatile("movq (%0), %%mm0\n movq 8(%0), %%mm1\n movq 16(%0), %%mm2\n movq 24(%0), %%mm3\n"
                     "movq 32(%0), %%mm4\n movq 40(%0), %%mm5\n movq 48(%0), %%mm6\n movq 56(%0), %%mm7\n"
                     "movl $200000, %%eax\n 1: decl %%eax\n jnz 1b\n"
                     "movq %%mm0, (%1)\n movq %%mm1, 8(%1)\n movq %%mm2, 16(%1)\n movq %%mm3, 24(%1)\n"
                     "movq %%mm4, 32(%1)\n movq %%mm5, 40(%1)\n movq %%mm6, 48(%1)\n movq %%mm7, 56(%1)\n emms"
                     : : "r"(in), "r"(out) : "rax", "cc", "memory", "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)");
    for (int i = 0; i < 8; i++)
        check(in[i] == out[i], "mm%d", i);
}

static NOINLINE void arithmetic(void)
{
    volatile long double two = 2;
    long double root, sine, cosine;
    __asm__("fsqrt" : "=t"(root) : "0"(two));
    check(root * root - two < 1e-18L && two - root * root < 1e-18L);
    __asm__("fsincos" : "=t"(cosine), "=u"(sine) : "0"(two));
    long double circle = sine * sine + cosine * cosine - 1;
    check(circle < 1e-18L && circle > -1e-18L);
    int64_t whole = 0x123456789abcdefLL, back;
    uint8_t digits[16] = {0};
    long double value;
    __asm__ volatile("fildq %3\n fld %%st(0)\n fistpq %1\n fld %%st(0)\n fbstp %2" : "=t"(value), "=m"(back), "=m"(digits) : "m"(whole));
    check(back == whole && (int64_t)value == whole && digits[0] == 0x95, "%02x", digits[0]); /* 81985529216486895 */
}

int main(void)
{
    while (victim_round()) {
        stack_of_eight();
        words();
        rounding();
        mmx();
        arithmetic();
    }
    return victim_end();
}
