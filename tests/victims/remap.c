/* Memory that holds code is unmapped, moved, mapped over, protected, discarded: what is called is what is there now. */
#include "victim.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

static sigjmp_buf out;
static void on_fault(int number)
{
    (void)number;
    siglongjmp(out, 1);
}

typedef uint32_t function(void);

static void put(uint8_t *at, uint32_t n)
{
    at[0] = 0xb8;
    memcpy(at + 1, &n, 4);
    at[5] = 0xc3;
}

static int faults(uint8_t *at)
{
    if (sigsetjmp(out, 1))
        return 1;
    ((function *)(void *)at)();
    return 0;
}

#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define PRIVATE (MAP_PRIVATE | MAP_ANONYMOUS)
#define CALL(at, n) check(((function *)(void *)(at))() == (n), "gave %u, not %u", ((function *)(void *)(at))(), (uint32_t)(n))

int main(void)
{
    struct sigaction action = {.sa_handler = on_fault};
    check_call(sigaction(SIGSEGV, &action, 0));
    check_call(sigaction(SIGBUS, &action, 0));
    char name[] = "/tmp/victim-remap-XXXXXX";
    int file = mkstemp(name);
    check_call(file);
    unlink(name);
    uint8_t page[4096] = {0};
    put(page, 3333);
    check(write(file, page, sizeof page) == (ssize_t)sizeof page);
    uint8_t *room = mmap(0, 16 * 4096, PROT_NONE, PRIVATE, -1, 0); /* one of ours, so that addresses are free for us alone */
    check(room != MAP_FAILED);
    while (victim_round())
        for (uint32_t i = 0; i < 10; i++) {
            uint8_t *a = room, *b = room + 8 * 4096;
            check(mmap(a, 4096, RWX, PRIVATE | MAP_FIXED, -1, 0) == a);
            put(a, i);
            CALL(a, i);
            /* gone, and another in its place */
            check_call(munmap(a, 4096));
            check(faults(a), "unmapped code was executed");
            check(mmap(a, 4096, RWX, PRIVATE | MAP_FIXED, -1, 0) == a);
            put(a, i + 100);
            CALL(a, i + 100);
            /* mapped over, by a file this time */
            check(mmap(a, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, file, 0) == a);
            CALL(a, 3333);
            /* moved: here no more, there now */
            check(mmap(a, 4096, RWX, PRIVATE | MAP_FIXED, -1, 0) == a);
            put(a, i + 200);
            CALL(a, i + 200);
            check(mremap(a, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, b) == b);
            CALL(b, i + 200);
            check(faults(a), "moved code was executed where it was");
            check(mmap(a, 4096, RWX, PRIVATE | MAP_FIXED, -1, 0) == a);
            put(a, i + 300);
            CALL(a, i + 300);
            CALL(b, i + 200);
            /* protected, and open again */
            check_call(mprotect(a, 4096, PROT_READ | PROT_WRITE));
            check(faults(a), "data was executed");
            put(a, i + 400);
            check_call(mprotect(a, 4096, PROT_READ | PROT_EXEC));
            CALL(a, i + 400);
            /* discarded: zeros, which are `add %al, (%rax)` */
            check_call(madvise(a, 4096, MADV_DONTNEED));
            check(a[0] == 0);
            check_call(mprotect(a, 4096, RWX));
            put(a, i + 500);
            CALL(a, i + 500);
            /* read into by the kernel */
            ssize_t got = pread(file, a, 6, 0);
            check(got == 6, "%zd, errno %d", got, errno);
            CALL(a, 3333);
            check(mmap(room, 16 * 4096, PROT_NONE, PRIVATE | MAP_FIXED, -1, 0) == room);
        }
    return victim_end();
}
