/* execve: what is refused and how, what the new program has, scripts, limits. */
#include "conformance.h"

#include <elf.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>

extern char **environ;

static int code_of(pid_t pid)
{
    int status = -1;
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void make(const char *path, const char *text, int mode)
{
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    if (write(fd, text, strlen(text)) < 0)
        perror(path);
    fchmod(fd, mode);
    close(fd);
}

/* Runs in a child, which says what its execve answered where it came back. */
#define EXEC(path, ...)                                                                            \
    ({                                                                                             \
        fflush(stdout);                                                                            \
        pid_t pid_ = fork();                                                                       \
        if (pid_ == 0) {                                                                           \
            char *argv_[] = {__VA_ARGS__, NULL};                                                   \
            TRY(execve(path, argv_, environ));                                                     \
            _exit(111);                                                                            \
        }                                                                                          \
        SHOW("ends with %d", code_of(pid_));                                                       \
    })

CASE(execve, missing)
{
    EXEC("/nowhere", "x");
    EXEC("./nowhere", "x");
    EXEC("", "x");
}

CASE(execve, bad_pointers)
{
    char *argv[] = {"x", NULL};
    TRY(execve(BAD_POINTER, argv, environ));
    TRY(execve(NULL, argv, environ));
    TRY(execve("/bin/true", BAD_POINTER, environ));
    TRY(execve("/bin/true", argv, BAD_POINTER));
    char *wild[] = {"x", BAD_POINTER, NULL};
    TRY(execve("/bin/true", wild, environ));
    TRY(execve("/bin/true", argv, wild));
    char **half = before_a_hole(8);
    half[0] = "x";
    TRY(execve("/bin/true", half, environ));
}

CASE(execve, not_executable)
{
    make("f", "#!/bin/sh\n", 0644);
    EXEC("./f", "x");
    EXEC("/tmp", "x");
    EXEC("/bin/", "x");
    EXEC("/dev/null", "x");
}

CASE(execve, path_errors)
{
    make("f", "", 0755);
    symlink("l", "l");
    symlink("nothing", "dangling");
    mkdir("closed", 0755);
    make("closed/f", "#!/bin/true\n", 0755);
    chmod("closed", 0);
    EXEC("./f/x", "x");
    EXEC("./l", "x");
    EXEC("./dangling", "x");
    EXEC("closed/f", "x");
    chmod("closed", 0755);
    char *lengthy = malloc(5001);
    memset(lengthy, 'a', 5000);
    lengthy[5000] = 0;
    fflush(stdout);
    char *argv[] = {"x", NULL};
    SHOW("%d %s", execve(lengthy, argv, environ), strerrorname_np(errno));
    lengthy[300] = 0;
    SHOW("%d %s", execve(lengthy, argv, environ), strerrorname_np(errno));
}

CASE(execve, no_format)
{
    make("empty", "", 0755);
    make("text", "hello there, this is text\n", 0755);
    make("nul", "\177ELF", 0755);
    EXEC("./empty", "x");
    EXEC("./text", "x");
    EXEC("./nul", "x");
}

static void elf_file(const char *path, void (*spoil)(Elf64_Ehdr *, Elf64_Phdr *))
{
    char bytes[4096] = {0};
    int from = open("/bin/true", O_RDONLY);
    if (read(from, bytes, sizeof bytes) < 0)
        return;
    close(from);
    spoil((Elf64_Ehdr *)bytes, (Elf64_Phdr *)(bytes + ((Elf64_Ehdr *)bytes)->e_phoff));
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    if (write(fd, bytes, sizeof bytes) < 0)
        return;
    close(fd);
}

#define SPOILT(name, what)                                                                         \
    static void spoil_##name(Elf64_Ehdr *e, Elf64_Phdr *p)                                         \
    {                                                                                              \
        (void)p;                                                                                   \
        what;                                                                                      \
    }                                                                                              \
    CASE(execve, elf_##name)                                                                       \
    {                                                                                              \
        elf_file("f", spoil_##name);                                                               \
        EXEC("./f", "x");                                                                          \
    }
SPOILT(wrong_magic, e->e_ident[1] = 'F')
SPOILT(wrong_type, e->e_type = ET_REL)
SPOILT(wrong_machine, e->e_machine = EM_ARM)
SPOILT(no_headers, e->e_phnum = 0)
SPOILT(wrong_header_size, e->e_phentsize = 55)
SPOILT(headers_beyond_the_end, e->e_phoff = 1 << 20)
SPOILT(too_many_headers, e->e_phnum = 65535)
SPOILT(interpreter_too_long,
       for (int i = 0; i < e->e_phnum; i++) if (p[i].p_type == PT_INTERP) p[i].p_filesz = 5000)
SPOILT(interpreter_too_short,
       for (int i = 0; i < e->e_phnum; i++) if (p[i].p_type == PT_INTERP) p[i].p_filesz = 1)
SPOILT(interpreter_missing,
       for (int i = 0; i < e->e_phnum;
            i++) if (p[i].p_type == PT_INTERP)((char *)e)[p[i].p_offset + 1] = 'X')
SPOILT(interpreter_not_terminated,
       for (int i = 0; i < e->e_phnum; i++) if (p[i].p_type == PT_INTERP) p[i].p_filesz--)

/* ---- scripts ---- */

CASE(execve, script)
{
    make("s", "#!/bin/sh\necho $0 $1 $2\n", 0755);
    EXEC("./s", "ignored", "a", "b c");
}

CASE(execve, script_with_an_argument)
{
    make("s", "#! /bin/sh -e x y  \n", 0755);
    make("show", "#!/bin/sh -u\necho $0 $1; echo $nothing; echo not here\n", 0755);
    EXEC("./show", "ignored", "a");
    make("arg", "#!/bin/echo  one two  \nx\n", 0755);
    EXEC("./arg", "ignored", "a");
}

CASE(execve, script_of_scripts)
{
    char text[PATH_MAX], here[PATH_MAX];
    getcwd(here, sizeof here);
    make("s0", "#!/bin/echo zero\n", 0755);
    for (int i = 1; i < 8; i++) {
        char name[8];
        snprintf(name, sizeof name, "s%d", i);
        snprintf(text, sizeof text, "#!./s%d\n", i - 1);
        make(name, text, 0755);
    }
    EXEC("./s1", "x", "end");
    EXEC("./s2", "x", "end");
    EXEC("./s3", "x", "end");
    EXEC("./s4", "x", "end");
    EXEC("./s5", "x", "end");
    EXEC("./s7", "x", "end");
}

CASE(execve, script_errors)
{
    make("missing", "#!/nowhere/sh\n", 0755);
    make("nothing", "#!\n", 0755);
    make("blanks", "#!   \t \n", 0755);
    make("directory", "#!/tmp\n", 0755);
    make("itself", "#!./itself\n", 0755);
    make("plain", "x", 0755);
    make("private", "#!./plainer\n", 0755);
    make("plainer", "#!/bin/sh\n", 0644);
    make("text", "#!./plain\n", 0755);
    EXEC("./missing", "x");
    EXEC("./nothing", "x");
    EXEC("./blanks", "x");
    EXEC("./directory", "x");
    EXEC("./itself", "x");
    EXEC("./private", "x");
    EXEC("./text", "x");
}

CASE(execve, script_without_newline)
{
    make("s", "#!/bin/echo", 0755);
    EXEC("./s", "x", "y");
}

CASE(execve, script_line_too_long)
{
    char text[600] = "#!/bin/echo ";
    memset(text + 12, 'a', 500);
    strcpy(text + 512, "\n");
    make("s", text, 0755);
    fflush(stdout);
    EXEC("./s", "x");
    memset(text, 'b', 300);
    memcpy(text, "#!/", 3);
    make("t", text, 0755);
    EXEC("./t", "x");
}

CASE(execve, script_with_carriage_return)
{
    make("s", "#!/bin/sh\r\necho x\n", 0755);
    EXEC("./s", "x");
}

/* ---- arguments and environment ---- */

static void exec_many(size_t count, size_t size, bool environment)
{
    char **argv = calloc(count + 4, sizeof *argv), *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char *plain[] = {"true", NULL};
        argv[0] = "true";
        for (size_t i = 1; i <= count; i++)
            argv[i] = text;
        if (environment)
            execve("/bin/true", plain, argv);
        else
            execve("/bin/true", argv, environ);
        _exit(errno == E2BIG ? 7 : 8);
    }
    SHOW("%zu of %zu: %d", count, size, code_of(pid));
}

CASE(execve, argument_just_short_enough)
{
    exec_many(1, 131071, false);
    exec_many(1, 131072, false);
}
CASE(execve, environment_text_just_short_enough)
{
    exec_many(1, 131071, true);
    exec_many(1, 131072, true);
}
CASE(execve, arguments_of_a_megabyte)
{
    exec_many(10, 100000, false);
}
CASE(execve, arguments_too_many_bytes)
{
    exec_many(30, 100000, false);
    exec_many(30, 100000, true);
}
CASE(execve, arguments_too_many)
{
    exec_many(300000, 1, false);
}
CASE(execve, many_arguments)
{
    exec_many(50000, 4, false);
}

CASE(execve, no_arguments)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char *none[] = {NULL};
        execve("/bin/true", none, environ);
        _exit(99);
    }
    SHOW("%d", code_of(pid));
    pid = fork();
    if (pid == 0) {
        execve("/bin/true", NULL, NULL);
        _exit(99);
    }
    SHOW("%d", code_of(pid));
}

