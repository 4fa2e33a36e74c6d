/* prctl, personality, what the kernel says of itself, the memory and rights of other processes. */
#include "children.h"

#include <linux/capability.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/utsname.h>

/* ---- prctl ---- */

CASE(prctl, name)
{
    char name[20] = "untouched";
    TRY(prctl(PR_SET_NAME, "a name that is too long for it"));
    TRY(prctl(PR_GET_NAME, name));
    SHOW("%s", name);
    TRY(prctl(PR_SET_NAME, ""));
    TRY(prctl(PR_GET_NAME, name));
    SHOW("<%s>", name);
    TRY(prctl(PR_SET_NAME, BAD_POINTER));
    TRY(prctl(PR_GET_NAME, BAD_POINTER));
    char *edge = before_a_hole(4);
    memcpy(edge, "abc", 4);
    TRY(prctl(PR_SET_NAME, edge));
    prctl(PR_GET_NAME, name);
    SHOW("%s", name);
}

CASE(prctl, name_with_a_hole)
{
    char *edge = before_a_hole(4);
    memcpy(edge, "abcd", 4);
    TRY(prctl(PR_SET_NAME, edge));
    TRY(prctl(PR_GET_NAME, edge));
}

CASE(prctl, unknown)
{
    TRY(prctl(9999));
    TRY(prctl(-1));
    TRY(prctl(0));
    TRY(prctl(PR_GET_UNALIGN, BAD_POINTER));
    TRY(prctl(PR_SET_FPEMU, 1));
    TRY(prctl(PR_SET_ENDIAN, 1));
}

CASE(prctl, pdeathsig)
{
    int value = 99;
    TRY(prctl(PR_GET_PDEATHSIG, &value));
    SHOW("%d", value == SIGKILL); /* the frame of this suite sets it */
    TRY(prctl(PR_SET_PDEATHSIG, SIGUSR2));
    TRY(prctl(PR_GET_PDEATHSIG, &value));
    SHOW("%d", value == SIGUSR2);
    TRY(prctl(PR_SET_PDEATHSIG, 65));
    TRY(prctl(PR_SET_PDEATHSIG, -1));
    TRY(prctl(PR_SET_PDEATHSIG, 0));
    TRY(prctl(PR_GET_PDEATHSIG, BAD_POINTER));
}

CASE(prctl, pdeathsig_arrives)
{
    int ends[2];
    char c = 'n';
    pipe(ends);
    pid_t pid = fork();
    if (pid == 0) {
        int go[2];
        pipe(go);
        if (fork() == 0) {
            sigset_t set;
            int got;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            sigprocmask(SIG_BLOCK, &set, NULL);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            if (write(go[1], "g", 1) != 1)
                _exit(1);
            sigwait(&set, &got);
            c = got == SIGUSR1 ? 'y' : '?';
            if (write(ends[1], &c, 1) != 1)
                _exit(1);
            _exit(0);
        }
        if (read(go[0], &c, 1) != 1)
            _exit(1);
        _exit(0);
    }
    TRY(code_of(pid));
    TRY(read(ends[0], &c, 1));
    SHOW("%c", c);
}

CASE(prctl, dumpable)
{
    TRY(prctl(PR_GET_DUMPABLE));
    TRY(prctl(PR_SET_DUMPABLE, 0));
    TRY(prctl(PR_GET_DUMPABLE));
    TRY(prctl(PR_SET_DUMPABLE, 2));
    TRY(prctl(PR_SET_DUMPABLE, 3));
    TRY(prctl(PR_SET_DUMPABLE, 1));
}

CASE(prctl, dumpable_over_fork_and_exec)
{
    prctl(PR_SET_DUMPABLE, 0);
    IN_CHILD(TRY(prctl(PR_GET_DUMPABLE)));
}

CASE(prctl, no_new_privs)
{
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    TRY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
    IN_CHILD(TRY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)));
}

