/*
 * What a program may do at files that was root's and became another user. As root only.
 *
 * With an argument it is a program that one of these executed.
 */
#include "show.h"

#include <grp.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/fsuid.h>
#include <sys/inotify.h>
#include <sys/xattr.h>

enum { SOMEBODY = 65534, GROUP = 12345 };

static char self[4096];

static void become(size_t count, const gid_t *groups)
{
    MUST(setgroups(count, groups));
    MUST(setresgid(SOMEBODY, SOMEBODY, SOMEBODY));
    MUST(setresuid(SOMEBODY, SOMEBODY, SOMEBODY));
}

static void owner(const char *name)
{
    struct stat st;
    if (lstat(name, &st) < 0)
        SHOW("%s: %s", name, strerrorname_np(errno));
    else
        SHOW("%s: %o %d:%d", name, st.st_mode, st.st_uid, st.st_gid);
}

static void put(const char *name, const char *text, mode_t mode, uid_t uid, gid_t gid)
{
    make_file(name, text);
    MUST(chmod(name, mode));
    MUST(chown(name, uid, gid));
}

static void prepare(void)
{
    umask(022);
    MUST(chmod(".", 0755));
    put("secret", "secret", 0600, 0, 0);
    put("public", "public", 0644, 0, 0);
    put("his", "his", 0600, SOMEBODY, SOMEBODY);
    put("ours", "ours", 0640, 0, GROUP);
    put("script", "#!/bin/sh\n", 0700, 0, 0);
    MUST(mkdir("closed", 0700));
    put("closed/within", "within", 0644, 0, 0);
    MUST(mkdir("home", 0755));
    MUST(chown("home", SOMEBODY, SOMEBODY));
    MUST(mkdir("all", 0777));
    MUST(chmod("all", 01777));
    put("all/roots", "roots", 0644, 0, 0);
}

/* Runs in a process of its own, whatever it becomes. */
static void apart(const char *title, void (*what)(void))
{
    int status;
    printf("---- %s\n", title);
    fflush(stdout);
    pid_t pid = MUST(fork());
    if (pid == 0) {
        what();
        fflush(stdout);
        _exit(0);
    }
    MUST(waitpid(pid, &status, 0));
    SHOW("ended %x", status);
    fflush(stdout);
}

static void look(void)
{
    const char *const files[] = {"secret", "public", "his", "ours"};
    for (int i = 0; i < 4; i++)
        SHOW("%s: %s", files[i], content(files[i]));
    R(access("secret", R_OK));
    R(close(MUST(open("all/made", O_CREAT | O_WRONLY, 0644))));
    owner("all/made");
    R(unlink("all/made"));
    fflush(stdout);
}

static void names(void)
{
    become(0, NULL);
    look();
    R(open("public", O_WRONLY));
    R(open("public", O_RDONLY | O_TRUNC));
    R(open("public", O_RDONLY | O_NOATIME));
    R(truncate("public", 0));
    R(open("new", O_CREAT | O_WRONLY, 0644));
    R(mkdir("new", 0755));
    R(symlink("public", "new"));
    R(rename("public", "home/public"));
    R(unlink("public"));
    R(unlink("all/roots"));
    R(chmod("public", 0666));
    R(chown("his", 0, 0));
    R(chown("public", SOMEBODY, SOMEBODY));
    R(utimensat(AT_FDCWD, "public", NULL, 0));
    R(setxattr("public", "user.x", "y", 1, 0));
    R(getxattr("secret", "user.x", NULL, 0));
    R(link("secret", "home/secret"));
    R(stat("closed/within", &(struct stat){0}));
    R(access("closed/within", F_OK));
    R(chdir("closed"));
    R(openat(AT_FDCWD, "closed", O_RDONLY | O_DIRECTORY));
    R(execl("script", "script", NULL));
    R(inotify_add_watch(MUST(inotify_init()), "secret", IN_MODIFY));
    R(chmod("his", 0400));
    R(open("his", O_RDWR));
    R(chmod("his", 0600));
    R(chdir("home"));
    R(mkdir("d", 02755));
    R(symlink("x", "l"));
    R(mkfifo("p", 0600));
    WORKS(open("t", O_CREAT | O_RDWR, 0));
    owner("d");
    owner("l");
    owner("p");
    owner("t");
    struct stat st = {0};
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    if (fd >= 0)
        fstat(fd, &st);
    SHOW("%d:%d", st.st_uid, st.st_gid);
    R(rmdir("d"));
    R(unlink("l"));
    R(unlink("p"));
    R(unlink("t"));
}

static void descriptors(void)
{
    char b[16] = {0}, again[32];
    struct stat st;
    int secret = MUST(open("secret", O_RDWR)), closed = MUST(open("closed", O_RDONLY));
    put("gone", "gone", 0600, 0, 0);
    int gone = MUST(open("gone", O_RDONLY)), only = MUST(open("closed", O_PATH));
    MUST(unlink("gone"));
    become(0, NULL);
    R(pread(secret, b, 15, 0));
    R(pread(gone, b, 15, 0));
    R(pwrite(secret, "S", 1, 0));
    R(ftruncate(secret, 5));
    R(fstat(secret, &st));
    R(fsync(secret));
    R(fchmod(secret, 0666));
    R(fchown(secret, SOMEBODY, SOMEBODY));
    R(syscall(SYS_getdents64, closed, (char[512]){0}, 512) > 0);
    R(openat(closed, "within", O_RDONLY));
    R(openat(only, "within", O_RDONLY));
    R(fchdir(closed));
    const int each[] = {secret, gone, closed};
    for (int i = 0; i < 3; i++) {
        sprintf(again, "/proc/self/fd/%d", each[i]);
        R(open(again, O_RDONLY));
        R(open(again, O_RDWR));
    }
    R(lseek(MUST(open("public", O_RDONLY)), 0, SEEK_END));
}

