/* Robust mutexes: their owner ends, as a thread and as a process, and the next one is told. */
#include "victim.h"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>

static pthread_mutex_t *shared, own;

static void *dies_with(void *mutex)
{
    check(!pthread_mutex_lock(mutex));
    return 0;
}

static void make(pthread_mutex_t *mutex, int across)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attr, across ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE);
    check(!pthread_mutex_init(mutex, &attr));
}

int main(void)
{
    shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(shared != MAP_FAILED);
    make(shared, 1);
    make(&own, 0);
    while (victim_round()) {
        pthread_t thread;
        check(!pthread_create(&thread, 0, dies_with, &own));
        check(!pthread_join(thread, 0));
        int got = pthread_mutex_lock(&own);
        check(got == EOWNERDEAD, "the owner has ended, and lock says %d", got);
        check(!pthread_mutex_consistent(&own) && !pthread_mutex_unlock(&own));
        int status;
        pid_t child = fork();
        if (!child) {
            pthread_mutex_lock(shared);
            nap_ms(3);
            _exit(0);
        }
        check_call(child);
        nap_ms(1);
        got = pthread_mutex_lock(shared); /* before the child took it, or after it died with it */
        check(got == 0 || got == EOWNERDEAD, "%d", got);
        if (got)
            check(!pthread_mutex_consistent(shared));
        check(!pthread_mutex_unlock(shared));
        check(waitpid(child, &status, 0) == child && status == 0, "status %x", status);
        got = pthread_mutex_lock(shared);
        check(got == 0 || got == EOWNERDEAD);
        if (got)
            check(!pthread_mutex_consistent(shared));
        check(!pthread_mutex_unlock(shared));
    }
    return victim_end();
}
