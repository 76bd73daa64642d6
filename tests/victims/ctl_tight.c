/* Under a limit of address space that leaves nothing to be had: code from far apart is run nevertheless, and threads begin where they can. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PLACES = 40, FUNCTIONS = 200 };
static unsigned char *places[PLACES];

static void *nothing(void *opaque) { return opaque; }

/* Functions of their own bytes, in mappings 8 GiB apart. */
static void place(int number)
{
    static const unsigned char code[] = {0x8d, 0x87, 0, 0, 0, 0, 0x85, 0xff, 0x75, 0x01, 0x90, 0xc3}; /* lea eax, [rdi + n]; test; jnz; ret */
    unsigned char *at = mmap((void *)(0x200000000000 + number * 0x200000000L), FUNCTIONS * 16, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    for (int i = 0; i < FUNCTIONS; i++) {
        int n = number * FUNCTIONS + i;
        memcpy(at + i * 16, code, sizeof code);
        memcpy(at + i * 16 + 2, &n, 4);
    }
    mprotect(at, FUNCTIONS * 16, PROT_READ | PROT_EXEC);
    places[number] = at;
}

int main(void)
{
    char line;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < PLACES; i++)
        place(i);
    puts("good");
    if (read(0, &line, 1) != 1)
        return 1;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_AS, &none);
    for (int turn = 1;; turn++) {
        for (int i = 0; i < PLACES; i++)
            for (int j = 0; j < FUNCTIONS; j++)
                if (((int (*)(int))(places[i] + j * 16))(turn) != turn + i * FUNCTIONS + j) {
                    puts("bad");
                    return 1;
                }
        pthread_t thread;
        int error = pthread_create(&thread, NULL, nothing, NULL);
        if (error && error != EAGAIN) {
            puts("bad thread");
            return 1;
        }
        if (!error)
            pthread_join(thread, NULL);
        puts("good");
        usleep(10000);
    }
}
