/* Every system call that waits: each must end when its time has come, by what it waits for and by nothing else.
 *
 *     blocking NAME…    the calls of that name, a thread each; without a name all of them; `blocking list` names them
 *
 * A wait with a time limit ends neither before its deadline nor more than LATE_MS after it. A wait without one ends when
 * a helper thread has done its part. Nobody sends signals here (but to pause, whose end they are), so EINTR is wrong. */
#include "victim.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>

/* One of it for each thread of the victim: what a case's round and its helper share. */
struct place {
    pthread_t helper;
    sem_t order, begun;
    void (*help)(struct place *);
    long delay_ms;
    int a, b, c, d;         /* descriptors, identifiers */
    uint32_t word;          /* a futex */
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    pthread_t self;
    pid_t pid;
    uint64_t state;
    uint64_t rounds;
    char *path;
};

static void *helper(void *opaque)
{
    struct place *p = opaque;
    for (;;) {
        while (sem_wait(&p->order))
            WRONG("a helper's sem_wait: errno %d", errno);
        nap_ms(p->delay_ms);
        p->help(p);
        sem_post(&p->begun);
    }
    return 0;
}

static void later(struct place *p, void (*help)(struct place *))
{
    p->help = help;
    p->delay_ms = 20 + (long)(next_number(&p->state) % 300);
    sem_post(&p->order);
}

static void send_usr(struct place *p);
static void helped(struct place *p)
{
    while (sem_wait(&p->begun))
        check(errno == EINTR && p->help == send_usr, "sem_wait: errno %d", errno);
}

static long some_ms(struct place *p) { return 100 + (long)(next_number(&p->state) % 700); }

static void in_time(const char *what, int64_t began, long ms)
{
    int64_t took_us = (now_ns() - began) / 1000;
    check(took_us >= ms * 1000 - 50, "%s of %ld ms came back after %lld us: early", what, ms, (long long)took_us);
    check(took_us <= (ms + LATE_MS) * 1000, "%s of %ld ms came back after %lld us: late", what, ms, (long long)took_us);
}

/* Since when a wait counts: since its absolute deadline was reckoned, or else since now. */
static __thread int64_t asked_ns;
static int64_t beginning(void)
{
    int64_t began = asked_ns ? asked_ns : now_ns();
    asked_ns = 0;
    return began;
}

