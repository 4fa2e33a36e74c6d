/*
 * The arguments of a call as text.
 *
 * A call's signature is one letter an argument: d u x o p as printf has them (p: an address),
 * f a descriptor, s a text, W bytes (as many as the next argument says), R bytes that the result
 * counts, v a vector of texts, T a timespec, S a struct stat that was filled, 2 a pair of
 * descriptors that was made, w a wait status that was stored, l a struct rlimit, m a signal set,
 * Z a socket address (its size follows); and names: O open flags, P protection, M mapping flags,
 * A at-flags, g a signal, h a whence, N an fcntl command, D a socket family, Y a socket type,
 * H a futex operation, L clone flags, e an epoll operation, r a resource, k an access mode,
 * c a clock.
 */
#include <asm/stat.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "trace.h"

enum { TEXT_MOST = 64, BYTES_MOST = 32, VECTOR_MOST = 8 };

static const char *const signatures[SYSCALL_COUNT] = {
    [__NR_read] = "fRu",
    [__NR_write] = "fWu",
    [__NR_open] = "sOo",
    [__NR_close] = "f",
    [__NR_stat] = "sS",
    [__NR_fstat] = "fS",
    [__NR_lstat] = "sS",
    [__NR_poll] = "pud",
    [__NR_lseek] = "fdh",
    [__NR_mmap] = "puPMfx",
    [__NR_mprotect] = "puP",
    [__NR_munmap] = "pu",
    [__NR_brk] = "p",
    [__NR_rt_sigaction] = "gppu",
    [__NR_rt_sigprocmask] = "dmpu",
    [__NR_rt_sigreturn] = "",
    [__NR_ioctl] = "fxp",
    [__NR_pread64] = "fRud",
    [__NR_pwrite64] = "fWud",
    [__NR_readv] = "fpu",
    [__NR_writev] = "fpu",
    [__NR_access] = "sk",
    [__NR_pipe] = "2",
    [__NR_select] = "dpppp",
    [__NR_sched_yield] = "",
    [__NR_mremap] = "puuxp",
    [__NR_msync] = "pux",
    [__NR_mincore] = "pup",
    [__NR_madvise] = "pud",
    [__NR_dup] = "f",
    [__NR_dup2] = "ff",
    [__NR_pause] = "",
    [__NR_nanosleep] = "Tp",
    [__NR_getitimer] = "dp",
    [__NR_alarm] = "u",
    [__NR_setitimer] = "dpp",
    [__NR_getpid] = "",
    [__NR_sendfile] = "ffpu",
    [__NR_socket] = "DYd",
    [__NR_connect] = "fZu",
    [__NR_accept] = "fpp",
    [__NR_sendto] = "fWuxZu",
    [__NR_recvfrom] = "fRuxpp",
    [__NR_sendmsg] = "fpx",
    [__NR_recvmsg] = "fpx",
    [__NR_shutdown] = "fd",
    [__NR_bind] = "fZu",
    [__NR_listen] = "fd",
    [__NR_getsockname] = "fpp",
    [__NR_getpeername] = "fpp",
    [__NR_socketpair] = "DYdp",
    [__NR_setsockopt] = "fddpu",
    [__NR_getsockopt] = "fddpp",
    [__NR_clone] = "Lpppp",
    [__NR_fork] = "",
    [__NR_vfork] = "",
    [__NR_execve] = "svp",
    [__NR_exit] = "d",
    [__NR_wait4] = "dwxp",
    [__NR_kill] = "dg",
    [__NR_uname] = "p",
    [__NR_fcntl] = "fNx",
    [__NR_flock] = "fd",
    [__NR_fsync] = "f",
    [__NR_fdatasync] = "f",
    [__NR_truncate] = "sd",
    [__NR_ftruncate] = "fd",
    [__NR_getdents] = "fpu",
    [__NR_getcwd] = "pu",
    [__NR_chdir] = "s",
    [__NR_fchdir] = "f",
    [__NR_rename] = "ss",
    [__NR_mkdir] = "so",
    [__NR_rmdir] = "s",
    [__NR_creat] = "so",
    [__NR_link] = "ss",
    [__NR_unlink] = "s",
    [__NR_symlink] = "ss",
    [__NR_readlink] = "sRu",
    [__NR_chmod] = "so",
    [__NR_fchmod] = "fo",
    [__NR_chown] = "sdd",
    [__NR_fchown] = "fdd",
    [__NR_lchown] = "sdd",
    [__NR_umask] = "o",
    [__NR_gettimeofday] = "pp",
    [__NR_getrlimit] = "rl",
    [__NR_getrusage] = "dp",
    [__NR_sysinfo] = "p",
    [__NR_times] = "p",
    [__NR_getuid] = "",
    [__NR_getgid] = "",
    [__NR_setuid] = "d",
    [__NR_setgid] = "d",
    [__NR_geteuid] = "",
    [__NR_getegid] = "",
    [__NR_setpgid] = "dd",
    [__NR_getppid] = "",
    [__NR_getpgrp] = "",
    [__NR_setsid] = "",
    [__NR_getpgid] = "d",
    [__NR_getsid] = "d",
    [__NR_rt_sigpending] = "pu",
    [__NR_rt_sigtimedwait] = "mpTu",
    [__NR_rt_sigsuspend] = "mu",
    [__NR_sigaltstack] = "pp",
    [__NR_utime] = "sp",
    [__NR_mknod] = "sox",
    [__NR_statfs] = "sp",
    [__NR_fstatfs] = "fp",
    [__NR_prctl] = "dxxxx",
    [__NR_arch_prctl] = "xx",
    [__NR_setrlimit] = "rl",
    [__NR_sync] = "",
    [__NR_gettid] = "",
    [__NR_readahead] = "fdu",
    [__NR_setxattr] = "sspux",
    [__NR_getxattr] = "sspu",
    [__NR_tkill] = "dg",
    [__NR_time] = "p",
    [__NR_futex] = "pHupp",
    [__NR_futex_waitv] = "puxTc",
    [__NR_kcmp] = "dddxx",
    [__NR_epoll_create] = "d",
    [__NR_getdents64] = "fpu",
    [__NR_set_tid_address] = "p",
    [__NR_fadvise64] = "fdud",
    [__NR_timer_create] = "cpp",
    [__NR_clock_gettime] = "cp",
    [__NR_clock_getres] = "cp",
    [__NR_clock_nanosleep] = "cxTp",
    [__NR_exit_group] = "d",
    [__NR_epoll_wait] = "fpdd",
    [__NR_epoll_ctl] = "fefp",
    [__NR_tgkill] = "ddg",
    [__NR_utimes] = "sp",
    [__NR_waitid] = "ddpxp",
    [__NR_inotify_init] = "",
    [__NR_inotify_add_watch] = "fsx",
    [__NR_inotify_rm_watch] = "fd",
    [__NR_openat] = "fsOo",
    [__NR_mkdirat] = "fso",
    [__NR_mknodat] = "fsox",
    [__NR_fchownat] = "fsddA",
    [__NR_futimesat] = "fsp",
    [__NR_newfstatat] = "fsSA",
    [__NR_unlinkat] = "fsA",
    [__NR_renameat] = "fsfs",
    [__NR_linkat] = "fsfsA",
    [__NR_symlinkat] = "sfs",
    [__NR_readlinkat] = "fsRu",
    [__NR_fchmodat] = "fso",
    [__NR_faccessat] = "fsk",
    [__NR_pselect6] = "dpppTp",
    [__NR_ppoll] = "puTmu",
    [__NR_set_robust_list] = "pu",
    [__NR_splice] = "fpfpux",
    [__NR_tee] = "ffux",
    [__NR_vmsplice] = "fpux",
    [__NR_utimensat] = "fspA",
    [__NR_epoll_pwait] = "fpddmu",
    [__NR_signalfd] = "fmu",
    [__NR_timerfd_create] = "cO",
    [__NR_eventfd] = "u",
    [__NR_fallocate] = "fxdd",
    [__NR_timerfd_settime] = "fxpp",
    [__NR_timerfd_gettime] = "fp",
    [__NR_accept4] = "fppY",
    [__NR_signalfd4] = "fmuO",
    [__NR_eventfd2] = "uO",
    [__NR_epoll_create1] = "O",
    [__NR_dup3] = "ffO",
    [__NR_pipe2] = "2O",
    [__NR_inotify_init1] = "O",
    [__NR_preadv] = "fpud",
    [__NR_pwritev] = "fpud",
    [__NR_prlimit64] = "drll",
    [__NR_syncfs] = "f",
    [__NR_sendmmsg] = "fpux",
    [__NR_recvmmsg] = "fpuxT",
    [__NR_getcpu] = "pp",
    [__NR_renameat2] = "fsfsx",
    [__NR_getrandom] = "pux",
    [__NR_memfd_create] = "sx",
    [__NR_execveat] = "fsvpA",
    [__NR_mlock] = "pu",
    [__NR_munlock] = "pu",
    [__NR_copy_file_range] = "fpfpux",
    [__NR_preadv2] = "fpudux",
    [__NR_pwritev2] = "fpudux",
    [__NR_statx] = "fsAxp",
    [__NR_rseq] = "puxx",
    [__NR_pidfd_send_signal] = "fgpx",
    [__NR_pidfd_open] = "dx",
    [__NR_close_range] = "uux",
    [__NR_openat2] = "fspu",
    [__NR_faccessat2] = "fskA",
    [__NR_clone3] = "pu",
    [__NR_sched_getaffinity] = "dup",
    [__NR_sched_setaffinity] = "dup",
    [__NR_personality] = "x",
    [__NR_membarrier] = "dxd",
};

