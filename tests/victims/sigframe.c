/* A loop keeps a pattern in every general and vector register; the handler finds each of them in its frame, and what it
 * writes there is in the registers afterwards. Every fourth handler moves rip to another label. */
#define HEARS_SIGNALS 1
#include "frames.h"
#include <sys/time.h>

#define USED __attribute__((used))
static USED uint64_t general[16], vectors[16][2], seen_general[16], seen_vectors[16][2], saved_rsp;
static USED volatile uint64_t turns;
static volatile sig_atomic_t in_loop, in_all;
static uint64_t state = 11;

/* In the order of `struct sigcontext`, less rsp: r8 … r15 rdi rsi rbp rbx rdx rax rcx. */
static const int order[15] = {REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15, REG_RDI, REG_RSI, REG_RBP, REG_RBX, REG_RDX, REG_RAX, REG_RCX};

void hold_registers(void);
extern char hold_first[], hold_last[], hold_away[];
__asm__(".text\n.globl hold_registers\nhold_registers:\n"
        "pushq %rbx\n pushq %rbp\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n movq %rsp, saved_rsp(%rip)\n"
        "leaq vectors(%rip), %rax\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqu \\n*16(%rax), %xmm\\n\n .endr\n"
        "leaq general(%rip), %rcx\n"
        "movq (%rcx), %r8\n movq 8(%rcx), %r9\n movq 16(%rcx), %r10\n movq 24(%rcx), %r11\n movq 32(%rcx), %r12\n movq 40(%rcx), %r13\n"
        "movq 48(%rcx), %r14\n movq 56(%rcx), %r15\n movq 64(%rcx), %rdi\n movq 72(%rcx), %rsi\n movq 80(%rcx), %rbp\n movq 88(%rcx), %rbx\n"
        "movq 96(%rcx), %rdx\n movq 104(%rcx), %rax\n movq 112(%rcx), %rcx\n"
        "hold_first: decq turns(%rip)\n jnz hold_first\n"
        "jmp 2f\n ud2\n"
        "hold_away: nop\n"
        "2: nop\nhold_last: pushq %rcx\n leaq seen_general(%rip), %rcx\n"
        "movq %r8, (%rcx)\n movq %r9, 8(%rcx)\n movq %r10, 16(%rcx)\n movq %r11, 24(%rcx)\n movq %r12, 32(%rcx)\n movq %r13, 40(%rcx)\n"
        "movq %r14, 48(%rcx)\n movq %r15, 56(%rcx)\n movq %rdi, 64(%rcx)\n movq %rsi, 72(%rcx)\n movq %rbp, 80(%rcx)\n movq %rbx, 88(%rcx)\n"
        "movq %rdx, 96(%rcx)\n movq %rax, 104(%rcx)\n popq 112(%rcx)\n"
        "leaq seen_vectors(%rip), %rax\n"
        ".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n movdqu %xmm\\n, \\n*16(%rax)\n .endr\n"
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbp\n popq %rbx\n ret\n");

static void on_alarm(int number, siginfo_t *info, void *opaque)
{
    (void)number;
    (void)info;
    ucontext_t *context = opaque;
    in_all++;
    check_frame(context);
    uint64_t rip = frame_register(context, REG_RIP);
    if (rip < (uint64_t)hold_first || rip >= (uint64_t)hold_last)
        return;
    in_loop++;
    for (int i = 0; i < 15; i++)
        check(frame_register(context, order[i]) == general[i], "register %d of the frame is %llx, not %llx, at hold_first+%llu", i,
              (unsigned long long)frame_register(context, order[i]), (unsigned long long)general[i], (unsigned long long)(rip - (uint64_t)hold_first));
    check(frame_register(context, REG_RSP) == saved_rsp, "rsp of the frame is off by %lld", (long long)(frame_register(context, REG_RSP) - saved_rsp));
    struct _libc_fpstate *fp = context->uc_mcontext.fpregs;
    check(fp != 0 && ((uintptr_t)fp & 15) == 0);
    for (int i = 0; i < 16; i++)
        check(!memcmp(&fp->_xmm[i], vectors[i], 16), "xmm%d of the frame", i);
    check((fp->mxcsr & ~0x3fu) == 0x1f80, "mxcsr of the frame is %x", fp->mxcsr);
    /* Change some. */
    unsigned g = (unsigned)(next_number(&state) % 15), v = (unsigned)(next_number(&state) % 16);
    general[g] = next_number(&state);
    vectors[v][1] = next_number(&state);
    context->uc_mcontext.gregs[order[g]] = (greg_t)general[g];
    memcpy(&fp->_xmm[v], vectors[v], 16);
    if (in_loop % 4 == 0)
        context->uc_mcontext.gregs[REG_RIP] = (greg_t)hold_away;
}

int main(void)
{
    learn_own_text();
    handle(SIGALRM, on_alarm, SA_RESTART);
    struct itimerval every = {{0, 1500}, {0, 1500}};
    check_call(setitimer(ITIMER_REAL, &every, 0));
    while (victim_round()) {
        sigset_t alarm;
        sigemptyset(&alarm);
        sigaddset(&alarm, SIGALRM);
        sigprocmask(SIG_BLOCK, &alarm, 0);
        for (int i = 0; i < 15; i++)
            general[i] = next_number(&state);
        for (int i = 0; i < 16; i++)
            vectors[i][0] = next_number(&state), vectors[i][1] = next_number(&state);
        turns = 5000000;
        sigprocmask(SIG_UNBLOCK, &alarm, 0);
        /* A handler that comes just before the loop changes nothing; one that comes in it changes both sides. */
        hold_registers();
        sigprocmask(SIG_BLOCK, &alarm, 0);
        for (int i = 0; i < 15; i++)
            check(seen_general[i] == general[i], "register %d is %llx, not %llx", i, (unsigned long long)seen_general[i], (unsigned long long)general[i]);
        for (int i = 0; i < 16; i++)
            check(!memcmp(seen_vectors[i], vectors[i], 16), "xmm%d", i);
        sigprocmask(SIG_UNBLOCK, &alarm, 0);
    }
    check(in_loop > 0 || in_all < 50, "the loop was never interrupted");
    return victim_end();
}
