/* The C library's own functions behind those that the emulation interposes. */
#ifndef EMULATION_REAL_H
#define EMULATION_REAL_H

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

int real_open(const char *path, int flags, mode_t mode);
int real_openat(int directory, const char *path, int flags, mode_t mode);
int real_close(int fd);
int real_ioctl(int fd, unsigned long request, void *argument);
int real_fcntl(int fd, int command, void *argument);
int real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask);
void *real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);

#endif