/* `result` of a wait that nothing ends but time. */
#define TIMED(p, ms, wanted, call)                                                                                        \
    do {                                                                                                                  \
        int64_t began_ = beginning();                                                                                     \
        errno = 0;                                                                                                        \
        long result_ = (long)(call);                                                                                      \
        int errno_ = errno;                                                                                               \
        check((wanted) < 0 ? result_ == -1 && errno_ == -(wanted) : result_ == (wanted), "gave %ld, errno %d (%s)", result_, errno_, strerror(errno_)); \
        in_time(#call, began_, ms);                                                                                       \
    } while (0)

#define GOT(wanted, call)                                                                               \
    do {                                                                                                \
        errno = 0;                                                                                      \
        long result_ = (long)(call);                                                                    \
        int errno_ = errno;                                                                             \
        check(result_ == (long)(wanted), "%s gave %ld, errno %d (%s)", #call, result_, errno_, strerror(errno_)); \
    } while (0)

static struct timespec span(long ms) { return (struct timespec){ms / 1000, ms % 1000 * 1000000}; }
static struct timeval short_span(long ms) { return (struct timeval){ms / 1000, ms % 1000 * 1000}; }
static struct timespec after(clockid_t clock, long ms)
{
    struct timespec t;
    asked_ns = now_ns();
    clock_gettime(clock, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_sec++, t.tv_nsec -= 1000000000;
    return t;
}

/* ---- what helpers do */
static void write_7(struct place *p) { check(write(p->b, "possess", 7) == 7); }
static void drain(struct place *p)
{
    static char sink[1 << 16];
    for (int left = 1 << 18; left > 0;) {
        ssize_t n = read(p->a, sink, sizeof sink);
        check(n > 0);
        left -= (int)n;
    }
}
static void event(struct place *p) { uint64_t one = 5; check(write(p->a, &one, 8) == 8); }
static void wake_word(struct place *p)
{
    __atomic_store_n(&p->word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &p->word, FUTEX_WAKE, 1, 0, 0, 0);
}
static void wake_private(struct place *p)
{
    __atomic_store_n(&p->word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &p->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
}
static void connect_to(struct place *p)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = (in_port_t)p->c};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check_call(fd);
    check_call(connect(fd, (void *)&to, sizeof to));
    close(fd);
}

/* ---- set-ups */
static void a_pipe(struct place *p) { int fd[2]; check_call(pipe2(fd, O_CLOEXEC)); p->a = fd[0]; p->b = fd[1]; }
static void a_pair(struct place *p) { int fd[2]; check_call(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd)); p->a = fd[0]; p->b = fd[1]; }
static void an_event(struct place *p) { p->a = eventfd(0, EFD_CLOEXEC); check_call(p->a); }
static void an_epoll(struct place *p)
{
    a_pipe(p);
    p->c = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event want = {.events = EPOLLIN, .data.u64 = 0xe7};
    check_call(p->c);
    check_call(epoll_ctl(p->c, EPOLL_CTL_ADD, p->a, &want));
}
static void a_listener(struct place *p)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    p->a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check_call(p->a);
    check_call(bind(p->a, (void *)&at, sizeof at));
    check_call(listen(p->a, 8));
    check_call(getsockname(p->a, (void *)&at, &n));
    p->c = at.sin_port;
}
static void a_limited_pair(struct place *p)
{
    a_pair(p);
    struct timeval limit = short_span(300);
    check_call(setsockopt(p->a, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    check_call(setsockopt(p->b, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
}
static void a_file(struct place *p)
{
    char name[] = "/tmp/victim-blocking-XXXXXX";
    p->a = mkostemp(name, O_CLOEXEC);
    check_call(p->a);
    p->b = open(name, O_RDWR | O_CLOEXEC);
    check_call(p->b);
    unlink(name);
}
static void a_semaphore(struct place *p)
{
    p->a = semget(IPC_PRIVATE, 1, 0600);
    check_call(p->a);
}
static void remove_semaphore(struct place *p) { semctl(p->a, 0, IPC_RMID); }
static void a_message_queue(struct place *p)
{
    p->a = msgget(IPC_PRIVATE, 0600);
    check_call(p->a);
}
static void remove_message_queue(struct place *p) { msgctl(p->a, IPC_RMID, 0); }
static void a_posix_queue(struct place *p)
{
    char name[64];
    snprintf(name, sizeof name, "/victim-%d-%p", getpid(), (void *)p);
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 16};
    p->a = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
    if (p->a == -1 && (errno == ENOSYS || errno == EMFILE || errno == EACCES))
        return;
    check_call(p->a);
    mq_unlink(name);
}
static void a_watch(struct place *p)
{
    char name[] = "/tmp/victim-watch-XXXXXX";
    check(mkdtemp(name) != 0);
    p->path = strdup(name);
    p->a = inotify_init1(IN_CLOEXEC);
    check_call(p->a);
    check_call(inotify_add_watch(p->a, name, IN_CREATE));
}
static void remove_watch(struct place *p) { rmdir(p->path); }

/* ---- the cases, one round each */
static void read_pipe(struct place *p)
{
    char got[16];
    later(p, write_7);
    GOT(7, read(p->a, got, sizeof got));
    check(!memcmp(got, "possess", 7));
    helped(p);
}
static void readv_pipe(struct place *p)
{
    char one[3], two[8];
    struct iovec to[2] = {{one, 3}, {two, 8}};
    later(p, write_7);
    GOT(7, readv(p->a, to, 2));
    check(!memcmp(two, "sess", 4));
    helped(p);
}
static void write_pipe(struct place *p)
{
    static char much[1 << 18];
    later(p, drain);
    GOT(1 << 18, write(p->b, much, sizeof much));
    helped(p);
}
static void recv_pair(struct place *p)
{
    char got[16];
    later(p, write_7);
    GOT(7, recv(p->a, got, sizeof got, 0));
    helped(p);
}
static void recv_waitall(struct place *p)
{
    char got[16];
    check(write(p->b, "12345", 5) == 5);
    later(p, write_7);
    GOT(12, recv(p->a, got, 12, MSG_WAITALL));
    check(!memcmp(got, "12345possess", 12));
    helped(p);
}
static void recvmsg_pair(struct place *p)
{
    char got[16];
    struct iovec to = {got, sizeof got};
    struct msghdr message = {.msg_iov = &to, .msg_iovlen = 1};
    later(p, write_7);
    GOT(7, recvmsg(p->a, &message, 0));
    helped(p);
}
static void recv_limited(struct place *p)
{
    char got[16];
    TIMED(p, 300, -EAGAIN, recv(p->a, got, sizeof got, 0));
    later(p, write_7);
    ssize_t n = recv(p->a, got, sizeof got, 0);
    check(n == 7 || (n == -1 && errno == EAGAIN), "%zd, errno %d", n, errno);
    helped(p);
    if (n < 0)
        GOT(7, recv(p->a, got, sizeof got, 0));
}
static void send_limited(struct place *p)
{
    static char much[1 << 16];
    while (send(p->b, much, sizeof much, MSG_DONTWAIT) > 0)
        ;
    TIMED(p, 300, -EAGAIN, send(p->b, much, 1, 0));
    while (recv(p->a, much, sizeof much, MSG_DONTWAIT) > 0)
        ;
}
static void recvmmsg_timed(struct place *p)
{
    char got[2][16];
    struct iovec to[2] = {{got[0], 16}, {got[1], 16}};
    struct mmsghdr messages[2] = {{.msg_hdr = {.msg_iov = to, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = to + 1, .msg_iovlen = 1}}};
    later(p, write_7);
    GOT(1, recvmmsg(p->a, messages, 2, MSG_WAITFORONE, 0));
    check(messages[0].msg_len == 7);
    helped(p);
}
static void accept_one(struct place *p)
{
    later(p, connect_to);
    int fd = accept4(p->a, 0, 0, SOCK_CLOEXEC);
    check_call(fd);
    close(fd);
    helped(p);
}
static void select_timed(struct place *p)
{
    long ms = some_ms(p);
    fd_set in;
    FD_ZERO(&in);
    FD_SET(p->a, &in);
    struct timeval t = short_span(ms);
    TIMED(p, ms, 0, select(p->a + 1, &in, 0, 0, &t));
    check(t.tv_sec == 0 && t.tv_usec == 0, "Linux counts the time down: %ld us left", (long)t.tv_usec);
}
static void select_ready(struct place *p)
{
    fd_set in;
    FD_ZERO(&in);
    FD_SET(p->a, &in);
    char got[16];
    later(p, write_7);
    GOT(1, select(p->a + 1, &in, 0, 0, 0));
    check(FD_ISSET(p->a, &in));
    GOT(7, read(p->a, got, sizeof got));
    helped(p);
}
static void pselect_timed(struct place *p)
{
    long ms = some_ms(p);
    fd_set in;
    FD_ZERO(&in);
    FD_SET(p->a, &in);
    struct timespec t = span(ms);
    sigset_t none;
    sigemptyset(&none);
    TIMED(p, ms, 0, pselect(p->a + 1, &in, 0, 0, &t, &none));
}
static void poll_timed(struct place *p)
{
    long ms = some_ms(p);
    struct pollfd one = {p->a, POLLIN, 0};
    TIMED(p, ms, 0, poll(&one, 1, (int)ms));
}
static void poll_ready(struct place *p)
{
    struct pollfd one = {p->a, POLLIN, 0};
    char got[16];
    later(p, write_7);
    GOT(1, poll(&one, 1, 20000));
    later(p, write_7); /* once more, without a limit */
    GOT(7, read(p->a, got, 7));
    helped(p);
    GOT(1, poll(&one, 1, -1));
    helped(p);
    GOT(7, read(p->a, got, 7));
}
static void ppoll_timed(struct place *p)
{
    long ms = some_ms(p);
    struct pollfd one = {p->a, POLLIN, 0};
    struct timespec t = span(ms);
    sigset_t none;
    sigemptyset(&none);
    TIMED(p, ms, 0, ppoll(&one, 1, &t, &none));
    TIMED(p, ms, 0, ppoll(&one, 1, &t, 0));
}
static void epoll_timed(struct place *p)
{
    long ms = some_ms(p);
    struct epoll_event got;
    TIMED(p, ms, 0, epoll_wait(p->c, &got, 1, (int)ms));
}
static void epoll_ready(struct place *p)
{
    struct epoll_event got;
    char text[16];
    for (int limit = -1; limit < 30000; limit += 20001) {
        later(p, write_7);
        GOT(1, epoll_wait(p->c, &got, 1, limit));
        check(got.data.u64 == 0xe7 && got.events == EPOLLIN);
        GOT(7, read(p->a, text, sizeof text));
        helped(p);
    }
}
static void epoll_pwait_timed(struct place *p)
{
    long ms = some_ms(p);
    struct epoll_event got;
    sigset_t none;
    sigemptyset(&none);
    TIMED(p, ms, 0, epoll_pwait(p->c, &got, 1, (int)ms, &none));
}
static void epoll_pwait2_timed(struct place *p)
{
    long ms = some_ms(p);
    struct epoll_event got;
    struct timespec t = span(ms);
    TIMED(p, ms, 0, syscall(441, p->c, &got, 1, &t, 0L, 8L)); /* epoll_pwait2 */
    later(p, write_7);
    char text[16];
    GOT(1, syscall(441, p->c, &got, 1, 0L, 0L, 8L));
    GOT(7, read(p->a, text, sizeof text));
    helped(p);
}
static void nanosleep_(struct place *p)
{
    long ms = some_ms(p);
    struct timespec t = span(ms), left = {5, 5};
    TIMED(p, ms, 0, nanosleep(&t, &left));
    /* Whoever is stopped has what was left then written here, as by a SIGSTOP; the sleep goes on all the same. */
    check((left.tv_sec == 5 && left.tv_nsec == 5) || (left.tv_sec == 0 && left.tv_nsec < ms * 1000000));
}
static void clock_nanosleep_relative(struct place *p)
{
    long ms = some_ms(p);
    struct timespec t = span(ms);
    TIMED(p, ms, 0, clock_nanosleep(CLOCK_MONOTONIC, 0, &t, 0));
    TIMED(p, ms, 0, clock_nanosleep(CLOCK_REALTIME, 0, &t, 0));
}
static void clock_nanosleep_absolute(struct place *p)
{
    long ms = some_ms(p);
    struct timespec t = after(CLOCK_MONOTONIC, ms);
    TIMED(p, ms, 0, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, 0));
    ms = some_ms(p);
    t = after(CLOCK_REALTIME, ms);
    TIMED(p, ms, 0, clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, 0));
}
static void futex_timed(struct place *p)
{
    long ms = some_ms(p);
    struct timespec t = span(ms);
    p->word = 0;
    TIMED(p, ms, -ETIMEDOUT, syscall(SYS_futex, &p->word, FUTEX_WAIT_PRIVATE, 0, &t, 0, 0));
    t = after(CLOCK_MONOTONIC, ms);
    TIMED(p, ms, -ETIMEDOUT, syscall(SYS_futex, &p->word, FUTEX_WAIT_BITSET, 0, &t, 0, -1));
    t = after(CLOCK_REALTIME, ms);
    TIMED(p, ms, -ETIMEDOUT, syscall(SYS_futex, &p->word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &t, 0, -1));
}
static void futex_woken(struct place *p)
{
    struct timespec t = span(20000);
    for (int limited = 0; limited < 2; limited++) {
        __atomic_store_n(&p->word, 0, __ATOMIC_SEQ_CST);
        later(p, limited ? wake_private : wake_word);
        long got = syscall(SYS_futex, &p->word, limited ? FUTEX_WAIT_PRIVATE : FUTEX_WAIT, 0, limited ? &t : 0, 0, 0);
        /* Woken while it stood still, it begins to wait anew and is told that the word is another: as after a SIGSTOP. */
        check(got == 0 || errno == EAGAIN, "futex gave %ld, errno %d", got, errno);
        check(__atomic_load_n(&p->word, __ATOMIC_SEQ_CST) == 1, "futex came back before it was woken");
        helped(p);
    }
}
static void signal_condition(struct place *p)
{
    pthread_mutex_lock(&p->mutex);
    p->word = 1;
    pthread_cond_signal(&p->condition);
    pthread_mutex_unlock(&p->mutex);
}
static void condition(struct place *p)
{
    long ms = some_ms(p);
    struct timespec t;
    pthread_mutex_lock(&p->mutex);
    t = after(CLOCK_REALTIME, ms);
    int64_t began = beginning();
    int got;
    while ((got = pthread_cond_timedwait(&p->condition, &p->mutex, &t)) == 0)
        ;
    check(got == ETIMEDOUT, "%d", got);
    in_time("pthread_cond_timedwait", began, ms);
    p->word = 0;
    later(p, signal_condition);
    while (!p->word)
        check(pthread_cond_wait(&p->condition, &p->mutex) == 0);
    pthread_mutex_unlock(&p->mutex);
    helped(p);
}
static void up(struct place *p)
{
    struct sembuf up = {0, 1, 0};
    check_call(semop(p->a, &up, 1));
}
static void semop_(struct place *p)
{
    struct sembuf down = {0, -1, 0};
    later(p, up);
    GOT(0, semop(p->a, &down, 1));
    helped(p);
}
static void semtimedop_(struct place *p)
{
    struct sembuf down = {0, -1, 0};
    long ms = some_ms(p);
    struct timespec t = span(ms), long_time = span(20000);
    TIMED(p, ms, -EAGAIN, semtimedop(p->a, &down, 1, &t));
    later(p, up);
    GOT(0, semtimedop(p->a, &down, 1, &long_time));
    helped(p);
}
static void send_message(struct place *p)
{
    struct {
        long type;
        char text[8];
    } message = {7, "message"};
    check_call(msgsnd(p->a, &message, 8, 0));
}
static void msgrcv_(struct place *p)
{
    struct {
        long type;
        char text[8];
    } message;
    later(p, send_message);
    GOT(8, msgrcv(p->a, &message, 8, 0, 0));
    check(message.type == 7 && !strcmp(message.text, "message"));
    helped(p);
}
static void take_messages(struct place *p)
{
    char got[16];
    for (int i = 0; i < 3; i++)
        check(mq_receive(p->a, got, sizeof got, 0) == 8);
}
static void posix_queue(struct place *p)
{
    char got[16];
    if (p->a == -1) { /* not on this system */
        nap_ms(200);
        return;
    }
    long ms = some_ms(p);
    struct timespec t = after(CLOCK_REALTIME, ms);
    TIMED(p, ms, -ETIMEDOUT, mq_timedreceive(p->a, got, sizeof got, 0, &t));
    for (int i = 0; i < 2; i++)
        GOT(0, mq_send(p->a, "8 bytes.", 8, 0));
    t = after(CLOCK_REALTIME, ms);
    TIMED(p, ms, -ETIMEDOUT, mq_timedsend(p->a, "8 bytes.", 8, 0, &t));
    later(p, take_messages);
    GOT(0, mq_send(p->a, "8 bytes.", 8, 0));
    helped(p);
}
static void sigtimedwait_(struct place *p)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 9);
    long ms = some_ms(p);
    struct timespec t = span(ms);
    TIMED(p, ms, -EAGAIN, sigtimedwait(&set, 0, &t));
}
static void send_rt(struct place *p) { check(!pthread_kill(p->self, SIGRTMIN + 9)); }
static void sigwaitinfo_(struct place *p)
{
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 9);
    later(p, send_rt);
    GOT(SIGRTMIN + 9, sigwaitinfo(&set, &info));
    check(info.si_pid == getpid());
    helped(p);
}
static volatile sig_atomic_t paused;
static void on_pause(int number)
{
    (void)number;
    paused++;
}
static void send_usr(struct place *p)
{
    /* Again until it is seen: it may come before the wait begins. */
    int before = (int)p->word;
    while (__atomic_load_n(&p->word, __ATOMIC_SEQ_CST) == (uint32_t)before) {
        check(!pthread_kill(p->self, SIGUSR1));
        nap_ms(50);
    }
}
static void pause_(struct place *p)
{
    int before = paused;
    later(p, send_usr);
    GOT(-1, pause());
    check(paused > before, "pause came back without a signal");
    __atomic_add_fetch(&p->word, 1, __ATOMIC_SEQ_CST);
    helped(p);
}
static void wait_for_child(struct place *p)
{
    long ms = 50 + (long)(next_number(&p->state) % 300);
    int status;
    siginfo_t info;
    for (int how = 0; how < 3; how++) {
        int64_t began = now_ns();
        pid_t child = fork();
        if (!child) {
            nap_ms(ms);
            _exit(how + 40);
        }
        check_call(child);
        if (how == 0)
            GOT(child, waitpid(child, &status, 0));
        else if (how == 1)
            GOT(child, wait4(child, &status, 0, 0));
        else {
            GOT(0, waitid(P_PID, (id_t)child, &info, WEXITED));
            check(info.si_pid == child && info.si_code == CLD_EXITED && info.si_status == 42);
            status = 42 << 8;
        }
        check(WIFEXITED(status) && WEXITSTATUS(status) == how + 40, "status %x", status);
        in_time("a child's life", began, ms);
    }
}
static void unlock_b(struct place *p) { check_call(flock(p->b, LOCK_UN)); }
static void flock_(struct place *p)
{
    check_call(flock(p->b, LOCK_EX));
    later(p, unlock_b);
    GOT(0, flock(p->a, LOCK_EX));
    check_call(flock(p->a, LOCK_UN));
    helped(p);
}
static void release_ofd(struct place *p)
{
    struct flock none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    check_call(fcntl(p->b, F_OFD_SETLK, &none));
}
static void fcntl_lock(struct place *p)
{
    struct flock mine = {.l_type = F_WRLCK, .l_whence = SEEK_SET}, none = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
    check_call(fcntl(p->b, F_OFD_SETLK, &mine));
    later(p, release_ofd);
    GOT(0, fcntl(p->a, F_OFD_SETLKW, &mine));
    check_call(fcntl(p->a, F_OFD_SETLK, &none));
    helped(p);
}
static void eventfd_(struct place *p)
{
    uint64_t got = 0;
    later(p, event);
    GOT(8, read(p->a, &got, 8));
    check(got == 5);
    helped(p);
}
static void timerfd_(struct place *p)
{
    long ms = some_ms(p);
    uint64_t times = 0;
    struct itimerspec once = {{0, 0}, span(ms)};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    check_call(fd);
    asked_ns = now_ns();
    check_call(timerfd_settime(fd, 0, &once, 0));
    TIMED(p, ms, 8, read(fd, &times, 8));
    check(times == 1);
    close(fd);
}
static void touch(struct place *p)
{
    char name[128];
    snprintf(name, sizeof name, "%s/file", p->path);
    int fd = open(name, O_CREAT | O_CLOEXEC, 0600);
    check_call(fd);
    close(fd);
    unlink(name);
}
static void inotify_(struct place *p)
{
    char got[512];
    later(p, touch);
    ssize_t n = read(p->a, got, sizeof got);
    check(n >= (ssize_t)sizeof(struct inotify_event), "%zd, errno %d", n, errno);
    check(!strcmp(((struct inotify_event *)(void *)got)->name, "file"));
    helped(p);
}
static void splice_(struct place *p)
{
    later(p, write_7);
    GOT(7, splice(p->a, 0, p->c, 0, 7, 0));
    char got[8];
    GOT(7, read(p->d, got, 7));
    helped(p);
}
static void two_pipes(struct place *p)
{
    a_pipe(p);
    int fd[2];
    check_call(pipe2(fd, O_CLOEXEC));
    p->d = fd[0];
    p->c = fd[1];
}
static void mutex_timed(struct place *p)
{
    static pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER;
    static int once;
    if (!__atomic_exchange_n(&once, 1, __ATOMIC_SEQ_CST))
        pthread_mutex_lock(&taken);
    long ms = some_ms(p);
    struct timespec t = after(CLOCK_REALTIME, ms);
    int64_t began = beginning();
    int got = pthread_mutex_timedlock(&taken, &t);
    check(got == ETIMEDOUT, "%d", got);
    in_time("pthread_mutex_timedlock", began, ms);
}
static void semaphore_timed(struct place *p)
{
    sem_t none;
    sem_init(&none, 0, 0);
    long ms = some_ms(p);
    struct timespec t = after(CLOCK_REALTIME, ms);
    TIMED(p, ms, -ETIMEDOUT, sem_timedwait(&none, &t));
}
static void *short_life(void *ms)
{
    nap_ms((long)ms);
    return ms;
}
static void join_(struct place *p)
{
    pthread_t other;
    void *result;
    long ms = some_ms(p);
    int64_t began = now_ns();
    check(!pthread_create(&other, 0, short_life, (void *)ms));
    check(!pthread_join(other, &result) && (long)result == ms);
    in_time("pthread_join", began, ms);
}

