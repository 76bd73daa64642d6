/* Children of every kind from a process with four threads: fork, vfork, posix_spawn, system, popen, a pipeline of three;
 * their results by wait, waitpid, wait4, waitid, and SIGCHLD. The child of a fork computes and checks, and forks again. */
#define HEARS_SIGNALS 1
#include "victim.h"
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;
static volatile int stop;
static volatile sig_atomic_t chld;
static uint64_t turned[3];
static volatile int *volatile nowhere = (volatile int *)16;

static void on_child(int number)
{
    (void)number;
    chld++;
}

static uint64_t work(uint64_t seed)
{
    for (int i = 0; i < 20000; i++)
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return seed;
}

static void *busy(void *opaque)
{
    uint64_t want = work(5);
    while (!stop) {
        check(work(5) == want);
        free(malloc(2000)); /* the allocator's lock is held now and then when the fork comes */
        ++*(volatile uint64_t *)opaque;
    }
    return 0;
}

static int result_of(pid_t pid)
{
    int status;
    check_call(pid);
    check(waitpid(pid, &status, 0) == pid, "errno %d", errno);
    check(WIFEXITED(status), "status %x", status);
    return WEXITSTATUS(status);
}

static void forked(void)
{
    uint64_t want = work(9);
    int page_value = (int)victim.rounds;
    int *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *page = page_value;
    pid_t parent = getpid(), child = fork();
    if (!child) {
        void *fresh = malloc(100000);
        check(fresh && getppid() == parent && *page == page_value && work(9) == want);
        *page = 0;
        free(fresh);
        pid_t grandchild = fork();
        if (!grandchild)
            _exit(work(9) == want ? 23 : 1);
        check(result_of(grandchild) == 23);
        _exit(22);
    }
    check(result_of(child) == 22);
    check(*page == page_value);
    munmap(page, 4096);
}

static void killed(void)
{
    int status;
    struct rusage usage;
    pid_t child = fork();
    if (!child)
        for (;;)
            pause();
    check_call(child);
    check_call(kill(child, SIGKILL));
    check(wait4(child, &status, 0, &usage) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    child = fork();
    if (!child) {
        signal(SIGSEGV, SIG_DFL);
        *nowhere = 1;
    }
    check(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %x", status);
    /* stopped and continued */
    child = fork();
    if (!child)
        for (;;)
            nap_ms(1000);
    check_call(kill(child, SIGSTOP));
    check(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    check_call(kill(child, SIGCONT));
    check(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status));
    check_call(kill(child, SIGTERM));
    check(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void executed(void)
{
    pid_t child = vfork();
    if (!child) {
        execl("/bin/sh", "sh", "-c", "exit 31", (char *)0);
        _exit(127);
    }
    check(result_of(child) == 31);
    child = vfork();
    if (!child)
        _exit(32);
    check(result_of(child) == 32);
    char *argv[] = {"sh", "-c", "exit 33", 0};
    check(!posix_spawn(&child, "/bin/sh", 0, 0, argv, environ));
    check(result_of(child) == 33);
    check(posix_spawn(&child, "/no/such/program", 0, 0, argv, environ) == ENOENT);
    int status = system("exit 34");
    check(WIFEXITED(status) && WEXITSTATUS(status) == 34, "status %x", status);
    FILE *pipe = popen("echo one two three | tr o 0 | wc -w", "r");
    char line[64];
    check(pipe && fgets(line, sizeof line, pipe) && atoi(line) == 3);
    check(pclose(pipe) == 0);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_RESTART};
    check_call(sigaction(SIGCHLD, &action, 0));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        check(!pthread_create(&threads[i], 0, busy, &turned[i]));
    while (victim_round()) {
        int before = chld;
        forked();
        killed();
        executed();
        check(chld > before, "no SIGCHLD");
        check(waitpid(-1, 0, WNOHANG) == -1 && errno == ECHILD, "a child is left");
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        check(!pthread_join(threads[i], 0));
    check(turned[0] && turned[1] && turned[2]);
    return victim_end();
}
