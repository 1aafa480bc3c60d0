/* The C library's functions, for /dev/netmap only; every other file goes to the real ones. */
#define _GNU_SOURCE
#include "interpose.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "real.h"

#define EXPORT __attribute__((visibility("default")))
#define DEVICE "/dev/netmap"
#define FD_MAX 65536

static struct local *_Atomic locals[FD_MAX];
static pthread_mutex_t locals_lock = PTHREAD_MUTEX_INITIALIZER;
static char *directory; /* NULL: nothing is emulated */
static pid_t owner;     /* a child of vfork shares this memory and must not change it */

/* Looked up on first use: other libraries' constructors may call us before ours has run. */
#define REAL(name, type)                                                                                     \
    static __typeof__(type) function;                                                                        \
    if (function == NULL)                                                                                    \
    *(void **)(&function) = dlsym(RTLD_NEXT, name)

int real_open(const char *path, int flags, mode_t mode)
{
    REAL("open", int (*)(const char *, int, ...));
    return function(path, flags, mode);
}

int real_openat(int at, const char *path, int flags, mode_t mode)
{
    REAL("openat", int (*)(int, const char *, int, ...));
    return function(at, path, flags, mode);
}

int real_close(int fd)
{
    REAL("close", int (*)(int));
    return function(fd);
}

int real_ioctl(int fd, unsigned long request, void *argument)
{
    REAL("ioctl", int (*)(int, unsigned long, ...));
    return function(fd, request, argument);
}

int real_fcntl(int fd, int command, void *argument)
{
    REAL("fcntl64", int (*)(int, int, ...));
    return function(fd, command, argument);
}

int real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    REAL("ppoll", int (*)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *));
    return function(fds, count, timeout, mask);
}

/* A system call of its own: allocators map memory before anything can be looked up. */
void *real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset); // NOLINT
}

static void before_fork(void)
{
    pthread_mutex_lock(&locals_lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&locals_lock);
}

static void after_fork_in_child(void)
{
    owner = getpid();
    pthread_mutex_unlock(&locals_lock);
}

__attribute__((constructor)) static void start(void)
{
    owner = getpid();
    const char *set = getenv("MIDSOCK_NETMAP_EMULATION");
    directory = set != NULL && *set != '\0' ? strdup(set) : NULL;
    if (directory != NULL)
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* The shared state is opened with the first descriptor: most programs of a test never need it. */
static bool enter_world(void)
{
    static pthread_mutex_t entering = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&entering);
    bool entered = world != NULL || world_open(directory);
    int error = errno;
    pthread_mutex_unlock(&entering);
    if (!entered)
        fprintf(stderr, "netmap emulation: %s can't be used: %s\n", directory, strerror(error));
    errno = error;
    return entered;
}

struct local *local_of(int fd)
{
    return fd >= 0 && fd < FD_MAX ? atomic_load(&locals[fd]) : NULL;
}

static void adopt(int fd, struct local *local)
{
    pthread_mutex_lock(&locals_lock);
    local->duplicates++;
    atomic_store(&locals[fd], local);
    pthread_mutex_unlock(&locals_lock);
}

/* Forgets a file descriptor that has just been closed or replaced. */
static void forget(int fd)
{
    pthread_mutex_lock(&locals_lock);
    struct local *local = atomic_load(&locals[fd]);
    atomic_store(&locals[fd], NULL);
    bool last = local != NULL && --local->duplicates == 0;
    pthread_mutex_unlock(&locals_lock);
    if (!last)
        return;
    nic_detach(local);
    release_descriptor(local->descriptor, local->generation);
    free(local);
}

__attribute__((destructor)) static void end(void)
{
    if (world == NULL || getpid() != owner)
        return;
    for (int fd = 0; fd < FD_MAX; fd++) {
        if (atomic_load(&locals[fd]) != NULL) {
            real_close(fd);
            forget(fd);
        }
    }
}

static int open_device(int flags)
{
    const char *deny = getenv("MIDSOCK_NETMAP_EMULATION_DENY");
    if (deny != NULL && strcmp(deny, "1") == 0) {
        errno = EACCES;
        return -1;
    }
    if (!enter_world())
        return -1;
    struct local *local = calloc(1, sizeof(*local));
    if (local == NULL)
        return -1;
    int fd = descriptor_open(local);
    if (fd < 0 || fd >= FD_MAX) {
        free(local);
        return -1;
    }
    if ((flags & O_CLOEXEC) == 0)
        real_fcntl(fd, F_SETFD, (void *)0);
    adopt(fd, local);
    return fd;
}

