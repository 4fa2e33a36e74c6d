/* Text of any length, made piece by piece in monitor memory. */
#ifndef ASHLAR_KERNEL_TEXT_H
#define ASHLAR_KERNEL_TEXT_H

#include "../host/host.h"

struct text {
    char *bytes;
    size_t size, room;
    bool failed; /* out of memory: what follows is lost */
};

void text_free(struct text *x);
/* Room for `more` bytes; false: out of memory. */
bool text_room(struct text *x, size_t more);
void text_put(struct text *x, const void *bytes, size_t size);
void text_puts(struct text *x, const char *s);
/* At most 255 bytes at a time. */
void text_putf(struct text *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "Name:   1234 kB", the number right-aligned at `column` bytes from the line's start. */
void text_kb(struct text *x, const char *name, size_t column, uint64_t kb);
/* Spaces until the last line is `column` bytes long. */
void text_pad(struct text *x, size_t line_start, size_t column);
/* The whole of a host file. False: it cannot be read. */
bool text_host_file(struct text *x, int fd);

#endif