static const struct test {
    const char *name;
    void (*set_up)(struct place *);
    void (*round)(struct place *);
    void (*tear_down)(struct place *);
} tests[] = {
    {"read", a_pipe, read_pipe, 0},
    {"readv", a_pipe, readv_pipe, 0},
    {"write", a_pipe, write_pipe, 0},
    {"recv", a_pair, recv_pair, 0},
    {"recv-waitall", a_pair, recv_waitall, 0},
    {"recvmsg", a_pair, recvmsg_pair, 0},
    {"recv-limited", a_limited_pair, recv_limited, 0},
    {"send-limited", a_limited_pair, send_limited, 0},
    {"recvmmsg", a_pair, recvmmsg_timed, 0},
    {"accept", a_listener, accept_one, 0},
    {"select", a_pipe, select_timed, 0},
    {"select-ready", a_pipe, select_ready, 0},
    {"pselect", a_pipe, pselect_timed, 0},
    {"poll", a_pipe, poll_timed, 0},
    {"poll-ready", a_pipe, poll_ready, 0},
    {"ppoll", a_pipe, ppoll_timed, 0},
    {"epoll_wait", an_epoll, epoll_timed, 0},
    {"epoll_wait-ready", an_epoll, epoll_ready, 0},
    {"epoll_pwait", an_epoll, epoll_pwait_timed, 0},
    {"epoll_pwait2", an_epoll, epoll_pwait2_timed, 0},
    {"nanosleep", 0, nanosleep_, 0},
    {"clock_nanosleep", 0, clock_nanosleep_relative, 0},
    {"clock_nanosleep-absolute", 0, clock_nanosleep_absolute, 0},
    {"futex", 0, futex_timed, 0},
    {"futex-woken", 0, futex_woken, 0},
    {"condition", 0, condition, 0},
    {"mutex", 0, mutex_timed, 0},
    {"semaphore", 0, semaphore_timed, 0},
    {"join", 0, join_, 0},
    {"semop", a_semaphore, semop_, remove_semaphore},
    {"semtimedop", a_semaphore, semtimedop_, remove_semaphore},
    {"msgrcv", a_message_queue, msgrcv_, remove_message_queue},
    {"mq", a_posix_queue, posix_queue, 0},
    {"sigtimedwait", 0, sigtimedwait_, 0},
    {"sigwaitinfo", 0, sigwaitinfo_, 0},
    {"pause", 0, pause_, 0},
    {"wait", 0, wait_for_child, 0},
    {"flock", a_file, flock_, 0},
    {"fcntl", a_file, fcntl_lock, 0},
    {"eventfd", an_event, eventfd_, 0},
    {"timerfd", 0, timerfd_, 0},
    {"inotify", a_watch, inotify_, remove_watch},
    {"splice", two_pipes, splice_, 0},
};
#define TESTS (sizeof tests / sizeof *tests)

