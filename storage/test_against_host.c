/*
 * The same operations, drawn by chance, done through the daemon in one directory and by the host
 * itself in another: every result, and in the end every name, must be the same.
 *
 * Names are few, so that operations meet; paths have "..", ".", doubled and trailing slashes, and
 * lead through symbolic links that lead anywhere below the directory (relative ones: the two
 * directories differ in name). A failure prints the seed and the step.
 */
#include "test_rig.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/syscall.h>

enum { STEPS = 6000 };

static struct rig rig;
static struct net_conn *conn;
static char ours[128], hosts[128];
static uint64_t random_state;

static unsigned draw(unsigned below)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)((random_state >> 33) % below);
}

static const char *const names[] = {"a", "b", "c", "d", "e", ".", ".."};

/* A path below the directory, such as "a/../b//c/". It starts with a plain name: ".." stays in. */
static void draw_path(char *out, size_t size)
{
    unsigned parts = 1 + (draw(2) ? 0 : draw(4)), depth = 0;
    out[0] = 0;
    for (unsigned i = 0; i < parts; i++) {
        const char *name = names[draw(i ? 7 : 5)];
        size_t used = strlen(out);
        /* Never above the directory, whatever links add: as many names as "..". */
        if (!strcmp(name, ".."))
            name = depth > 1 ? ".." : "a";
        depth += strcmp(name, "..") ? 1 : -1u;
        snprintf(out + used, size - used, "%s%s", i ? draw(8) ? "/" : "//" : "", name);
    }
    if (draw(8) == 0)
        strncat(out, "/", size - strlen(out) - 1);
}

static int host(long rc)
{
    return rc < 0 ? -errno : (int)rc;
}

/* open(2), reading or writing a little where it works. */
static int host_open(const char *path, int flags, mode_t mode)
{
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK, mode);
    if (fd < 0)
        return -errno;
    if ((flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH))
        assert_true(write(fd, path, 1) == 1);
    close(fd);
    return 0;
}

static int our_open(const char *path, uint32_t flags, mode_t mode)
{
    struct file_attr attr;
    int rc = ask_open(conn, path, flags, mode, &attr);
    if (rc < 0)
        return rc;
    if ((flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH))
        assert_true(ask_write(conn, &attr.id, 0, path, 1) == 1);
    assert_int_equal(ask_release(conn, &attr.id), 0);
    return 0;
}

static const uint32_t open_flags[] = {
    O_RDONLY,
    O_RDWR,
    O_WRONLY | O_TRUNC,
    O_RDONLY | O_TRUNC,
    O_RDWR | O_CREAT,
    O_WRONLY | O_CREAT | O_EXCL,
    O_RDONLY | O_CREAT,
    O_RDWR | O_CREAT | O_NOFOLLOW,
    O_RDONLY | O_NOFOLLOW,
    O_RDONLY | O_DIRECTORY,
    O_RDONLY | O_DIRECTORY | O_NOFOLLOW,
    O_PATH,
    O_PATH | O_NOFOLLOW,
    O_WRONLY | O_DIRECTORY,
    O_RDWR | O_CREAT | O_TRUNC,
};

