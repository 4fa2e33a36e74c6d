/* Pipes, terminals and what copies between descriptors: waits, partial results, offsets. */
#include "show.h"

#include <pthread.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <termios.h>

enum { BIG = 1 << 20 };
static char big[BIG], back[BIG];

static void fill(void)
{
    for (int i = 0; i < BIG; i++)
        big[i] = (char)(i * 13 + i / 977);
}

static void wait_for(pid_t pid)
{
    int status = 0;
    MUST(waitpid(pid, &status, 0));
    SHOW("status %x", status);
}

static void through_a_pipe(void)
{
    int pair[2];
    MUST(pipe(pair));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        close(pair[0]);
        R(write(pair[1], big, BIG));
        fflush(stdout);
        _exit(0);
    }
    close(pair[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(pair[0], back + got, BIG - got)) > 0;)
        got += (size_t)n;
    wait_for(pid);
    SHOW("got %zu same %d", got, !memcmp(big, back, BIG));
    R(read(pair[0], back, 10));
    R(close(pair[0]));
    MUST(pipe(pair));
    R(close(pair[0]));
    signal(SIGPIPE, SIG_IGN);
    R(write(pair[1], "x", 1));
    R(close(pair[1]));
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        MUST(pipe(pair));
        close(pair[0]);
        write(pair[1], "x", 1);
        _exit(0);
    }
    wait_for(pid);
}

static volatile int caught;

static void on_alarm(int signal)
{
    caught++;
}

/* Again and again, so that one comes while the call waits, however slow the machine is. */
static void alarms(int flags)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    sigaction(SIGALRM, &action, NULL);
    ualarm(20000, 20000);
}

static void no_alarms(void)
{
    ualarm(0, 0);
}

static void *write_later(void *fd)
{
    usleep(60000);
    MUST(write(*(int *)fd, "late", 4));
    return NULL;
}

static void interrupted(void)
{
    int pair[2];
    char b[8];
    MUST(pipe(pair));
    alarms(0);
    R(read(pair[0], b, 8));
    no_alarms();
    pthread_t thread;
    alarms(SA_RESTART);
    MUST(pthread_create(&thread, NULL, write_later, &pair[1]));
    R(read(pair[0], b, 8));
    no_alarms();
    pthread_join(thread, NULL);
    SHOW("caught some %d", caught >= 2);
    /* a write that fills the pipe and is then interrupted says how much it wrote */
    alarms(SA_RESTART);
    R(write(pair[1], big, BIG));
    no_alarms();
    alarms(0);
    R(write(pair[1], big, 10));
    no_alarms();
    R(fcntl(pair[1], F_SETFL, O_NONBLOCK));
    R(write(pair[1], big, 10));
    R(read(pair[0], back, 5000));
    R(write(pair[1], big, 5000));
    R(fcntl(pair[0], F_SETFL, O_NONBLOCK));
    size_t got = 0;
    for (ssize_t n; (n = read(pair[0], back, BIG)) > 0;)
        got += (size_t)n;
    SHOW("got %zu", got);
    R(read(pair[0], back, 1));
    R(close(pair[1]));
    R(read(pair[0], back, 1));
    R(close(pair[0]));
}

static void faults(void)
{
    int pair[2];
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(munmap(page + 4096, 4096));
    MUST(pipe(pair));
    R(write(pair[1], BAD, 10));
    R(write(pair[1], "0123456789", 10));
    R(read(pair[0], page + 4090, 6));
    R(read(pair[0], page, 100));
    R(writev(pair[1], (struct iovec[2]){{page, 3}, {page + 4090, 6}}, 2));
    R(readv(pair[0], (struct iovec[2]){{page, 1}, {page + 4000, 80}}, 2));
    R(close(pair[0]));
    R(close(pair[1]));
}

static void terminal(void)
{
    int leader, end;
    struct termios t;
    struct winsize size = {24, 80, 0, 0};
    char b[64] = {0};
    R(openpty(&leader, &end, NULL, NULL, &size));
    R(isatty(end));
    R(isatty(leader));
    R(tcgetattr(end, &t));
    SHOW("lflag %x", t.c_lflag);
    t.c_lflag &= (tcflag_t) ~(ICANON | ECHO);
    R(tcsetattr(end, TCSANOW, &t));
    R(tcgetattr(end, &t));
    SHOW("lflag %x", t.c_lflag);
    size.ws_row = 50;
    R(ioctl(end, TIOCSWINSZ, &size));
    size.ws_row = 0;
    R(ioctl(leader, TIOCGWINSZ, &size));
    SHOW("rows %d columns %d", size.ws_row, size.ws_col);
    R(write(leader, "typed", 5));
    int left = 0;
    R(poll(&(struct pollfd){.fd = end, .events = POLLIN}, 1,
           -1)); /* it comes when the host likes */
    R(ioctl(end, FIONREAD, &left));
    SHOW("left %d", left);
    R(read(end, b, 64));
    R(write(end, "shown\n", 6));
    ssize_t n = 1;
    size_t have = 0;
    for (; n > 0 && have < 7; have += (size_t)n) /* in as many pieces as the host likes */
        n = read(leader, b + have, 64 - have);
    SHOW("%zu: %d %d", have, b[5], b[6]);
    R(lseek(end, 0, SEEK_SET));
    R(tcgetpgrp(end));
    R(ioctl(end, 0x12345678, b));
    R(ioctl(end, TIOCGWINSZ, BAD));
    R(close(end));
    R(close(leader));
}