CASE(execve, empty_arguments)
{
    EXEC("/bin/sh", "sh", "-c", "echo $#:$1:$2:", "a", "", "");
}

CASE(execve, environment)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        char *env[] = {"A=1", "B=two words", "no equals", NULL}, *argv[] = {"env", NULL};
        execve("/usr/bin/env", argv, env);
        _exit(99);
    }
    SHOW("%d", code_of(pid));
}

/* ---- what stays and what goes ---- */

#define SHELL(text) EXEC("/bin/sh", "sh", "-c", text)

CASE(execve, close_on_exec)
{
    int stays = open("/dev/null", O_RDONLY), goes = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(stays, 20);
    dup3(goes, 21, O_CLOEXEC);
    dup2(goes, 22);
    fcntl(stays, F_DUPFD_CLOEXEC, 23);
    SHELL("ls -1 /proc/self/fd | while read n; do test $n -ge 20 && echo $n; done; true");
}

CASE(execve, close_on_exec_of_files)
{
    make("f", "text\n", 0644);
    dup2(open("f", O_RDONLY), 20);
    dup3(20, 21, O_CLOEXEC);
    SHELL("cat <&20; test -e /proc/self/fd/21 || echo gone");
}

CASE(execve, offset_goes_on)
{
    make("f", "0123456789\n", 0644);
    int fd = open("f", O_RDONLY);
    lseek(fd, 5, SEEK_SET);
    dup2(fd, 20);
    SHELL("cat <&20");
    SHOW("%ld", (long)lseek(fd, 0, SEEK_CUR));
}

