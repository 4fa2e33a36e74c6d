/* System V semaphores and message queues, POSIX message queues. */
#include "conformance.h"

#include <mqueue.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

static int set_of(int count)
{
    return semget(IPC_PRIVATE, count, 0600);
}

CASE(semget, forms)
{
    TRY(semget(IPC_PRIVATE, 0, 0600));
    TRY(semget(IPC_PRIVATE, -1, 0600));
    TRY(semget(0x7e57c0de, 1, 0600));
    TRY(semctl(OK(semget(IPC_PRIVATE, 3, 0600)), 0, IPC_RMID));
}

CASE(semctl, values)
{
    unsigned short all[3] = {5, 6, 7};
    int id = set_of(3);
    TRY(semctl(id, 0, GETVAL));
    TRY(semctl(id, 1, SETVAL, 4));
    TRY(semctl(id, 1, GETVAL));
    TRY(semctl(id, 0, SETALL, all));
    TRY(semctl(id, 2, GETVAL));
    memset(all, 0, sizeof all);
    TRY(semctl(id, 0, GETALL, all));
    SHOW("%d %d %d", all[0], all[1], all[2]);
    TRY(semctl(id, 3, GETVAL));
    TRY(semctl(id, 0, SETVAL, -1));
    TRY(semctl(id, 0, SETVAL, 32768));
    TRY(semctl(id, 0, GETALL, BAD_POINTER));
    TRY(semctl(id, 0, 999));
    TRY(semctl(id, 0, GETNCNT));
    TRY(semctl(id, 0, GETZCNT));
    TRY(semctl(id, 0, IPC_RMID));
    TRY(semctl(id, 0, GETVAL));
}

CASE(semctl, about)
{
    struct semid_ds about;
    int id = set_of(2);
    TRY(semctl(id, 0, IPC_STAT, &about));
    SHOW("%lu %o", about.sem_nsems, about.sem_perm.mode);
    about.sem_perm.mode = 0640;
    TRY(semctl(id, 0, IPC_SET, &about));
    TRY(semctl(id, 0, IPC_STAT, &about));
    SHOW("%o", about.sem_perm.mode);
    TRY(semctl(id, 0, IPC_STAT, BAD_POINTER));
    TRY(semctl(id, 0, IPC_RMID));
}

CASE(semop, counts)
{
    struct sembuf op = {0, 2, 0}, both[2] = {{0, -1, IPC_NOWAIT}, {1, -1, IPC_NOWAIT}};
    int id = set_of(2);
    TRY(semop(id, &op, 1));
    TRY(semop(id, both, 2));
    TRY(semctl(id, 0, GETVAL));
    op = (struct sembuf){0, -3, IPC_NOWAIT};
    TRY(semop(id, &op, 1));
    op = (struct sembuf){0, 0, IPC_NOWAIT};
    TRY(semop(id, &op, 1));
    op = (struct sembuf){5, 1, 0};
    TRY(semop(id, &op, 1));
    TRY(semop(id, &op, 0));
    TRY(semop(id, BAD_POINTER, 1));
    TRY(semop(id, &op, 501));
    TRY(semop(-1, &op, 1));
    TRY(semctl(id, 0, IPC_RMID));
}

CASE(semop, waits_for_another)
{
    struct sembuf take = {0, -1, 0}, give = {0, 1, 0};
    int id = set_of(1);
    if (fork() == 0)
        _exit(semop(id, &give, 1) < 0);
    TRY(semop(id, &take, 1));
    wait(NULL);
    TRY(semctl(id, 0, IPC_RMID));
}

CASE(semop, undone_at_exit)
{
    struct sembuf give = {0, 5, SEM_UNDO};
    int id = set_of(1);
    if (fork() == 0)
        _exit(semop(id, &give, 1) < 0);
    wait(NULL);
    TRY(semctl(id, 0, GETVAL));
    TRY(semctl(id, 0, IPC_RMID));
}