static void sending(void)
{
    int in = R(open("big", O_CREAT | O_RDWR | O_TRUNC, 0600));
    R(write(in, big, BIG));
    int out = R(open("copy", O_CREAT | O_RDWR | O_TRUNC, 0600));
    off_t offset = 1000;
    R(sendfile(out, in, &offset, 5000));
    SHOW("offset %ld", (long)offset);
    R(lseek(in, 0, SEEK_CUR));
    R(lseek(out, 0, SEEK_CUR));
    R(lseek(in, 100, SEEK_SET));
    R(sendfile(out, in, NULL, 50));
    R(lseek(in, 0, SEEK_CUR));
    R(pread(out, back, 5050, 0));
    SHOW("same %d %d", !memcmp(back, big + 1000, 5000), !memcmp(back + 5000, big + 100, 50));
    offset = BIG - 10;
    R(sendfile(out, in, &offset, 5000));
    R(sendfile(out, in, &offset, 5000));
    offset = -1;
    R(sendfile(out, in, &offset, 10));
    R(sendfile(99, in, NULL, 10));
    R(sendfile(out, 99, NULL, 10));
    R(sendfile(out, in, BAD, 10));
    int pair[2];
    MUST(pipe(pair));
    offset = 0;
    R(sendfile(pair[1], in, &offset, 3000));
    R(read(pair[0], back, BIG));
    SHOW("same %d", !memcmp(back, big, 3000));
    R(write(pair[1], "x", 1));
    R(sendfile(out, pair[0], NULL, 1));
    R(read(pair[0], back, 10));
    loff_t from = 10, to = 20;
    R(copy_file_range(in, &from, out, &to, 100, 0));
    SHOW("%ld %ld", (long)from, (long)to);
    R(pread(out, back, 100, 20));
    SHOW("same %d", !memcmp(back, big + 10, 100));
    R(copy_file_range(in, NULL, out, NULL, 100, 0));
    R(lseek(in, 0, SEEK_CUR));
    R(copy_file_range(in, &from, out, &to, 100, 1));
    R(copy_file_range(out, NULL, 99, NULL, 100, 0));
    from = BIG;
    R(copy_file_range(in, &from, out, &to, 100, 0));
    R(fcntl(out, F_SETFL, O_APPEND));
    R(copy_file_range(in, NULL, out, NULL, 100, 0));
    R(sendfile(out, in, NULL, 10));
    R(fcntl(out, F_SETFL, 0));
    from = 50;
    R(splice(in, &from, pair[1], NULL, 2000, 0));
    SHOW("%ld", (long)from);
    R(read(pair[0], back, BIG));
    SHOW("same %d", !memcmp(back, big + 50, 2000));
    R(splice(in, NULL, out, NULL, 100, 0));
    R(splice(in, &from, pair[1], &from, 100, 0));
    R(write(pair[1], "spliced", 7));
    to = 0;
    R(splice(pair[0], NULL, out, &to, 100, 0));
    R(pread(out, back, 7, 0));
    SHOW("%.7s %ld", back, (long)to);
    R(splice(pair[0], NULL, out, &to, 100, SPLICE_F_NONBLOCK));
    R(vmsplice(pair[1], &(struct iovec){big, 777}, 1, 0));
    int other[2];
    MUST(pipe(other));
    R(tee(pair[0], other[1], 1000, 0));
    R(splice(pair[0], NULL, other[1], NULL, 1000, 0));
    R(read(other[0], back, BIG));
    SHOW("same %d", !memcmp(back, big, 777) && !memcmp(back + 777, big, 777));
    R(tee(pair[0], in, 10, 0));
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(other[i]);
    }
    R(close(in));
    R(close(out));
}

static void *shared_writer(void *fd)
{
    char line[32];
    for (int i = 0; i < 500; i++) {
        memset(line, 'a' + i % 26, sizeof line);
        MUST(write(*(int *)fd, line, sizeof line));
    }
    return NULL;
}

static void threads(void)
{
    int fd = R(open("threads", O_CREAT | O_RDWR | O_TRUNC, 0600));
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&t[i], NULL, shared_writer, &fd));
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    R(lseek(fd, 0, SEEK_CUR));
    R(pread(fd, back, BIG, 0));
    int broken = 0;
    for (int i = 0; i < 4 * 500 * 32; i++)
        broken += back[i] != back[i & ~31];
    SHOW("broken %d", broken);
    R(close(fd));
}

static void *opener(void *name)
{
    long bad = 0;
    for (int i = 0; i < 300; i++) {
        char b[64];
        int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
        bad += fd < 0 || write(fd, name, strlen(name)) != (ssize_t)strlen(name) ||
               pread(fd, b, sizeof b, 0) != (ssize_t)strlen(name) ||
               memcmp(b, name, strlen(name)) != 0 || close(fd) != 0;
        int pair[2];
        bad += pipe(pair) != 0 || write(pair[1], "12", 2) != 2 || read(pair[0], b, 64) != 2 ||
               close(pair[0]) != 0 || close(pair[1]) != 0;
    }
    return (void *)bad;
}

static void openers(void)
{
    static const char *const names[] = {"one", "two-", "three--", "four---"};
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&t[i], NULL, opener, (void *)names[i]));
    for (int i = 0; i < 4; i++) {
        void *bad;
        pthread_join(t[i], &bad);
        SHOW("bad %ld", (long)bad);
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    fill();
    through_a_pipe();
    interrupted();
    faults();
    terminal();
    sending();
    threads();
    openers();
    return 0;
}
