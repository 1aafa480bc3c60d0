/* Wake-ups across processes: every descriptor is a FIFO, and whoever has news for its rings writes a byte. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "port.h"
#include "real.h"

/* This process's ends of other descriptors' FIFOs. */
static struct {
    uint32_t generation;
    int fd;
} writers[MAX_DESCRIPTORS];
static pthread_mutex_t writers_lock = PTHREAD_MUTEX_INITIALIZER;

static void fifo_name(uint32_t descriptor, uint32_t generation, char name[40])
{
    snprintf(name, 40, "descriptor.%u.%u", descriptor, generation);
}

/* The FIFO is open for reading too, so that a writer never meets a broken pipe. */
int wake_open(uint32_t descriptor)
{
    char name[40];
    fifo_name(descriptor, world->descriptor[descriptor].generation, name);
    return world_file(name, O_RDWR | O_NONBLOCK);
}

int wake_make(uint32_t descriptor)
{
    char name[40];
    fifo_name(descriptor, world->descriptor[descriptor].generation, name);
    return world_fifo(name) ? wake_open(descriptor) : -1;
}

void wake_remove(uint32_t descriptor)
{
    char name[40];
    fifo_name(descriptor, world->descriptor[descriptor].generation, name);
    world_remove(name);
}

static void wake(uint32_t descriptor)
{
    pthread_mutex_lock(&writers_lock);
    uint32_t generation = world->descriptor[descriptor].generation;
    if (writers[descriptor].generation != generation) {
        if (writers[descriptor].generation != 0 && writers[descriptor].fd >= 0)
            real_close(writers[descriptor].fd);
        writers[descriptor].fd = wake_open(descriptor);
        writers[descriptor].generation = generation;
    }
    if (writers[descriptor].fd >= 0)
        (void)!write(writers[descriptor].fd, "", 1);
    pthread_mutex_unlock(&writers_lock);
}

/* With the lock of the port's domain: a descriptor that is about to sleep has said so before it looked at the
 * rings under that lock. */
void wake_port(const struct port *port)
{
    uint32_t index = port_index(port);
    for (uint32_t i = 0; i < world->descriptor_top; i++) {
        struct descriptor *descriptor = &world->descriptor[i];
        if (descriptor->state == DESCRIPTOR_REGISTERED && descriptor->port == index &&
            atomic_load(&descriptor->waiting) > 0)
            wake(i);
    }
}

void wake_drain(int fd)
{
    char bytes[512];
    while (read(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        continue;
}
