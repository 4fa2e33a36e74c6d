/* memfd_create, POSIX shared memory, System V shared memory, and what lies in them. */
#include "shared.h"

#include <pthread.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/shm.h>

static int memory_of(off_t size)
{
    int fd = memfd_create("case", MFD_ALLOW_SEALING);
    if (ftruncate(fd, size) < 0)
        perror("ftruncate");
    return fd;
}

CASE(memfd, shared)
{
    int fd = memory_of(PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    IN_CHILD(strcpy(p, "child"));
    SHOW("%s", p);
}
CASE(memfd, two_mappings)
{
    int fd = memory_of(PAGE);
    char *p = map_shared(PAGE, RW, fd, 0), *q = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "both");
    SHOW("%s", q);
}
CASE(memfd, read_sees_store)
{
    int fd = memory_of(PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "stored");
    show_file(fd, 0, 6);
}
CASE(memfd, load_sees_write)
{
    int fd = memory_of(PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    pwrite(fd, "written", 7, 9);
    SHOW("%s", p + 9);
}
CASE(memfd, written_before)
{
    int fd = memory_of(PAGE);
    pwrite(fd, "before", 6, 0);
    char *p = map_shared(PAGE, RW, fd, 0);
    SHOW("%s", p);
}
CASE(memfd, after_the_mapping)
{
    int fd = memory_of(PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "after");
    munmap(p, PAGE);
    show_file(fd, 0, 5);
}
CASE(memfd, own_offset)
{
    int fd = memory_of(PAGE);
    map_shared(PAGE, RW, fd, 0);
    TRY(write(fd, "abc", 3));
    TRY(write(fd, "def", 3));
    TRY(lseek(fd, 0, SEEK_CUR));
    show_file(fd, 0, 6);
}
CASE(memfd, append)
{
    int fd = memory_of(3);
    map_shared(PAGE, RW, fd, 0);
    fcntl(fd, F_SETFL, O_APPEND);
    TRY(write(fd, "end", 3));
    TRY(lseek(fd, 0, SEEK_CUR));
    show_file(fd, 0, 9);
}
CASE(memfd, past_the_end)
{
    int fd = memory_of(100);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    READ(p + 200);
    READ(p + PAGE);
}
CASE(memfd, grown)
{
    int fd = memory_of(PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    READ(p + PAGE);
    TRY(ftruncate(fd, 2 * PAGE));
    READ(p + PAGE);
}
CASE(memfd, cut_and_grown)
{
    int fd = memory_of(2 * PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    memset(p, 7, 2 * PAGE);
    ftruncate(fd, 50);
    ftruncate(fd, 2 * PAGE);
    SHOW("%d %d %d", p[49], p[50], p[PAGE]);
}
CASE(memfd, write_grows)
{
    int fd = memory_of(0);
    char *p = map_shared(PAGE, RW, fd, 0);
    READ(p);
    TRY(write(fd, "grown", 5));
    SHOW("%s", p);
    struct stat st;
    fstat(fd, &st);
    SHOW("%ld", (long)st.st_size);
}
CASE(memfd, private)
{
    int fd = memory_of(PAGE);
    pwrite(fd, "base", 4, 0);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    SHOW("%s", p);
    strcpy(p, "mine");
    show_file(fd, 0, 4);
}
CASE(memfd, seal_write_with_a_mapping)
{
    int fd = memory_of(PAGE);
    map_shared(PAGE, RW, fd, 0);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
}
CASE(memfd, seal_write_then_map)
{
    int fd = memory_of(PAGE);
    pwrite(fd, "fixed", 5, 0);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    SHOW("%s", p);
    TRY(pwrite(fd, "x", 1, 0));
}
CASE(memfd, seal_after_unmap)
{
    int fd = memory_of(PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "kept");
    munmap(p, PAGE);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    show_file(fd, 0, 4);
}
CASE(memfd, seal_size)
{
    int fd = memory_of(PAGE);
    map_shared(PAGE, RW, fd, 0);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW));
    TRY(ftruncate(fd, 2 * PAGE));
    TRY(ftruncate(fd, 10));
    TRY(fcntl(fd, F_GET_SEALS));
}
CASE(memfd, sealed_within_a_page)
{
    static const int sizes[] = {8, PAGE + 8};
    for (int i = 0; i < 2; i++) {
        int fd = memory_of(sizes[i]);
        TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW));
        char *p = map_shared(sizes[i], RW, fd, 0);
        p[0] = 'a';
        p[sizes[i] - 1] = 'z';
        char c = 0;
        TRY(pread(fd, &c, 1, sizes[i] - 1));
        SHOW("%c", c);
    }
}