CASE(execve, umask_and_directory)
{
    mkdir("d", 0755);
    if (chdir("d") < 0)
        return;
    umask(0123);
    SHELL("umask; pwd | sed 's,.*/,,'");
}

static void nothing(int signal)
{
    (void)signal;
}

CASE(execve, handlers_become_default)
{
    signal(SIGUSR1, nothing);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGSEGV, nothing);
    SHELL("grep SigIgn /proc/self/status; kill -USR1 $$; echo not here");
}

#define IGNORED(name, number)                                                                      \
    CASE(execve, ignored_##name)                                                                   \
    {                                                                                              \
        char text[64];                                                                             \
        signal(number, SIG_IGN);                                                                   \
        snprintf(text, sizeof text, "kill -%d $$; echo alive", number);                            \
        SHELL(text);                                                                               \
    }
IGNORED(segv, SIGSEGV)
IGNORED(bus, SIGBUS)
IGNORED(ill, SIGILL)
IGNORED(fpe, SIGFPE)
IGNORED(trap, SIGTRAP)
IGNORED(sys, SIGSYS)
IGNORED(hup, SIGHUP)
IGNORED(pipe, SIGPIPE)
IGNORED(rt, SIGRTMIN + 1)

CASE(execve, blocked_stay_blocked)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, NULL);
    SHELL("kill -TERM $$; kill -SEGV $$; echo both are held");
}

