/* Two kernels without any library, for 64 and for 32 bits, so that engines of either kind run the same program.
 *
 *     kernel hash N FILE      a digest of the file's first 64 KiB, N times
 *     kernel store N FILE     each byte of them stored through a table, N times
 */
#ifdef __x86_64__
enum { READ = 0, WRITE = 1, OPEN = 2, EXIT = 60, SLEEP = 35 };
static long call(long number, long a, const void *b, long c)
{
    long answer;
    __asm__ volatile("syscall" : "=a"(answer) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return answer;
}
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
#else
enum { READ = 3, WRITE = 4, OPEN = 5, EXIT = 1, SLEEP = 162 };
static long call(long number, long a, const void *b, long c)
{
    long answer;
    __asm__ volatile("int $0x80" : "=a"(answer) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return answer;
}
__asm__(".globl _start\n_start:\n mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call begin\n");
#endif

typedef unsigned int word;
enum { SIZE = 65536 };
static unsigned char input[SIZE], table[SIZE], out[SIZE];

static word hash(word digest)
{
    for (long i = 0; i + 4 <= SIZE; i += 4) {
        word w = input[i] | input[i + 1] << 8 | input[i + 2] << 16 | (word)input[i + 3] << 24;
        digest = (digest ^ w) * 0x9e3779b1u;
        digest = digest << 13 | digest >> 19;
    }
    return digest;
}

static word store(word digest)
{
    for (long i = 0; i < SIZE; i++)
        out[(i * 251) & (SIZE - 1)] = table[input[i]] + (unsigned char)digest;
    return digest + out[digest & (SIZE - 1)];
}

__attribute__((used)) void begin(long *stack)
{
    char **words = (char **)(stack + 1);
    word digest = 1;
    long rounds = 0, got = 0;
    char text[9];
    for (char *at = words[2]; *at; at++)
        rounds = rounds * 10 + *at - '0';
    long pause[2] = {0, 100000000}; /* a tenth of a second, in which it is possessed */
    call(SLEEP, (long)pause, 0, 0);
    long file = call(OPEN, (long)words[3], 0, 0);
    while (got < SIZE) {
        long more = call(READ, file, input + got, SIZE - got);
        if (more <= 0)
            call(EXIT, 1, 0, 0);
        got += more;
    }
    for (long i = 0; i < SIZE; i++)
        table[i] = (unsigned char)(i * 7);
    while (rounds--)
        digest = words[1][0] == 'h' ? hash(digest) : store(digest);
    for (int i = 0; i < 8; i++)
        text[i] = "0123456789abcdef"[digest >> (28 - 4 * i) & 15];
    text[8] = '\n';
    call(WRITE, 1, text, 9);
    call(EXIT, 0, 0, 0);
}
