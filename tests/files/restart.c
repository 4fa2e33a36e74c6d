/*
 * Uses open files before and after their sComponent's monitor was started again; see
 * test_restart.py, which waits for the line "ready" and answers it. With "exec", the second half is
 * that of another program, which this one executes. With "another", of one that was root's when it
 * opened them.
 */
#include <grp.h>
#include <sys/file.h>

#include "show.h"

static void use(int file, int unlinked, int directory)
{
    char b[16] = {0};
    struct stat st;
    R(pread(file, b, 5, 0));
    fflush(stdout);
    SHOW("%s", b);
    R(pread(unlinked, b, 5, 0));
    R(write(file, "more", 4));
    R(lseek(file, 0, SEEK_CUR));
    R(fstat(file, &st));
    SHOW("size %ld", (long)st.st_size);
    R(fstat(directory, &st));
    R(openat(directory, "missing", O_RDONLY));
    fflush(stdout);
}

static int lock(int fd, int command, short type, long start, long length)
{
    struct flock l = {.l_type = type, .l_start = start, .l_len = length};
    return fcntl(fd, command, &l);
}

/* What somebody else meets. */
static void show_lock(int fd, long at)
{
    struct flock l = {.l_type = F_WRLCK, .l_start = at, .l_len = 1};
    MUST(fcntl(fd, F_GETLK, &l));
    if (l.l_type == F_UNLCK)
        SHOW("byte %ld is free", at);
    else
        SHOW("byte %ld: %s lock from %ld to %ld", at, l.l_pid == -1 ? "OFD" : "POSIX",
             (long)l.l_start, (long)(l.l_start + l.l_len - 1));
    fflush(stdout);
}

static void show_locks(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = MUST(open("file", O_RDWR));
        const long at[] = {0, 5, 9, 20, 35};
        for (int i = 0; i < 5; i++)
            show_lock(fd, at[i]);
        R(flock(MUST(open("other", O_RDONLY)), LOCK_SH | LOCK_NB));
        show_lock(MUST(open("other", O_RDWR)), 0);
        _exit(0);
    }
    MUST(waitpid(pid, NULL, 0));
}

static int second_half(int file, int unlinked, int directory, int other)
{
    char c;
    SHOW("%s %s", strerrorname_np(ESTALE),
         strerrorname_np(EIO)); /* its lines are here from now on */
    printf("ready\n");
    fflush(stdout);
    MUST(read(0, &c, 1));
    use(file, unlinked, directory);
    R(pread(other, &c, 1, 0));
    fflush(stdout);
    show_locks();
    return 0;
}

/* As somebody who may less than who opened the file. */
static void use_as_another(int file)
{
    char b[16] = {0};
    struct stat st = {0};
    R(pread(file, b, 5, 0));
    SHOW("%s", b);
    R(open("file", O_RDONLY));
    R(access("file", R_OK));
    R(close(open("all/made", O_CREAT | O_WRONLY, 0644)));
    R(stat("all/made", &st));
    SHOW("user %d group %d", st.st_uid, st.st_gid);
    R(unlink("all/made"));
    fflush(stdout);
}

static int another(void)
{
    char c;
    int file = MUST(open("file", O_CREAT | O_RDWR, 0600));
    MUST(write(file, "hello", 5));
    MUST(mkdir("all", 0777));
    MUST(chmod("all", 0777));
    MUST(setgroups(0, NULL));
    MUST(setgid(65534));
    MUST(setuid(65534));
    SHOW("%s", strerrorname_np(EIO));
    use_as_another(file);
    printf("ready\n");
    fflush(stdout);
    MUST(read(0, &c, 1));
    use_as_another(file);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        use_as_another(file);
        _exit(0);
    }
    MUST(waitpid(pid, NULL, 0));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "another"))
        return another();
    if (argc == 5)
        return second_half(atoi(argv[1]), atoi(argv[2]), atoi(argv[3]), atoi(argv[4]));
    int file = R(open("file", O_CREAT | O_RDWR, 0600));
    int unlinked = R(open("unlinked", O_CREAT | O_RDWR, 0600));
    int directory = R(open(".", O_RDONLY | O_DIRECTORY));
    int other = R(open("other", O_CREAT | O_RDWR, 0600));
    R(write(file, "hello", 5));
    R(write(unlinked, "gone", 4));
    R(unlink("unlinked"));
    R(lock(file, F_SETLK, F_WRLCK, 0, 10));
    R(lock(file, F_SETLK, F_UNLCK, 4, 3));
    R(lock(file, F_OFD_SETLK, F_WRLCK, 20, 10));
    R(flock(other, LOCK_EX));
    use(file, unlinked, directory);
    if (argc == 1)
        return second_half(file, unlinked, directory, other);
    char n[4][12];
    const int numbers[] = {file, unlinked, directory, other};
    for (int i = 0; i < 4; i++)
        sprintf(n[i], "%d", numbers[i]);
    /* Closed by the execve, which ends this lock: it is not taken again. */
    MUST(fcntl(MUST(open("other", O_RDWR)), F_SETFD, FD_CLOEXEC));
    MUST(lock(other, F_SETLK, F_WRLCK, 0, 10));
    fflush(stdout);
    MUST(execl("/proc/self/exe", argv[0], n[0], n[1], n[2], n[3], NULL));
    return 1;
}
