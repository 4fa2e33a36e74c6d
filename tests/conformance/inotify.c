/* Watching files. Opening, reading and closing are watched where one program does them in turn. */
#include "files.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { CHANGES = IN_ALL_EVENTS & ~(IN_OPEN | IN_CLOSE | IN_ACCESS) };

static const struct {
    uint32_t bit;
    const char *name;
} bits[] = {
    {IN_ACCESS, "ACCESS"},
    {IN_MODIFY, "MODIFY"},
    {IN_ATTRIB, "ATTRIB"},
    {IN_CLOSE_WRITE, "CLOSE_WRITE"},
    {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"},
    {IN_OPEN, "OPEN"},
    {IN_MOVED_FROM, "MOVED_FROM"},
    {IN_MOVED_TO, "MOVED_TO"},
    {IN_CREATE, "CREATE"},
    {IN_DELETE, "DELETE"},
    {IN_DELETE_SELF, "DELETE_SELF"},
    {IN_MOVE_SELF, "MOVE_SELF"},
    {IN_UNMOUNT, "UNMOUNT"},
    {IN_Q_OVERFLOW, "Q_OVERFLOW"},
    {IN_IGNORED, "IGNORED"},
    {IN_ISDIR, "ISDIR"},
};

/* Cookies are not the same from run to run: how many have been seen tells them apart. */
static int cookie_number(uint32_t cookie)
{
    static uint32_t seen[64];
    static int count;
    if (!cookie)
        return 0;
    for (int i = 0; i < count; i++)
        if (seen[i] == cookie)
            return i + 1;
    seen[count] = cookie;
    return ++count;
}

static void show_event(const struct inotify_event *e)
{
    char mask[256] = "";
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        if (!(e->mask & bits[i].bit))
            continue;
        strcat(mask, *mask ? "|" : "");
        strcat(mask, bits[i].name);
    }
    SHOW("wd %d %s cookie %d len %u %s", e->wd, mask, cookie_number(e->cookie), e->len,
         e->len ? e->name : "");
}

static void show_events(const char *bytes, ssize_t n)
{
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(bytes + at);
        show_event(e);
        at += (ssize_t)(sizeof *e + e->len);
    }
}

/* All that there is. */
static void show(int fd)
{
    _Alignas(struct inotify_event) char bytes[8192];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0)
        show_events(bytes, n);
    SHOW("then %ld %s", (long)n, n < 0 ? strerrorname_np(errno) : "");
}

static int start(void)
{
    return inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
}

static int start_at(const char *path, uint32_t mask)
{
    int fd = start();
    OK(inotify_add_watch(fd, path, mask));
    return fd;
}

static void touch(const char *name)
{
    close(open(name, O_WRONLY | O_CREAT, 0644));
}

/* ---- descriptors ---- */

CASE(inotify_init1, flags)
{
    TRY(inotify_init1(1));
    TRY(inotify_init1(~(O_NONBLOCK | O_CLOEXEC)));
    int fd = OK(inotify_init());
    fd = inotify_init();
    TRY(fcntl(fd, F_GETFD));
    TRY(fcntl(fd, F_GETFL));
    fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    TRY(fcntl(fd, F_GETFD));
    TRY(fcntl(fd, F_GETFL));
    TRY(fcntl(fd, F_SETFL, 0));
    TRY(fcntl(fd, F_GETFL));
}