static volatile int stopping;
static struct place places[TESTS];
static pthread_t threads[TESTS];

static void *run(void *opaque)
{
    size_t i = (size_t)opaque;
    struct place *p = &places[i];
    p->self = pthread_self();
    while (!stopping) {
        tests[i].round(p);
        __atomic_add_fetch(&p->rounds, 1, __ATOMIC_SEQ_CST);
    }
    return 0;
}

int main(int argc, char **argv)
{
    char chosen[TESTS];
    memset(chosen, argc == 1, sizeof chosen);
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < TESTS; k++)
            if (!strcmp(argv[i], "list"))
                puts(tests[k].name);
            else if (!strcmp(argv[i], tests[k].name))
                chosen[k] = 1;
    if (!memchr(chosen, 1, sizeof chosen))
        return argc == 2 && !strcmp(argv[1], "list") ? 0 : 4;
    struct sigaction action = {.sa_handler = on_pause};
    check_call(sigaction(SIGUSR1, &action, 0));
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + 9);
    check_call(sigprocmask(SIG_BLOCK, &set, 0));
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 1 << 17);
    for (size_t i = 0; i < TESTS; i++) {
        struct place *p = &places[i];
        if (!chosen[i])
            continue;
        p->state = i + 1;
        sem_init(&p->order, 0, 0);
        sem_init(&p->begun, 0, 0);
        pthread_mutex_init(&p->mutex, 0);
        pthread_cond_init(&p->condition, 0);
        if (tests[i].set_up)
            tests[i].set_up(p);
        check(!pthread_create(&p->helper, &small, helper, p));
        check(!pthread_create(&threads[i], &small, run, (void *)i));
    }
    /* A round of the whole is a tenth of a second; no case may stand still. */
    uint64_t seen[TESTS] = {0};
    int64_t since[TESTS], now = now_ns();
    for (size_t i = 0; i < TESTS; i++)
        since[i] = now;
    while (victim_round()) {
        nap_ms(100);
        now = now_ns();
        for (size_t i = 0; i < TESTS; i++)
            if (chosen[i] && __atomic_load_n(&places[i].rounds, __ATOMIC_SEQ_CST) != seen[i]) {
                seen[i] = places[i].rounds;
                since[i] = now;
            } else if (chosen[i])
                check(now - since[i] < 15000000000LL, "%s stands still for 15 s", tests[i].name);
    }
    stopping = 1;
    for (size_t i = 0; i < TESTS; i++)
        if (chosen[i]) {
            pthread_join(threads[i], 0);
            if (tests[i].tear_down)
                tests[i].tear_down(&places[i]);
        }
    return victim_end();
}
