/* One of two threads waits in vfork nearly all the time: each child lives until a line comes, or for so many milliseconds. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile unsigned long turns;

static void *turn(void *opaque)
{
    for (;;)
        turns++;
    return opaque;
}

int main(int argc, char **argv)
{
    long ms = argc > 1 ? atol(argv[1]) : 0;
    struct timespec life = {ms / 1000, ms % 1000 * 1000000};
    char line;
    pthread_t thread;
    setvbuf(stdout, NULL, _IOLBF, 0);
    pthread_create(&thread, NULL, turn, NULL);
    while (!turns)
        ;
    for (;;) {
        unsigned long before = turns;
        puts("good");
        pid_t child = vfork();
        if (!child) {
            if (ms)
                nanosleep(&life, NULL);
            else if (read(0, &line, 1) != 1)
                _exit(1);
            _exit(7);
        }
        int status;
        if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 7 || turns == before) {
            puts("bad");
            return 1;
        }
    }
}
