/* Computes without a system call, and checks what it computed: any register lost shows. Prints "good N" a round. */
#include <stdint.h>
#include <stdio.h>

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned long round = 0;; round++) {
        uint64_t sum = 0, a = 1, b = 2, c = 3;
        for (uint64_t i = 0; i < 3000000; i++) {
            a = a * 6364136223846793005u + i;
            b ^= a >> 7;
            c += b ^ i;
            sum += c;
        }
        static uint64_t first;
        if (round == 0)
            first = sum;
        if (sum != first) {
            puts("bad");
            return 1;
        }
        printf("good %lu\n", round);
    }
}