CASE(inotify_init1, what_it_is)
{
    char link[64], path[64] = "";
    char byte = 0;
    struct stat st;
    int fd = start(), ends[2];
    sprintf(path, "/proc/self/fd/%d", fd);
    memset(link, 0, sizeof link);
    TRY(readlink(path, link, sizeof link - 1));
    SHOW("%s", link);
    TRY(fstat(fd, &st));
    SHOW("mode %o size %ld links %lu", st.st_mode, (long)st.st_size, (unsigned long)st.st_nlink);
    TRY(write(fd, "x", 1));
    TRY(pread(fd, &byte, 1, 0));
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(ftruncate(fd, 0));
    TRY(fsync(fd));
    TRY(fcntl(fd, F_GETPIPE_SZ));
    TRY(send(fd, "x", 1, 0));
    pipe(ends);
    TRY(splice(fd, NULL, ends[1], NULL, 1, 0));
    sprintf(path, "/proc/self/fdinfo/%d", fd);
    char text[64] = "", *flags;
    read(open(path, O_RDONLY), text, sizeof text - 1);
    flags = strstr(text, "flags:");
    SHOW("%s", flags ? strtok(flags, "\n") : "no flags");
    TRY((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
}

CASE(inotify_init1, many)
{
    int count = 0, error = 0;
    while (count < 1000 && inotify_init() >= 0)
        count++;
    error = errno;
    SHOW("%s %s", count > 20 && count <= 128 ? "some" : "not as expected", strerrorname_np(error));
}

/* ---- watches ---- */

CASE(inotify_add_watch, errors)
{
    int fd = start(), ends[2];
    pipe(ends);
    touch("f");
    symlink("loop", "loop");
    TRY(inotify_add_watch(-1, ".", CHANGES));
    TRY(inotify_add_watch(99, ".", CHANGES));
    TRY(inotify_add_watch(ends[0], ".", CHANGES));
    TRY(inotify_add_watch(open("f", O_RDONLY), ".", CHANGES));
    TRY(inotify_add_watch(fd, ".", 0));
    TRY(inotify_add_watch(fd, ".", 0x00100000));
    TRY(inotify_add_watch(fd, ".", IN_MODIFY | IN_MASK_ADD | IN_MASK_CREATE));
    TRY(inotify_add_watch(99, ".", IN_MODIFY | IN_MASK_ADD | IN_MASK_CREATE));
    TRY(inotify_add_watch(fd, "", CHANGES));
    TRY(inotify_add_watch(fd, "none", CHANGES));
    TRY(inotify_add_watch(fd, "none/below", CHANGES));
    TRY(inotify_add_watch(fd, "f/below", CHANGES));
    TRY(inotify_add_watch(fd, "f", CHANGES | IN_ONLYDIR));
    TRY(inotify_add_watch(fd, "loop", CHANGES));
    TRY(inotify_add_watch(fd, BAD_POINTER, CHANGES));
    TRY(inotify_add_watch(fd, "/proc/none", CHANGES));
    TRY(inotify_add_watch(fd, "/dev/null", CHANGES | IN_ONLYDIR));
    OK(inotify_add_watch(fd, "loop", CHANGES | IN_DONT_FOLLOW));
}

CASE(inotify_add_watch, not_permitted)
{
    int fd = start();
    touch("f");
    mkdir("d", 0755);
    chmod("f", 0200);
    TRY(inotify_add_watch(fd, "f", CHANGES));
    chmod("d", 0);
    TRY(inotify_add_watch(fd, "d", CHANGES));
    TRY(inotify_add_watch(fd, "d/f", CHANGES));
    chmod("d", 0755);
}

CASE(inotify_add_watch, one_number_for_one_inode)
{
    int fd = start();
    touch("f");
    touch("g");
    link("f", "same");
    symlink("f", "to");
    TRY(inotify_add_watch(fd, "f", CHANGES));
    TRY(inotify_add_watch(fd, ".", CHANGES));
    TRY(inotify_add_watch(fd, "same", CHANGES));
    TRY(inotify_add_watch(fd, "to", CHANGES));
    TRY(inotify_add_watch(fd, "g", CHANGES));
    TRY(inotify_add_watch(fd, "to", CHANGES | IN_DONT_FOLLOW));
    TRY(inotify_rm_watch(fd, 3));
    TRY(inotify_add_watch(fd, "g", CHANGES));
    TRY(inotify_add_watch(start(), "g", CHANGES));
}

CASE(inotify_add_watch, masks)
{
    int fd = start();
    touch("f");
    TRY(inotify_add_watch(fd, "f", IN_MODIFY));
    TRY(inotify_add_watch(fd, "f", IN_ATTRIB | IN_MASK_CREATE));
    chmod("f", 0600);
    show(fd);
    TRY(inotify_add_watch(fd, "f", IN_ATTRIB | IN_MASK_ADD));
    chmod("f", 0644);
    truncate("f", 10);
    show(fd);
    TRY(inotify_add_watch(fd, "f", IN_ATTRIB));
    chmod("f", 0600);
    truncate("f", 20);
    show(fd);
}

CASE(inotify_add_watch, once)
{
    int fd = start_at(".", IN_CREATE | IN_ONESHOT);
    touch("a");
    touch("b");
    show(fd);
    TRY(inotify_rm_watch(fd, 1));
    TRY(inotify_add_watch(fd, ".", IN_CREATE));
}

CASE(inotify_add_watch, by_descriptor)
{
    char path[64];
    int fd = start(), file = open("f", O_RDWR | O_CREAT, 0644);
    unlink("f");
    sprintf(path, "/proc/self/fd/%d", file);
    OK(inotify_add_watch(fd, path, CHANGES));
    write(file, "x", 1);
    show(fd);
    close(file);
    show(fd);
}

CASE(inotify_add_watch, a_file_that_is_renamed)
{
    int fd = start();
    touch("f");
    mkdir("d", 0755);
    OK(inotify_add_watch(fd, "f", CHANGES));
    rename("f", "d/g");
    truncate("d/g", 5);
    show(fd);
}

CASE(inotify_rm_watch, errors)
{
    int fd = start_at(".", CHANGES), ends[2];
    pipe(ends);
    TRY(inotify_rm_watch(-1, 1));
    TRY(inotify_rm_watch(ends[0], 1));
    TRY(inotify_rm_watch(fd, 0));
    TRY(inotify_rm_watch(fd, -1));
    TRY(inotify_rm_watch(fd, 2));
    TRY(inotify_rm_watch(fd, 1));
    TRY(inotify_rm_watch(fd, 1));
    show(fd);
    touch("f");
    show(fd);
}

/* ---- what is told ---- */

CASE(inotify, a_directory)
{
    int fd = start_at(".", CHANGES), file;
    touch("f");
    mkdir("directory", 0755);
    symlink("f", "s");
    mkfifo("p", 0644);
    link("f", "a name that is so long that it takes more");
    show(fd);
    file = open("f", O_WRONLY);
    write(file, "x", 1);
    ftruncate(file, 0);
    fchmod(file, 0600);
    futimens(file, NULL);
    close(file);
    show(fd);
    unlink("f");
    rmdir("directory");
    unlink("s");
    show(fd);
}

CASE(inotify, lengths_of_names)
{
    int fd = start_at(".", IN_CREATE);
    char name[256] = "";
    for (int i = 0; i < 255; i++) {
        strcat(name, "n");
        if (i % 16 >= 13 || i % 16 == 0 || i > 250)
            touch(name);
    }
    show(fd);
}

CASE(inotify, renames)
{
    int fd = start();
    mkdir("a", 0755);
    mkdir("b", 0755);
    touch("a/f");
    touch("b/g");
    OK(inotify_add_watch(fd, "a", CHANGES));
    OK(inotify_add_watch(fd, "b", CHANGES));
    OK(inotify_add_watch(fd, "a/f", CHANGES));
    rename("a/f", "a/h");
    rename("a/h", "b/f");
    rename("b/f", "b/g");
    rename("b/g", "out");
    rename("out", "a/in");
    rename("b", "c");
    rename("c", "a/c");
    show(fd);
    syscall(SYS_renameat2, AT_FDCWD, "a/in", AT_FDCWD, "a/c", 2 /* RENAME_EXCHANGE */);
    show(fd);
}

CASE(inotify, the_end_of_what_is_watched)
{
    int fd = start();
    mkdir("d", 0755);
    touch("d/f");
    OK(inotify_add_watch(fd, "d", CHANGES));
    OK(inotify_add_watch(fd, "d/f", CHANGES));
    unlink("d/f");
    show(fd);
    rmdir("d");
    show(fd);
    TRY(inotify_rm_watch(fd, 1));
}

CASE(inotify, replaced)
{
    int fd = start();
    touch("f");
    touch("new");
    OK(inotify_add_watch(fd, "f", CHANGES));
    rename("new", "f");
    show(fd);
}

CASE(inotify, unlinked_and_still_open)
{
    int fd = start_at(".", CHANGES | IN_EXCL_UNLINK);
    int file = open("f", O_RDWR | O_CREAT, 0644);
    OK(inotify_add_watch(fd, "f", CHANGES));
    unlink("f");
    write(file, "x", 1);
    show(fd);
    close(file);
    show(fd);
}

CASE(inotify, links)
{
    int fd = start();
    touch("f");
    OK(inotify_add_watch(fd, "f", CHANGES));
    link("f", "g");
    unlink("f");
    truncate("g", 1);
    unlink("g");
    show(fd);
}

CASE(inotify, reading_and_writing)
{
    char byte;
    int file = file_with("f", "0123456789");
    close(file);
    int fd = start_at(".", IN_ALL_EVENTS);
    file = open("f", O_RDONLY);
    read(file, &byte, 1);
    close(file);
    show(fd);
    file = open("f", O_WRONLY);
    write(file, "x", 1);
    close(file);
    show(fd);
    file = open("g", O_WRONLY | O_CREAT | O_EXCL, 0644);
    write(file, "x", 1);
    close(file);
    show(fd);
}

CASE(inotify, closed_by_a_child)
{
    int fd = start_at(".", IN_CLOSE_WRITE);
    if (fork() == 0) {
        int file = open("f", O_WRONLY | O_CREAT, 0644);
        write(file, "x", 1);
        _exit(0);
    }
    wait(NULL);
    struct pollfd p = {fd, POLLIN};
    TRY(poll(&p, 1, 5000));
    show(fd);
}

CASE(inotify, equal_ones)
{
    int fd = start_at(".", IN_MODIFY | IN_ATTRIB);
    int file = open("f", O_WRONLY | O_CREAT, 0644), other = open("g", O_WRONLY | O_CREAT, 0644);
    for (int i = 0; i < 3; i++)
        write(file, "x", 1);
    write(other, "x", 1);
    write(file, "x", 1);
    fchmod(file, 0600);
    fchmod(file, 0644);
    write(file, "x", 1);
    show(fd);
}

CASE(inotify, too_many)
{
    _Alignas(struct inotify_event) static char bytes[65536];
    struct inotify_event last = {0};
    unsigned count = 0, overflows = 0;
    int fd = start_at(".", IN_MOVE);
    touch("a");
    for (int i = 0; i < 8300; i++)
        rename(i % 2 ? "b" : "a", i % 2 ? "a" : "b");
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof last + last.len)) {
            memcpy(&last, bytes + at, sizeof last);
            count++;
            overflows += (last.mask & IN_Q_OVERFLOW) != 0;
        }
    }
    SHOW("%u events, %u overflows, last %d %x", count, overflows, last.wd, last.mask);
    rename("a", "c");
    show(fd);
}

