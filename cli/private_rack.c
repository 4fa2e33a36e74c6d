/* See private_rack.h. */
#include "private_rack.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"

/* Removes a private rack whose guardian was killed: nobody holds its lock. */
static void sweep(const char *name, void *argument)
{
    struct rack rack;
    if (strncmp(name, RACK_PRIVATE_PREFIX, strlen(RACK_PRIVATE_PREFIX)) != 0 ||
        rack_locate(&rack, name) < 0)
        return;
    int fd = open(rack.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        rack.dir_fd = fd;
        daemons_end(&rack);
        (void)!rack_remove(&rack);
    }
    close(fd);
}

static int bring_up(struct rack *rack, const struct rack_plan *plan)
{
    int rc = rack_lock(rack, true);
    if (rc < 0) {
        cli_error("%s cannot be used: %s", rack->dir, strerror(-rc));
        return rc;
    }
    rc = daemons_start(rack, plan);
    if (rc < 0)
        (void)!rack_remove(rack);
    return rc;
}

/* The guardian's life. It keeps the rack locked all along: that tells sweep() that it lives. */
static void guard(struct rack *rack, struct rack_plan *plan, int report_fd)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    setsid();
    prctl(PR_SET_NAME, "ashlar-guardian");
    int high[] = {plan->lifeline_fd, report_fd};
    for (int i = 0; i < 2; i++)
        high[i] = fcntl(high[i], F_DUPFD_CLOEXEC, 10);
    /* Of the command's descriptors it keeps stderr, to say what fails while it starts the rack. */
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null_fd, 0);
    dup2(null_fd, 1);
    dup2(high[0], 3);
    dup2(high[1], 4);
    close_range(5, ~0u, 0);
    fcntl(3, F_SETFD, FD_CLOEXEC);
    fcntl(4, F_SETFD, FD_CLOEXEC);
    plan->lifeline_fd = 3;

    int rc = bring_up(rack, plan);
    (void)!write(4, &rc, sizeof rc);
    close(4);
    if (rc < 0)
        _exit(1);
    dup2(0, 2);
    if (chdir("/") < 0)
        _exit(1);
    struct pollfd command = {.fd = 3, .events = POLLIN};
    while (poll(&command, 1, -1) < 0 && errno == EINTR)
        ;
    daemons_end(rack);
    (void)!rack_remove(rack);
    _exit(0);
}

int private_rack_start(struct private_rack *private, struct rack *rack, struct rack_plan *plan)
{
    char name[NAME_LIMIT];
    rack_each(sweep, NULL);
    snprintf(name, sizeof name, RACK_PRIVATE_PREFIX "%d", (int)getpid());
    int rc = rack_locate(rack, name);
    if (rc < 0)
        return rc;
    int lifeline[2], report[2];
    if (pipe2(lifeline, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(report, O_CLOEXEC) < 0) {
        rc = -errno;
        close(lifeline[0]);
        close(lifeline[1]);
        return rc;
    }
    private->lifeline_fd = lifeline[1];
    private->guardian = fork();
    if (private->guardian == 0) {
        close(lifeline[1]);
        plan->lifeline_fd = lifeline[0];
        guard(rack, plan, report[1]);
    }
    close(lifeline[0]);
    close(report[1]);
    ssize_t got;
    while ((got = read(report[0], &rc, sizeof rc)) < 0 && errno == EINTR)
        ;
    close(report[0]);
    if (private->guardian < 0 || got != sizeof rc || rc < 0) {
        private_rack_end(private);
        return rc < 0 ? rc : -EIO;
    }
    rc = rack_load(rack);
    if (rc < 0)
        private_rack_end(private);
    return rc;
}

void private_rack_end(struct private_rack *private)
{
    close(private->lifeline_fd);
    if (private->guardian > 0) {
        while (waitpid(private->guardian, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    private->guardian = 0;
}