/* One operation on both sides. Returns the two results in *a (ours) and *b (the host's). */
static const char *step(const char *p, const char *q, const char *hp, const char *hq, int *a,
                        int *b)
{
    struct stat st;
    char link[PATH_LIMIT], host_link[PATH_LIMIT] = "";
    struct file_attr attr;
    unsigned flags;

    switch (draw(13)) {
    case 0:
    case 1:
    case 2:
        flags = open_flags[draw(sizeof open_flags / sizeof open_flags[0])];
        *a = our_open(p, flags, 0644);
        *b = host_open(hp, (int)flags, 0644);
        return "open";
    case 3:
        *a = ask_make(conn, p, S_IFDIR | 0755);
        *b = host(mkdir(hp, 0755));
        return "mkdir";
    case 4:
        *a = ask_make(conn, p, S_IFREG | 0600);
        *b = host(mknod(hp, S_IFREG | 0600, 0));
        return "mknod";
    case 5:
        *a = ask_unlink(conn, p, false);
        *b = host(unlink(hp));
        return "unlink";
    case 6:
        *a = ask_unlink(conn, p, true);
        *b = host(rmdir(hp));
        return "rmdir";
    case 7:
    case 8:
        flags = draw(4);
        flags = flags == 3 ? 0 : flags;
        *a = ask_rename(conn, p, q, flags);
        *b = host(syscall(SYS_renameat2, AT_FDCWD, hp, AT_FDCWD, hq, flags));
        return "rename";
    case 9:
        flags = draw(2);
        *a = ask_link(conn, NULL, p, q, flags);
        *b = host(linkat(AT_FDCWD, hp, AT_FDCWD, hq, flags ? AT_SYMLINK_FOLLOW : 0));
        return "link";
    case 10:
        draw_path(link, sizeof link);
        *a = ask_symlink(conn, link, p);
        *b = host(symlink(link, hp));
        return "symlink";
    case 11:
        flags = draw(2);
        *a = ask_stat(conn, p, flags, &attr);
        *b = host(flags ? lstat(hp, &st) : stat(hp, &st));
        if (*a == 0 && *b == 0) {
            assert_int_equal(attr.mode, st.st_mode);
            assert_int_equal(attr.nlink, st.st_nlink);
            if (!S_ISDIR(attr.mode))
                assert_int_equal(attr.size_bytes, st.st_size);
        }
        return "stat";
    default:
        *a = ask_readlink(conn, p, link);
        *b = host(readlink(hp, host_link, sizeof host_link));
        if (*b > 0) {
            assert_int_equal(strlen(link), *b);
            assert_memory_equal(link, host_link, (size_t)*b);
            *b = 0;
        }
        return "readlink";
    }
}

static const char *compare_to;
static size_t compared;

static int compare(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    char other[PATH_LIMIT];
    struct stat twin;
    const char *from = compare_to == ours ? hosts : ours;

    snprintf(other, sizeof other, "%s%s", compare_to, path + strlen(from));
    assert_int_equal(lstat(other, &twin), 0);
    assert_int_equal(twin.st_mode, st->st_mode);
    assert_int_equal(twin.st_nlink, st->st_nlink);
    if (!S_ISDIR(st->st_mode))
        assert_int_equal(twin.st_size, st->st_size);
    compared++;
    return 0;
}

static void test_against_host(void **state)
{
    char p[64], q[64];
    unsigned succeeded = 0;
    const char *given = getenv("SEED");

    random_state = given ? strtoull(given, NULL, 0) : 20220913;
    printf("seed %llu\n", (unsigned long long)random_state);
    for (unsigned i = 0; i < STEPS; i++) {
        char op[PATH_LIMIT], oq[PATH_LIMIT], hp[PATH_LIMIT], hq[PATH_LIMIT];
        int a, b;
        draw_path(p, sizeof p);
        draw_path(q, sizeof q);
        snprintf(op, sizeof op, "%s/%s", ours, p);
        snprintf(oq, sizeof oq, "%s/%s", ours, q);
        snprintf(hp, sizeof hp, "%s/%s", hosts, p);
        snprintf(hq, sizeof hq, "%s/%s", hosts, q);
        const char *what = step(op, oq, hp, hq, &a, &b);
        if (a != b)
            fail_msg("step %u: %s %s %s: %d, the host says %d", i, what, p, q, a, b);
        succeeded += a == 0;
    }
    assert_true(succeeded > STEPS / 10);
    compare_to = ours;
    assert_int_equal(nftw(hosts, compare, 32, FTW_PHYS), 0);
    compare_to = hosts;
    assert_int_equal(nftw(ours, compare, 32, FTW_PHYS), 0);
    printf("%u of %u operations succeeded, %zu names compared\n", succeeded, STEPS, compared);
}

static int setup(void **state)
{
    umask(0);
    rig_start(&rig);
    conn = rig_connect(&rig);
    strcpy(ours, rig_path(&rig, "rw/ours"));
    strcpy(hosts, rig_path(&rig, "rw/hosts"));
    return mkdir(ours, 0755) + mkdir(hosts, 0755);
}

static int teardown(void **state)
{
    net_close(conn);
    rig_stop(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_host)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