void trace_vput(struct trace_text *out, const char *format, va_list args)
{
    size_t room = sizeof out->text - out->used;
    size_t size = text_vformat(out->text + out->used, room, format, args);
    out->used += size < room ? size : room - 1;
}

void trace_put(struct trace_text *out, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    trace_vput(out, format, args);
    va_end(args);
}

/* ---- names ---- */

struct name {
    uint64_t value;
    const char *name;
};
#define N(value)                                                                                   \
    {                                                                                              \
        (uint64_t)(value), #value                                                                  \
    }

static const struct name open_flags[] = {N(O_WRONLY),
                                         N(O_RDWR),
                                         N(O_CREAT),
                                         N(O_EXCL),
                                         N(O_NOCTTY),
                                         N(O_TRUNC),
                                         N(O_APPEND),
                                         N(O_NONBLOCK),
                                         N(O_DSYNC),
                                         N(O_DIRECT),
                                         N(O_LARGEFILE),
                                         N(O_DIRECTORY),
                                         N(O_NOFOLLOW),
                                         N(O_NOATIME),
                                         N(O_CLOEXEC),
                                         N(O_PATH),
                                         {0}};
static const struct name protections[] = {N(PROT_READ), N(PROT_WRITE), N(PROT_EXEC), {0}};
static const struct name map_flags[] = {N(MAP_SHARED),
                                        N(MAP_PRIVATE),
                                        N(MAP_FIXED),
                                        N(MAP_ANONYMOUS),
                                        N(MAP_GROWSDOWN),
                                        N(MAP_DENYWRITE),
                                        N(MAP_NORESERVE),
                                        N(MAP_POPULATE),
                                        N(MAP_STACK),
                                        N(MAP_FIXED_NOREPLACE),
                                        {0}};