CASE(memfd, no_seals)
{
    int fd = memfd_create("case", 0);
    ftruncate(fd, PAGE);
    map_shared(PAGE, RW, fd, 0);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
}
CASE(memfd, through_proc)
{
    int fd = memory_of(PAGE);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    int g = open(path, O_RDWR);
    char *p = map_shared(PAGE, RW, fd, 0), *q = map_shared(PAGE, RW, g, 0);
    strcpy(p, "same");
    SHOW("%s", q);
}
CASE(memfd, read_only_descriptor)
{
    int fd = memory_of(PAGE);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    int g = open(path, O_RDONLY);
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, g, 0));
    char *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, g, 0);
    pwrite(fd, "seen", 4, 0);
    SHOW("%s", q);
    TRY(mprotect(q, PAGE, RW));
}
CASE(memfd, larger_than_the_cache)
{
    size_t n = 6 << 20;
    int fd = memory_of(n);
    long *p = (long *)map_shared(n, RW, fd, 0), bad = 0, page[512];
    for (size_t i = 0; i < n / 8; i++)
        p[i] = (long)i;
    for (size_t i = 0; i < n / PAGE; i += 5) {
        pread(fd, page, PAGE, i * PAGE);
        for (int j = 0; j < 512; j++)
            bad += page[j] != (long)(i * 512 + j);
    }
    munmap(p, n);
    for (size_t i = 1; i < n / PAGE; i += 5) {
        pread(fd, page, PAGE, i * PAGE);
        for (int j = 0; j < 512; j++)
            bad += page[j] != (long)(i * 512 + j);
    }
    SHOW("%ld", bad);
}

/* ---- POSIX ---- */

static const char *name_of(const char *edge)
{
    static char name[64];
    sprintf(name, "/ashlar-case-%s-%d", edge, (int)getppid());
    return name;
}

static int posix_of(const char *edge, off_t size)
{
    int fd = shm_open(name_of(edge), O_RDWR | O_CREAT | O_EXCL, 0600);
    ftruncate(fd, size);
    return fd;
}

