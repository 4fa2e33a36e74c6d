/*
 * The cluster key: 32 random bytes in a file that only its owner may read.
 */
#include "net.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int net_key_create(const char *path)
{
    struct net_key key;
    if (getrandom(key.bytes, sizeof key.bytes, 0) != sizeof key.bytes)
        return -EIO;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int rc = 0;
    if (fchmod(fd, 0600) < 0) /* whatever the umask */
        rc = -errno;
    else if (write(fd, key.bytes, sizeof key.bytes) != sizeof key.bytes)
        rc = -EIO;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc < 0)
        unlink(path);
    explicit_bzero(&key, sizeof key);
    return rc;
}

int net_key_load(const char *path, struct net_key *key)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = -errno;
    else if (st.st_mode & 077)
        rc = -EPERM;
    else if (!S_ISREG(st.st_mode) || st.st_size != KEY_SIZE ||
             read(fd, key->bytes, KEY_SIZE) != KEY_SIZE)
        rc = -EINVAL;
    close(fd);
    return rc;
}
