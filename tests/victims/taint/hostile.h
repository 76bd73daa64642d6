/* What every victim of an attack shares: how hostile input gets in, what is told to the attacker, and the mark of success.
 *
 *     victim tcp serial|fork|threads    listens on the loopback, says `port N`; one conversation, process or thread a peer
 *     victim stdin                      converses by its standard input and output
 *     victim pair DESCRIPTOR            by a socket that it inherits
 *     victim file                       reads each file that a line of its standard input names
 *     victim fetch serial|fork|threads  connects to each loopback port that a line of its standard input names
 *
 * On standard output, one line each: `at NAME 0x…`, addresses and distances that an attacker would have to know; `port N`;
 * `ready`. Then it converses in messages, the words little-endian:
 *
 *     bytes (2)  slot (2)  data (bytes)
 *
 * The data is put into the slot of that number, a static buffer; `handle` works on it, and the peer is told `fine BYTES`.
 * Code that has taken over writes HIJACKED to descriptor 2 and ends the process with status 77.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline, noclone))
#define DATA_BYTES_MAX 4096
#define SLOTS 8
#define EACH_S 30 /* longer than any test waits for an answer: no peer keeps a victim's thread for ever */

#ifdef __cplusplus
extern "C" {
#endif

void hijacked(void);

/* With a slide in front: one of its addresses has no zero byte and no line end in it. */
__asm__(".text\n"
        ".p2align 4\n"
        ".globl hijacked\n"
        ".type hijacked, @function\n"
        "hijacked:\n"
        "    .fill 16, 1, 0x90\n"
        "    mov $1, %eax\n"
        "    mov $2, %edi\n"
        "    lea 1f(%rip), %rsi\n"
        "    mov $8, %edx\n"
        "    syscall\n"
        "    mov $231, %eax\n"
        "    mov $77, %edi\n"
        "    syscall\n"
        "1:  .ascii \"HIJACKED\"\n"
        ".size hijacked, . - hijacked\n");

#ifdef __cplusplus
}
#endif

static uint8_t slots[SLOTS][DATA_BYTES_MAX + 1] __attribute__((aligned(4096)));

/* What a victim brings: what it tells at start, and its mistake. */
static void prepare(void);
static void handle(uint8_t *data, size_t bytes);

static MAYBE_UNUSED void at(const char *name, uint64_t value)
{
    printf("at %s 0x%llx\n", name, (unsigned long long)value);
}

/* How far the return address lies behind a buffer of the function that this stands in. */
#define NOTE_DISTANCE(buffer) (distance = (uint8_t *)__builtin_frame_address(0) + 8 - (uint8_t *)(buffer))

static MAYBE_UNUSED volatile int64_t distance;

#define AT(name) at(#name, (uint64_t)(uintptr_t)(name))

static MAYBE_UNUSED void die(const char *what)
{
    perror(what);
    _exit(2);
}

/* Read all of it; 0 at the end of the input. */
static int whole(int from, void *into, size_t bytes)
{
    uint8_t *to = (uint8_t *)into;
    while (bytes) {
        ssize_t got = read(from, to, bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return 0;
        to += got;
        bytes -= (size_t)got;
    }
    return 1;
}

static void converse(int from, int to)
{
    uint16_t head[2];
    while (whole(from, head, sizeof head)) {
        if (head[0] > DATA_BYTES_MAX || head[1] >= SLOTS)
            return;
        uint8_t *data = slots[head[1]];
        if (!whole(from, data, head[0]))
            return;
        data[head[0]] = 0;
        handle(data, head[0]);
        char answer[32];
        int bytes = snprintf(answer, sizeof answer, "fine %u\n", head[0]);
        if (write(to, answer, (size_t)bytes) < 0)
            return;
    }
}

static void *converse_in_thread(void *descriptor)
{
    int peer = (int)(intptr_t)descriptor;
    converse(peer, peer);
    close(peer);
    return 0;
}

static void serve_peer(int peer, const char *serving)
{
    struct timeval patience = {EACH_S, 0};
    setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!strcmp(serving, "fork")) {
        pid_t child = fork();
        if (child < 0)
            die("fork");
        if (!child) {
            converse(peer, peer);
            _exit(0);
        }
        close(peer);
    } else if (!strcmp(serving, "threads")) {
        pthread_t thread;
        if (pthread_create(&thread, 0, converse_in_thread, (void *)(intptr_t)peer))
            die("pthread_create");
        pthread_detach(thread);
    } else {
        converse_in_thread((void *)(intptr_t)peer);
    }
}

static int loopback_socket(struct sockaddr_in *address, uint16_t port)
{
    int one = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address->sin_port = htons(port);
    if (one < 0)
        die("socket");
    return one;
}

static void say_ready(void)
{
    puts("ready");
    fflush(stdout);
}

static void listen_for(const char *serving)
{
    struct sockaddr_in address;
    socklen_t bytes = sizeof address;
    int listener = loopback_socket(&address, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16) ||
        getsockname(listener, (struct sockaddr *)&address, &bytes))
        die("listen");
    printf("port %u\n", ntohs(address.sin_port));
    say_ready();
    for (;;) {
        int peer = accept(listener, 0, 0);
        if (peer >= 0)
            serve_peer(peer, serving);
        else if (errno != EINTR)
            die("accept");
    }
}

static void go_by_lines(int is_fetching, const char *serving)
{
    char line[512];
    say_ready();
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (is_fetching) {
            struct sockaddr_in address;
            int server = loopback_socket(&address, (uint16_t)atoi(line));
            if (connect(server, (struct sockaddr *)&address, sizeof address))
                die("connect");
            serve_peer(server, serving);
        } else {
            int file = open(line, O_RDONLY | O_CLOEXEC);
            if (file < 0)
                die(line);
            converse(file, 1);
            close(file);
        }
    }
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "", *more = argc > 2 ? argv[2] : "serial";
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    AT(hijacked);
    at("slot", (uint64_t)(uintptr_t)slots[0]);
    prepare();
    if (!strcmp(way, "tcp")) {
        listen_for(more);
    } else if (!strcmp(way, "stdin")) {
        say_ready();
        converse(0, 1);
    } else if (!strcmp(way, "pair")) {
        say_ready();
        converse(atoi(more), atoi(more));
    } else if (!strcmp(way, "file") || !strcmp(way, "fetch")) {
        go_by_lines(!strcmp(way, "fetch"), more);
    } else {
        fprintf(stderr, "usage: %s tcp|stdin|pair|file|fetch [serial|fork|threads|descriptor]\n", argv[0]);
        return 2;
    }
    return 0;
}

#endif