static bool is_device(const char *path)
{
    return directory != NULL && path != NULL && strcmp(path, DEVICE) == 0;
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return is_device(path) ? open_device(flags) : real_open(path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return is_device(path) ? open_device(flags) : real_open(path, flags | O_LARGEFILE, mode);
}

EXPORT int openat(int at, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return is_device(path) ? open_device(flags) : real_openat(at, path, flags, mode);
}

EXPORT int openat64(int at, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return is_device(path) ? open_device(flags) : real_openat(at, path, flags | O_LARGEFILE, mode);
}

/* glibc's checked variants, which fortified programs call. */
EXPORT int __open_2(const char *path, int flags);
EXPORT int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

EXPORT int __open64_2(const char *path, int flags);
EXPORT int __open64_2(const char *path, int flags)
{
    return open64(path, flags);
}

EXPORT int close(int fd)
{
    bool ours = local_of(fd) != NULL && getpid() == owner;
    int result = real_close(fd);
    if (ours && result == 0)
        forget(fd);
    return result;
}

static int duplicated(struct local *local, int fd)
{
    if (fd >= 0 && fd < FD_MAX && getpid() == owner) {
        if (local_of(fd) != NULL)
            forget(fd);
        if (local != NULL)
            adopt(fd, local);
    }
    return fd;
}

EXPORT int dup(int fd)
{
    REAL("dup", int (*)(int));
    return duplicated(local_of(fd), function(fd));
}

EXPORT int dup2(int fd, int as)
{
    REAL("dup2", int (*)(int, int));
    return fd == as ? function(fd, as) : duplicated(local_of(fd), function(fd, as));
}

EXPORT int dup3(int fd, int as, int flags)
{
    REAL("dup3", int (*)(int, int, int));
    return duplicated(local_of(fd), function(fd, as, flags));
}

static int any_fcntl(int fd, int command, void *argument)
{
    int result = real_fcntl(fd, command, argument);
    bool duplicates = command == F_DUPFD || command == F_DUPFD_CLOEXEC;
    return duplicates ? duplicated(local_of(fd), result) : result;
}

EXPORT int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return any_fcntl(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return any_fcntl(fd, command, argument);
}

EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    struct local *local = local_of(fd);
    if (local == NULL)
        return real_ioctl(fd, request, argument);
    int error;
    switch ((uint32_t)request) { /* some callers pass it with its sign extended */
    case NIOCCTRL:
        error = argument == NULL ? EFAULT : control(local, argument);
        break;
    case NIOCTXSYNC:
        error = sync_rings(local, TX);
        break;
    case NIOCRXSYNC:
        error = sync_rings(local, RX);
        break;
    case NIOCREGIF:
    case NIOCGINFO:
    case NIOCCONFIG:
        error = EINVAL; /* the legacy interface is not emulated */
        break;
    default:
        error = ENOTTY;
    }
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

static void *map(struct local *local, void *address, size_t length, int protection, int flags, off_t offset)
{
    const struct descriptor *descriptor = descriptor_of(local);
    int error = 0;
    void *result = MAP_FAILED;
    if (descriptor->state != DESCRIPTOR_REGISTERED) {
        error = ENODEV;
    } else {
        uint32_t region = world->port[descriptor->port].region;
        uint64_t size = region_size(&world->region[region]);
        if (offset < 0 || (uint64_t)offset > size || length > size - (uint64_t)offset) {
            error = EINVAL;
        } else {
            int fd = region_file(region);
            result = real_mmap(address, length, protection, flags, fd, offset);
            error = errno;
            if (fd >= 0)
                real_close(fd);
        }
    }
    errno = error;
    return result;
}

EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    struct local *local = (flags & MAP_ANONYMOUS) != 0 ? NULL : local_of(fd);
    return local == NULL ? real_mmap(address, length, protection, flags, fd, offset)
                         : map(local, address, length, protection, flags, offset);
}

EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
    return mmap(address, length, protection, flags, fd, offset);
}

/* A FIFO is readable whenever it was written to, which says nothing about rings: refuse instead of
 * misleading. */
EXPORT int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    REAL("epoll_ctl", int (*)(int, int, int, struct epoll_event *));
    if (local_of(fd) != NULL) {
        errno = EPERM;
        return -1;
    }
    return function(epoll, operation, fd, event);
}
