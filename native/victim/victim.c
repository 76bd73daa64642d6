/* The demonstration's victim: a guest book over HTTP, with one mistake, for `eudaemon demo victim`.
 *
 *     GET  /        the page; a line left on for debugging tells where on the stack the name is put and the way back lies
 *     POST /sign    the body is a name, and it is copied to the stack as long as the peer says it is
 *
 * It owns a loopback address and listens on no other: 127.0.0.1 stands in the code. Each connection has a process of its own,
 * whose standard input and output it is, so that one which is taken over, or stopped, leaves the others alone. Everything
 * that a peer can grow has a number below.
 *
 * Built without a C library, so that one file runs on every Linux of this machine's kind; with an executable stack and
 * without stack protection, since that is what it is for. The only argument is the port.
 */
#include <stdint.h>

#define NAME_BYTES 512
#define HEAD_BYTES_MAX 2048
#define BODY_BYTES_MAX 4096 /* more than a name has room for: the mistake */
#define CHILDREN_MAX 16     /* at a time; further peers wait to be accepted */
#define CHILD_S 20          /* then a child is ended by its alarm */
#define ANSWER_BYTES_MAX 2048

#define NOINLINE __attribute__((noinline))

enum {
    SYS_READ = 0, SYS_WRITE = 1, SYS_CLOSE = 3, SYS_DUP2 = 33, SYS_ALARM = 37, SYS_SOCKET = 41, SYS_ACCEPT = 43,
    SYS_BIND = 49, SYS_LISTEN = 50, SYS_SETSOCKOPT = 54, SYS_FORK = 57, SYS_EXIT = 60, SYS_WAIT4 = 61,
};
enum { AF_INET = 2, SOCK_STREAM = 1, SOCK_CLOEXEC = 02000000, SOL_SOCKET = 1, SO_REUSEADDR = 2, WNOHANG = 1 };

static long call(long number, long a, long b, long c, long d, long e)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e;
    __asm__ volatile("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
    return number;
}

static void end(int status)
{
    for (;;)
        call(SYS_EXIT, status, 0, 0, 0, 0);
}

static unsigned length(const char *text)
{
    unsigned bytes = 0;
    while (text[bytes])
        bytes++;
    return bytes;
}

static void write_all(int to, const char *data, unsigned bytes)
{
    while (bytes) {
        long done = call(SYS_WRITE, to, (long)data, bytes, 0, 0);
        if (done <= 0)
            end(1);
        data += done;
        bytes -= (unsigned)done;
    }
}

/* An answer grows here before it is sent whole. */
static char answer[ANSWER_BYTES_MAX];
static unsigned answer_bytes;

static void say(const char *data, unsigned bytes)
{
    for (unsigned i = 0; i < bytes && answer_bytes < ANSWER_BYTES_MAX; i++)
        answer[answer_bytes++] = data[i];
}

static void say_text(const char *text) { say(text, length(text)); }

static void say_number(uint64_t number, unsigned base)
{
    char digits[24];
    unsigned at = sizeof digits;
    do
        digits[--at] = "0123456789abcdef"[number % base];
    while (number /= base);
    say(digits + at, (unsigned)sizeof digits - at);
}

static void complain(const char *why)
{
    write_all(2, why, length(why));
    write_all(2, "\n", 1);
    end(2);
}

/* Where the name was put, and where the way back lay: for the debug line. */
static uint64_t name_at, back_at;

/* Copy a name to the stack, as long as the peer says, and thank for it. */
static NOINLINE void sign(const char *body, unsigned bytes)
{
    volatile char name[NAME_BYTES];
    name_at = (uint64_t)(uintptr_t)name;
    back_at = (uint64_t)(uintptr_t)__builtin_frame_address(0) + 8;
    for (unsigned i = 0; i < bytes; i++)
        name[i] = body[i];
    for (unsigned i = 0; i < bytes && i < NAME_BYTES; i++) {
        char shown = name[i];
        say(shown >= ' ' && shown < 127 && shown != '<' && shown != '&' ? &shown : ".", 1);
    }
}

static char head[HEAD_BYTES_MAX + 2], body[BODY_BYTES_MAX];

static int begins(const char *text, const char *with)
{
    while (*with)
        if (*text++ != *with++)
            return 0;
    return 1;
}