CASE(shm_open, shared)
{
    int fd = posix_of("a", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    IN_CHILD(strcpy(p, "child"));
    SHOW("%s", p);
    shm_unlink(name_of("a"));
}
CASE(shm_open, by_name)
{
    int fd = posix_of("b", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0),
         *q = map_shared(PAGE, RW, shm_open(name_of("b"), O_RDWR, 0), 0);
    strcpy(p, "named");
    SHOW("%s", q);
    shm_unlink(name_of("b"));
}
CASE(shm_open, exclusive)
{
    posix_of("c", PAGE);
    TRY(shm_open(name_of("c"), O_RDWR | O_CREAT | O_EXCL, 0600));
    shm_unlink(name_of("c"));
}
CASE(shm_open, unlinked)
{
    int fd = posix_of("d", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    TRY(shm_unlink(name_of("d")));
    strcpy(p, "still");
    show_file(fd, 0, 5);
    TRY(shm_open(name_of("d"), O_RDWR, 0));
}
CASE(shm_open, missing)
{
    TRY(shm_open("/ashlar-case-none", O_RDWR, 0));
    TRY(shm_unlink("/ashlar-case-none"));
}
CASE(shm_open, content_outlives_mappings)
{
    int fd = posix_of("e", 3 << 20);
    char *p = map_shared(3 << 20, RW, fd, 0);
    for (int i = 0; i < 3 << 20; i += PAGE)
        p[i] = i / PAGE;
    munmap(p, 3 << 20);
    p = map_shared(3 << 20, RW, fd, 0);
    long bad = 0;
    for (int i = 0; i < 3 << 20; i += PAGE)
        bad += p[i] != (char)(i / PAGE);
    SHOW("%ld", bad);
    shm_unlink(name_of("e"));
}
CASE(shm_open, read_only)
{
    close(posix_of("f", PAGE));
    int fd = shm_open(name_of("f"), O_RDONLY, 0);
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
    OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
    shm_unlink(name_of("f"));
}
CASE(sem_open, across_processes)
{
    sem_t *s = sem_open(name_of("s"), O_CREAT | O_EXCL, 0600, 0);
    IN_CHILD(sem_post(s));
    TRY(sem_wait(s));
    TRY(sem_trywait(s));
    sem_unlink(name_of("s"));
}

/* ---- System V ---- */

CASE(shmget, private_is_new)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600), b = shmget(IPC_PRIVATE, PAGE, 0600);
    SHOW("%d", a != b);
    shmctl(a, IPC_RMID, NULL);
    shmctl(b, IPC_RMID, NULL);
}
CASE(shmget, size_zero)
{
    TRY(shmget(IPC_PRIVATE, 0, 0600));
}
CASE(shmget, missing_key)
{
    TRY(shmget(0x5a5a1234, PAGE, 0600));
}
CASE(shmget, by_key)
{
    int a = shmget(0x5a5a0001, PAGE, IPC_CREAT | 0600), b = shmget(0x5a5a0001, 0, 0);
    SHOW("%d", a == b);
    TRY(shmget(0x5a5a0001, PAGE, IPC_CREAT | IPC_EXCL | 0600));
    TRY(shmget(0x5a5a0001, 2 * PAGE, 0));
    shmctl(a, IPC_RMID, NULL);
    TRY(shmget(0x5a5a0001, 0, 0));
}
CASE(shmget, key_of_removed)
{
    int a = shmget(0x5a5a0002, PAGE, IPC_CREAT | 0600);
    char *p = shmat(a, NULL, 0);
    shmctl(a, IPC_RMID, NULL);
    TRY(shmget(0x5a5a0002, 0, 0));
    strcpy(p, "alive");
    SHOW("%s", p);
}
CASE(shmat, shared)
{
    int a = shmget(IPC_PRIVATE, 2 * PAGE, 0600);
    char *p = shmat(a, NULL, 0);
    IN_CHILD(strcpy(p + PAGE, "child"));
    SHOW("%s", p + PAGE);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmat, twice)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    char *p = shmat(a, NULL, 0), *q = shmat(a, NULL, 0);
    strcpy(p, "both");
    SHOW("%d %s", p != q, q);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmat, read_only)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    char *p = shmat(a, NULL, SHM_RDONLY);
    READ(p);
    WRITE(p);
    TRY(mprotect(p, PAGE, RW));
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmat, bad_id)
{
    TRY(shmat(-1, NULL, 0));
    TRY(shmat(0x7ffffff, NULL, 0));
}
CASE(shmat, removed)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    shmctl(a, IPC_RMID, NULL);
    errno = 0;
    void *p = shmat(a, NULL, 0);
    SHOW("%d %d", p == (void *)-1, errno == EINVAL || errno == EIDRM);
}
CASE(shmat, removed_but_attached)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    char *p = shmat(a, NULL, 0);
    shmctl(a, IPC_RMID, NULL);
    strcpy(p, "again");
    char *q = shmat(a, NULL, 0);
    SHOW("%s", q);
}
CASE(shmat, at_an_address)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    char *hole = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(hole, 4 * PAGE);
    SHOW("%d", shmat(a, hole + PAGE, 0) == hole + PAGE);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmat, rounded)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    char *hole = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(hole, 4 * PAGE);
    TRY(shmat(a, hole + 5, 0));
    SHOW("%d", shmat(a, hole + PAGE + 5, SHM_RND) == hole + PAGE);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmat, occupied)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(shmat(a, p, 0));
    SHOW("%d", shmat(a, p, SHM_REMAP) == p);
    TRY(shmat(a, NULL, SHM_REMAP));
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmdt, not_attached)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(shmdt(p));
    TRY(shmdt(p + 1));
    TRY(shmdt(NULL));
}
CASE(shmdt, once)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    char *p = shmat(a, NULL, 0);
    TRY(shmdt(p));
    READ(p);
    TRY(shmdt(p));
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmdt, in_pieces)
{
    int a = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
    char *p = shmat(a, NULL, 0);
    munmap(p + PAGE, PAGE);
    TRY(shmdt(p));
    READ(p);
    READ(p + 2 * PAGE);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmdt, content_stays)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    char *p = shmat(a, NULL, 0);
    strcpy(p, "kept");
    shmdt(p);
    p = shmat(a, NULL, 0);
    SHOW("%s", p);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmctl, stat)
{
    int a = shmget(0x5a5a0003, 5000, IPC_CREAT | 0640);
    struct shmid_ds d;
    char *p = shmat(a, NULL, 0);
    TRY(shmctl(a, IPC_STAT, &d));
    SHOW("%zu %lu %o %x %d %d", d.shm_segsz, (unsigned long)d.shm_nattch, d.shm_perm.mode,
         d.shm_perm.__key, d.shm_cpid == getpid(), d.shm_lpid == getpid());
    SHOW("%d %d %d", d.shm_atime > 0, d.shm_dtime == 0, d.shm_ctime > 0);
    shmctl(a, IPC_RMID, NULL);
}
/* The segments of others may be among them, and come and go. */
CASE(shmctl, listed)
{
    int ids[2] = {shmget(IPC_PRIVATE, PAGE, 0600), shmget(IPC_PRIVATE, 5000, 0200)}, found[2] = {};
    struct shm_info info;
    struct shminfo limits;
    struct shmid_ds d;
    int last = shmctl(0, SHM_INFO, (struct shmid_ds *)&info);
    SHOW("%d %d", info.used_ids >= 2, info.shm_tot >= 3);
    SHOW("%d", shmctl(0, IPC_INFO, (struct shmid_ds *)&limits) == last);
    for (int i = 0; i <= last; i++) {
        int id = shmctl(i, SHM_STAT, &d), any = shmctl(i, SHM_STAT_ANY, &d);
        found[0] += id == ids[0] && any == ids[0];
        found[1] += any == ids[1];
        if (any == ids[1])
            SHOW("unreadable: %d %zu %o", id, d.shm_segsz, d.shm_perm.mode);
    }
    SHOW("%d %d", found[0], found[1]);
    TRY(shmctl(0x7ffffff, SHM_STAT, &d));
    TRY(shmctl(-1, SHM_STAT, &d));
    TRY(shmctl(0, SHM_INFO, BAD_POINTER));
    shmctl(ids[0], IPC_RMID, NULL);
    shmctl(ids[1], IPC_RMID, NULL);
}
CASE(shmctl, counts)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    struct shmid_ds d;
    char *p = shmat(a, NULL, 0);
    IN_CHILD(shmat(a, NULL, 0); shmctl(a, IPC_STAT, &d); SHOW("%lu", (unsigned long)d.shm_nattch));
    shmctl(a, IPC_STAT, &d);
    SHOW("%lu", (unsigned long)d.shm_nattch);
    shmdt(p);
    shmctl(a, IPC_STAT, &d);
    SHOW("%lu %d", (unsigned long)d.shm_nattch, d.shm_dtime > 0);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmctl, counts_without_the_killed)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    struct shmid_ds d;
    IN_CHILD(shmat(a, NULL, 0); kill(getpid(), SIGKILL));
    shmctl(a, IPC_STAT, &d);
    SHOW("%lu", (unsigned long)d.shm_nattch);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmctl, removed_goes_with_the_last)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    struct shmid_ds d;
    char *p = shmat(a, NULL, 0);
    TRY(shmctl(a, IPC_RMID, NULL));
    TRY(shmctl(a, IPC_STAT, &d));
    SHOW("%o %d", d.shm_perm.mode, d.shm_perm.__key);
    TRY(shmdt(p));
    errno = 0;
    TRY(shmctl(a, IPC_STAT, &d));
}
CASE(shmctl, set)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    struct shmid_ds d;
    shmctl(a, IPC_STAT, &d);
    d.shm_perm.mode = 0644;
    TRY(shmctl(a, IPC_SET, &d));
    shmctl(a, IPC_STAT, &d);
    SHOW("%o", d.shm_perm.mode);
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmctl, bad)
{
    struct shmid_ds d;
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    TRY(shmctl(-1, IPC_STAT, &d));
    TRY(shmctl(0x7ffffff, IPC_RMID, NULL));
    TRY(shmctl(a, IPC_STAT, BAD_POINTER));
    TRY(shmctl(a, IPC_SET, BAD_POINTER));
    TRY(shmctl(a, 99, &d));
    shmctl(a, IPC_RMID, NULL);
}
CASE(shmctl, exec_detaches)
{
    int a = shmget(IPC_PRIVATE, PAGE, 0600);
    struct shmid_ds d;
    int ends[2];
    char c;
    pipe(ends);
    pid_t pid = fork();
    if (!pid) {
        shmat(a, NULL, 0);
        dup2(ends[1], 1);
        execl("/bin/sh", "sh", "-c", "echo x; exec sleep 20", NULL);
    }
    read(ends[0], &c, 1);
    shmctl(a, IPC_STAT, &d);
    SHOW("%lu", (unsigned long)d.shm_nattch);
    kill(pid, SIGKILL);
    shmctl(a, IPC_RMID, NULL);
}