CASE(execve, pending_stay_pending)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        kill(getpid(), SIGUSR1);
        execl("/bin/grep", "grep", "^S[hi][dg]*Pnd", "/proc/self/status", NULL);
        execl("/bin/grep", "grep", "ShdPnd", "/proc/self/status", NULL);
        _exit(9);
    }
    SHOW("%d", code_of(pid));
}

CASE(execve, alternate_stack_is_gone)
{
    static char stack[16384];
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&s, NULL);
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    SHOW("%d", strstr(self, "conformance-") != NULL);
}

CASE(execve, name_is_the_files)
{
    prctl(PR_SET_NAME, "before");
    EXEC("/bin/cat", "other", "/proc/self/comm");
    symlink("/bin/cat", "a-rather-long-name-of-a-link");
    EXEC("./a-rather-long-name-of-a-link", "other", "/proc/self/comm");
    make("script-of-mine", "#!/bin/sh\ncat /proc/$$/comm\n", 0755);
    EXEC("./script-of-mine", "other");
}

CASE(execve, exe_and_cmdline)
{
    EXEC("/bin/readlink", "readlink", "/proc/self/exe");
    EXEC("/bin/sh", "sh", "-c", "tr '\\0' '|' </proc/$$/cmdline; echo");
}

CASE(execve, limits_stay)
{
    struct rlimit l = {40, 50};
    setrlimit(RLIMIT_NOFILE, &l);
    l = (struct rlimit){100000000000, 200000000000};
    TRY(setrlimit(RLIMIT_AS, &l));
    l = (struct rlimit){7000, 8000};
    TRY(setrlimit(RLIMIT_CORE, &l));
    l = (struct rlimit){90000000000, RLIM_INFINITY};
    TRY(setrlimit(RLIMIT_DATA, &l));
    l = (struct rlimit){1 << 20, 1 << 21};
    TRY(setrlimit(RLIMIT_FSIZE, &l));
    SHELL("ulimit -n; ulimit -v; ulimit -c; ulimit -d; ulimit -f; ulimit -H -n; ulimit -H -v; "
          "ulimit -H -f");
}

CASE(execve, ids_stay)
{
    char text[64];
    snprintf(text, sizeof text, "test $$ != %d && echo other", getpid());
    SHELL(text);
    snprintf(text, sizeof text, "test $PPID = %d && echo child", getpid());
    SHELL(text);
}

CASE(execve, timers_stay_only_alarm)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(1);
        execl("/bin/sh", "sh", "-c", "while :; do :; done", NULL);
    }
    SHOW("%d", code_of(pid));
}

CASE(execve, dumpable_and_pdeathsig)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    SHELL("grep NoNewPrivs /proc/self/status");
}

static void *exec_there(void *arg)
{
    char *argv[] = {"sh", "-c", arg, NULL};
    execve("/bin/sh", argv, environ);
    _exit(99);
}

static void *wait_for_ever(void *arg)
{
    pause();
    return arg;
}

CASE(execve, from_another_thread)
{
    char text[100];
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        snprintf(text, sizeof text, "test $$ = %d && grep Threads /proc/self/status", getpid());
        pthread_create(&t, NULL, exec_there, text);
        pause();
    }
    SHOW("%d", code_of(pid));
}

CASE(execve, among_many_threads)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        for (int i = 0; i < 20; i++)
            pthread_create(&t, NULL, wait_for_ever, NULL);
        pthread_create(&t, NULL, exec_there, "echo here");
        wait_for_ever(NULL);
    }
    SHOW("%d", code_of(pid));
}