CASE(prctl, keepcaps)
{
    TRY(prctl(PR_GET_KEEPCAPS));
    TRY(prctl(PR_SET_KEEPCAPS, 1));
    TRY(prctl(PR_GET_KEEPCAPS));
    TRY(prctl(PR_SET_KEEPCAPS, 2));
}

CASE(prctl, securebits)
{
    TRY(prctl(PR_GET_SECUREBITS));
    TRY(prctl(PR_SET_SECUREBITS, 1));
}

CASE(prctl, timer_slack)
{
    TRY(prctl(PR_GET_TIMERSLACK));
    TRY(prctl(PR_SET_TIMERSLACK, 70000));
    TRY(prctl(PR_GET_TIMERSLACK));
    IN_CHILD(TRY(prctl(PR_GET_TIMERSLACK)));
    TRY(prctl(PR_SET_TIMERSLACK, 0));
    TRY(prctl(PR_GET_TIMERSLACK));
}

CASE(prctl, capabilities)
{
    TRY(prctl(PR_CAPBSET_READ, 0));
    TRY(prctl(PR_CAPBSET_READ, 1000));
    TRY(prctl(PR_CAPBSET_DROP, 0));
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0));
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0));
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    TRY(prctl(PR_CAP_AMBIENT, 99, 0, 0, 0));
}

CASE(prctl, seccomp_state)
{
    TRY(prctl(PR_GET_SECCOMP));
}

CASE(prctl, tsc)
{
    int value = 0;
    TRY(prctl(PR_GET_TSC, &value));
    SHOW("%d", value);
    TRY(prctl(PR_SET_TSC, PR_TSC_ENABLE));
    TRY(prctl(PR_SET_TSC, 9));
}

CASE(prctl, tid_address)
{
    int *address = NULL, word;
    syscall(SYS_set_tid_address, &word);
    long rc = prctl(PR_GET_TID_ADDRESS, &address);
    /* Only there where the kernel can checkpoint. */
    SHOW("%d", rc < 0 ? errno == EINVAL : address == &word);
}

