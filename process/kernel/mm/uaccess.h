/*
 * The application's memory, as the monitor reads and writes it.
 *
 * An address from the application is a uint64_t, never a pointer. Every access is bounded to the
 * app window and may miss (the line is fetched), may take a signal handler's time, and may fail
 * with -EFAULT where the application itself would fault (unmapped, wrong protection). No lock of
 * the monitor may be held. Never hand an application address to a host call: copy.
 */
#ifndef ASHLAR_KERNEL_UACCESS_H
#define ASHLAR_KERNEL_UACCESS_H

#include <stddef.h>
#include <stdint.h>

/* Copy in or out. Return 0 or -EFAULT (some bytes may have been copied then). */
int user_read(void *to, uint64_t from, size_t size) __attribute__((warn_unused_result));
int user_write(uint64_t to, const void *from, size_t size) __attribute__((warn_unused_result));
/* The same, returning how many bytes were copied before the first fault. */
size_t user_read_some(void *to, uint64_t from, size_t size);
size_t user_write_some(uint64_t to, const void *from, size_t size);
int user_zero(uint64_t to, size_t size) __attribute__((warn_unused_result));
/* A NUL-terminated string into to[size]. Returns its length, -EFAULT, or -ENAMETOOLONG. */
long user_read_text(char *to, uint64_t from, size_t size) __attribute__((warn_unused_result));
/* Makes the line of an aligned 32-bit word resident and writable, changing nothing. */
int user_touch_write(uint64_t address) __attribute__((warn_unused_result));
/* Makes an aligned 32-bit word `to` if it is `is`: 0; 1 where it was not; -EFAULT. */
int user_exchange(uint64_t address, uint32_t is, uint32_t to) __attribute__((warn_unused_result));
/* Whether [address, address + size) lies in the app window (says nothing about mappings). */
int user_range_ok(uint64_t address, uint64_t size);

#endif
