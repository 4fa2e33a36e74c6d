/*
 * Calls that the host serves as they are: a table row describes the arguments, one function copies.
 *
 * The host never touches the application's memory: what an argument points to is copied to and from
 * the thread's bounce memory, in the order of the arguments. A row says for each argument what it
 * is (enum arg_kind) and how large (bytes; or, for the kinds with COUNT, the size of one element,
 * times the argument whose index is given beside it: COUNTED(index, element)).
 *
 * A NULL pointer stays NULL. Results are copied out only where the call succeeded.
 */
#ifndef ASHLAR_KERNEL_DESCRIBE_H
#define ASHLAR_KERNEL_DESCRIBE_H

#include "syscalls.h"

enum arg_kind {
    ARG_VALUE = 0,  /* passed as it is */
    ARG_FD,         /* a descriptor: EBADF where it is the monitor's own */
    ARG_IN,         /* read by the host */
    ARG_OUT,        /* written by the host */
    ARG_IN_COUNT,   /* COUNTED */
    ARG_OUT_COUNT,  /* COUNTED; all of it is copied out */
    ARG_OUT_RESULT, /* COUNTED; as many elements as the call's result are copied out */
};

#define COUNTED(index, element) ((index) << 12 | (element))

/* None of these calls sleeps: a signal does not end them. */
syscall_fn host_row;
/* The same; the result is a new descriptor. */
syscall_fn host_row_fd;
/* The same; the thread may have other rights after it. */
syscall_fn host_row_ids;

#endif
