/* An address of the program's own and a number from the peer go through one vector register, as compilers do with fields that
 * lie side by side: the one is no input because the other is. Behind it a message may run over, as elsewhere. */
#include "hostile.h"

static volatile int sum;

static NOINLINE int count(int by)
{
    sum += by;
    return sum;
}

struct entry {
    int (*work)(int);
    uint64_t number;
};

static NOINLINE void put(struct entry *one, int (*work)(int), const uint64_t *number)
{
    __asm__ volatile("movq %1, %%xmm0\n\tmovhps %2, %%xmm0\n\tmovups %%xmm0, %0" : "=m"(*one) : "r"(work), "m"(*number) : "xmm0");
}

static NOINLINE void put_other(struct entry *one, int (*work)(int), uint64_t number)
{
    __asm__ volatile("movq %1, %%xmm0\n\tmovq %2, %%xmm1\n\tpunpcklqdq %%xmm1, %%xmm0\n\tmovups %%xmm0, %0"
                     : "=m"(*one)
                     : "r"(work), "r"(number)
                     : "xmm0", "xmm1");
}

static NOINLINE int remember(const uint8_t *data, size_t bytes)
{
    uint8_t name[64];
    struct entry one;
    uint64_t number = bytes ? data[0] : 0;
    put(&one, count, &number);
    number = (uint64_t)one.work(1);
    put_other(&one, count, number + data[0]);
    one.work((int)one.number);
    memcpy(name, data, bytes);
    __asm__ volatile("" : : "r"(name) : "memory");
    return name[0];
}

static void prepare(void) {}

static void handle(uint8_t *data, size_t bytes) { remember(data, bytes); }
