/* A compiler of sums: each number that the peer sends becomes `mov eax, number` in executable memory. Entered one byte
 * further on, the numbers are instructions. A message: what to add to the entry (8 bytes), then numbers of 4 bytes.
 * An ordinary peer sends 0 for the first, and its sum's constants are executed as what they are: parts of instructions. */
#include "hostile.h"

static volatile uint64_t result;
static uint8_t *pages;

static void prepare(void)
{
    pages = (uint8_t *)mmap(0, 16384, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (pages == MAP_FAILED)
        die("mmap");
}

static NOINLINE void compile(const uint8_t *data, size_t bytes)
{
    uint8_t *end = pages;
    for (size_t i = 8; i + 4 <= bytes; i += 4) {
        *end++ = 0xb8; /* mov eax, */
        memcpy(end, data + i, 4);
        end += 4;
    }
    *end = 0xc3;
}

static void handle(uint8_t *data, size_t bytes)
{
    uint64_t offset = 0;
    if (bytes < 8)
        return;
    compile(data, bytes);
#if CLEAN_ENTRY
    offset = data[0] == 1; /* the compiler's mistake: no input flows here, it only decides */
#else
    memcpy(&offset, data, 8);
#endif
    uint64_t entry = (uint64_t)(uintptr_t)pages + offset;
    __asm__ volatile("call *%%rax" : "+a"(entry) : : "memory", "cc");
    result = entry;
}
