/* Memory and text without libc; `rep movsb` is fast on every x86-64 with ERMS and uses no vectors.
 */
#include <stdarg.h>

#include "host.h"

void *memcpy(void *to, const void *from, size_t size)
{
    void *start = to;
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t size)
{
    if ((uintptr_t)to - (uintptr_t)from >= size)
        return memcpy(to, from, size);
    uint8_t *t = (uint8_t *)to + size;
    const uint8_t *f = (const uint8_t *)from + size;
    while (size--)
        *--t = *--f;
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    void *start = to;
    asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *x = a, *y = b;
    for (; size; size--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s)
{
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++) {
        if (*a != *b)
            return (uint8_t)*a - (uint8_t)*b;
        if (!*a)
            break;
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)s;
        if (!*s)
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;
    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (!*s)
            return (char *)found;
    }
}

bool text_begins(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

size_t text_copy(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);
    if (size) {
        size_t n = length < size - 1 ? length : size - 1;
        memcpy(to, from, n);
        to[n] = 0;
    }
    return length;
}

bool page_is_zero(const void *page)
{
    const uint64_t *word = page;
    for (int i = 0; i < 4096 / 8; i += 8)
        if (word[i] | word[i + 1] | word[i + 2] | word[i + 3] | word[i + 4] | word[i + 5] |
            word[i + 6] | word[i + 7])
            return false;
    return true;
}

struct out {
    char *at, *end;
};

static void put(struct out *o, char c)
{
    if (o->at < o->end)
        *o->at++ = c;
}

static void put_number(struct out *o, uint64_t n, unsigned base, int width, char pad, bool minus)
{
    char digits[24];
    int count = 0;
    do
        digits[count++] = "0123456789abcdef"[n % base];
    while (n /= base);
    if (minus)
        digits[count++] = '-';
    for (; width > count; width--)
        put(o, pad);
    while (count)
        put(o, digits[--count]);
}

size_t text_vformat(char *to, size_t size, const char *f, va_list args)
{
    struct out o = {to, to + size - 1};
    for (; *f; f++) {
        if (*f != '%') {
            put(&o, *f);
            continue;
        }
        f++;
        char pad = ' ';
        int width = 0, longs = 0;
        if (*f == '0')
            pad = *f++;
        for (; *f >= '0' && *f <= '9'; f++)
            width = width * 10 + (*f - '0');
        for (; *f == 'l' || *f == 'z'; f++)
            longs++;
        if (*f == 's') {
            for (const char *s = va_arg(args, const char *); s && *s; s++)
                put(&o, *s);
        } else if (*f == 'c') {
            put(&o, (char)va_arg(args, int));
        } else if (*f == 'd') {
            int64_t n = longs ? va_arg(args, long) : va_arg(args, int);
            put_number(&o, n < 0 ? (uint64_t)-n : (uint64_t)n, 10, width, pad, n < 0);
        } else if (*f == 'u' || *f == 'x' || *f == 'o') {
            uint64_t n = longs ? va_arg(args, unsigned long) : va_arg(args, unsigned);
            put_number(&o, n, *f == 'x' ? 16 : *f == 'o' ? 8 : 10, width, pad, false);
        } else {
            put(&o, *f);
        }
    }
    *o.at = 0;
    return (size_t)(o.at - to);
}

size_t text_format(char *to, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = text_vformat(to, size, format, args);
    va_end(args);
    return n;
}

/* Here, because it shares text_vformat. */
static size_t message_line(char *line, size_t size, const char *format, va_list args)
{
    size_t n = text_vformat(line, size - 1, format, args);
    line[n++] = '\n';
    return n;
}

void host_message(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    text_copy(line, sizeof line, "ashlar: ");
    size_t n = 8 + message_line(line + 8, sizeof line - 8, format, args);
    va_end(args);
    host_call(__NR_write, 2, line, n);
}

void host_die(const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    text_copy(line, sizeof line, "ashlar: ");
    size_t n = 8 + message_line(line + 8, sizeof line - 8, format, args);
    va_end(args);
    host_call(__NR_write, 2, line, n);
    for (;;) {
        host_call(__NR_kill, host_call(__NR_getpid), 9);
        host_call(__NR_exit_group, 137);
    }
}