CASE(inotify, the_machines_own)
{
    char path[64];
    int fd = start_at("/dev/shm", CHANGES);
    sprintf(path, "/dev/shm/conformance-%d", getpid());
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    write(file, "x", 1);
    close(file);
    OK(inotify_add_watch(fd, path, IN_DELETE_SELF));
    OK(inotify_add_watch(fd, ".", IN_CREATE));
    unlink(path);
    touch("here");
    _Alignas(struct inotify_event) char bytes[4096];
    unsigned masks = 0;
    ssize_t n;
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t at = 0; at < n;) {
            const struct inotify_event *e = (const void *)(bytes + at);
            if (e->wd != 1 || (e->len && strcmp(e->name, path + 9) == 0))
                masks |= e->mask << (e->wd == 3 ? 4 : 0);
            at += (ssize_t)(sizeof *e + e->len);
        }
    }
    SHOW("%x", masks);
    OK(inotify_add_watch(fd, "/proc/self", IN_CREATE));
    OK(inotify_add_watch(fd, "/dev/null", IN_CREATE));
    OK(inotify_add_watch(fd, "/sys", IN_CREATE));
}

/* ---- reading ---- */

CASE(inotify_read, sizes)
{
    _Alignas(struct inotify_event) char bytes[4096];
    int fd = start_at(".", IN_CREATE), left;
    TRY(read(fd, bytes, 0));
    TRY(read(fd, bytes, sizeof bytes));
    touch("a");
    touch("b");
    touch("a longer name");
    TRY(ioctl(fd, FIONREAD, &left));
    SHOW("%d left", left);
    TRY(read(fd, bytes, 0));
    TRY(read(fd, bytes, 15));
    TRY(read(fd, bytes, 31));
    TRY(ioctl(fd, FIONREAD, BAD_POINTER));
    TRY(read(fd, bytes, 32));
    show_events(bytes, 32);
    TRY(read(fd, bytes, 63));
    show_events(bytes, 32);
    TRY(ioctl(fd, FIONREAD, &left));
    SHOW("%d left", left);
    TRY(read(fd, BAD_POINTER, 4096));
    touch("one more");
    ssize_t n = TRY(read(fd, bytes, sizeof bytes));
    show_events(bytes, n);
    TRY(read(fd, bytes, sizeof bytes));
}