CASE(semop, removed_meanwhile)
{
    struct sembuf take = {0, -1, 0};
    int id = set_of(1);
    if (fork() == 0) {
        while (semctl(id, 0, GETNCNT) == 0)
            sched_yield();
        semctl(id, 0, IPC_RMID);
        _exit(0);
    }
    TRY(semop(id, &take, 1));
    wait(NULL);
}

CASE(semtimedop, times_out)
{
    struct sembuf take = {0, -1, 0};
    struct timespec soon = {0, 1000000}, bad = {0, -1};
    int id = set_of(1);
    TRY(semtimedop(id, &take, 1, &soon));
    TRY(semtimedop(id, &take, 1, &bad));
    TRY(semtimedop(id, &take, 1, BAD_POINTER));
    TRY(semctl(id, 0, IPC_RMID));
}

static void nothing(int signal)
{
}

CASE(semop, interrupted)
{
    struct sembuf take = {0, -1, 0};
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    int id = set_of(1);
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    TRY(semop(id, &take, 1));
    TRY(semctl(id, 0, IPC_RMID));
}

struct message {
    long type;
    char text[16];
};

CASE(msgsnd, and_back)
{
    struct message m = {7, "hello"};
    int id = msgget(IPC_PRIVATE, 0600);
    TRY(msgsnd(id, &m, 6, 0));
    m.type = 3;
    TRY(msgsnd(id, &m, 0, 0));
    TRY(msgrcv(id, &m, 16, 7, 0));
    SHOW("%ld %s", m.type, m.text);
    TRY(msgrcv(id, &m, 16, 0, 0));
    SHOW("%ld", m.type);
    TRY(msgrcv(id, &m, 16, 0, IPC_NOWAIT));
    TRY(msgctl(id, IPC_RMID, NULL));
    TRY(msgsnd(id, &m, 1, 0));
}

CASE(msgsnd, errors)
{
    struct message m = {1, "hello"};
    int id = msgget(IPC_PRIVATE, 0600);
    TRY(msgsnd(id, BAD_POINTER, 4, 0));
    TRY(msgsnd(id, &m, (size_t)-1, 0));
    TRY(msgsnd(id, &m, 1 << 20, 0));
    m.type = 0;
    TRY(msgsnd(id, &m, 4, 0));
    m.type = -1;
    TRY(msgsnd(id, &m, 4, 0));
    TRY(msgctl(id, IPC_RMID, NULL));
    TRY(msgget(0x7e57c0de, 0600));
}

CASE(msgrcv, sizes)
{
    struct message m = {1, "hello"};
    int id = msgget(IPC_PRIVATE, 0600);
    TRY(msgsnd(id, &m, 6, 0));
    TRY(msgrcv(id, &m, 3, 0, 0));
    TRY(msgrcv(id, &m, 3, 0, MSG_NOERROR));
    TRY(msgsnd(id, &m, 6, 0));
    m.type = 5;
    TRY(msgsnd(id, &m, 6, 0));
    TRY(msgrcv(id, &m, 16, -3, 0));
    TRY(msgrcv(id, &m, 16, 9, IPC_NOWAIT));
    TRY(msgrcv(id, &m, 16, 9, IPC_NOWAIT | MSG_EXCEPT));
    TRY(msgrcv(id, &m, (size_t)-1, 0, IPC_NOWAIT));
    TRY(msgctl(id, IPC_RMID, NULL));
}

CASE(msgrcv, waits_for_another)
{
    struct message m = {1, "hello"};
    int id = msgget(IPC_PRIVATE, 0600);
    if (fork() == 0)
        _exit(msgsnd(id, &m, 6, 0) < 0);
    memset(&m, 0, sizeof m);
    TRY(msgrcv(id, &m, 16, 0, 0));
    SHOW("%s", m.text);
    wait(NULL);
    TRY(msgctl(id, IPC_RMID, NULL));
}

