/* Paths: opening, making, removing, renaming, linking, listing, and where relative ones begin. */
#include "show.h"

#include <linux/openat2.h>
#include <stddef.h>
#include <sys/syscall.h>

static const char *last(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void opening(void)
{
    make_file("f", "text");
    R(close(R(open("new", O_CREAT | O_WRONLY, 0666))));
    R(open("new", O_CREAT | O_EXCL | O_WRONLY, 0666));
    R(open("missing", O_RDONLY));
    R(open("missing/x", O_CREAT | O_RDWR, 0666));
    R(open("f/x", O_RDONLY));
    R(open("f/", O_RDONLY));
    R(open("", O_RDONLY));
    R(open(BAD, O_RDONLY));
    R(open(".", O_RDWR));
    R(open(".", O_WRONLY));
    R(open(".", O_CREAT, 0600));
    R(open("f", O_DIRECTORY));
    R(open("newdir/", O_CREAT | O_WRONLY, 0600));
    R(open(".", O_CREAT | O_DIRECTORY, 0600));
    char path[5000];
    memset(path, 'n', sizeof path);
    path[300] = 0;
    R(open(path, O_RDONLY));
    path[300] = 'n';
    path[4999] = 0;
    R(open(path, O_RDONLY));
    R(symlink("f", "link"));
    R(symlink("loop", "loop"));
    R(symlink("gone", "dangling"));
    R(open("link", O_RDONLY | O_NOFOLLOW));
    R(open("loop", O_RDONLY));
    R(open("dangling", O_RDONLY));
    R(open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0600));
    R(close(R(open("dangling", O_CREAT | O_WRONLY, 0600))));
    R(access("gone", F_OK));
    int fd = R(open("link", O_PATH | O_NOFOLLOW));
    struct stat st;
    R(fstat(fd, &st));
    SHOW("mode %o", st.st_mode);
    char text[64] = {0};
    R(readlinkat(fd, "", text, 64));
    SHOW("%s", text);
    R(close(fd));
    R(close(R(creat("f", 0600))));
    SHOW("[%s]", content("f"));
    R(openat(99, "f", O_RDONLY));
    R(openat(-1, "f", O_RDONLY));
    fd = R(open("f", O_RDONLY));
    R(openat(fd, "x", O_RDONLY));
    R(openat(fd, "", O_RDONLY));
    R(close(fd));
    R(close(R(open("f", O_TRUNC | O_RDONLY))));
}

