/* Users, groups and capabilities of a process without rights. */
#include "conformance.h"

#include <grp.h>
#include <sys/fsuid.h>

CASE(uid, get)
{
    uid_t r, e, s;
    TRY(getresuid(&r, &e, &s));
    SHOW("%d %d %d", r == getuid(), e == geteuid(), s == e);
    TRY(syscall(SYS_getresuid, BAD_POINTER, &e, &s));
    TRY(syscall(SYS_getresuid, &r, BAD_POINTER, &s));
    TRY(syscall(SYS_getresuid, &r, &e, BAD_POINTER));
}

CASE(gid, get)
{
    gid_t r, e, s;
    TRY(getresgid(&r, &e, &s));
    SHOW("%d %d %d", r == getgid(), e == getegid(), s == e);
    TRY(syscall(SYS_getresgid, BAD_POINTER, &e, &s));
    TRY(syscall(SYS_getresgid, &r, &e, NULL));
}

#define SAME(call, ...)                                                                            \
    CASE(call, to_what_it_is)                                                                      \
    {                                                                                              \
        uid_t me = getuid();                                                                       \
        (void)me;                                                                                  \
        TRY(syscall(SYS_##call, __VA_ARGS__));                                                     \
    }
SAME(setuid, me)
SAME(setgid, getgid())
SAME(setreuid, me, me)
SAME(setregid, -1, -1)
SAME(setresuid, me, me, me)
SAME(setresgid, -1, getgid(), -1)

#define OTHER(call, ...)                                                                           \
    CASE(call, to_root)                                                                            \
    {                                                                                              \
        TRY(syscall(SYS_##call, __VA_ARGS__));                                                     \
    }
OTHER(setuid, 0)
OTHER(setgid, 0)
OTHER(setreuid, 0, 0)
#undef OTHER
#define OTHER(name, call, ...)                                                                     \
    CASE(call, name)                                                                               \
    {                                                                                              \
        TRY(syscall(SYS_##call, __VA_ARGS__));                                                     \
    }
OTHER(effective_to_root, setreuid, -1, 0)
OTHER(both_to_root, setregid, 0, 0)
OTHER(saved_to_root, setresuid, -1, -1, 0)
OTHER(all_to_root, setresgid, 0, 0, 0)
OTHER(to_none, setuid, -1)
OTHER(to_none, setgid, -1)

CASE(fsuid, changes_nothing)
{
    SHOW("%d", setfsuid(0) == (int)getuid());
    SHOW("%d", setfsuid((uid_t)-1) == (int)getuid());
    SHOW("%d", setfsgid(0) == (int)getgid());
}

CASE(groups, get)
{
    gid_t g[64];
    TRY(getgroups(0, NULL));
    TRY(getgroups(64, g));
    TRY(getgroups(-1, g));
    gid_t *all = malloc(sizeof(gid_t) << 20);
    TRY(getgroups(1 << 16, all)); /* as bash asks */
    TRY(getgroups(1 << 20, all));
    TRY(syscall(SYS_getgroups, 1ul << 32 | 64, all));
    free(all);
    TRY(syscall(SYS_getgroups, 64, BAD_POINTER) <= 0);
}

CASE(groups, set)
{
    gid_t g[1] = {0};
    TRY(setgroups(1, g));
    TRY(setgroups(0, NULL));
}

CASE(ids, of_a_child)
{
    pid_t pid = fork();
    int status;
    uid_t me = getuid();
    if (pid == 0)
        _exit(getuid() == me && geteuid() == me);
    waitpid(pid, &status, 0);
    SHOW("%x", status);
}