static const struct name at_flags[] = {N(AT_SYMLINK_NOFOLLOW), N(AT_REMOVEDIR),
                                       N(AT_SYMLINK_FOLLOW),   N(AT_NO_AUTOMOUNT),
                                       N(AT_EMPTY_PATH),       {0}};
static const struct name access_modes[] = {{4, "R_OK"}, {2, "W_OK"}, {1, "X_OK"}, {0}};
static const struct name clone_flags[] = {N(CLONE_VM),
                                          N(CLONE_FS),
                                          N(CLONE_FILES),
                                          N(CLONE_SIGHAND),
                                          N(CLONE_VFORK),
                                          N(CLONE_PARENT),
                                          N(CLONE_THREAD),
                                          N(CLONE_SYSVSEM),
                                          N(CLONE_SETTLS),
                                          N(CLONE_PARENT_SETTID),
                                          N(CLONE_CHILD_CLEARTID),
                                          N(CLONE_CHILD_SETTID),
                                          {0}};
static const struct name fcntl_commands[] = {
    N(F_DUPFD),      N(F_GETFD),      N(F_SETFD),      N(F_GETFL),
    N(F_SETFL),      N(F_GETLK),      N(F_SETLK),      N(F_SETLKW),
    N(F_SETOWN),     N(F_GETOWN),     N(F_SETSIG),     N(F_GETSIG),
    N(F_SETLEASE),   N(F_GETLEASE),   N(F_NOTIFY),     N(F_DUPFD_CLOEXEC),
    N(F_SETPIPE_SZ), N(F_GETPIPE_SZ), N(F_ADD_SEALS),  N(F_GET_SEALS),
    N(F_OFD_GETLK),  N(F_OFD_SETLK),  N(F_OFD_SETLKW), {0}};