static void temporary(void)
{
    char b[8] = {0};
    int fd = R(open(".", O_TMPFILE | O_RDWR, 0600));
    R(write(fd, "tmp", 3));
    R(pread(fd, b, 8, 0));
    struct stat st;
    R(fstat(fd, &st));
    SHOW("links %ld size %ld", (long)st.st_nlink, (long)st.st_size);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    R(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    SHOW("%s", content("named"));
    R(close(fd));
    R(open(".", O_TMPFILE | O_RDONLY, 0600));
}

static void unlinked(void)
{
    char b[32] = {0};
    int fd = R(open("u", O_CREAT | O_RDWR, 0600));
    R(write(fd, "still here", 10));
    R(unlink("u"));
    R(access("u", F_OK));
    R(pread(fd, b, 32, 0));
    SHOW("%s", b);
    R(pwrite(fd, "even more here", 14, 0));
    struct stat st;
    R(fstat(fd, &st));
    SHOW("links %ld size %ld", (long)st.st_nlink, (long)st.st_size);
    R(ftruncate(fd, 4));
    int copy = R(dup(fd));
    R(close(fd));
    R(pread(copy, b, 32, 0));
    char path[64], link[4096] = {0};
    snprintf(path, sizeof path, "/proc/self/fd/%d", copy);
    WORKS(readlink(path, link, sizeof link));
    SHOW("%s", last(link));
    int again = R(open(path, O_RDONLY));
    R(read(again, b, 32));
    R(close(again));
    R(close(copy));
    make_file("old", "old");
    make_file("over", "new");
    fd = R(open("old", O_RDONLY));
    R(rename("over", "old"));
    R(read(fd, b, 3));
    SHOW("%.3s %s", b, content("old"));
    R(close(fd));
}

static void directories(void)
{
    umask(022);
    R(mkdir("d", 0777));
    R(mkdir("d", 0777));
    R(mkdir("d/e/f", 0777));
    R(mkdir("d/e/", 0700));
    R(mkdir("f/x", 0700));
    R(mkdir("", 0700));
    struct stat st;
    R(stat("d", &st));
    SHOW("mode %o links %ld", st.st_mode, (long)st.st_nlink);
    R(rmdir("d"));
    R(rmdir("f"));
    R(rmdir("missing"));
    R(rmdir("d/e/."));
    R(unlink("d"));
    R(unlink("missing"));
    R(unlink("f/"));
    R(unlinkat(AT_FDCWD, "d/e", 0));
    R(unlinkat(AT_FDCWD, "d/e", AT_REMOVEDIR));
    R(unlinkat(AT_FDCWD, "d", 0x1000000));
    int d = R(open("d", O_RDONLY | O_DIRECTORY));
    R(mkdirat(d, "inner", 0700));
    R(close(R(openat(d, "file", O_CREAT | O_WRONLY, 0666))));
    R(fstatat(d, "file", &st, 0));
    SHOW("mode %o", st.st_mode);
    R(faccessat(d, "../f", R_OK, 0));
    R(fchdir(d));
    R(access("file", R_OK));
    R(access("../f", R_OK));
    R(close(R(open("../d/inner/../file", O_RDONLY))));
    char cwd[4096];
    SHOW("%s", last(getcwd(cwd, sizeof cwd)));
    R(syscall(SYS_getcwd, cwd, 3));
    R(chdir(".."));
    R(chdir("f"));
    R(chdir("missing"));
    R(chdir("d/inner/.."));
    SHOW("%s", last(getcwd(cwd, sizeof cwd)));
    R(fchdir(99));
    R(chdir(".."));
    int f = R(open("f", O_RDONLY));
    R(fchdir(f));
    R(close(f));
    R(symlink("d", "dl"));
    R(chdir("dl"));
    SHOW("%s", last(getcwd(cwd, sizeof cwd)));
    R(chdir(".."));
    R(unlink("dl/"));
    R(rmdir("dl"));
    R(unlink("dl"));
    R(close(d));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void listing(void)
{
    R(mkdir("many", 0755));
    for (int i = 0; i < 3000; i++) {
        char name[64];
        snprintf(name, sizeof name, "many/file-with-a-longer-name-%04d", i);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0)
            SHOW("%s: %m", name);
        close(fd);
    }
    struct dirent **list;
    int n = R(scandir("many", &list, NULL, by_name));
    SHOW("%s %s %s type %d", list[0]->d_name, list[2]->d_name, list[n - 1]->d_name,
         list[2]->d_type);
    DIR *dir = opendir("many");
    int seen = 0;
    long half = 0;
    char name[256] = "";
    for (struct dirent *e; (e = readdir(dir)); seen++) {
        if (seen == 1499)
            half = telldir(dir);
        if (seen == 1500)
            strcpy(name, e->d_name);
    }
    SHOW("seen %d", seen);
    seekdir(dir, half);
    SHOW("same %d", !strcmp(readdir(dir)->d_name, name));
    rewinddir(dir);
    seen = 0;
    while (readdir(dir))
        seen++;
    SHOW("seen %d", seen);
    closedir(dir);
    char small[4096];
    int fd = R(open("many", O_RDONLY | O_DIRECTORY));
    R(syscall(SYS_getdents64, fd, small, 10));
    R(syscall(SYS_getdents64, 99, small, 10));
    R(syscall(SYS_getdents64, fd, BAD, 4096));
    long total = 0, got;
    while ((got = syscall(SYS_getdents64, fd, small, 200)) > 0)
        total += got;
    SHOW("bytes %ld", total);
    R(lseek(fd, 0, SEEK_SET));
    total = 0;
    while ((got = syscall(SYS_getdents, fd, small, sizeof small)) > 0)
        for (long at = 0; at < got; total++) {
            unsigned short size = *(unsigned short *)(small + at + 16);
            char type = small[at + size - 1];
            if (type != DT_REG && type != DT_DIR)
                SHOW("type %d", type);
            at += size;
        }
    SHOW("entries %ld", total);
    R(close(fd));
    fd = R(open("f", O_RDONLY));
    R(syscall(SYS_getdents64, fd, small, sizeof small));
    R(close(fd));
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "many/file-with-a-longer-name-%04d", i);
        unlink(name);
    }
    R(rmdir("many"));
}