CASE(msgctl, about)
{
    struct msqid_ds about;
    struct message m = {1, "hello"};
    int id = msgget(IPC_PRIVATE, 0640);
    TRY(msgsnd(id, &m, 6, 0));
    TRY(msgctl(id, IPC_STAT, &about));
    SHOW("%d messages, %d bytes, %o", (int)about.msg_qnum, (int)about.msg_cbytes,
         about.msg_perm.mode);
    TRY(msgctl(id, IPC_STAT, BAD_POINTER));
    TRY(msgctl(id, 99, &about));
    TRY(msgctl(id, IPC_RMID, NULL));
    TRY(msgctl(id, IPC_STAT, &about));
}

static const char *queue_name(void)
{
    static char name[64];
    sprintf(name, "/conformance-%d", getpid());
    return name;
}

CASE(mq_open, forms)
{
    struct mq_attr attr = {.mq_maxmsg = 4, .mq_msgsize = 32}, wild = {.mq_maxmsg = -1};
    TRY(mq_open(queue_name(), O_RDWR));
    OK(mq_open(queue_name(), O_RDWR | O_CREAT, 0600, &attr));
    TRY(mq_open(queue_name(), O_RDWR | O_CREAT | O_EXCL, 0600, &attr));
    TRY(mq_open("/", O_RDWR));
    TRY(mq_open("/a/b", O_RDWR | O_CREAT, 0600, &attr));
    TRY(syscall(SYS_mq_open, BAD_POINTER, O_RDWR, 0600, NULL));
    TRY(mq_unlink(queue_name()));
    TRY(mq_unlink(queue_name()));
    TRY(mq_open(queue_name(), O_RDWR | O_CREAT, 0600, &wild));
}

CASE(mq_send, and_back)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 8};
    char text[8];
    unsigned priority = 0;
    int q = mq_open(queue_name(), O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
    TRY(mq_unlink(queue_name()));
    TRY(mq_send(q, "low", 4, 1));
    TRY(mq_send(q, "high", 5, 9));
    TRY(mq_send(q, "full", 5, 9));
    TRY(mq_send(q, "too long indeed", 16, 9));
    TRY(mq_receive(q, text, 4, &priority));
    TRY(mq_receive(q, text, 8, &priority));
    SHOW("%s %u", text, priority);
    TRY(mq_receive(q, text, 8, NULL));
    TRY(mq_receive(q, text, 8, NULL));
    TRY(syscall(SYS_mq_timedsend, q, BAD_POINTER, 4, 0, NULL));
    TRY(mq_send(-1, "x", 1, 0));
    TRY(mq_send(q, "x", 1, 40000));
}

CASE(mq_getsetattr, flags)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 8}, now;
    int q = mq_open(queue_name(), O_RDWR | O_CREAT, 0600, &attr);
    mq_unlink(queue_name());
    TRY(mq_getattr(q, &now));
    SHOW("%ld %ld %ld %ld", now.mq_flags, now.mq_maxmsg, now.mq_msgsize, now.mq_curmsgs);
    now.mq_flags = O_NONBLOCK;
    TRY(mq_setattr(q, &now, NULL));
    TRY(mq_getattr(q, &now));
    SHOW("%ld", now.mq_flags);
    TRY(mq_getattr(0, &now) < 0);
}

CASE(mq_timedreceive, times_out)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 8};
    struct timespec past = {1, 0}, bad = {1, -1};
    char text[8];
    int q = mq_open(queue_name(), O_RDWR | O_CREAT, 0600, &attr);
    mq_unlink(queue_name());
    TRY(mq_timedreceive(q, text, 8, NULL, &past));
    TRY(mq_timedreceive(q, text, 8, NULL, &bad));
}

CASE(mq_notify, signal)
{
    struct mq_attr attr = {.mq_maxmsg = 2, .mq_msgsize = 8};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    siginfo_t info;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int q = mq_open(queue_name(), O_RDWR | O_CREAT, 0600, &attr);
    mq_unlink(queue_name());
    event.sigev_value.sival_int = 42;
    TRY(mq_notify(q, &event));
    TRY(mq_notify(q, &event));
    TRY(mq_send(q, "x", 1, 0));
    TRY(sigwaitinfo(&set, &info) == SIGUSR1);
    SHOW("%d %d", info.si_code == SI_MESGQ, info.si_value.sival_int);
    TRY(mq_notify(q, NULL));
}
