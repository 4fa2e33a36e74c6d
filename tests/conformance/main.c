/* The frame of every conformance program: cases listed, chosen, run apart; see conformance.h. */
#include "conformance.h"

#include <sys/prctl.h>

enum { SECONDS_MAX = 30 };

static struct conformance_case *first, **last = &first;

void conformance_add(struct conformance_case *c)
{
    *last = c;
    last = &c->next;
}

void conformance_result(const char *text, long result, int error)
{
    if (result == LONG_MAX)
        printf("%s: ok\n", text);
    else if (result == -1)
        printf("%s: -1 %s\n", text, strerrorname_np(error));
    else
        printf("%s: %ld\n", text, result);
}

/* Prints what the case printed, each line behind its name. */
static void repeat(const struct conformance_case *c, int from)
{
    FILE *f = fdopen(from, "r");
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, f) > 0)
        printf("%s: %s: %s", c->call, c->edge, line);
    free(line);
    fclose(f);
}

static void run(const struct conformance_case *c)
{
    char directory[] = "case-XXXXXX";
    int ends[2], status;
    if (!mkdtemp(directory) || pipe(ends) < 0) {
        perror("conformance");
        exit(1);
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        if (chdir(directory) < 0)
            _exit(120);
        umask(022);
        alarm(SECONDS_MAX);
        setvbuf(stdout, NULL, _IOLBF, 0);
        c->run();
        fflush(stdout);
        _exit(0);
    }
    close(ends[1]);
    repeat(c, ends[0]);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        printf("%s: %s: ended by SIG%s\n", c->call, c->edge, sigabbrev_np(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        printf("%s: %s: exit %d\n", c->call, c->edge, WEXITSTATUS(status));
}

static bool chosen(const struct conformance_case *c, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], c->call) == 0)
            return true;
    return argc < 2;
}

int main(int argc, char **argv)
{
    bool list = argc > 1 && strcmp(argv[1], "-l") == 0;
    char directory[] = "conformance-XXXXXX";
    if (!list && geteuid() == 0) {
        fprintf(stderr,
                "conformance: not as root, who may truncate and unlink /etc/passwd, and does\n");
        return 1;
    }
    argc -= list;
    argv += list;
    if (!list && (!mkdtemp(directory) || chdir(directory) < 0)) {
        perror("conformance");
        return 1;
    }
    unsigned count = 0;
    for (struct conformance_case *c = first; c; c = c->next) {
        if (!chosen(c, argc, argv))
            continue;
        count++;
        if (list)
            printf("%s: %s\n", c->call, c->edge);
        else
            run(c);
    }
    printf("%u cases\n", count);
    if (!list) {
        fflush(stdout);
        if (chdir("..") == 0)
            execlp("rm", "rm", "-rf", directory, NULL);
    }
    return 0;
}