static void on_alarm(int number)
{
}

CASE(inotify_read, waits)
{
    _Alignas(struct inotify_event) char bytes[4096];
    int fd = inotify_init(), ends[2];
    OK(inotify_add_watch(fd, ".", IN_CREATE));
    pipe(ends);
    if (fork() == 0) {
        char byte;
        read(ends[0], &byte, 1);
        usleep(50000);
        touch("f");
        _exit(0);
    }
    write(ends[1], "x", 1);
    ssize_t n = TRY(read(fd, bytes, sizeof bytes));
    show_events(bytes, n);
    wait(NULL);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
    ualarm(100000, 100000);
    TRY(read(fd, bytes, sizeof bytes));
}

CASE(inotify_read, ready)
{
    int fd = start_at(".", IN_CREATE);
    int set = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = 7}, got = {0};
    struct pollfd p = {fd, POLLIN | POLLOUT | POLLRDHUP};
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
    TRY(poll(&p, 1, 0));
    TRY(epoll_wait(set, &got, 1, 0));
    touch("a");
    TRY(poll(&p, 1, 0));
    SHOW("%x", p.revents);
    TRY(epoll_wait(set, &got, 1, 5000));
    SHOW("%x %d", got.events, got.data.fd);
    TRY(epoll_wait(set, &got, 1, 0));
    touch("b");
    TRY(epoll_wait(set, &got, 1, 5000));
    show(fd);
    TRY(poll(&p, 1, 0));
    fd_set reads;
    for (int i = 0; i < 3; i++) {
        touch(i == 1 ? "c" : i == 2 ? "d" : "a");
        FD_ZERO(&reads);
        FD_SET(fd, &reads);
        TRY(i == 2 ? pselect(fd + 1, &reads, NULL, NULL, &(struct timespec){0, 0}, NULL)
                   : select(fd + 1, &reads, NULL, NULL, &(struct timeval){0, 0}));
        show(fd);
    }
    touch("e");
    TRY(ppoll(&p, 1, &(struct timespec){0, 0}, NULL));
}