static void groups(void)
{
    gid_t many[80];
    for (gid_t i = 0; i < 80; i++)
        many[i] = i ? 20000 + i : GROUP;
    pid_t pid = MUST(fork());
    become(pid ? 1 : 80, many);
    if (pid == 0) {
        SHOW("%s", content("ours"));
        fflush(stdout);
        _exit(0);
    }
    MUST(waitpid(pid, NULL, 0));
    look();
    R(open("ours", O_WRONLY));
}

static void back_and_forth(void)
{
    MUST(seteuid(SOMEBODY));
    look();
    R(faccessat(AT_FDCWD, "secret", R_OK, AT_EACCESS));
    R(access("closed/within", R_OK));
    MUST(seteuid(0));
    look();
    MUST(setreuid(SOMEBODY, 0));
    SHOW("%s", content("secret"));
    R(access("secret", R_OK));
    R(access("his", R_OK));
    R(access("closed/within", R_OK));
    R(faccessat(AT_FDCWD, "secret", R_OK, AT_EACCESS));
    MUST(setreuid(0, 0));
    R(setfsuid(SOMEBODY));
    SHOW("%s", content("secret"));
    R(close(MUST(open("all/fs", O_CREAT | O_WRONLY, 0644))));
    owner("all/fs");
    R(setfsuid(0));
    R(setfsgid(GROUP));
    R(mkdir("all/group", 0755));
    owner("all/group");
    R(rmdir("all/group"));
    R(unlink("all/fs"));
}

static void children(void)
{
    char *const argv[] = {"identity", "executed", NULL};
    extern char **environ;
    volatile int error = 0;
    pid_t pid;
    /* A vfork child's own. */
    if ((pid = vfork()) == 0) {
        syscall(SYS_setresuid, SOMEBODY, SOMEBODY, SOMEBODY);
        error = open("secret", O_RDONLY) < 0 ? errno : 0;
        _exit(0);
    }
    MUST(waitpid(pid, NULL, 0));
    SHOW("%s %s", strerrorname_np(error), content("secret"));
    fflush(stdout);
    if ((pid = vfork()) == 0) {
        syscall(SYS_setresuid, SOMEBODY, SOMEBODY, SOMEBODY);
        execv(self, argv);
        _exit(1);
    }
    MUST(waitpid(pid, NULL, 0));
    become(0, NULL);
    if ((pid = MUST(fork())) == 0) {
        look();
        MUST(execv(self, argv));
    }
    MUST(waitpid(pid, NULL, 0));
    R(posix_spawn(&pid, self, NULL, NULL, argv, environ) == 0);
    MUST(waitpid(pid, NULL, 0));
    fflush(stdout);
    MUST(execv(self, argv));
}

/* An effective one only, which is saved by an execve, and a real one that is another. */
static void effective(void)
{
    char *const argv[] = {"identity", "effective", NULL};
    MUST(setresuid(0, SOMEBODY, 0));
    MUST(execv(self, argv));
}

static void effective_executed(void)
{
    look();
    MUST(seteuid(0));
    look();
}

static pthread_barrier_t barrier;

static void *one_of_two(void *errors)
{
    int *error = errors;
    syscall(SYS_setfsuid, SOMEBODY);
    pthread_barrier_wait(&barrier);
    error[0] = open("secret", O_RDONLY) < 0 ? errno : 0;
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* all have become somebody */
    error[1] = open("secret", O_RDONLY) < 0 ? errno : 0;
    return NULL;
}

static const char *name_of(int error)
{
    return error ? strerrorname_np(error) : "0";
}

static void threads(void)
{
    pthread_t thread;
    int errors[2];
    pthread_barrier_init(&barrier, NULL, 2);
    MUST(pthread_create(&thread, NULL, one_of_two, errors));
    pthread_barrier_wait(&barrier);
    int mine = open("secret", O_RDONLY) < 0 ? errno : 0;
    pthread_barrier_wait(&barrier);
    SHOW("%s %s", name_of(mine), name_of(errors[0]));
    become(0, NULL);
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    look();
    SHOW("%s", name_of(errors[1]));
}

int main(int argc, char **argv)
{
    if (geteuid() != 0 && argc == 1) {
        SHOW("not root");
        return 0;
    }
    if (argc > 1) {
        printf("%s\n", argv[1]);
        strcmp(argv[1], "effective") ? look() : effective_executed();
        return 0;
    }
    MUST(readlink("/proc/self/exe", self, sizeof self - 1));
    prepare();
    apart("names", names);
    apart("descriptors", descriptors);
    apart("groups", groups);
    apart("back and forth", back_and_forth);
    apart("children", children);
    apart("effective", effective);
    apart("threads", threads);
    SHOW("%s", content("secret"));
    return 0;
}
