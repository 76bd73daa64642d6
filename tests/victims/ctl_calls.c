/* Waits once in the system call that the first argument names, and says how that went.
 *
 * `ctl_calls list` prints the names, one a line: "NAME timed" ends by its own deadline, "NAME endless" when a line comes
 * on standard input. Prints "waiting", then "good", or "bad WHY": an error (EINTR above all), or an end before its time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS 600
static const struct timespec span = {0, MS * 1000000L};
static int pipes[2], sockets[2], listener, event, queue_id, semaphores, watched, locked = -1;
static mqd_t mail;
static uint32_t word;
static pid_t child;
static char fifo[64], folder[] = "/tmp/ctl_calls.XXXXXX", path[80], scratch[65536 * 4];
static struct sockaddr_un address = {AF_UNIX, ""};
static timer_t unused_timer;

/* What ends the endless calls. */
static void wake_pipe(void) { if (write(pipes[1], "x", 1) != 1) abort(); }
static void wake_socket(void) { if (write(sockets[1], "x", 1) != 1) abort(); }
static void wake_event(void) { if (eventfd_write(event, 1)) abort(); }
static void wake_futex(void) { word = 1; syscall(SYS_futex, &word, FUTEX_WAKE, 99, 0, 0, 0); }
static void wake_semaphore(void) { struct sembuf up = {0, 1, 0}; semop(semaphores, &up, 1); }
static void wake_queue(void) { struct { long type; char text; } letter = {1, 'x'}; msgsnd(queue_id, &letter, 1, 0); }
static void wake_mail(void) { mq_send(mail, "x", 1, 0); }
static void wake_signal(void) { kill(getpid(), SIGUSR2); }
static void wake_child(void) { kill(child, SIGKILL); }
static void wake_lock(void) { kill(child, SIGKILL); }
static void wake_listener(void) { int s = socket(AF_UNIX, SOCK_STREAM, 0); connect(s, (void *)&address, sizeof address); }
static void wake_fifo(void) { open(fifo, O_WRONLY); }
static void wake_inotify(void) { close(open(path, O_CREAT | O_WRONLY, 0600)); }
static void wake_full_pipe(void) { for (size_t left = sizeof scratch + 65536; left;) { ssize_t got = read(pipes[0], scratch, sizeof scratch < left ? sizeof scratch : left); if (got <= 0) abort(); left -= got; } }
static void wake_full_socket(void) { static char sink[65536]; while (read(sockets[1], sink, sizeof sink) > 0) { } }

static struct pollfd polled(void) { return (struct pollfd){pipes[0], POLLIN, 0}; }
static fd_set selected(void) { fd_set set; FD_ZERO(&set); FD_SET(pipes[0], &set); return set; }
static int epolled(void)
{
    int e = epoll_create1(0);
    struct epoll_event wanted = {EPOLLIN, {0}};
    epoll_ctl(e, EPOLL_CTL_ADD, pipes[0], &wanted);
    return e;
}
static sigset_t usr2(void) { sigset_t set; sigemptyset(&set); sigaddset(&set, SIGUSR2); return set; }
static struct timespec later(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    at.tv_nsec += span.tv_nsec;
    if (at.tv_nsec >= 1000000000) { at.tv_nsec -= 1000000000; at.tv_sec++; }
    return at;
}
static void with_timeout(int socket, int option)
{
    struct timeval t = {0, MS * 1000};
    setsockopt(socket, SOL_SOCKET, option, &t, sizeof t);
}
static void a_child(void) { if (!(child = fork())) { pause(); _exit(0); } }
static void a_locking_child(int how)
{
    int ready[2];
    char byte;
    if (pipe(ready)) abort();
    if (!(child = fork())) {
        int file = open(path, O_RDWR | O_CREAT, 0600);
        struct flock whole = {.l_type = F_WRLCK};
        if (how ? fcntl(file, F_SETLK, &whole) : flock(file, LOCK_EX)) abort();
        if (write(ready[1], "x", 1) != 1) abort();
        pause();
    }
    if (read(ready[0], &byte, 1) != 1) abort();
    locked = open(path, O_RDWR);
}

