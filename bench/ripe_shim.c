/* What is preloaded into the public suite's attack generator, so that its payload comes in from outside.
 *
 * The suite builds each payload within the process that it attacks. Between building and overflowing, it calls a function
 * that only prints which bytes end a string. The constructor here lays a jump over that function's beginning; what it jumps
 * to sends the payload out and reads it back: through a file, a pair of Unix sockets, or a TCP connection with itself on the
 * loopback. Before that, it tells that it is ready and waits for one byte, so that it can be possessed meanwhile. And since
 * kernels of 5.8 and later make nothing but the stack executable for `-z execstack`, it makes all data executable.
 *
 *     RIPE_WAY      file, pair, tcp; none: the payload stays as it is
 *     RIPE_GATE     a descriptor: one byte is written to it, and one is read from it; none: nobody waits
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRINTS "locate_terminating_chars"
#define PIPE_BYTES_MAX 65536 /* fits into a socket's buffer: the same thread writes it and reads it */

static void die(const char *what)
{
    perror(what);
    _exit(98);
}

/* The program's data with what follows it (bss), heap and stack: what the suite injects code into. */
static void make_data_executable(void)
{
    char program[256] = "", line[512], path[256];
    unsigned long low, high, before = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps || readlink("/proc/self/exe", program, sizeof program - 1) < 0)
        die("/proc/self");
    while (fgets(line, sizeof line, maps)) {
        path[0] = 0;
        if (sscanf(line, "%lx-%lx rw-p %*s %*s %*s %255[^\n]", &low, &high, path) < 2 || !strstr(line, " rw-p "))
            continue;
        if (!strcmp(path, program) || !strcmp(path, "[heap]") || !strcmp(path, "[stack]") || low == before) {
            mprotect((void *)low, high - low, PROT_READ | PROT_WRITE | PROT_EXEC);
            before = strcmp(path, program) ? 0 : high;
        }
    }
    fclose(maps);
}

static void wait_at_gate(void)
{
    const char *gate = getenv("RIPE_GATE");
    char byte = 'r';
    if (gate && (write(atoi(gate), &byte, 1) != 1 || read(atoi(gate), &byte, 1) != 1))
        die("gate");
}

/* Two ends of a way out and in again: the second is read. */
static void open_way(const char *way, int ends[2])
{
    if (!strcmp(way, "file")) {
        ends[0] = ends[1] = open("payload", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (ends[0] < 0)
            die("payload");
    } else if (!strcmp(way, "pair")) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
            die("socketpair");
    } else if (!strcmp(way, "tcp")) {
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t bytes = sizeof here;
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(listener, (struct sockaddr *)&here, bytes) || listen(listener, 1) ||
            getsockname(listener, (struct sockaddr *)&here, &bytes) || connect(ends[0], (struct sockaddr *)&here, bytes))
            die("loopback");
        ends[1] = accept(listener, 0, 0);
        close(listener);
    } else {
        die("RIPE_WAY");
    }
}

static void bring_in(char *payload, size_t bytes)
{
    const char *way = getenv("RIPE_WAY");
    int ends[2];
    make_data_executable();
    if (way && !strcmp(way, "file"))
        close(open("payload", O_RDWR | O_CREAT | O_CLOEXEC, 0600)); /* there before we are possessed, to be named */
    wait_at_gate();
    if (!way)
        return;
    if (bytes > PIPE_BYTES_MAX)
        die("payload is too long");
    open_way(way, ends);
    if (write(ends[0], payload, bytes) != (ssize_t)bytes)
        die("write");
    memset(payload, 0, bytes);
    if (ends[0] == ends[1])
        lseek(ends[0], 0, SEEK_SET);
    for (size_t done = 0; done < bytes;) {
        ssize_t got = read(ends[1], payload + done, bytes - done);
        if (got <= 0)
            die("read");
        done += (size_t)got;
    }
}

static int note_base(struct dl_phdr_info *info, size_t bytes, void *base)
{
    (void)bytes;
    *(uintptr_t *)base = info->dlpi_addr; /* the program is the first */
    return 1;
}

/* The function is in no dynamic table: its place is in the file's symbols. */
static uint8_t *place_of(const char *name)
{
    struct stat status;
    uintptr_t base = 0;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status))
        die("/proc/self/exe");
    const uint8_t *elf = mmap(0, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (elf == MAP_FAILED)
        die("mmap");
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)elf;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(elf + head->e_shoff);
    uint8_t *found = 0;
    dl_iterate_phdr(note_base, &base);
    for (int i = 0; i < head->e_shnum && !found; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *symbols = (const Elf64_Sym *)(elf + sections[i].sh_offset);
        const char *names = (const char *)elf + sections[sections[i].sh_link].sh_offset;
        for (size_t k = 0; k < sections[i].sh_size / sizeof *symbols && !found; k++)
            if (!strcmp(names + symbols[k].st_name, name))
                found = (uint8_t *)(base + symbols[k].st_value);
    }
    munmap((void *)elf, (size_t)status.st_size);
    return found;
}

__attribute__((constructor)) static void lay_jump(void)
{
    uint8_t jump[12] = {0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0}; /* mov rax, target; jmp rax */
    uint8_t *place = place_of(PRINTS);
    uintptr_t target = (uintptr_t)bring_in, page;
    if (!place) /* a shell that the attack starts has this preloaded as well */
        return;
    page = (uintptr_t)place & ~4095UL;
    memcpy(jump + 2, &target, sizeof target);
    if (mprotect((void *)page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC))
        die("mprotect");
    memcpy(place, jump, sizeof jump);
    if (mprotect((void *)page, 8192, PROT_READ | PROT_EXEC))
        die("mprotect");
}