CASE(inotify_read, shared)
{
    _Alignas(struct inotify_event) char bytes[4096];
    int fd = start_at(".", IN_CREATE), copy = dup(fd), status;
    touch("a");
    touch("b");
    if (fork() == 0) {
        ssize_t n = TRY(read(copy, bytes, 32));
        show_events(bytes, n);
        TRY(inotify_rm_watch(fd, 1));
        _exit(0);
    }
    wait(NULL);
    show(fd);
    close(fd);
    OK(inotify_add_watch(copy, ".", IN_CREATE));
    touch("c");
    show(copy);
}

CASE(inotify_read, passed)
{
    int fd = start_at(".", IN_CREATE), pair[2], got;
    char byte = 0, control[CMSG_SPACE(sizeof fd)] = {0};
    struct iovec piece = {&byte, 1};
    struct msghdr m = {.msg_iov = &piece,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    TRY(sendmsg(pair[0], &m, 0));
    close(fd);
    touch("f");
    TRY(recvmsg(pair[1], &m, 0));
    memcpy(&got, CMSG_DATA(c), sizeof got);
    show(got);
    OK(inotify_add_watch(got, ".", IN_DELETE));
    unlink("f");
    show(got);
}

CASE(inotify_read, in_pieces)
{
    _Alignas(struct inotify_event) char bytes[4096];
    int fd = start_at(".", IN_CREATE);
    struct iovec v[2] = {{bytes, 32}, {bytes + 32, 64}};
    touch("a");
    touch("b");
    ssize_t n = TRY(readv(fd, v, 2));
    show_events(bytes, n);
}