/* Return the number behind a header's name; 0 if there is none, more than the most if it is too large. */
static unsigned number_in(const char *name, unsigned most)
{
    for (const char *line = head + 1; *line; line++) {
        if (line[-1] != '\n' || !begins(line, name))
            continue;
        unsigned number = 0;
        for (line += length(name); *line == ' '; line++)
            ;
        for (; *line >= '0' && *line <= '9' && number <= most; line++)
            number = number * 10 + (unsigned)(*line - '0');
        return number;
    }
    return 0;
}

static void refuse(const char *status)
{
    answer_bytes = 0;
    say_text("HTTP/1.0 ");
    say_text(status);
    say_text("\r\nContent-Length: 0\r\n\r\n");
    write_all(1, answer, answer_bytes);
    end(0);
}

static int has_end(unsigned bytes)
{
    return bytes >= 4 && begins(head + bytes - 4, "\r\n\r\n");
}

static void serve(void)
{
    unsigned bytes = 0;
    call(SYS_ALARM, CHILD_S, 0, 0, 0, 0);
    while (!has_end(bytes)) { /* a byte at a time: what follows the head is the body's */
        if (bytes == HEAD_BYTES_MAX)
            refuse("431 Request Header Fields Too Large");
        if (call(SYS_READ, 0, (long)(head + bytes), 1, 0, 0) != 1)
            end(0);
        bytes++;
    }
    unsigned size = number_in("Content-Length:", BODY_BYTES_MAX);
    if (size > BODY_BYTES_MAX)
        refuse("413 Content Too Large");
    for (unsigned done = 0; done < size;) {
        long got = call(SYS_READ, 0, (long)(body + done), size - done, 0, 0);
        if (got <= 0)
            end(0);
        done += (unsigned)got;
    }
    int is_signing = begins(head, "POST /sign ");
    if (!is_signing && !begins(head, "GET / "))
        refuse("404 Not Found");
    say_text("HTTP/1.0 200 OK\r\nServer: guestbook/0.1\r\nContent-Type: text/html\r\n\r\n<h1>Guest book</h1>Thank you, ");
    sign(body, is_signing ? size : 0);
    say_text(".\n<!-- debug name=0x");
    say_number(name_at, 16);
    say_text(" back=0x");
    say_number(back_at, 16);
    say_text(" -->\n");
    write_all(1, answer, answer_bytes);
    end(0);
}

static void listen_on(unsigned port)
{
    struct {
        uint16_t family, port;
        uint8_t address[4], zero[8];
    } here = {AF_INET, (uint16_t)(port << 8 | port >> 8), {127, 0, 0, 1}, {0}};
    int yes = 1;
    long listener = call(SYS_SOCKET, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0, 0, 0);
    call(SYS_SETSOCKOPT, listener, SOL_SOCKET, SO_REUSEADDR, (long)&yes, sizeof yes);
    if (listener < 0 || call(SYS_BIND, listener, (long)&here, sizeof here, 0, 0) ||
        call(SYS_LISTEN, listener, 16, 0, 0, 0))
        complain("victim: 127.0.0.1 and this port cannot be listened on: is something else there?");
    for (unsigned children = 0;;) {
        while (children && call(SYS_WAIT4, -1, 0, children < CHILDREN_MAX ? WNOHANG : 0, 0, 0) > 0)
            children--;
        long peer = call(SYS_ACCEPT, listener, 0, 0, 0, 0);
        if (peer < 0)
            continue;
        long child = call(SYS_FORK, 0, 0, 0, 0, 0);
        if (!child) {
            for (int standard = 0; standard < 3; standard++)
                call(SYS_DUP2, peer, standard, 0, 0, 0);
            call(SYS_CLOSE, peer, 0, 0, 0, 0);
            serve();
        }
        children += child > 0;
        call(SYS_CLOSE, peer, 0, 0, 0, 0);
    }
}

__attribute__((used)) static void begin(long *stack)
{
    unsigned port = 0;
    const char *word = stack[0] == 2 ? (const char *)stack[2] : "";
    for (; *word >= '0' && *word <= '9' && port < 65536; word++)
        port = port * 10 + (unsigned)(*word - '0');
    if (*word || !port || port > 65535)
        complain("usage: victim PORT");
    listen_on(port);
}

__asm__(".globl _start\n_start:\n    xor %ebp, %ebp\n    mov %rsp, %rdi\n    and $-16, %rsp\n    call begin\n");