#define CALL(name) static long name(void)
CALL(c_read) { return read(pipes[0], scratch, 1); }
CALL(c_readv) { struct { void *b; size_t n; } v = {scratch, 1}; return syscall(SYS_readv, pipes[0], &v, 1); }
CALL(c_write_full) { fcntl(pipes[1], F_SETFL, O_NONBLOCK); while (write(pipes[1], scratch, 4096) > 0) { } fcntl(pipes[1], F_SETFL, 0); return write(pipes[1], scratch, sizeof scratch) == sizeof scratch ? 0 : -2; }
CALL(c_send_full) { fcntl(sockets[0], F_SETFL, O_NONBLOCK); while (write(sockets[0], scratch, 4096) > 0) { } fcntl(sockets[0], F_SETFL, 0); return send(sockets[0], scratch, sizeof scratch, 0) == sizeof scratch ? 0 : -2; }
CALL(c_recv) { return recv(sockets[0], scratch, 1, 0); }
CALL(c_recvmsg) { struct iovec v = {scratch, 1}; struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1}; return recvmsg(sockets[0], &m, 0); }
CALL(c_recv_timeout) { with_timeout(sockets[0], SO_RCVTIMEO); return recv(sockets[0], scratch, 1, 0); }
CALL(c_accept) { return accept(listener, 0, 0); }
CALL(c_accept_timeout) { with_timeout(listener, SO_RCVTIMEO); return accept(listener, 0, 0); }
CALL(c_poll) { struct pollfd p = polled(); return poll(&p, 1, -1); }
CALL(c_poll_timeout) { struct pollfd p = polled(); return poll(&p, 1, MS); }
CALL(c_ppoll) { struct pollfd p = polled(); return ppoll(&p, 1, 0, 0); }
CALL(c_ppoll_timeout) { struct pollfd p = polled(); sigset_t none; sigemptyset(&none); return ppoll(&p, 1, &span, &none); }
CALL(c_select) { fd_set s = selected(); return select(pipes[0] + 1, &s, 0, 0, 0); }
CALL(c_select_timeout) { fd_set s = selected(); struct timeval t = {0, MS * 1000}; return select(pipes[0] + 1, &s, 0, 0, &t); }
CALL(c_pselect_timeout) { fd_set s = selected(); sigset_t none; sigemptyset(&none); return pselect(pipes[0] + 1, &s, 0, 0, &span, &none); }
CALL(c_epoll_wait) { struct epoll_event e; return epoll_wait(epolled(), &e, 1, -1); }
CALL(c_epoll_wait_timeout) { struct epoll_event e; return epoll_wait(epolled(), &e, 1, MS); }
CALL(c_epoll_pwait_timeout) { struct epoll_event e; sigset_t none; sigemptyset(&none); return epoll_pwait(epolled(), &e, 1, MS, &none); }
CALL(c_epoll_pwait2) { struct epoll_event e; return syscall(SYS_epoll_pwait2, epolled(), &e, 1, 0, 0, 0); }
CALL(c_epoll_pwait2_timeout) { struct epoll_event e; return syscall(SYS_epoll_pwait2, epolled(), &e, 1, &span, 0, 0); }
CALL(c_futex) { return syscall(SYS_futex, &word, FUTEX_WAIT, 0, 0, 0, 0); }
CALL(c_futex_timeout) { return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &span, 0, 0); }
CALL(c_futex_absolute) { struct timespec at = later(CLOCK_MONOTONIC); return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &at, 0, ~0u); }
CALL(c_nanosleep) { return nanosleep(&span, 0); }
CALL(c_nanosleep_left) { struct timespec left = {9, 9}; return nanosleep(&span, &left); }
CALL(c_clock_nanosleep) { struct timespec at = later(CLOCK_MONOTONIC); return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0); }
CALL(c_wait4) { a_child(); return waitpid(child, 0, 0); }
CALL(c_waitid) { siginfo_t i; a_child(); return waitid(P_PID, child, &i, WEXITED); }
CALL(c_sigwaitinfo) { sigset_t s = usr2(); return sigwaitinfo(&s, 0); }
CALL(c_sigtimedwait) { sigset_t s = usr2(); return sigtimedwait(&s, 0, &span); }
CALL(c_semop) { struct sembuf down = {0, -1, 0}; return semop(semaphores, &down, 1); }
CALL(c_semtimedop) { struct sembuf down = {0, -1, 0}; return semtimedop(semaphores, &down, 1, &span); }
CALL(c_msgrcv) { return msgrcv(queue_id, scratch, 100, 0, 0); }
CALL(c_mq_receive) { return mq_receive(mail, scratch, 8192, 0); }
CALL(c_mq_timedreceive) { struct timespec at = later(CLOCK_REALTIME); return mq_timedreceive(mail, scratch, 8192, 0, &at); }
CALL(c_flock) { a_locking_child(0); return flock(locked, LOCK_EX); }
CALL(c_fcntl_lock) { struct flock whole = {.l_type = F_WRLCK}; a_locking_child(1); return fcntl(locked, F_SETLKW, &whole); }
CALL(c_open_fifo) { return open(fifo, O_RDONLY); }
CALL(c_eventfd) { eventfd_t v; return eventfd_read(event, &v); }
CALL(c_timerfd) { struct itimerspec t = {{0, 0}, span}; int f = timerfd_create(CLOCK_MONOTONIC, 0); timerfd_settime(f, 0, &t, 0); return read(f, scratch, 8); }
CALL(c_signalfd) { sigset_t s = usr2(); return read(signalfd(-1, &s, 0), scratch, sizeof(struct signalfd_siginfo)); }
CALL(c_inotify) { return read(watched, scratch, sizeof scratch); }
CALL(c_io_getevents)
{
    aio_context_t context = 0;
    struct io_event e;
    struct timespec t = span;
    if (syscall(SYS_io_setup, 4, &context)) return 0; /* no AIO in this kernel */
    return syscall(SYS_io_getevents, context, 1, 1, &e, &t);
}
CALL(c_io_uring)
{
    struct io_uring_params p = {0};
    int ring = syscall(SYS_io_uring_setup, 4, &p);
    if (ring < 0) { wake_pipe(); return 0; } /* no io_uring in this kernel */
    char *rings = mmap(0, p.sq_off.array + 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *entry = mmap(0, 4 * sizeof *entry, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_POLL_ADD;
    entry->fd = pipes[0];
    entry->poll32_events = POLLIN;
    *(unsigned *)(rings + p.sq_off.array) = 0;
    __atomic_store_n((unsigned *)(rings + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, 0, 0) != 1) return -2;
    return syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, 0, 0);
}

static const struct {
    const char *name;
    long (*call)(void);
    void (*wake)(void); /* null: it ends by its deadline */
    int says;           /* the error with which a deadline ends it; 0: none */
} calls[] = {
    {"read", c_read, wake_pipe, 0}, {"readv", c_readv, wake_pipe, 0}, {"recv", c_recv, wake_socket, 0},
    {"recvmsg", c_recvmsg, wake_socket, 0}, {"recv_timeout", c_recv_timeout, 0, EAGAIN},
    {"accept", c_accept, wake_listener, 0}, {"accept_timeout", c_accept_timeout, 0, EAGAIN},
    {"write_full", c_write_full, wake_full_pipe, 0}, {"send_full", c_send_full, wake_full_socket, 0},
    {"poll", c_poll, wake_pipe, 0}, {"poll_timeout", c_poll_timeout, 0, 0}, {"ppoll", c_ppoll, wake_pipe, 0},
    {"ppoll_timeout", c_ppoll_timeout, 0, 0}, {"select", c_select, wake_pipe, 0},
    {"select_timeout", c_select_timeout, 0, 0}, {"pselect_timeout", c_pselect_timeout, 0, 0},
    {"epoll_wait", c_epoll_wait, wake_pipe, 0}, {"epoll_wait_timeout", c_epoll_wait_timeout, 0, 0},
    {"epoll_pwait_timeout", c_epoll_pwait_timeout, 0, 0}, {"epoll_pwait2", c_epoll_pwait2, wake_pipe, 0},
    {"epoll_pwait2_timeout", c_epoll_pwait2_timeout, 0, 0}, {"futex", c_futex, wake_futex, EAGAIN}, /* the word had changed before it was issued again */
   
    {"futex_timeout", c_futex_timeout, 0, ETIMEDOUT}, {"futex_absolute", c_futex_absolute, 0, ETIMEDOUT},
    {"nanosleep", c_nanosleep, 0, 0}, {"nanosleep_left", c_nanosleep_left, 0, 0},
    {"clock_nanosleep", c_clock_nanosleep, 0, 0}, {"wait4", c_wait4, wake_child, 0}, {"waitid", c_waitid, wake_child, 0},
    {"sigwaitinfo", c_sigwaitinfo, wake_signal, 0}, {"sigtimedwait", c_sigtimedwait, 0, EAGAIN},
    {"semop", c_semop, wake_semaphore, 0}, {"semtimedop", c_semtimedop, 0, EAGAIN}, {"msgrcv", c_msgrcv, wake_queue, 0},
    {"mq_receive", c_mq_receive, wake_mail, 0}, {"mq_timedreceive", c_mq_timedreceive, 0, ETIMEDOUT},
    {"flock", c_flock, wake_lock, 0}, {"fcntl_lock", c_fcntl_lock, wake_lock, 0}, {"open_fifo", c_open_fifo, wake_fifo, 0},
    {"eventfd", c_eventfd, wake_event, 0}, {"timerfd", c_timerfd, 0, 0}, {"signalfd", c_signalfd, wake_signal, 0},
    {"inotify", c_inotify, wake_inotify, 0}, {"io_getevents", c_io_getevents, 0, 0}, {"io_uring", c_io_uring, wake_pipe, 0},
};

static void *wake_at_a_line(void *wake)
{
    char byte;
    if (read(0, &byte, 1) == 1)
        ((void (*)(void))wake)();
    return NULL;
}

static void clean(void)
{
    semctl(semaphores, 0, IPC_RMID);
    msgctl(queue_id, IPC_RMID, NULL);
    if (child) kill(child, SIGKILL);
    unlink(path);
    unlink(fifo);
    unlink(address.sun_path);
    rmdir(folder);
}

static void set_up(void)
{
    sigset_t set = usr2();
    struct mq_attr letters = {.mq_maxmsg = 4, .mq_msgsize = 64};
    char name[32];
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) || !mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder);
    mkfifo(fifo, 0600);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, (void *)&address, sizeof address);
    listen(listener, 4);
    event = eventfd(0, 0);
    queue_id = msgget(IPC_PRIVATE, 0600);
    semaphores = semget(IPC_PRIVATE, 1, 0600);
    watched = inotify_init();
    inotify_add_watch(watched, folder, IN_CREATE);
    snprintf(name, sizeof name, "/ctl_calls.%d", getpid());
    mail = mq_open(name, O_RDWR | O_CREAT, 0600, &letters);
    mq_unlink(name);
    atexit(clean);
    (void)unused_timer;
}

int main(int count, char **words)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (count < 2 || !strcmp(words[1], "list")) {
            printf("%s %s\n", calls[i].name, calls[i].wake ? "endless" : "timed");
        } else if (!strcmp(words[1], calls[i].name)) {
            pthread_t helper;
            struct timespec from, to;
            set_up();
            if (calls[i].wake && pthread_create(&helper, NULL, wake_at_a_line, (void *)calls[i].wake)) abort();
            puts("waiting");
            clock_gettime(CLOCK_MONOTONIC, &from);
            errno = 0;
            long result = calls[i].call();
            int error = errno;
            clock_gettime(CLOCK_MONOTONIC, &to);
            long took_ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
            if (result < 0 && (error != calls[i].says || !error))
                printf("bad %s\n", result == -2 ? "short" : strerrorname_np(error));
            else if (!calls[i].wake && took_ms < MS - 2)
                printf("bad early, %ld ms\n", took_ms);
            else
                printf("good %ld ms\n", took_ms);
            while (!calls[i].wake && read(0, scratch, 1) > 0) { } /* it is possessed until its line has been read */
            return 0;
        }
    }
    return 0;
}
