/* A process whose seccomp filter allows what it needs itself and kills it for anything else. */
#include "victim.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static volatile sig_atomic_t came;
static void on_signal(int number)
{
    (void)number;
    came++;
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    check_call(sigaction(SIGUSR1, &action, 0));
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(write), ALLOW(poll), ALLOW(exit_group), ALLOW(clock_gettime), ALLOW(getpid), ALLOW(clock_nanosleep), ALLOW(restart_syscall),
        ALLOW(tgkill), ALLOW(gettid), ALLOW(rt_sigreturn), ALLOW(rt_sigprocmask),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mkdir, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    pid_t me = getpid(), my_thread = gettid();
    (void)victim_round(); /* asks the environment, before the gate closes */
    check_call(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    check_call(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
    do {
        check(syscall(SYS_getpid) == me);
        check(syscall(SYS_mkdir, "/x", 0) == -1 && errno == 77, "errno %d", errno);
        struct timespec t = {0, 3000000};
        check(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0) == 0);
        int before = came;
        check(syscall(SYS_tgkill, me, my_thread, SIGUSR1) == 0);
        check(came == before + 1);
    } while (victim_round());
    return victim_end();
}
