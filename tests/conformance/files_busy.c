/* ETXTBSY: files that are executed and written at the same time; and a few that once differed. */
#include "children.h"
#include "files.h"

#include <dlfcn.h>
#include <spawn.h>
#include <sys/select.h>

extern char **environ;

static void copy(const char *from, const char *to)
{
    static char bytes[65536];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t n;
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        if (write(out, bytes, n) != n)
            SHOW("copy: %s", strerrorname_np(errno));
    close(in);
    close(out);
}

static int run(const char *path)
{
    pid_t pid = must_fork();
    if (pid == 0) {
        char *argv[] = {"true", NULL};
        execve(path, argv, environ);
        _exit(errno);
    }
    return code_of(pid);
}

#define RUN(path) SHOW("run " path ": %s", strerrorname_np(run(path)) ?: "ok")

/* What can be done to a file that runs, or ran. */
static void try_writing(const char *path)
{
    int fd;
    OK(fd = open(path, O_WRONLY));
    close(fd);
    OK(fd = open(path, O_RDWR));
    close(fd);
    OK(fd = open(path, O_RDWR | O_CREAT, 0755));
    close(fd);
    OK(fd = open(path, O_RDWR | O_APPEND));
    close(fd);
    OK(fd = open(path, O_RDONLY));
    close(fd);
    OK(fd = open(path, O_RDONLY | O_TRUNC));
    close(fd);
    OK(fd = open(path, O_PATH));
    close(fd);
    TRY(truncate(path, 100000));
    SHOW("%s", size_of(path) > 1000 ? "it is as long as before" : "it is short now");
}

struct running {
    pid_t pid;
    int to, from;
};

/* Runs, and has said something, so it has begun; ends when its input does. */
static struct running begin(const char *path)
{
    int in[2], out[2];
    char byte;
    pipe2(in, O_CLOEXEC);
    pipe2(out, O_CLOEXEC);
    pid_t pid = must_fork();
    if (pid == 0) {
        char *argv[] = {"cat", NULL};
        dup2(in[0], 0);
        dup2(out[1], 1);
        execve(path, argv, environ);
        _exit(errno);
    }
    close(in[0]);
    close(out[1]);
    write(in[1], "x", 1);
    SHOW("begun: %ld", (long)read(out[0], &byte, 1));
    return (struct running){pid, in[1], out[0]};
}

static void end(struct running r)
{
    close(r.to);
    SHOW("ends with %d", code_of(r.pid));
    close(r.from);
}

CASE(execve, open_for_writing)
{
    copy("/bin/true", "prog");
    RUN("./prog");
    int fd = open("prog", O_WRONLY);
    RUN("./prog");
    close(fd);
    RUN("./prog");
    fd = open("prog", O_RDONLY);
    RUN("./prog");
    close(fd);
    fd = open("prog", O_RDWR);
    int other = dup(fd);
    close(fd);
    RUN("./prog");
    close(other);
    RUN("./prog");
}

CASE(execve, open_for_writing_elsewhere)
{
    copy("/bin/true", "prog");
    int ends[2];
    pipe(ends);
    pid_t pid = must_fork();
    if (pid == 0) {
        char byte;
        close(ends[1]);
        int fd = open("prog", O_RDWR);
        read(ends[0], &byte, 1);
        _exit(0);
    }
    close(ends[0]);
    write(ends[1], "", 0);
    usleep(200000);
    RUN("./prog");
    close(ends[1]);
    code_of(pid);
    RUN("./prog");
}

CASE(execve, script_open_for_writing)
{
    close(file_with("script", "#!/bin/sh\nexit 0\n"));
    chmod("script", 0755);
    int fd = open("script", O_WRONLY);
    RUN("./script");
    close(fd);
    RUN("./script");
    copy("/bin/true", "interpreter");
    char text[PATH_MAX + 64], here[PATH_MAX];
    getcwd(here, sizeof here);
    snprintf(text, sizeof text, "#!%s/interpreter\n", here);
    close(file_with("other", text));
    chmod("other", 0755);
    RUN("./other");
    fd = open("interpreter", O_WRONLY);
    RUN("./other");
    close(fd);
    RUN("./other");
}

CASE(execve, written_by_a_child)
{
    /* What a compiler does: written by a process that ends, made executable, run. */
    for (int i = 0; i < 20; i++) {
        if (must_fork() == 0) {
            copy("/bin/true", "prog");
            _exit(0);
        }
        wait(NULL);
        if (run("./prog"))
            SHOW("round %d: busy", i);
        unlink("prog");
    }
    for (int i = 0; i < 20; i++) {
        if (must_fork() == 0) {
            int fd = open("script", O_CREAT | O_WRONLY | O_TRUNC, 0644);
            write(fd, "#!/bin/true\n", 12);
            fchmod(fd, 0755);
            _exit(0); /* still open */
        }
        wait(NULL);
        if (run("./script"))
            SHOW("round %d: busy", i);
    }
    SHOW("done");
}

CASE(execve, overwritten_after_it_ran)
{
    for (int i = 0; i < 20; i++) {
        copy("/bin/true", "prog");
        if (run("./prog"))
            SHOW("round %d: busy", i);
        char *argv[] = {"true", NULL};
        pid_t pid;
        int rc = posix_spawn(&pid, "./prog", NULL, NULL, argv, environ);
        if (rc || code_of(pid))
            SHOW("round %d: %d", i, rc);
    }
    SHOW("done");
}

CASE(open, program_that_runs)
{
    copy("/bin/cat", "prog");
    struct running r = begin("./prog");
    try_writing("prog");
    end(r);
    try_writing("prog");
}