static const struct name families[] = {{1, "AF_UNIX"},     {2, "AF_INET"},    {10, "AF_INET6"},
                                       {16, "AF_NETLINK"}, {17, "AF_PACKET"}, {0}};
static const struct name futex_operations[] = {
    N(FUTEX_WAKE),        N(FUTEX_REQUEUE),         N(FUTEX_CMP_REQUEUE),    N(FUTEX_WAKE_OP),
    N(FUTEX_LOCK_PI),     N(FUTEX_UNLOCK_PI),       N(FUTEX_TRYLOCK_PI),     N(FUTEX_WAIT_BITSET),
    N(FUTEX_WAKE_BITSET), N(FUTEX_WAIT_REQUEUE_PI), N(FUTEX_CMP_REQUEUE_PI), {0}};
static const struct name epoll_operations[] = {
    N(EPOLL_CTL_ADD), N(EPOLL_CTL_DEL), N(EPOLL_CTL_MOD), {0}};
static const struct name resources[] = {
    N(RLIMIT_FSIZE), N(RLIMIT_DATA),   N(RLIMIT_STACK),   N(RLIMIT_CORE), N(RLIMIT_RSS),
    N(RLIMIT_NPROC), N(RLIMIT_NOFILE), N(RLIMIT_MEMLOCK), N(RLIMIT_AS),   {0}};
static const struct name clocks[] = {N(CLOCK_MONOTONIC),         N(CLOCK_PROCESS_CPUTIME_ID),
                                     N(CLOCK_THREAD_CPUTIME_ID), N(CLOCK_MONOTONIC_RAW),
                                     N(CLOCK_REALTIME_COARSE),   N(CLOCK_MONOTONIC_COARSE),
                                     N(CLOCK_BOOTTIME),          {0}};
static const struct name signal_names[] = {
    N(SIGHUP),  N(SIGINT),    N(SIGQUIT), N(SIGILL),  N(SIGTRAP),   N(SIGABRT), N(SIGBUS),
    N(SIGFPE),  N(SIGKILL),   N(SIGUSR1), N(SIGSEGV), N(SIGUSR2),   N(SIGPIPE), N(SIGALRM),
    N(SIGTERM), N(SIGSTKFLT), N(SIGCHLD), N(SIGCONT), N(SIGSTOP),   N(SIGTSTP), N(SIGTTIN),
    N(SIGTTOU), N(SIGURG),    N(SIGXCPU), N(SIGXFSZ), N(SIGVTALRM), N(SIGPROF), N(SIGWINCH),
    N(SIGIO),   N(SIGPWR),    N(SIGSYS),  {0}};

/* Bits by name, what is left as a number; `none` where there is nothing. */
static void put_flags(struct trace_text *out, uint64_t v, const struct name *n, const char *none)
{
    const char *between = "";
    if (none)
        trace_put(out, "%s", none), between = "|";
    for (; n->name; n++) {
        if ((v & n->value) != n->value)
            continue;
        trace_put(out, "%s%s", between, n->name);
        between = "|";
        v &= ~n->value;
    }
    if (v || !*between)
        trace_put(out, v ? "%s0x%lx" : "%s%lu", between, v);
}

/* One of several; `zero` is the name of 0, which ends the lists. */
static void put_name(struct trace_text *out, uint64_t v, const struct name *n, const char *zero)
{
    for (; n->name; n++)
        if (n->value == v)
            break;
    if (v == 0 && zero)
        trace_put(out, "%s", zero);
    else if (n->name)
        trace_put(out, "%s", n->name);
    else
        trace_put(out, "%ld", (long)v);
}

/* ---- memory of the program ---- */

static void put_bytes(struct trace_text *out, const char *bytes, size_t size, bool more)
{
    trace_put(out, "\"");
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c == '\n')
            trace_put(out, "\\n");
        else if (c == '"' || c == '\\')
            trace_put(out, "\\%c", c);
        else if (c >= ' ' && c < 127)
            trace_put(out, "%c", c);
        else
            trace_put(out, "\\x%02x", c);
    }
    trace_put(out, more ? "\"..." : "\"");
}

