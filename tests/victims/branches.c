/* Jump tables, an interpreter of computed gotos, indirect calls through 300 targets, Ackermann. */
#include "victim.h"

static NOINLINE uint64_t switched(uint64_t n)
{
    switch (n % 24) {
#define CASE(k) case k: return n * (2 * k + 3) ^ k;
        CASE(0) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11)
        CASE(12) CASE(13) CASE(14) CASE(15) CASE(16) CASE(17) CASE(18) CASE(19) CASE(20) CASE(21) CASE(22) CASE(23)
    }
    return 0;
}

enum { ADD, SUB, MUL, DUP, SWAP, PUSH, JNZ, DEC, OVER, DROP, HALT };

/* A stack machine: computes n! modulo 2^64 by a loop, each instruction one indirect jump. */
static NOINLINE uint64_t interpret(const uint8_t *code, uint64_t n)
{
    static const void *const to[] = {&&add, &&sub, &&mul, &&dup, &&swap, &&push, &&jnz, &&dec, &&over, &&drop, &&halt};
    uint64_t stack[32], *sp = stack, t;
    *sp = n;
#define NEXT goto *to[*code++]
    NEXT;
add: sp--; *sp += sp[1]; NEXT;
sub: sp--; *sp -= sp[1]; NEXT;
mul: sp--; *sp *= sp[1]; NEXT;
dup: sp++; *sp = sp[-1]; NEXT;
swap: t = *sp; *sp = sp[-1]; sp[-1] = t; NEXT;
push: *++sp = *code++; NEXT;
jnz: code = *sp-- ? code + (int8_t)*code : code + 1; NEXT;
dec: --*sp; NEXT;
over: sp++; *sp = sp[-2]; NEXT;
drop: sp--; NEXT;
halt: return *sp;
}

static unsigned ackermann(unsigned m, unsigned n)
{
    return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

#define F(n) static NOINLINE uint64_t f##n(uint64_t x) { return (x ^ n) * (2 * n + 1); }
#define TEN(X, n) X(n##0) X(n##1) X(n##2) X(n##3) X(n##4) X(n##5) X(n##6) X(n##7) X(n##8) X(n##9)
#define HUNDRED(X, n) TEN(X, n##0) TEN(X, n##1) TEN(X, n##2) TEN(X, n##3) TEN(X, n##4) TEN(X, n##5) TEN(X, n##6) TEN(X, n##7) TEN(X, n##8) TEN(X, n##9)
HUNDRED(F, 1) HUNDRED(F, 2) HUNDRED(F, 3)
#define NAME(n) f##n,
static uint64_t (*const targets[300])(uint64_t) = {HUNDRED(NAME, 1) HUNDRED(NAME, 2) HUNDRED(NAME, 3)};

int main(void)
{
    /* n 1 | loop: over mul swap dec swap over jnz loop | halt */
    static const uint8_t factorial[] = {PUSH, 1, OVER, MUL, SWAP, DEC, SWAP, OVER, JNZ, (uint8_t)-7, DUP, DROP, HALT};
    uint64_t state = 3;
    while (victim_round()) {
        for (uint64_t i = 0; i < 2000; i++) {
            uint64_t n = next_number(&state), k = n % 24;
            check(switched(n) == (n * (2 * k + 3) ^ k), "case %llu", (unsigned long long)k);
        }
        for (int i = 0; i < 200; i++)
            check(interpret(factorial, 20) == 2432902008176640000ULL, "20! is %llu", (unsigned long long)interpret(factorial, 20));
        check(ackermann(2, 300) == 603 && ackermann(3, 6) == 509);
        for (int i = 0; i < 3000; i++) {
            uint64_t x = next_number(&state), n = 100 + x % 300;
            check(targets[n - 100](x) == (x ^ n) * (2 * n + 1), "f%llu", (unsigned long long)n);
        }
    }
    return victim_end();
}
