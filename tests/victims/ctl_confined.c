/* Threads under a seccomp filter that kills whoever calls more than write and exit_group. With a word behind the name, the filter comes
 * when a line does; if it is `alone`, for the first thread only. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS = 4 };
static volatile unsigned long turns[THREADS], ready;
static volatile int confined;

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static void *work(void *opaque)
{
    unsigned long me = (unsigned long)opaque;
    __atomic_add_fetch(&ready, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        int numbers[16], sorts = confined;
        for (int i = 0; i < 16; i++)
            numbers[i] = (int)(turns[me] * 7919 + i * 104729) % 1000;
        if (sorts) /* code of the library, first met after the gate has closed */
            qsort(numbers, 16, sizeof *numbers, by_number);
        for (int i = 1; sorts && i < 16; i++)
            if (numbers[i - 1] > numbers[i])
                _exit(1);
        turns[me]++;
    }
}

int main(int argc, char **argv)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 1, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    pthread_t thread;
    char line;
    for (unsigned long i = 0; i < THREADS; i++)
        pthread_create(&thread, 0, work, (void *)i);
    while (ready < THREADS)
        ;
    if (argc > 1 && (write(1, "good\n", 5) != 5 || read(0, &line, 1) != 1))
        return 4;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    unsigned flags = argc > 1 && !strcmp(argv[1], "alone") ? 0 : SECCOMP_FILTER_FLAG_TSYNC;
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program))
        return 2;
    confined = 1;
    unsigned long seen[THREADS] = {0};
    for (;;) {
        for (int i = 0; i < THREADS; i++) {
            while (turns[i] < seen[i] + 200)
                ;
            seen[i] = turns[i];
        }
        if (write(1, "good\n", 5) != 5)
            return 3;
    }
}