static void put_text(struct trace_text *out, uint64_t at)
{
    char text[TEXT_MOST];
    size_t got = at ? user_read_some(text, at, sizeof text) : 0;
    size_t size = 0;
    while (size < got && text[size])
        size++;
    if (!at)
        trace_put(out, "NULL");
    else if (!got)
        trace_put(out, "0x%lx", at);
    else
        put_bytes(out, text, size, size == got);
}

static void put_buffer(struct trace_text *out, uint64_t at, uint64_t size)
{
    char bytes[BYTES_MOST];
    size_t want = size < sizeof bytes ? size : sizeof bytes;
    size_t got = at ? user_read_some(bytes, at, want) : 0;
    if (!at || (want && !got))
        trace_put(out, at ? "0x%lx" : "NULL", at);
    else
        put_bytes(out, bytes, got, size > got);
}

static void put_vector(struct trace_text *out, uint64_t at)
{
    uint64_t text;
    trace_put(out, "[");
    for (int i = 0; at && user_read(&text, at, sizeof text) == 0 && text; i++, at += sizeof text) {
        if (i == VECTOR_MOST) {
            trace_put(out, ", ...");
            break;
        }
        trace_put(out, i ? ", " : "");
        put_text(out, text);
    }
    trace_put(out, "]");
}

static void put_address(struct trace_text *out, uint64_t at)
{
    trace_put(out, at ? "0x%lx" : "NULL", at);
}

static void put_time(struct trace_text *out, uint64_t at)
{
    struct __kernel_timespec ts;
    if (!at || user_read(&ts, at, sizeof ts) < 0)
        put_address(out, at);
    else
        trace_put(out, "{%ld, %ld}", (long)ts.tv_sec, (long)ts.tv_nsec);
}

static void put_stat(struct trace_text *out, uint64_t at)
{
    struct stat st;
    if (!at || user_read(&st, at, sizeof st) < 0)
        put_address(out, at);
    else
        trace_put(out, "{st_mode=0%lo, st_size=%ld, ...}", (unsigned long)st.st_mode, st.st_size);
}

static void put_pair(struct trace_text *out, uint64_t at)
{
    int pair[2];
    if (!at || user_read(pair, at, sizeof pair) < 0)
        put_address(out, at);
    else
        trace_put(out, "[%d, %d]", pair[0], pair[1]);
}

static void put_status(struct trace_text *out, uint64_t at)
{
    int status;
    if (!at || user_read(&status, at, sizeof status) < 0)
        put_address(out, at);
    else if ((status & 0x7f) == 0)
        trace_put(out, "[exit %d]", status >> 8 & 0xff);
    else
        trace_put(out, "[signal %d]", status & 0x7f);
}

static void put_limit(struct trace_text *out, uint64_t at)
{
    uint64_t limit[2];
    if (!at || user_read(limit, at, sizeof limit) < 0)
        put_address(out, at);
    else
        trace_put(out, "{%ld, %ld}", (long)limit[0], (long)limit[1]);
}

static void put_set(struct trace_text *out, uint64_t at)
{
    uint64_t set;
    if (!at || user_read(&set, at, sizeof set) < 0)
        put_address(out, at);
    else
        trace_put(out, "[0x%lx]", set);
}

static void put_socket_address(struct trace_text *out, uint64_t at, uint64_t size)
{
    union {
        uint16_t family;
        uint8_t bytes[110];
        char text[110];
    } sa = {0};
    size_t got = at ? user_read_some(&sa, at, size < sizeof sa - 1 ? size : sizeof sa - 1) : 0;
    if (got < sizeof sa.family) {
        put_address(out, at);
    } else if (sa.family == 1) {
        trace_put(out, "{AF_UNIX, %s%s}", sa.text[2] ? "" : "@", sa.text + 2 + !sa.text[2]);
    } else if (sa.family == 2) {
        trace_put(out, "{AF_INET, %u.%u.%u.%u:%u}", sa.bytes[4], sa.bytes[5], sa.bytes[6],
                  sa.bytes[7], sa.bytes[2] * 256u + sa.bytes[3]);
    } else {
        trace_put(out, "{");
        put_name(out, sa.family, families, NULL);
        trace_put(out, ", ...}");
    }
}

/* ---- arguments ---- */

/* What the call fills is shown where it has. */
static void put_filled(struct trace_text *out, char kind, uint64_t value, bool filled, long result)
{
    if (!filled)
        put_address(out, value);
    else if (kind == 'R')
        put_buffer(out, value, (uint64_t)result);
    else if (kind == 'S')
        put_stat(out, value);
    else if (kind == '2')
        put_pair(out, value);
    else
        put_status(out, value);
}

