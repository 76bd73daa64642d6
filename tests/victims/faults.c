/* Synchronous faults, each with its code and address: SIGSEGV (skipped, made good and retried, moved elsewhere, on a
 * guard page, by execution, by a non-canonical address), SIGBUS, SIGFPE, SIGILL, SIGTRAP. */
#include "frames.h"
#include <sys/mman.h>

static volatile struct {
    int number, code;
    uint64_t address, rip;
    int count;
} last;

static enum { SKIP, UNPROTECT, MOVE, RETURN } plan;
static int skip_bytes;
static char *page;
extern char elsewhere[];

static void on_fault(int number, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    last.number = number;
    last.code = info->si_code;
    last.address = (uint64_t)info->si_addr;
    last.rip = frame_register(context, REG_RIP);
    last.count++;
    if (plan == SKIP)
        context->uc_mcontext.gregs[REG_RIP] += skip_bytes;
    else if (plan == UNPROTECT)
        check_call(mprotect(page, 4096, PROT_READ | PROT_WRITE));
    else if (plan == MOVE) {
        context->uc_mcontext.gregs[REG_RIP] = (greg_t)elsewhere;
        context->uc_mcontext.gregs[REG_RAX] = 4711;
    } else { /* as if the function that could not be entered had returned */
        uint64_t *sp = (uint64_t *)context->uc_mcontext.gregs[REG_RSP];
        context->uc_mcontext.gregs[REG_RIP] = (greg_t)*sp;
        context->uc_mcontext.gregs[REG_RSP] += 8;
    }
}

/* Runs one instruction at label `at`, with rax = a, rcx = c, rdx = d; the label's address and the results come back. */
#define TRY(instruction, a, c, d)                                                                                    \
    ({                                                                                                               \
        uint64_t a_ = (uint64_t)(a), c_ = (uint64_t)(c), d_ = (uint64_t)(d), at_;                                     \
        last.count = 0;                                                                                              \
        __asm__ volatile("subq $128, %%rsp\n leaq 1f(%%rip), %%rsi\n movl $0x55, %%edi\n 1: " instruction "\n addq $128, %%rsp"   \
                         : "+a"(a_), "+c"(c_), "+d"(d_), "=&S"(at_) : : "rdi", "memory", "cc");                            \
        got_rax = a_, got_rdx = d_;                                                                                  \
        at_;                                                                                                         \
    })

static uint64_t got_rax, got_rdx;

static void expect(const char *what, uint64_t at, int number, int code, uint64_t address, int count)
{
    check(last.count == count, "%s: %d faults", what, last.count);
    check(last.number == number && last.code == code, "%s: signal %d code %d, not %d code %d", what, last.number, last.code, number, code);
    check(last.rip == at, "%s: rip is off by %lld", what, (long long)(last.rip - at));
    check(last.address == address, "%s: address %llx, not %llx", what, (unsigned long long)last.address, (unsigned long long)address);
}

static void segv(void)
{
    uint64_t at;
    plan = SKIP;
    skip_bytes = 3;
    check_call(mprotect(page, 4096, PROT_NONE));
    at = TRY("movq (%%rdx), %%rax", 5, 0, page + 24);
    expect("read of a closed page", at, SIGSEGV, SEGV_ACCERR, (uint64_t)page + 24, 1);
    check(got_rax == 5, "the skipped load left its register alone");
    at = TRY("movq %%rax, (%%rdx)", 5, 0, 0x18);
    expect("write to nothing", at, SIGSEGV, SEGV_MAPERR, 0x18, 1);
    at = TRY("addq %%rax, (%%rdx)", 5, 0, 0x7ff0);
    expect("read and write of nothing", at, SIGSEGV, SEGV_MAPERR, 0x7ff0, 1);
    at = TRY("movq (%%rdx), %%rax", 5, 0, 0x1234567812345678);
    expect("read of a non-canonical address", at, SIGSEGV, SI_KERNEL, 0, 1);
    skip_bytes = 2;
    at = TRY("callq *%%rdx\n", 5, 0, 0x1234567812345678);
    (void)at; /* some processors fault at the call, some at its target */
    check(last.count == 1 && last.number == SIGSEGV);
}

static void segv_of_pushes(void)
{
    /* A push that faults has not moved rsp; a call that faults neither. */
    uint64_t before, after;
    plan = SKIP;
    skip_bytes = 1;
    last.count = 0;
    check_call(mprotect(page, 4096, PROT_NONE));
    __asm__ volatile("movq %%rsp, %%rbx\n movq %2, %%rsp\n movq %%rsp, %0\n 1: pushq %%rax\n movq %%rsp, %1\n movq %%rbx, %%rsp"
                     : "=&r"(before), "=&r"(after) : "r"(page + 4096) : "rbx", "memory");
    check(last.count == 1 && last.number == SIGSEGV && last.address == (uint64_t)page + 4088 && before == after, "count %d address %llx off %lld", last.count, (unsigned long long)last.address, (long long)(after - before));
    skip_bytes = 5;
    last.count = 0;
    __asm__ volatile("movq %%rsp, %%rbx\n movq %2, %%rsp\n movq %%rsp, %0\n .byte 0xe8\n .long 2f - 1f\n 1: movq %%rsp, %1\n movq %%rbx, %%rsp\n jmp 3f\n 2: ud2\n 3:"
                     : "=&r"(before), "=&r"(after) : "r"(page + 4096) : "rbx", "memory");
    check(last.count == 1 && last.number == SIGSEGV && last.address == (uint64_t)page + 4088 && before == after, "call: count %d number %d off %lld", last.count, last.number, (long long)(after - before));
}

