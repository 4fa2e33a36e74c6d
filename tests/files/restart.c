/*
 * Uses open files before and after their sComponent's monitor was started again; see
 * test_restart.py, which waits for the line "ready" and answers it.
 */
#include "show.h"

static void use(int file, int unlinked, int directory)
{
    char b[16] = {0};
    struct stat st;
    R(pread(file, b, 5, 0));
    fflush(stdout);
    SHOW("%s", b);
    R(pread(unlinked, b, 5, 0));
    R(write(file, "more", 4));
    R(lseek(file, 0, SEEK_CUR));
    R(fstat(file, &st));
    SHOW("size %ld", (long)st.st_size);
    R(fstat(directory, &st));
    R(openat(directory, "missing", O_RDONLY));
    fflush(stdout);
}

int main(void)
{
    int file = R(open("file", O_CREAT | O_RDWR, 0600));
    int unlinked = R(open("unlinked", O_CREAT | O_RDWR, 0600));
    int directory = R(open(".", O_RDONLY | O_DIRECTORY));
    char c;
    R(write(file, "hello", 5));
    R(write(unlinked, "gone", 4));
    R(unlink("unlinked"));
    use(file, unlinked, directory);
    SHOW("%s %s", strerrorname_np(ESTALE),
         strerrorname_np(EIO)); /* its lines are here from now on */
    printf("ready\n");
    fflush(stdout);
    MUST(read(0, &c, 1));
    use(file, unlinked, directory);
    return 0;
}
