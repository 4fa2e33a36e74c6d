/* See text.h. */
#include "text.h"

enum { ROOM_FIRST = 16 * 1024, LINE_MOST = 256 };

void text_free(struct text *x)
{
    if (x->bytes)
        host_free(x->bytes, x->room);
    *x = (struct text){0};
}

bool text_room(struct text *x, size_t more)
{
    if (x->failed)
        return false;
    if (x->room - x->size >= more)
        return true;
    size_t room = x->room ? x->room : ROOM_FIRST;
    while (room - x->size < more)
        room *= 2;
    char *bytes = host_alloc(room);
    if (!bytes) {
        x->failed = true;
        return false;
    }
    if (x->bytes) {
        memcpy(bytes, x->bytes, x->size);
        host_free(x->bytes, x->room);
    }
    x->bytes = bytes;
    x->room = room;
    return true;
}

void text_put(struct text *x, const void *bytes, size_t size)
{
    if (!text_room(x, size))
        return;
    memcpy(x->bytes + x->size, bytes, size);
    x->size += size;
}

void text_puts(struct text *x, const char *s)
{
    text_put(x, s, strlen(s));
}

void text_putf(struct text *x, const char *format, ...)
{
    va_list list;
    if (!text_room(x, LINE_MOST))
        return;
    va_start(list, format);
    x->size += text_vformat(x->bytes + x->size, LINE_MOST, format, list);
    va_end(list);
}

void text_pad(struct text *x, size_t line_start, size_t column)
{
    while (x->size - line_start < column && text_room(x, 1))
        x->bytes[x->size++] = ' ';
}

void text_kb(struct text *x, const char *name, size_t column, uint64_t kb)
{
    char number[24];
    size_t start = x->size, digits = text_format(number, sizeof number, "%lu", kb);
    text_puts(x, name);
    text_pad(x, start, column > digits ? column - digits : 0);
    text_puts(x, number);
    text_puts(x, " kB\n");
}

bool text_host_file(struct text *x, int fd)
{
    size_t start = x->size;
    while (text_room(x, 4096)) {
        long got =
            host_call(__NR_pread64, fd, x->bytes + x->size, x->room - x->size, x->size - start);
        if (got < 0)
            return false;
        if (got == 0)
            return true;
        x->size += (size_t)got;
    }
    return false;
}