CASE(execve, failing_leaves_all_threads)
{
    pthread_t t;
    char *argv[] = {"x", NULL};
    static int arg = 4;
    pthread_create(&t, NULL, wait_for_ever, &arg);
    TRY(execve("/nowhere", argv, environ));
    TRY(pthread_cancel(t));
    TRY(pthread_join(t, NULL));
}

static void *race(void *arg)
{
    char *argv[] = {"true", NULL};
    execve("/bin/true", argv, environ);
    return arg;
}

CASE(execve, two_at_once)
{
    int good = 0;
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t t[3];
            for (int j = 0; j < 3; j++)
                pthread_create(&t[j], NULL, race, NULL);
            pause();
        }
        good += code_of(pid) == 0;
    }
    SHOW("%d", good);
}

CASE(execve, set_user_id_bit_without_new_privileges)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    EXEC("/bin/su", "su", "--version");
}

CASE(execveat, descriptor)
{
    int fd = open("/bin/sh", O_RDONLY), dir = open("/bin", O_PATH | O_DIRECTORY);
    char *argv[] = {"sh", "-c", "exit 5", NULL};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
    SHOW("%d", code_of(pid));
    pid = fork();
    if (pid == 0)
        syscall(SYS_execveat, dir, "sh", argv, environ, 0);
    SHOW("%d", code_of(pid));
    pid = fork();
    if (pid == 0)
        fexecve(fd, argv, environ);
    SHOW("%d", code_of(pid));
}

CASE(execveat, errors)
{
    char *argv[] = {"x", NULL};
    TRY(syscall(SYS_execveat, 77, "x", argv, environ, 0));
    TRY(syscall(SYS_execveat, 77, "", argv, environ, AT_EMPTY_PATH));
    TRY(syscall(SYS_execveat, AT_FDCWD, "", argv, environ, 0));
    TRY(syscall(SYS_execveat, AT_FDCWD, "x", argv, environ, 0x10));
    TRY(syscall(SYS_execveat, AT_FDCWD, "/nowhere", argv, environ, 0));
    int fd = open("/bin/true", O_RDONLY);
    TRY(syscall(SYS_execveat, fd, "x", argv, environ, 0));
}

CASE(auxv, values)
{
    errno = 0; /* what is 0 is there all the same */
    unsigned long secure = getauxval(AT_SECURE), more = getauxval(AT_HWCAP2) & ~2ul;
    SHOW("%lu %lu %d", secure, more, errno);
    SHOW("%lu %lu", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK));
    SHOW("%lu %lu", getauxval(AT_PHENT), getauxval(AT_SECURE));
    SHOW("%d %d", getauxval(AT_UID) == getuid(), getauxval(AT_EUID) == geteuid());
    SHOW("%d %d", getauxval(AT_GID) == getgid(), getauxval(AT_EGID) == getegid());
    SHOW("%d %d", getauxval(AT_RANDOM) != 0, getauxval(AT_SYSINFO_EHDR) != 0);
    SHOW("%s", (char *)getauxval(AT_PLATFORM));
    SHOW("%d", strstr((char *)getauxval(AT_EXECFN), "conformance-") != NULL);
    SHOW("%lx", getauxval(AT_HWCAP));
    SHOW("%lx", getauxval(AT_FLAGS));
    Elf64_Phdr *p = (Elf64_Phdr *)getauxval(AT_PHDR);
    SHOW("%lu %u", getauxval(AT_PHNUM), p[0].p_type);
    SHOW("%d %d", getauxval(AT_ENTRY) != 0, getauxval(AT_BASE) != 0);
}

CASE(auxv, minimal_signal_stack)
{
    SHOW("%lu", getauxval(51 /* AT_MINSIGSTKSZ */));
}

CASE(auxv, stack_layout)
{
    char **e = environ;
    while (*e)
        e++;
    Elf64_auxv_t *a = (Elf64_auxv_t *)(e + 1);
    int n = 0;
    for (; a->a_type != AT_NULL; a++)
        n++;
    SHOW("%d", n > 15);
    SHOW("%d", (char *)getauxval(AT_EXECFN) > (char *)environ);
}