static void put_named(struct trace_text *out, char kind, uint64_t v)
{
    switch (kind) {
    case 'O':
        put_flags(out, v & ~(uint64_t)0, open_flags, v & O_ACCMODE ? NULL : "O_RDONLY");
        break;
    case 'P':
        put_flags(out, v, protections, v ? NULL : "PROT_NONE");
        break;
    case 'M':
        put_flags(out, v, map_flags, NULL);
        break;
    case 'A':
        put_flags(out, v, at_flags, NULL);
        break;
    case 'k':
        put_flags(out, v, access_modes, v ? NULL : "F_OK");
        break;
    case 'L':
        put_flags(out, v & ~0xffull, clone_flags, NULL);
        if (v & 0xff)
            trace_put(out, "|"), put_name(out, v & 0xff, signal_names, NULL);
        break;
    case 'g':
        put_name(out, (uint64_t)(int)v, signal_names, NULL);
        break;
    case 'h':
        trace_put(out, "%s",
                  v == 0   ? "SEEK_SET"
                  : v == 1 ? "SEEK_CUR"
                  : v == 2 ? "SEEK_END"
                  : v == 3 ? "SEEK_DATA"
                  : v == 4 ? "SEEK_HOLE"
                           : "?");
        break;
    case 'N':
        put_name(out, v, fcntl_commands, "F_DUPFD");
        break;
    case 'D':
        put_name(out, v, families, "AF_UNSPEC");
        break;
    case 'Y':
        trace_put(out, "0x%x", (unsigned)v);
        break;
    case 'H':
        put_name(out, v & FUTEX_CMD_MASK, futex_operations, "FUTEX_WAIT");
        trace_put(out, "%s", v & FUTEX_PRIVATE_FLAG ? "_PRIVATE" : "");
        break;
    case 'e':
        put_name(out, v, epoll_operations, NULL);
        break;
    case 'r':
        put_name(out, v, resources, "RLIMIT_CPU");
        break;
    case 'c':
        put_name(out, v, clocks, "CLOCK_REALTIME");
        break;
    default:
        put_address(out, v);
    }
}

static void put_argument(struct trace_text *out, char kind, const uint64_t a[6], int i, bool filled,
                         long result)
{
    uint64_t v = a[i];
    switch (kind) {
    case 'f':
        if ((int)v == AT_FDCWD)
            trace_put(out, "AT_FDCWD");
        else
            trace_put(out, "%d", (int)v);
        break;
    case 'd':
        trace_put(out, "%ld", v >> 32 == 0 && (int)v < 0 ? (long)(int)v : (long)v);
        break;
    case 'u':
        trace_put(out, "%lu", v);
        break;
    case 'o':
        trace_put(out, "0%lo", v & 0xffffffff);
        break;
    case 'x':
        trace_put(out, v < 10 ? "%lu" : "0x%lx", v);
        break;
    case 's':
        put_text(out, v);
        break;
    case 'W':
        put_buffer(out, v, i < 5 ? a[i + 1] : 0);
        break;
    case 'R':
    case 'S':
    case '2':
    case 'w':
        put_filled(out, kind, v, filled && (kind != 'w' || result > 0), result);
        break;
    case 'v':
        put_vector(out, v);
        break;
    case 'T':
        put_time(out, v);
        break;
    case 'l':
        put_limit(out, v);
        break;
    case 'm':
        put_set(out, v);
        break;
    case 'Z':
        put_socket_address(out, v, i < 5 ? a[i + 1] : 0);
        break;
    default:
        put_named(out, kind, v);
    }
}

void trace_arguments(struct trace_text *out, uint64_t nr, const uint64_t a[6], bool ended,
                     long result)
{
    const char *kinds = signatures[nr] ? signatures[nr] : "xxxxxx";
    bool opens = nr == __NR_open || nr == __NR_openat;
    for (int i = 0; kinds[i] && i < 6; i++) {
        /* The mode of an open that makes nothing is whatever the register held. */
        if (opens && kinds[i] == 'o' && !(a[i - 1] & (O_CREAT | __O_TMPFILE)))
            break;
        trace_put(out, i ? ", " : "");
        put_argument(out, kinds[i], a, i, ended && result >= 0, result);
    }
}

bool trace_takes_descriptor(uint64_t nr)
{
    return signatures[nr] && signatures[nr][0] == 'f';
}
