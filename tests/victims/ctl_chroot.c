/* Lives in an empty root, where no /proc tells what may be executed; makes code there, and calls it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int by_number(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int made(int number)
{
    unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3}; /* mov eax, number; ret */
    memcpy(code + 1, &number, 4);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    int answer = ((int (*)(void))page)();
    munmap(page, 4096);
    return answer;
}

int main(int argc, char **argv)
{
    if (argc != 2 || chroot(argv[1]) || chdir("/")) {
        puts("bad root");
        return 1;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int turn = 1;; turn++) {
        int numbers[] = {turn % 7, turn % 5, turn % 3};
        qsort(numbers, 3, sizeof *numbers, by_number);
        if (numbers[0] > numbers[1] || numbers[1] > numbers[2] || made(turn) != turn) {
            puts("bad");
            return 1;
        }
        if (turn % 1000 == 0)
            puts("good");
    }
}
