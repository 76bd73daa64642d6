/* Makes and joins threads all the time, eight at once. Prints "good" now and then. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *brief(void *turn)
{
    for (volatile int i = 0; i < 2000; i++) {
    }
    return turn;
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (long turn = 1;; turn++) {
        pthread_t threads[8];
        for (int i = 0; i < 8; i++)
            if (pthread_create(&threads[i], NULL, brief, (void *)(turn + i))) {
                puts("bad create");
                return 1;
            }
        for (int i = 0; i < 8; i++) {
            void *result;
            if (pthread_join(threads[i], &result) || result != (void *)(turn + i)) {
                puts("bad join");
                return 1;
            }
        }
        if (turn % 200 == 0)
            puts("good");
    }
}
