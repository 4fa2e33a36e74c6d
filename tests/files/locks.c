/* Advisory locks: POSIX record locks, open file description locks, flock; between processes. */
#include "show.h"

#include <signal.h>
#include <sys/file.h>

static int lock(int fd, int command, int type, off_t start, off_t length)
{
    struct flock l = {
        .l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &l);
}

/* What is in the way of a write lock, for another process. */
static void probe(const char *name, off_t start, off_t length)
{
    pid_t parent = getpid();
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(name, O_RDWR);
        struct flock l = {.l_type = F_WRLCK, .l_start = start, .l_len = length};
        int rc = fcntl(fd, F_GETLK, &l);
        if (rc == 0 && l.l_type == F_UNLCK)
            SHOW("probe %ld+%ld: free", (long)start, (long)length);
        else
            SHOW("probe %ld+%ld: %d type %d from %ld length %ld by the parent %d", (long)start,
                 (long)length, rc, l.l_type, (long)l.l_start, (long)l.l_len, l.l_pid == parent);
        fflush(stdout);
        _exit(0);
    }
    MUST(waitpid(pid, NULL, 0));
}

static void records(void)
{
    make_file("p", "0123456789");
    int fd = R(open("p", O_RDWR)), reader = R(open("p", O_RDONLY)), writer = R(open("p", O_WRONLY));
    R(lock(fd, F_SETLK, F_WRLCK, 0, 10));
    probe("p", 5, 1);
    probe("p", 10, 0);
    R(lock(fd, F_SETLK, F_UNLCK, 3, 4));
    probe("p", 0, 0);
    probe("p", 3, 4);
    probe("p", 7, 1);
    R(lock(fd, F_SETLK, F_RDLCK, 8, 0));
    probe("p", 100, 1);
    R(lock(reader, F_SETLK, F_WRLCK, 0, 1));
    R(lock(writer, F_SETLK, F_RDLCK, 0, 1));
    R(lock(fd, F_SETLK, 77, 0, 1));
    R(lock(fd, F_SETLK, F_WRLCK, -1, 1));
    R(lock(fd, F_SETLK, F_WRLCK, 10, -3));
    R(lock(fd, F_SETLK, F_WRLCK, 1, -3));
    R(lock(99, F_SETLK, F_WRLCK, 0, 1));
    R(fcntl(fd, F_SETLK, BAD));
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -2, .l_len = 1};
    R(fcntl(fd, F_SETLK, &l));
    l.l_whence = 9;
    R(fcntl(fd, F_SETLK, &l));
    /* closing any descriptor of the file drops them all */
    R(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    probe("p", 0, 0);
    R(close(reader));
    probe("p", 0, 0);
    R(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    int copy = R(dup(fd));
    R(close(copy));
    probe("p", 0, 0);
    R(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    R(dup2(1, writer));
    probe("p", 0, 0);
    R(close(writer));
    /* not inherited, and gone with the process */
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        R(lock(fd, F_SETLK, F_WRLCK, 0, 0));
        fflush(stdout);
        _exit(0);
    }
    MUST(waitpid(pid, NULL, 0));
    R(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    R(close(fd));
}

static void waiting(void)
{
    int go[2], fd = R(open("p", O_RDWR));
    char b;
    MUST(pipe(go));
    R(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int own = open("p", O_RDWR);
        R(lock(own, F_SETLK, F_WRLCK, 0, 0));
        R(lock(own, F_SETLK, F_RDLCK, 0, 0));
        fflush(stdout);
        MUST(write(go[1], "1", 1));
        R(lock(own, F_SETLKW, F_WRLCK, 0, 0));
        R(lock(own, F_GETLK, F_WRLCK, 0, 0));
        fflush(stdout);
        _exit(0);
    }
    MUST(read(go[0], &b, 1));
    usleep(20000); /* until it waits: nothing tells that it does */
    R(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    MUST(waitpid(pid, NULL, 0));
    R(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    R(close(fd));
}

static void on_alarm(int signal)
{
}

static void interrupted(void)
{
    int go[2], done[2];
    char b;
    MUST(pipe(go));
    MUST(pipe(done));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int own = open("p", O_RDWR);
        if (lock(own, F_SETLK, F_WRLCK, 0, 0) == 0 && flock(own, LOCK_EX) == 0)
            MUST(write(go[1], "1", 1));
        MUST(read(done[0], &b, 1));
        _exit(0);
    }
    MUST(read(go[0], &b, 1));
    int fd = R(open("p", O_RDWR));
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    ualarm(30000, 30000); /* again and again, so that one comes while it waits */
    R(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
    R(flock(fd, LOCK_SH));
    ualarm(0, 0);
    MUST(write(done[1], "1", 1));
    MUST(waitpid(pid, NULL, 0));
    R(close(fd));
}

static void descriptions(void)
{
    int a = R(open("p", O_RDWR)), b = R(open("p", O_RDWR));
    R(lock(a, F_OFD_SETLK, F_WRLCK, 0, 5));
    R(lock(b, F_OFD_SETLK, F_WRLCK, 4, 5));
    R(lock(b, F_OFD_SETLK, F_RDLCK, 5, 5));
    struct flock l = {.l_type = F_WRLCK, .l_len = 1};
    R(fcntl(b, F_OFD_GETLK, &l));
    SHOW("type %d start %ld length %ld pid %d", l.l_type, (long)l.l_start, (long)l.l_len, l.l_pid);
    l = (struct flock){.l_type = F_WRLCK, .l_len = 1};
    R(fcntl(b, F_GETLK, &l));
    SHOW("type %d pid %d", l.l_type, l.l_pid);
    l = (struct flock){.l_type = F_WRLCK, .l_len = 1, .l_pid = 7};
    R(fcntl(b, F_OFD_SETLK, &l));
    int copy = R(dup(a));
    R(close(a));
    R(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
    R(close(copy));
    R(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
    R(close(b));
}

static void flocks(void)
{
    int a = R(open("p", O_RDONLY)), b = R(open("p", O_RDONLY));
    R(flock(a, LOCK_EX));
    R(flock(b, LOCK_EX | LOCK_NB));
    R(flock(b, LOCK_SH | LOCK_NB));
    R(flock(a, LOCK_SH));
    R(flock(b, LOCK_SH | LOCK_NB));
    R(flock(b, LOCK_EX | LOCK_NB));
    R(flock(b, LOCK_UN));
    R(flock(a, LOCK_EX | LOCK_NB));
    int copy = R(dup(a));
    R(close(a));
    R(flock(b, LOCK_EX | LOCK_NB));
    R(flock(copy, LOCK_UN));
    R(flock(b, LOCK_EX | LOCK_NB));
    R(close(b));
    R(flock(copy, LOCK_EX | LOCK_NB));
    R(close(copy));
    a = R(open("p", O_RDONLY));
    R(flock(a, LOCK_EX | LOCK_NB));
    R(flock(a, 77));
    R(flock(99, LOCK_EX));
    int path = R(open("p", O_PATH));
    R(flock(path, LOCK_EX));
    R(close(path));
    /* shared with a child, and given back by it */
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        R(flock(a, LOCK_EX | LOCK_NB));
        int own = open("p", O_RDONLY);
        R(flock(own, LOCK_EX | LOCK_NB));
        R(flock(a, LOCK_UN));
        R(flock(own, LOCK_EX | LOCK_NB));
        fflush(stdout);
        _exit(0);
    }
    MUST(waitpid(pid, NULL, 0));
    R(flock(a, LOCK_EX | LOCK_NB));
    R(close(a));
    int pair[2];
    MUST(pipe(pair));
    R(flock(pair[0], LOCK_EX | LOCK_NB));
    R(lock(pair[0], F_SETLK, F_RDLCK, 0, 0));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    records();
    waiting();
    interrupted();
    descriptions();
    flocks();
    return 0;
}