CASE(prctl, transparent_huge_pages)
{
    TRY(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    TRY(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    TRY(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    TRY(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0));
}

CASE(prctl, machine_check)
{
    TRY(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
    TRY(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
    TRY(prctl(PR_MCE_KILL, 9, 0, 0, 0));
}

CASE(prctl, timing)
{
    TRY(prctl(PR_GET_TIMING));
    TRY(prctl(PR_SET_TIMING, PR_TIMING_STATISTICAL));
    TRY(prctl(PR_SET_TIMING, PR_TIMING_TIMESTAMP));
}

CASE(prctl, name_of_a_mapping)
{
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long rc = prctl(0x53564d41 /* PR_SET_VMA */, 0, p, 4096, "name");
    SHOW("%d", rc == 0 || errno == EINVAL); /* a kernel without the option: EINVAL */
    TRY(prctl(0x53564d41, 7, p, 4096, "name"));
}

CASE(prctl, ptracer)
{
    long rc = prctl(0x59616d61 /* PR_SET_PTRACER */, 0, 0, 0, 0);
    SHOW("%d", rc == 0 || errno == EINVAL);
}

CASE(prctl, mm)
{
    TRY(prctl(PR_SET_MM, PR_SET_MM_START_CODE, 0, 0, 0));
}

CASE(arch_prctl, bases)
{
    unsigned long fs = 0, gs = 1;
    TRY(syscall(SYS_arch_prctl, 0x1003, &fs));
    TRY(syscall(SYS_arch_prctl, 0x1004, &gs));
    SHOW("%d %lx", fs != 0, gs);
    TRY(syscall(SYS_arch_prctl, 0x1001, 0x123456));
    TRY(syscall(SYS_arch_prctl, 0x1004, &gs));
    SHOW("%lx", gs);
    TRY(syscall(SYS_arch_prctl, 0x1003, BAD_POINTER));
    TRY(syscall(SYS_arch_prctl, 0x1001, 0x8000000000000000));
    TRY(syscall(SYS_arch_prctl, 0x9999, 0));
}

CASE(arch_prctl, gs_is_inherited)
{
    unsigned long gs = 1;
    syscall(SYS_arch_prctl, 0x1001, 0x77000);
    IN_CHILD({
        syscall(SYS_arch_prctl, 0x1004, &gs);
        SHOW("%lx", gs);
    });
}

/* ---- the kernel's other services ---- */

CASE(uname, fields)
{
    struct utsname u;
    TRY(uname(&u));
    SHOW("%s %s", u.sysname, u.machine);
    TRY(syscall(SYS_uname, BAD_POINTER));
    TRY(syscall(SYS_uname, before_a_hole(300)));
}

CASE(getrandom, forms)
{
    char bytes[64];
    TRY(syscall(SYS_getrandom, bytes, 64, 0));
    TRY(syscall(SYS_getrandom, bytes, 0, 0));
    TRY(syscall(SYS_getrandom, bytes, 64, 0x40));
    TRY(syscall(SYS_getrandom, bytes, 64, 1));
    TRY(syscall(SYS_getrandom, bytes, 64, 4));
    TRY(syscall(SYS_getrandom, bytes, 64, 6));
    TRY(syscall(SYS_getrandom, BAD_POINTER, 64, 0));
    char *large = malloc(300000);
    TRY(syscall(SYS_getrandom, large, 300000, 0));
}

CASE(membarrier, commands)
{
    SHOW("%d", syscall(SYS_membarrier, 0, 0, 0) > 0);
    TRY(syscall(SYS_membarrier, 1, 0, 0));
    TRY(syscall(SYS_membarrier, 8, 0, 0));
    TRY(syscall(SYS_membarrier, 16, 0, 0));
    TRY(syscall(SYS_membarrier, 8, 0, 0));
    TRY(syscall(SYS_membarrier, 1 << 20, 0, 0));
    TRY(syscall(SYS_membarrier, 0, 7, 0));
}

CASE(personality, forms)
{
    TRY(personality(0xffffffff));
    TRY(personality(ADDR_NO_RANDOMIZE));
    TRY(personality(0xffffffff));
    IN_CHILD(TRY(personality(0xffffffff)));
    TRY(personality(0));
}

CASE(personality, no_randomization)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        execl("/bin/sh", "sh", "-c",
              "where() { setarch -R grep -E 'heap|stack' /proc/self/maps; };"
              "test \"$(where)\" = \"$(where)\" && echo the same",
              NULL);
    SHOW("%d", code_of(pid));
}

/* What is readable can be executed then, whoever mapped it how; in children, which keep it. */
CASE(personality, read_implies_exec)
{
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
    unsigned char *at[3];
    TRY(personality(READ_IMPLIES_EXEC));
    TRY(personality(0xffffffff));
    at[0] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at[1] = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(mprotect(at[1], 4096, PROT_READ | PROT_WRITE));
    at[2] = sbrk(4096);
    for (int i = 0; i < 3; i++) {
        memcpy(at[i], code, sizeof code);
        IN_CHILD(SHOW("%d: %d", i, ((int (*)(void))at[i])()));
    }
    IN_CHILD(TRY(personality(0xffffffff)));
    TRY(personality(0));
    at[0] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(at[0], code, sizeof code);
    IN_CHILD(SHOW("%d", ((int (*)(void))at[0])()));
}

CASE(process_vm_readv, own)
{
    char from[100] = "the quick brown fox", to[100] = "";
    struct iovec local = {to, sizeof to}, remote = {from, sizeof from};
    TRY(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
    SHOW("%s", to);
    strcpy(to, "jumps over");
    TRY(process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
    SHOW("%s", from);
}

CASE(process_vm_readv, pieces)
{
    char from[100] = "0123456789abcdef", to[100] = "";
    struct iovec local[2] = {{to, 3}, {to + 10, 20}}, remote[2] = {{from + 8, 4}, {from, 6}};
    TRY(process_vm_readv(getpid(), local, 2, remote, 2, 0));
    SHOW("%.3s %.7s", to, to + 10);
}

CASE(process_vm_readv, errors)
{
    char from[100] = "x", to[100];
    struct iovec local = {to, sizeof to}, remote = {from, sizeof from};
    struct iovec wild = {BAD_POINTER, 10}, half = {before_a_hole(7), 20};
    TRY(process_vm_readv(getpid(), &local, 1, &remote, 1, 1));
    TRY(process_vm_readv(99999999, &local, 1, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 1, &wild, 1, 0));
    TRY(process_vm_readv(getpid(), &wild, 1, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 1, &half, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 0, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 1, &remote, 0, 0));
    TRY(process_vm_readv(getpid(), &local, 2000, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), BAD_POINTER, 1, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 1, BAD_POINTER, 1, 0));
    TRY(process_vm_readv(1, &local, 1, &remote, 1, 0));
}

CASE(ptrace, refused_where_nothing_is_traced)
{
    TRY(ptrace(PTRACE_CONT, getpid(), NULL, NULL));
    TRY(ptrace(PTRACE_ATTACH, 99999999, NULL, NULL));
    TRY(ptrace(PTRACE_ATTACH, 1, NULL, NULL));
    TRY(ptrace(PTRACE_ATTACH, getpid(), NULL, NULL));
}

CASE(capget, forms)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    TRY(syscall(SYS_capget, &head, data));
    SHOW("%x %x %x", data[0].effective, data[0].permitted, data[0].inheritable);
    head.version = 0;
    TRY(syscall(SYS_capget, &head, data));
    SHOW("%x", head.version);
    head.version = 0;
    TRY(syscall(SYS_capget, &head, NULL));
    head = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, -1};
    TRY(syscall(SYS_capget, &head, data));
    head.pid = 99999999;
    TRY(syscall(SYS_capget, &head, data));
    TRY(syscall(SYS_capget, BAD_POINTER, data));
    head.pid = 0;
    TRY(syscall(SYS_capget, &head, BAD_POINTER));
}

CASE(capset, refused)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    TRY(syscall(SYS_capset, &head, data));
    data[0].permitted = data[0].effective = 1;
    TRY(syscall(SYS_capset, &head, data));
    head.pid = 1;
    TRY(syscall(SYS_capset, &head, data));
    TRY(syscall(SYS_capset, &head, BAD_POINTER));
}

CASE(unknown, numbers)
{
    TRY(syscall(511));
    TRY(syscall(1023));
    TRY(syscall(100000));
    TRY(syscall(-1));
    TRY(syscall(SYS_uselib, 0));
    TRY(syscall(SYS__sysctl, 0));
    TRY(syscall(SYS_create_module, 0));
    TRY(syscall(SYS_tuxcall));
    TRY(syscall(SYS_security));
    TRY(syscall(SYS_vserver));
    TRY(syscall(SYS_getpmsg));
    TRY(syscall(SYS_afs_syscall));
    TRY(syscall(SYS_nfsservctl));
    TRY(syscall(SYS_set_thread_area));
    TRY(syscall(SYS_get_thread_area));
    TRY(syscall(SYS_epoll_ctl_old));
}

CASE(privileged, calls)
{
    struct timespec t = {0};
    TRY(clock_settime(CLOCK_REALTIME, &t));
    TRY(sethostname("x", 1));
    TRY(setdomainname("x", 1));
    TRY(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
    TRY(syscall(SYS_acct, NULL));
    TRY(syscall(SYS_swapon, "x", 0));
    TRY(syscall(SYS_vhangup));
}
