/*
 * Memory that is locked while much more than the ExCache is gone through.
 *
 * Usage: locked LOCKED_MIB SWEEP_MIB HOW [touch]. HOW: mlock, onfault (mlock2), all (mlockall; the
 * sweep's memory is mapped later). The locked memory is written to first, in part by a child, so
 * that some of its pages are shared with a child that lives until the end. touch: it is read during
 * the sweeps. Prints how many locked lines are resident after each sweep, and after the first one
 * since it is no longer locked.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, SWEEPS = 4 };

static volatile uint64_t *map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return p;
}

static void write_all(volatile uint64_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i += PAGE / 8)
        p[i] = i;
}

static void read_all(volatile uint64_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i += PAGE / 8) {
        if (p[i] != i) {
            printf("%zu: %llu\n", i, (unsigned long long)p[i]);
            exit(1);
        }
    }
}

static void sweep(volatile uint64_t *p, size_t bytes, volatile uint64_t *locked,
                  size_t locked_bytes)
{
    for (size_t done = 0; done < bytes; done += 1 << 20) {
        for (size_t i = done / 8; i < (done + (1 << 20)) / 8; i += PAGE / 8) {
            if (p[i] != i)
                exit(1);
            if (i % (PAGE / 2) == 0)
                p[i] = i;
        }
        if (locked)
            read_all(locked, locked_bytes);
    }
}

static void show_resident(const char *when, volatile uint64_t *p, size_t bytes)
{
    static unsigned char in[1 << 14];
    size_t count = 0;
    mincore((void *)p, bytes, in);
    for (size_t i = 0; i < bytes / PAGE; i++)
        count += in[i] & 1;
    printf("%s %zu\n", when, count);
}

static void lock(const char *how, volatile uint64_t *p, size_t bytes)
{
    int rc = !strcmp(how, "mlock")     ? mlock((void *)p, bytes)
             : !strcmp(how, "onfault") ? mlock2((void *)p, bytes, MLOCK_ONFAULT)
                                       : mlockall(MCL_CURRENT);
    if (rc < 0) {
        perror(how);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    size_t locked_bytes = strtoul(argv[1], NULL, 0) << 20, bytes = strtoul(argv[2], NULL, 0) << 20;
    volatile uint64_t *locked = map(locked_bytes), *p;
    write_all(locked, locked_bytes / 2);
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    write_all(locked, locked_bytes);
    lock(argv[3], locked, locked_bytes);
    if (!strcmp(argv[3], "onfault"))
        read_all(locked, locked_bytes);
    p = map(bytes);
    write_all(p, bytes);
    for (int i = 0; i < SWEEPS; i++) {
        sweep(p, bytes, argc > 4 ? locked : NULL, locked_bytes);
        show_resident("resident", locked, locked_bytes);
    }
    read_all(locked, locked_bytes);
    if (munlockall() < 0)
        perror("munlockall");
    sweep(p, bytes, NULL, 0);
    show_resident("unlocked", locked, locked_bytes);
    read_all(locked, locked_bytes);
    kill(child, SIGKILL);
    return 0;
}