static void made_good(void)
{
    uint64_t at;
    plan = UNPROTECT;
    check_call(mprotect(page, 4096, PROT_READ | PROT_WRITE));
    *(uint64_t *)page = 99;
    check_call(mprotect(page, 4096, PROT_NONE));
    at = TRY("movq (%%rdx), %%rax", 5, 0, page);
    expect("load, retried", at, SIGSEGV, SEGV_ACCERR, (uint64_t)page, 1);
    check(got_rax == 99);
    check_call(mprotect(page, 4096, PROT_READ));
    at = TRY("lock addq %%rax, (%%rdx)", 5, 0, page);
    expect("addition to memory, retried", at, SIGSEGV, SEGV_ACCERR, (uint64_t)page, 1);
    check(*(uint64_t *)page == 104, "added %lld", (long long)*(uint64_t *)page - 99);
    /* A block copy that faults in its middle goes on where it was. */
    static uint8_t source[8192];
    memset(source, 7, sizeof source);
    memset(page - 4096, 0, 4096);
    check_call(mprotect(page, 4096, PROT_READ));
    last.count = 0;
    void *d = page - 1000, *s = source;
    uint64_t n = 3000;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    check(last.count == 1 && last.address == (uint64_t)page && n == 0 && page[1999] == 7 && page[2000] == 0 && page[-1] == 7, "count %d address %llx", last.count, (unsigned long long)last.address);
}

static void moved(void)
{
    plan = MOVE;
    uint64_t result = 0;
    last.count = 0;
    __asm__ volatile("movq $0x40, %%rdx\n movq (%%rdx), %%rax\n ud2\n.globl elsewhere\nelsewhere: movq %%rax, %0" : "=r"(result) : : "rax", "rdx", "memory");
    check(result == 4711 && last.count == 1);
}

static void executed(void)
{
    plan = RETURN;
    skip_bytes = 0;
    last.count = 0;
    check_call(mprotect(page, 4096, PROT_READ | PROT_WRITE));
    ((void (*volatile)(void))(page + 16))();
    expect("execution of data", (uint64_t)page + 16, SIGSEGV, SEGV_ACCERR, (uint64_t)page + 16, 1);
    last.count = 0;
    ((void (*volatile)(void))0x5000)();
    expect("execution of nothing", 0x5000, SIGSEGV, SEGV_MAPERR, 0x5000, 1);
}

static void others(int file)
{
    uint64_t at;
    plan = SKIP;
    skip_bytes = 3;
    at = TRY("divq %%rdx", 5, 0, 0);
    expect("division by 0", at, SIGFPE, FPE_INTDIV, at, 1);
    at = TRY("idivq %%rcx", 0, -1, 0x8000000000000000);
    expect("quotient too large", at, SIGFPE, FPE_INTDIV, at, 1);
    skip_bytes = 2;
    at = TRY("ud2", 5, 0, 0);
    expect("ud2", at, SIGILL, ILL_ILLOPN, at, 1);
    skip_bytes = 0;
    at = TRY("int3", 5, 0, 0);
    expect("int3", at + 1, SIGTRAP, SI_KERNEL, 0, 1);
    at = TRY(".byte 0xcd, 0x03", 5, 0, 0); /* int $3, the long way */
    check(last.count == 1 && last.number == SIGTRAP && last.rip == at + 2, "rip %lld", (long long)(last.rip - at));
    skip_bytes = 1;
    at = TRY("hlt", 5, 0, 0);
    expect("hlt", at, SIGSEGV, SI_KERNEL, 0, 1);
    /* An unmasked SSE exception. */
    plan = SKIP;
    skip_bytes = 4;
    uint32_t csr = 0x1f80 & ~0x200u, normal = 0x1f80;
    double zero = 0, one = 1;
    last.count = 0;
    __asm__ volatile("ldmxcsr %0\n divsd %2, %1\n ldmxcsr %3" : : "m"(csr), "x"(one), "x"(zero), "m"(normal) : "memory");
    check(last.count == 1 && last.number == SIGFPE && last.code == FPE_FLTDIV, "count %d code %d", last.count, last.code);
    /* Beyond the end of a file. */
    char *map = mmap(0, 8192, PROT_READ, MAP_SHARED, file, 0);
    check(map != MAP_FAILED);
    skip_bytes = 3;
    at = TRY("movq (%%rdx), %%rax", 5, 0, map + 4096);
    expect("beyond a file's end", at, SIGBUS, BUS_ADRERR, (uint64_t)map + 4096, 1);
    munmap(map, 8192);
}

int main(void)
{
    char name[] = "/tmp/victim-faults-XXXXXX";
    int file = mkstemp(name);
    check_call(file);
    unlink(name);
    check_call(ftruncate(file, 100));
    page = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(page != MAP_FAILED);
    page += 4096;
    static char stack[1 << 16]; /* some faults come with a stack pointer that holds nothing */
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    check_call(sigaltstack(&alternate, 0));
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        handle(numbers[i], on_fault, SA_ONSTACK);
    while (victim_round()) {
        segv();
        segv_of_pushes();
        made_good();
        moved();
        executed();
        others(file);
    }
    return victim_end();
}
