/* What a program sees of itself through /proc and /dev, and of the pComponent's files. */
#include "show.h"

#include <dirent.h>
#include <sys/mman.h>

static const char *last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void show_link(const char *path)
{
    char text[4096] = {0};
    if (readlink(path, text, sizeof text - 1) < 0)
        SHOW("%s: %s", path, strerrorname_np(errno));
    else
        SHOW("%s -> %s", path, last(text));
}

static void own_links(const char *self)
{
    char text[4096] = {0}, cwd[4096], path[64];
    show_link("/proc/self/exe");
    show_link("/proc/thread-self/exe");
    snprintf(path, sizeof path, "/proc/%d/exe", getpid());
    R(readlink(path, text, sizeof text) == (ssize_t)strlen(realpath(self, NULL)));
    SHOW("exe %d", !strcmp(text, realpath(self, NULL)));
    memset(text, 0, sizeof text);
    R(readlink("/proc/self/cwd", text, sizeof text) > 0);
    SHOW("cwd %d", !strcmp(text, getcwd(cwd, sizeof cwd)));
    memset(text, 0, sizeof text);
    R(readlink("/proc/self/root", text, sizeof text));
    SHOW("%s", text);
    R(readlink("/proc/self/exe", text, 3));
    R(readlink("/proc/self/status", text, 3));
    struct stat a, b;
    R(lstat("/proc/self/exe", &a));
    SHOW("mode %o", a.st_mode);
    R(stat("/proc/self/exe", &a));
    R(stat(self, &b));
    SHOW("same %d", a.st_ino == b.st_ino);
    int fd = R(open("/proc/self/exe", O_RDONLY));
    char magic[4];
    R(read(fd, magic, 4));
    SHOW("%.3s", magic + 1);
    R(close(fd));
    R(access("/proc/self/cwd/../missing", F_OK));
    make_file("f", "by cwd");
    SHOW("%s", content("/proc/self/cwd/f"));
    R(stat("/proc/self/root/dev/null", &a));
    SHOW("mode %o", a.st_mode);
}

static void descriptors(void)
{
    char path[64], text[64] = {0};
    struct stat a, b;
    int fd = R(open("f", O_RDWR));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    show_link(path);
    R(read(fd, text, 3));
    int again = R(open(path, O_RDONLY));
    R(read(again, text, 10));
    SHOW("%s", text);
    R(write(again, "x", 1));
    R(close(again));
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    again = R(open(path, O_RDWR | O_TRUNC));
    R(write(again, "new", 3));
    R(fstat(fd, &a));
    R(stat(path, &b));
    SHOW("size %ld same %d", (long)a.st_size, a.st_ino == b.st_ino);
    R(lstat(path, &b));
    SHOW("type %o", b.st_mode & S_IFMT);
    R(close(again));
    int d = R(open(".", O_RDONLY | O_DIRECTORY));
    snprintf(path, sizeof path, "/proc/self/fd/%d/f", d);
    SHOW("%s", content(path));
    R(close(d));
    R(close(fd));
    R(open(path, O_RDONLY));
    int pair[2];
    MUST(pipe(pair));
    snprintf(path, sizeof path, "/dev/fd/%d", pair[0]);
    again = R(open(path, O_RDONLY));
    R(write(pair[1], "pipe", 4));
    R(read(again, text, 10));
    R(close(again));
    R(close(pair[0]));
    R(close(pair[1]));
    R(readlink("/proc/self/fd/99", text, 10));
    R(stat("/dev/fd/99", &a));
}

/* Descriptors that the directory lists: 0 to 2 and its own, none of the monitor's. */
static void listed(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int count = 0, highest = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        if (atoi(e->d_name) > highest)
            highest = atoi(e->d_name);
    }
    closedir(dir);
    SHOW("listed %d highest %d", count, highest);
}

static void maps(void)
{
    static char text[1 << 16];
    unsigned long first, last_address;
    int mine = 0, stack = 0, lines = 0, local;
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(text, sizeof text, f)) {
        lines++;
        if (sscanf(text, "%lx-%lx", &first, &last_address) != 2)
            SHOW("odd line %s", text);
        mine += (unsigned long)maps >= first && (unsigned long)maps < last_address;
        if ((unsigned long)&local >= first && (unsigned long)&local < last_address)
            stack += strstr(text, "[stack]") != NULL;
    }
    fclose(f);
    SHOW("code %d stack %d lines %d", mine, stack, lines > 8);
    int fd = R(open("/proc/self/maps", O_RDWR));
    close(fd);
    f = fopen("/proc/self/cmdline", "r");
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    SHOW("cmdline %s, all of it %d", last(text), n == strlen(text) + 1);
    SHOW("comm %s", content("/proc/self/comm"));
}

static void devices(void)
{
    char b[64] = {0};
    int fd = R(open("/dev/urandom", O_RDONLY));
    R(read(fd, b, 64));
    R(close(fd));
    fd = R(open("/dev/full", O_WRONLY));
    R(write(fd, b, 1));
    R(close(fd));
    fd = R(open("/dev/../dev/./null", O_WRONLY));
    R(write(fd, b, 64));
    R(close(fd));
    R(symlink("/dev/zero", "zero"));
    fd = R(open("zero", O_RDONLY));
    R(read(fd, b, 64));
    R(close(fd));
    R(symlink("/proc/self/cwd", "round"));
    SHOW("%s", content("round/f"));
    struct stat st;
    R(stat("zero", &st));
    SHOW("type %o", st.st_mode & S_IFMT);
    R(lstat("zero", &st));
    SHOW("type %o", st.st_mode & S_IFMT);
    R(access("/proc/../etc/passwd", R_OK));
    R(mkdir("/proc/x", 0700));
    R(unlink("/proc/self/status"));
    int dir = R(open("/proc/self", O_RDONLY | O_DIRECTORY));
    fd = R(openat(dir, "stat", O_RDONLY));
    R(close(fd));
    R(fchdir(dir));
    fd = R(open("status", O_RDONLY));
    R(close(fd));
    R(close(dir));
    R(chdir("/dev"));
    char cwd[64];
    SHOW("%s", getcwd(cwd, sizeof cwd));
    fd = R(open("null", O_RDONLY));
    R(close(fd));
    R(chdir(".."));
    SHOW("%s", getcwd(cwd, sizeof cwd));
    char name[64];
    snprintf(name, sizeof name, "/dev/shm/ashlar-test-%d", getpid());
    fd = R(open(name, O_CREAT | O_EXCL | O_RDWR, 0640));
    R(write(fd, "shared", 6));
    R(fstat(fd, &st));
    SHOW("mode %o size %ld", st.st_mode, (long)st.st_size);
    R(unlink(name));
    R(close(fd));
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    own_links(argv[0]);
    descriptors();
    listed();
    maps();
    devices();
    return 0;
}
