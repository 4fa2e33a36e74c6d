/*
 * A vfork child that uses its parent's memory for long before it executes a program.
 *
 * Usage: vforks MEBIBYTES. Fills its memory and, with each line of input, has a vfork child read and
 * change all of it and execute /bin/true; prints "child" when that has begun and waits for its line,
 * and "right" when the parent has found what the child wrote. An end of input ends it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096 };

static volatile uint64_t *memory;
static uint64_t pages, round;

static uint64_t word_of(uint64_t page, uint64_t when)
{
    uint64_t x = page * 0x9e3779b97f4a7c15ull + when;
    return (x ^ x >> 29) * 0x94d049bb133111ebull;
}

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(3);
}

/* Whether a further line came. */
static int hear(void)
{
    char byte;
    return read(0, &byte, 1) == 1;
}

static int is_right(uint64_t when)
{
    for (uint64_t p = 0; p < pages; p++)
        if (memory[p * PAGE / 8] != word_of(p, when))
            return 0;
    return 1;
}

static void fill(uint64_t when)
{
    for (uint64_t p = 0; p < pages; p++)
        memory[p * PAGE / 8] = word_of(p, when);
}

/* Only what may be done beside a parent that waits: its own words of the memory, and calls. */
static void be_child(void)
{
    say("child\n");
    if (!hear() || !is_right(round))
        _exit(2);
    fill(round + 1);
    execl("/bin/true", "true", (char *)NULL);
    _exit(127);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    pages = strtoull(argv[1], NULL, 0) << 20 >> 12;
    memory = aligned_alloc(PAGE, pages * PAGE);
    if (!memory)
        return 1;
    fill(0);
    say("ready\n");
    while (hear()) {
        int status;
        pid_t pid = vfork();
        if (pid == 0)
            be_child();
        if (waitpid(pid, &status, 0) != pid || status) {
            fprintf(stderr, "the child's status is %#x\n", status);
            return 1;
        }
        if (!is_right(++round))
            return 1;
        say("right\n");
    }
    return 0;
}