CASE(open, program_that_runs_in_a_fork)
{
    copy("/bin/bash", "prog");
    int in[2], out[2];
    char byte;
    pipe2(in, O_CLOEXEC);
    pipe2(out, O_CLOEXEC);
    pid_t pid = must_fork();
    if (pid == 0) {
        char *argv[] = {"bash", "-c", "(echo x; read line <&9) & exit 0", NULL};
        dup2(in[0], 0);
        dup2(in[0], 9);
        dup2(out[1], 1);
        execve("./prog", argv, environ);
        _exit(errno);
    }
    close(in[0]);
    close(out[1]);
    read(out[0], &byte, 1);
    SHOW("%d", code_of(pid));
    OK(open("prog", O_WRONLY)); /* a forked child of it is left */
    close(in[1]);
    while (read(out[0], &byte, 1) > 0)
        ;
}

CASE(open, program_renamed_and_unlinked)
{
    copy("/bin/cat", "prog");
    struct running r = begin("./prog");
    TRY(link("prog", "name"));
    OK(open("name", O_WRONLY));
    TRY(rename("prog", "moved"));
    OK(open("moved", O_WRONLY));
    TRY(chmod("moved", 0700));
    TRY(unlink("moved"));
    TRY(unlink("name"));
    OK(open("prog", O_WRONLY | O_CREAT, 0755));
    end(r);
}

CASE(open, script_that_runs)
{
    close(file_with("script", "#!/bin/cat\nx\n"));
    chmod("script", 0755);
    int fd = open("script", O_RDONLY);
    struct running r;
    int out[2];
    pipe2(out, O_CLOEXEC);
    pid_t pid = must_fork();
    if (pid == 0) {
        char *argv[] = {"script", "-", NULL};
        int in[2];
        pipe(in);
        dup2(in[0], 0);
        dup2(out[1], 1);
        execve("./script", argv, environ);
        _exit(errno);
    }
    char byte;
    read(out[0], &byte, 1);
    OK(open("script", O_WRONLY));
    kill(pid, SIGKILL);
    SHOW("%d", code_of(pid));
}

CASE(open, library_that_is_mapped)
{
    copy("/lib/x86_64-linux-gnu/libdl.so.2", "lib.so");
    SHOW("%s", dlopen("./lib.so", RTLD_NOW) ? "loaded" : dlerror());
    OK(open("lib.so", O_RDWR));
}

CASE(fcntl, direct_is_kept)
{
    int fd = file_with("f", "0123456789");
    TRY(fcntl(fd, F_SETFL, O_DIRECT | O_APPEND) < 0);
    TRY(fcntl(fd, F_GETFL) & (O_DIRECT | O_APPEND | O_NONBLOCK));
    int copy = dup(fd);
    TRY(fcntl(copy, F_GETFL) & (O_DIRECT | O_APPEND | O_NONBLOCK));
    if (must_fork() == 0) {
        fcntl(fd, F_SETFL, O_NONBLOCK);
        _exit(0);
    }
    wait(NULL);
    TRY(fcntl(fd, F_GETFL) & (O_DIRECT | O_APPEND | O_NONBLOCK));
    TRY(fcntl(fd, F_SETFL, 0));
    TRY(fcntl(fd, F_GETFL) & (O_DIRECT | O_APPEND | O_NONBLOCK));
    fd = open("f", O_RDWR | O_DIRECT);
    TRY(fcntl(fd, F_GETFL) & O_DIRECT);
    TRY(fcntl(fd, F_SETFL, 0));
    TRY(fcntl(fd, F_GETFL) & O_DIRECT);
    fd = open(".", O_RDONLY | O_DIRECTORY);
    TRY(fcntl(fd, F_SETFL, O_DIRECT));
    TRY(fcntl(fd, F_GETFL) & O_DIRECT);
}

CASE(select, beyond_the_open_ones)
{
    fd_set set;
    int ends[2];
    pipe(ends);
    write(ends[1], "x", 1);
    for (int fd = ends[1] + 1; fd < 70; fd++)
        close(fd);
    static const int numbers[] = {60, 63, 64, 100, 255, 256, 300, 1000, 1023};
    for (int i = 0; i < 9; i++) {
        struct timeval none = {0};
        FD_ZERO(&set);
        FD_SET(numbers[i], &set);
        SHOW("%d", numbers[i]);
        TRY(select(numbers[i] + 1, &set, NULL, NULL, &none));
        SHOW("%d", FD_ISSET(numbers[i], &set) != 0);
        FD_ZERO(&set);
        FD_SET(numbers[i], &set);
        FD_SET(ends[0], &set);
        TRY(select(numbers[i] + 1, &set, NULL, NULL, &none));
        SHOW("%d %d", FD_ISSET(ends[0], &set) != 0, FD_ISSET(numbers[i], &set) != 0);
    }
}

CASE(link, into_proc)
{
    close(file_with("f", "x"));
    TRY(link("f", "/proc/f"));
    TRY(link("f", "/proc/self/f"));
    TRY(link("f", "/proc/self/comm"));
    TRY(link("f", "/proc/nothing/f"));
    TRY(link("f", "/sys/f"));
    TRY(link("f", "/dev/f"));
    TRY(link("nothing", "/proc/f"));
    TRY(link("/proc/self/comm", "g"));
    TRY(link("/proc/self/exe", "g"));
    TRY(rename("f", "/proc/f"));
    TRY(rename("/proc/self/comm", "g"));
    TRY(rename("f", "/proc/self/comm"));
}