static void renaming(void)
{
    make_file("r1", "1");
    make_file("r2", "2");
    R(mkdir("rd", 0700));
    R(rename("r1", "r3"));
    R(rename("r1", "r3"));
    R(rename("r3", "r2"));
    SHOW("%s", content("r2"));
    R(rename("r2", "rd"));
    R(rename("rd", "r2"));
    R(rename("rd", "rd/in"));
    R(rename("r2", "missing/x"));
    R(rename("r2", "rd/"));
    make_file("r1", "1");
    R(renameat2(AT_FDCWD, "r1", AT_FDCWD, "r2", RENAME_NOREPLACE));
    R(renameat2(AT_FDCWD, "r1", AT_FDCWD, "rd/x", RENAME_NOREPLACE));
    R(renameat2(AT_FDCWD, "rd/x", AT_FDCWD, "r2", RENAME_EXCHANGE));
    R(renameat2(AT_FDCWD, "rd/x", AT_FDCWD, "r2", 77));
    R(rename("r2", "/dev/shm/ashlar-test-no"));
    R(rename("", "r2"));
    R(rename(".", "r2"));
    R(unlink("rd/x"));
    int d = R(open("rd", O_RDONLY));
    R(renameat(AT_FDCWD, "r2", d, "r5"));
    R(faccessat(d, "r5", F_OK, 0));
    R(close(d));
}

static void linking(void)
{
    struct stat st;
    make_file("l1", "linked");
    R(link("l1", "l2"));
    R(link("l1", "l2"));
    R(stat("l2", &st));
    SHOW("links %ld", (long)st.st_nlink);
    R(link("missing", "l3"));
    R(link("rd", "l3"));
    R(symlink("l1", "s1"));
    R(symlink("l1", "s1"));
    R(symlink("", "s2"));
    R(link("s1", "s3"));
    R(lstat("s3", &st));
    SHOW("mode %o", st.st_mode);
    R(linkat(AT_FDCWD, "s1", AT_FDCWD, "l4", AT_SYMLINK_FOLLOW));
    R(lstat("l4", &st));
    SHOW("mode %o links %ld", st.st_mode, (long)st.st_nlink);
    char text[64] = {0};
    R(readlink("s1", text, 64));
    SHOW("%s", text);
    R(readlink("s1", text, 1));
    R(readlink("s1", text, 0));
    R(readlink("l1", text, 64));
    R(readlink("missing", text, 64));
    R(readlink("s1", BAD, 64));
    R(linkat(AT_FDCWD, "l1", AT_FDCWD, "l5", 0x40000));
    int fd = R(open("l1", O_RDONLY));
    R(linkat(fd, "", AT_FDCWD, "l5", AT_EMPTY_PATH) == 0 || errno == ENOENT);
    R(close(fd));
}

static void nodes(void)
{
    struct stat st;
    umask(027);
    R(mknod("n1", 0666, 0));
    R(stat("n1", &st));
    SHOW("mode %o", st.st_mode);
    R(mkfifo("n2", 0666));
    R(stat("n2", &st));
    SHOW("mode %o", st.st_mode);
    R(mknod("n3", S_IFDIR | 0700, 0));
    R(mknod("n3", 0xf000 | 0700, 0));
    R(mknod("n4", S_IFSOCK | 0700, 0));
    R(open("n4", O_RDONLY));
    R(open("n2", O_WRONLY | O_NONBLOCK));
    int reader = R(open("n2", O_RDONLY | O_NONBLOCK));
    int writer = R(open("n2", O_WRONLY));
    char b[8];
    R(write(writer, "fifo", 4));
    R(read(reader, b, 8));
    R(close(reader));
    R(close(writer));
    umask(022);
    SHOW("umask %o", umask(0777));
    SHOW("umask %o", umask(022));
}

static void openat2s(void)
{
    struct open_how how = {.flags = O_RDONLY};
    R(syscall(SYS_openat2, AT_FDCWD, "f", &how, 3));
    R(syscall(SYS_openat2, AT_FDCWD, "f", BAD, sizeof how));
    how.flags = 1ull << 40;
    R(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    how.flags = O_RDONLY;
    how.mode = 0600;
    R(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    how.mode = 0;
    R(close(R(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how))));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    opening();
    temporary();
    unlinked();
    directories();
    listing();
    renaming();
    linking();
    nodes();
    openat2s();
    return 0;
}
