/* What the node asks its host about processes: owner, threads. All from /proc. */
#ifndef ASHLAR_PROCESS_HOST_H
#define ASHLAR_PROCESS_HOST_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Who wrote the byte that waits first on a UNIX socket, by the host's own word: blocks until one is
 * there, does not take it. Returns the process id; a negative errno; -EPERM where that process is
 * another user's, and this one not root; 0 where the other end closed. The socket must have been prepared.
 */
int host_speaker_prepare(int fd);
pid_t host_speaker(int fd);

int host_pidfd(pid_t pid);        /* a close-on-exec descriptor, or a negative errno */
void host_pidfd_kill(int pidfd);  /* SIGKILL */
uint32_t host_threads(pid_t pid); /* 0 where it is gone */
uint64_t host_memory_bytes(void); /* of the host, all of it */
uint64_t host_now_ms(void);       /* since the Unix epoch */

#endif