/* ---- what lies in shared memory ---- */

struct both {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    pthread_barrier_t barrier;
    pthread_rwlock_t rwlock;
    sem_t semaphore;
    long count;
};

static struct both *make(int robust)
{
    struct both *b = (struct both *)map_shared(sizeof *b, RW, -1, 0);
    pthread_mutexattr_t m;
    pthread_condattr_t c;
    pthread_mutexattr_init(&m);
    pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED);
    if (robust)
        pthread_mutexattr_setrobust(&m, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&b->mutex, &m);
    pthread_condattr_init(&c);
    pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&b->cond, &c);
    sem_init(&b->semaphore, 1, 0);
    return b;
}

CASE(pshared, mutex)
{
    struct both *b = make(0);
    for (int k = 0; k < 3; k++)
        if (!fork()) {
            for (int i = 0; i < 500; i++) {
                pthread_mutex_lock(&b->mutex);
                b->count++;
                pthread_mutex_unlock(&b->mutex);
            }
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    SHOW("%ld", b->count);
}
/* The owner is killed while it has the mutex, once while another process sleeps on it. */
CASE(pshared, robust_owner_is_killed)
{
    struct both *b = make(1);
    pid_t owner = fork();
    if (!owner) {
        pthread_mutex_lock(&b->mutex);
        sem_post(&b->semaphore);
        for (;;)
            pause();
    }
    sem_wait(&b->semaphore);
    pid_t sleeper = fork();
    if (!sleeper) {
        int rc = pthread_mutex_lock(&b->mutex);
        pthread_mutex_consistent(&b->mutex);
        pthread_mutex_unlock(&b->mutex);
        _exit(rc);
    }
    usleep(50000);
    kill(owner, SIGKILL);
    int status;
    waitpid(sleeper, &status, 0);
    SHOW("%d %d", WEXITSTATUS(status), EOWNERDEAD);
    waitpid(owner, &status, 0);
    owner = fork();
    if (!owner) {
        pthread_mutex_lock(&b->mutex);
        kill(getpid(), SIGKILL);
    }
    waitpid(owner, &status, 0);
    SHOW("%d", pthread_mutex_trylock(&b->mutex));
}
CASE(pshared, cond)
{
    struct both *b = make(0);
    if (!fork()) {
        usleep(10000);
        pthread_mutex_lock(&b->mutex);
        b->count = 7;
        pthread_cond_signal(&b->cond);
        pthread_mutex_unlock(&b->mutex);
        _exit(0);
    }
    pthread_mutex_lock(&b->mutex);
    while (!b->count)
        pthread_cond_wait(&b->cond, &b->mutex);
    SHOW("%ld", b->count);
    wait(NULL);
}
CASE(pshared, semaphore)
{
    struct both *b = make(0);
    for (int k = 0; k < 4; k++)
        if (!fork()) {
            sem_post(&b->semaphore);
            _exit(0);
        }
    for (int k = 0; k < 4; k++)
        TRY(sem_wait(&b->semaphore));
    while (wait(NULL) > 0)
        ;
}
CASE(pshared, barrier)
{
    struct both *b = make(0);
    pthread_barrierattr_t a;
    pthread_barrierattr_init(&a);
    pthread_barrierattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&b->barrier, &a, 3);
    for (int k = 0; k < 2; k++)
        if (!fork()) {
            __atomic_fetch_add(&b->count, 1, __ATOMIC_SEQ_CST);
            pthread_barrier_wait(&b->barrier);
            _exit(0);
        }
    pthread_barrier_wait(&b->barrier);
    SHOW("%ld", b->count);
    while (wait(NULL) > 0)
        ;
}
CASE(pshared, rwlock)
{
    struct both *b = make(0);
    pthread_rwlockattr_t a;
    pthread_rwlockattr_init(&a);
    pthread_rwlockattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(&b->rwlock, &a);
    pthread_rwlock_rdlock(&b->rwlock);
    IN_CHILD(SHOW("%d", pthread_rwlock_tryrdlock(&b->rwlock));
             SHOW("%d", pthread_rwlock_trywrlock(&b->rwlock) == EBUSY));
}
CASE(pshared, mutex_in_a_file)
{
    int fd = file_of("f", PAGE);
    struct both *a = make(0);
    struct both *b = (struct both *)map_shared(PAGE, RW, fd, 0);
    memcpy(b, a, sizeof *a);
    for (int k = 0; k < 3; k++)
        if (!fork()) {
            for (int i = 0; i < 300; i++) {
                pthread_mutex_lock(&b->mutex);
                b->count++;
                pthread_mutex_unlock(&b->mutex);
            }
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    SHOW("%ld", b->count);
}
CASE(pshared, mutex_under_eviction)
{
    struct both *b = make(0);
    size_t n = 3 << 20;
    char *p = map_shared(n, RW, -1, 0);
    for (int k = 0; k < 3; k++)
        if (!fork()) {
            for (int i = 0; i < 60; i++) {
                pthread_mutex_lock(&b->mutex);
                b->count++;
                pthread_mutex_unlock(&b->mutex);
                for (size_t j = (size_t)i % 7 * PAGE; j < n; j += 7 * PAGE)
                    p[j]++;
            }
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    SHOW("%ld", b->count);
}

CASE(pshared, futex_in_a_read_only_view)
{
    int fd = file_of("f", PAGE), *p = (int *)map_shared(PAGE, RW, fd, 0);
    if (!fork()) {
        int *q = (int *)mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open("f", O_RDONLY), 0);
        TRY(syscall(SYS_futex, q, 0 /* FUTEX_WAIT */, 5, NULL));
        syscall(SYS_futex, q, 0, 0, NULL);
        fflush(stdout);
        _exit(0);
    }
    while (syscall(SYS_futex, p, 1 /* FUTEX_WAKE */, 1) == 0)
        usleep(1000);
    wait(NULL);
    SHOW("woken");
}
