/* The shared directory, its locks, and the faults that tests assert on. */
#define _GNU_SOURCE
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real.h"

#define FAULTS_MAX 1000 /* per process: a program that errs in a loop must not fill the disk */

struct world *world;
_Thread_local bool blameless;
static int directory_fd = -1;
static int faults_fd = -1;
static atomic_uint faults_noted;

static uint32_t setting(const char *name, uint32_t value, uint32_t least, uint32_t most)
{
    char variable[80];
    snprintf(variable, sizeof(variable), "MIDSOCK_NETMAP_EMULATION_%s", name);
    const char *text = getenv(variable);
    if (text == NULL || *text == '\0')
        return value;
    char *end;
    errno = 0;
    unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || *end != '\0' || number < least || number > most) {
        fprintf(stderr, "netmap emulation: %s=%s is not within %u..%u\n", variable, text, least, most);
        _exit(127);
    }
    return (uint32_t)number;
}

static void make_mutex(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

static void make_world(void)
{
    world->settings = (struct settings){
        .slots = setting("SLOTS", 1024, 4, RING_SLOTS_MAX),
        .rings = setting("RINGS", 1, 1, MAX_RINGS),
        .buffers = setting("BUFFERS", 32768, 64, 1u << 20),
        .buf_size = setting("BUFFER_SIZE", 2048, 64, 32768) & ~63u,
        .max_extra = setting("EXTRA", 1u << 16, 0, 1u << 20),
        .empty_every = setting("EMPTY_EVERY", 0, 0, 1u << 30),
    };
    make_mutex(&world->lock);
    for (size_t i = 0; i < MAX_PORTS; i++)
        make_mutex(&world->domain_lock[i]);
    world->next_mem_id = GLOBAL_MEMORY + 1;
    world->ready = 1;
}

int world_file(const char *name, int flags)
{
    int fd = real_openat(directory_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0666);
    /* A process that gives up root after opening its ports must still reach the others' files. */
    if (fd >= 0 && (flags & O_CREAT) != 0)
        (void)!fchmod(fd, 0666);
    return fd;
}

bool world_fifo(const char *name)
{
    if (mkfifoat(directory_fd, name, 0666) != 0)
        return false;
    return fchmodat(directory_fd, name, 0666, 0) == 0;
}

void world_remove(const char *name)
{
    (void)!unlinkat(directory_fd, name, 0);
}

bool world_open(const char *directory)
{
    if (mkdir(directory, 0777) != 0 && errno != EEXIST)
        return false;
    directory_fd = real_open(directory, O_DIRECTORY | O_RDONLY | O_CLOEXEC, 0);
    if (directory_fd < 0)
        return false;
    (void)!fchmod(directory_fd, 0777); /* fails for whoever did not make it */
    int fd = world_file("world", O_RDWR | O_CREAT);
    faults_fd = world_file("faults", O_WRONLY | O_CREAT | O_APPEND);
    if (fd < 0 || faults_fd < 0)
        return false;
    flock(fd, LOCK_EX);
    bool done = ftruncate(fd, sizeof(struct world)) == 0;
    if (done) {
        void *memory = real_mmap(NULL, sizeof(struct world), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        done = memory != MAP_FAILED;
        if (done) {
            world = memory;
            if (!world->ready)
                make_world();
        }
    }
    flock(fd, LOCK_UN);
    real_close(fd);
    return done;
}

/* Whether its last owner died with it. */
static bool lock(pthread_mutex_t *mutex)
{
    int error = pthread_mutex_lock(mutex);
    if (error == EOWNERDEAD) {
        pthread_mutex_consistent(mutex);
    } else if (error != 0) {
        fprintf(stderr, "netmap emulation: a lock failed: %s\n", strerror(error));
        abort();
    }
    return error == EOWNERDEAD;
}

void lock_world(void)
{
    if (lock(&world->lock))
        mend_world();
}

void unlock_world(void)
{
    pthread_mutex_unlock(&world->lock);
}

/* What a killed process left half done here is bounded by the slots it was moving. */
void lock_domain(uint32_t domain)
{
    (void)lock(&world->domain_lock[domain]);
}

void unlock_domain(uint32_t domain)
{
    pthread_mutex_unlock(&world->domain_lock[domain]);
}

uint32_t new_domain(void)
{
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        if (!world->domain_used[i]) {
            world->domain_used[i] = true;
            return i;
        }
    }
    return NOTHING;
}

uint64_t current_netns(void)
{
    struct stat status;
    /* Without /proc all processes count as being in one namespace. */
    if (stat("/proc/thread-self/ns/net", &status) != 0)
        return 0;
    return status.st_ino;
}

void fault(const struct port *port, const char *format, ...)
{
    if (blameless || atomic_fetch_add(&faults_noted, 1) >= FAULTS_MAX)
        return;
    char line[512];
    int at = snprintf(line, sizeof(line) - 1, "%d %s: ", (int)getpid(), port == NULL ? "-" : port->name);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(line + at, sizeof(line) - 1 - (size_t)at, format, arguments);
    va_end(arguments);
    size_t length = (size_t)at + (size_t)(more > 0 ? more : 0);
    if (length > sizeof(line) - 2)
        length = sizeof(line) - 2;
    line[length] = '\n';
    (void)!write(faults_fd, line, length + 1);
}
