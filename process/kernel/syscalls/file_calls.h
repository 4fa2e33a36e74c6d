/* System calls on files and descriptors. */
#ifndef ASHLAR_KERNEL_FILE_CALLS_H
#define ASHLAR_KERNEL_FILE_CALLS_H

#include "syscalls.h"

/* read_write.c */
syscall_fn sys_read, sys_write, sys_pread64, sys_pwrite64, sys_readv, sys_writev, sys_preadv,
    sys_pwritev, sys_preadv2, sys_pwritev2, sys_lseek, sys_truncate, sys_ftruncate, sys_fallocate,
    sys_fsync, sys_fdatasync, sys_sync, sys_syncfs, sys_fadvise64, sys_readahead,
    sys_sync_file_range;
/* open.c */
syscall_fn sys_open, sys_openat, sys_openat2, sys_creat;
/* descriptor.c, file_lock.c, ioctl.c */
syscall_fn sys_close, sys_close_range, sys_dup, sys_dup2, sys_dup3, sys_fcntl, sys_flock, sys_ioctl;
/* stat.c */
syscall_fn sys_stat, sys_lstat, sys_fstat, sys_newfstatat, sys_statx, sys_access, sys_faccessat,
    sys_faccessat2, sys_statfs, sys_fstatfs;
/* directory.c */
syscall_fn sys_getdents, sys_getdents64, sys_chdir, sys_fchdir, sys_getcwd;
/* path.c */
syscall_fn sys_mkdir, sys_mkdirat, sys_mknod, sys_mknodat, sys_unlink, sys_rmdir, sys_unlinkat,
    sys_rename, sys_renameat, sys_renameat2, sys_link, sys_linkat, sys_symlink, sys_symlinkat,
    sys_readlink, sys_readlinkat;
/* attribute.c */
syscall_fn sys_chmod, sys_fchmod, sys_fchmodat, sys_chown, sys_lchown, sys_fchown, sys_fchownat,
    sys_utime, sys_utimes, sys_futimesat, sys_utimensat;
/* xattr.c */
syscall_fn sys_getxattr, sys_lgetxattr, sys_fgetxattr, sys_setxattr, sys_lsetxattr, sys_fsetxattr,
    sys_listxattr, sys_llistxattr, sys_flistxattr, sys_removexattr, sys_lremovexattr,
    sys_fremovexattr;
/* inotify.c */
syscall_fn sys_inotify_init, sys_inotify_init1, sys_inotify_add_watch, sys_inotify_rm_watch;
/* transfer.c */
syscall_fn sys_sendfile, sys_copy_file_range, sys_splice, sys_tee, sys_vmsplice;
/* make.c */
syscall_fn sys_pipe, sys_pipe2, sys_eventfd, sys_eventfd2, sys_memfd_create, sys_umask,
    sys_name_to_handle_at;

#endif
