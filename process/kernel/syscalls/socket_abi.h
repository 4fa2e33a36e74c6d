/* What the host's headers keep to themselves about sockets, and helpers of host_socket.c. */
#ifndef ASHLAR_KERNEL_SOCKET_ABI_H
#define ASHLAR_KERNEL_SOCKET_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "syscalls.h"

enum {
    ADDRESS_MAX = 128, /* sizeof(struct sockaddr_storage) */
    FAMILY_UNIX = 1,
    STREAM = 1, /* SOCK_STREAM */
    TYPE_MASK = 15,
    PROTOCOL_TCP = 6,
    LEVEL_IP = 0, /* SOL_IP; SOL_SOCKET is in asm/socket.h */
    LEVEL_IPV6 = 41,
    RIGHTS = 1, /* SCM_RIGHTS */
    MESSAGE_PEEK = 0x2,
    MESSAGE_CTRUNC = 0x8,
    MESSAGE_TRUNC = 0x20,
    MESSAGE_DONTWAIT = 0x40,
    MESSAGE_WAITALL = 0x100,
    MESSAGE_WAITFORONE = 0x10000,
    MESSAGE_ZEROCOPY = 0x4000000,
    VECTORS_MAX = 1024,
};

/* struct iovec, struct user_msghdr and struct mmsghdr of the ABI; bases are addresses. */
struct vector {
    uint64_t base, size;
};
struct message {
    uint64_t name;
    int32_t name_size;
    uint64_t vectors, vector_count;
    uint64_t control, control_size;
    uint32_t flags;
};
struct counted_message {
    struct message message;
    uint32_t size;
};
struct control_head {
    uint64_t size;
    int32_t level, type;
};
_Static_assert(sizeof(struct message) == 56 && sizeof(struct counted_message) == 64, "the ABI's");

/* A socket address as the host is to see it. */
struct host_address {
    uint8_t bytes[ADDRESS_MAX];
    uint32_t size;
    int dir_fd; /* names the directory of a UNIX socket with a long path; -1: none */
};

/* Reads an address argument; a UNIX socket's path becomes absolute, and must be in a writable
   directory of the run where it is to be made. 0 or a negative errno; then address_free(). */
int address_read(struct thread *t, struct host_address *h, uint64_t at, uint64_t size, bool make)
    __attribute__((warn_unused_result));
void address_free(struct host_address *h);
/* Writes an address of `size` bytes (the host's answer) as far as *size_at allows, and its size. */
int address_write(const uint8_t *bytes, uint32_t size, uint64_t at, uint64_t size_at)
    __attribute__((warn_unused_result));
/* The result of a call that a signal may have ended: sockets with a timeout do not restart. */
long socket_waited(struct thread *t, int fd, long result);
/* An int option of SOL_SOCKET; 0 where there is none. */
int socket_option(int fd, int option);
/* 0, or -EBADF for one of the monitor's own. */
int socket_check(struct thread *t, int fd) __attribute__((warn_unused_result));

#endif
