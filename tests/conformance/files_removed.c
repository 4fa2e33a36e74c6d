/* A directory that was removed and is open still: what its dots name, and what cannot be made. */
#include "files.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/statfs.h>

static int gone; /* open */

/* The working directory becomes one that is removed, in one that has a file f. */
static void enter_and_remove(void)
{
    close(file_with("f", "text"));
    mkdir("gone", 0755);
    chdir("gone");
    gone = open(".", O_RDONLY | O_DIRECTORY);
    TRY(rmdir("../gone"));
}

static void show_type(const char *what, int rc, const struct stat *st)
{
    if (rc < 0)
        SHOW("%s: -1 %s", what, strerrorname_np(errno));
    else
        SHOW("%s: %o %ld", what, st->st_mode, (long)st->st_nlink);
}

CASE(removed, dots)
{
    struct stat st, other;
    struct statfs fs;
    enter_and_remove();
    show_type(".", stat(".", &st), &st);
    show_type(". itself", lstat(".", &st), &st);
    show_type("./.", stat("./.", &st), &st);
    TRY(stat("..", &other));
    SHOW("%d", st.st_ino == other.st_ino);
    show_type("../f", stat("../f", &st), &st);
    show_type("at .", fstatat(gone, ".", &st, 0), &st);
    show_type("at ../f", fstatat(gone, "../f", &st, 0), &st);
    show_type("open", fstat(gone, &st), &st);
    TRY(access(".", F_OK));
    TRY(access(".", W_OK));
    TRY(access("..", W_OK));
    TRY(faccessat(gone, "../f", R_OK, 0));
    TRY(stat("f", &st));
    TRY(stat("../gone", &st));
    TRY(statfs(".", &fs));
    TRY(chmod(".", 0700));
    show_type("changed", stat(".", &st), &st);
    show_file("../f");
}

CASE(removed, opened)
{
    struct stat st;
    char text[4096];
    enter_and_remove();
    OK(open(".", O_RDONLY));
    OK(open(".", O_PATH));
    OK(open("..", O_RDONLY));
    int again = openat(gone, ".", O_RDONLY | O_DIRECTORY);
    show_type("again", fstat(again, &st), &st);
    TRY(syscall(SYS_getdents64, again, text, sizeof text));
    TRY(syscall(SYS_getdents64, gone, text, sizeof text));
    TRY(open("f", O_RDONLY));
    TRY(open(".", O_RDWR));
    TRY(open("./", O_RDONLY) < 0);
    memset(text, 0, sizeof text);
    snprintf(text + 2048, 64, "/proc/self/fd/%d", again);
    readlink(text + 2048, text, 2048);
    SHOW("%s", strrchr(text, '/') + 1);
    memset(text, 0, sizeof text);
    readlink("/proc/self/cwd", text, 2048);
    SHOW("%s", strrchr(text, '/') + 1);
}

CASE(removed, nothing_is_made)
{
    enter_and_remove();
    TRY(open("new", O_CREAT | O_RDWR, 0644));
    TRY(openat(gone, "new", O_CREAT | O_EXCL | O_RDWR, 0644));
    TRY(mkdir("new", 0755));
    TRY(mkdirat(gone, "new", 0755));
    TRY(mkfifo("new", 0644));
    TRY(symlink("x", "new"));
    TRY(link("../f", "new"));
    TRY(rename("../f", "f"));
    TRY(renameat(AT_FDCWD, "../f", gone, "f"));
    TRY(open(".", O_TMPFILE | O_RDWR, 0600));
    TRY(unlink("new"));
    TRY(rmdir("."));
    TRY(rmdir(".."));
    TRY(rename("../f", "../g"));
    OK(open("../h", O_CREAT | O_RDWR, 0644));
    TRY(mkdir("../gone", 0755));
    TRY(open("new", O_CREAT | O_RDWR, 0644));
}

/* What is relative to it is nowhere else, however its way is restricted. */
CASE(removed, restricted)
{
    static const uint64_t resolve[] = {0, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
                                       RESOLVE_BENEATH, RESOLVE_IN_ROOT};
    mkdir("d", 0755);
    int fd = open("d", O_PATH | O_DIRECTORY);
    rmdir("d");
    for (int i = 0; i < 5; i++) {
        struct open_how how = {.flags = O_CREAT | O_RDWR, .mode = 0600, .resolve = resolve[i]};
        TRY(syscall(SYS_openat2, fd, "new", &how, sizeof how));
        TRY(syscall(SYS_openat2, fd, "tmp/new", &how, sizeof how));
        how = (struct open_how){.flags = O_RDONLY, .resolve = resolve[i]};
        TRY(syscall(SYS_openat2, fd, "etc/passwd", &how, sizeof how));
        TRY(syscall(SYS_openat2, fd, "etc", &how, sizeof how));
        OK(syscall(SYS_openat2, fd, ".", &how, sizeof how));
    }
    OK(access("/tmp/new", F_OK));
}

CASE(removed, cwd)
{
    char where[PATH_MAX];
    struct stat st;
    enter_and_remove();
    OK(getcwd(where, sizeof where) ? 0 : -1);
    TRY(chdir("."));
    OK(getcwd(where, sizeof where) ? 0 : -1);
    TRY(fchdir(gone));
    TRY(stat(".", &st));
    if (fork() == 0) {
        TRY(stat(".", &st));
        TRY(chdir(".."));
        show_file("f");
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    TRY(chdir(".."));
    show_file("f");
}

CASE(removed, executing)
{
    enter_and_remove();
    fflush(stdout);
    if (fork() == 0) {
        execl("/usr/bin/stat", "stat", "-c", "%F %h", ".", "../f", NULL);
        _exit(1);
    }
    wait(NULL);
    /* What is there by that name now is another one. */
    mkdir("../gone", 0755);
    close(open("../gone/f", O_CREAT | O_RDWR, 0644));
    TRY(access("f", F_OK));
    if (fork() == 0) {
        execl("/usr/bin/stat", "stat", "-c", "%F %h", ".", "../f", NULL);
        _exit(1);
    }
    wait(NULL);
}
