/* See ended.h. */
#include "ended.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "seat.h"

enum { STOP_SERIAL = 0 }; /* no process has it */

static void unseat(struct node *node, uint64_t serial)
{
    pthread_mutex_lock(&node->lock);
    for (struct process *p = node->processes; p; p = p->next) {
        if (p->serial != serial)
            continue;
        ended_forget(node, p->pidfd);
        seat_shut_locked(p);
    }
    pthread_mutex_unlock(&node->lock);
}

static void *watch(void *argument)
{
    struct node *node = argument;
    for (;;) {
        struct epoll_event events[16];
        int count = epoll_wait(node->ended_fd, events, 16, -1);
        if (count < 0 && errno != EINTR)
            return NULL;
        for (int i = 0; i < count; i++) {
            if (events[i].data.u64 == STOP_SERIAL)
                return NULL;
            unseat(node, events[i].data.u64);
        }
    }
}

int ended_start(struct node *node)
{
    node->ended_fd = epoll_create1(EPOLL_CLOEXEC);
    node->ended_stop_fd = eventfd(0, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = STOP_SERIAL};
    if (node->ended_fd < 0 || node->ended_stop_fd < 0 ||
        epoll_ctl(node->ended_fd, EPOLL_CTL_ADD, node->ended_stop_fd, &event) < 0)
        return -errno;
    return -pthread_create(&node->ended_thread, NULL, watch, node);
}

void ended_watch(struct node *node, struct process *process)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = process->serial};
    if (epoll_ctl(node->ended_fd, EPOLL_CTL_ADD, process->pidfd, &event) < 0)
        monitor_log("process %d is not watched: its seat's end has to do", (int)process->pid);
}

void ended_forget(struct node *node, int pidfd)
{
    /* ENOENT: it ended, and was forgotten then. */
    (void)epoll_ctl(node->ended_fd, EPOLL_CTL_DEL, pidfd, NULL);
}

void ended_stop(struct node *node)
{
    (void)eventfd_write(node->ended_stop_fd, 1);
    pthread_join(node->ended_thread, NULL);
    close(node->ended_stop_fd);
    close(node->ended_fd);
}
