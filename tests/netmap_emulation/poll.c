/* poll and ppoll with netmap descriptors among the files: rings are synced first, then the FIFOs are awaited.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "interpose.h"
#include "real.h"

#define EXPORT __attribute__((visibility("default")))
#define NANOSECONDS 1000000000ll
#define SMALL 16
/* Each netmap descriptor waits for its FIFO and at most two files of its NIC. */
#define PER_DESCRIPTOR 3

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * NANOSECONDS + time.tv_nsec;
}

static bool any_netmap(const struct pollfd *fds, nfds_t count)
{
    for (nfds_t i = 0; i < count; i++) {
        if (local_of(fds[i].fd) != NULL)
            return true;
    }
    return false;
}

static void announce(const struct pollfd *fds, nfds_t count, bool waiting)
{
    for (nfds_t i = 0; i < count; i++) {
        struct local *local = local_of(fds[i].fd);
        if (local == NULL)
            continue;
        if (waiting)
            atomic_fetch_add(&descriptor_of(local)->waiting, 1);
        else
            atomic_fetch_sub(&descriptor_of(local)->waiting, 1);
    }
}

static int sync_all(struct pollfd *fds, nfds_t count)
{
    int ready = 0;
    for (nfds_t i = 0; i < count; i++) {
        struct local *local = local_of(fds[i].fd);
        fds[i].revents = local == NULL ? 0 : sync_for_poll(local, fds[i].events);
        ready += fds[i].revents != 0;
    }
    return ready;
}

/* The files to wait for instead: [0, count) stand for the caller's, what NICs need comes after. */
static nfds_t substitute(const struct pollfd *fds, nfds_t count, struct pollfd *instead)
{
    nfds_t total = count;
    for (nfds_t i = 0; i < count; i++) {
        instead[i] = fds[i];
        struct local *local = local_of(fds[i].fd);
        if (local == NULL)
            continue;
        instead[i].events = POLLIN;
        const struct descriptor *descriptor = descriptor_of(local);
        if (descriptor->state == DESCRIPTOR_REGISTERED)
            total += nic_poll_set(local, &world->port[descriptor->port], fds[i].events, instead + total);
    }
    return total;
}

static int finish(struct pollfd *fds, nfds_t count, const struct pollfd *instead, int ready)
{
    for (nfds_t i = 0; i < count; i++) {
        if (local_of(fds[i].fd) == NULL) {
            fds[i].revents = instead[i].revents;
            ready += fds[i].revents != 0;
        }
    }
    return ready;
}

static int poll_netmap(struct pollfd *fds, nfds_t count, struct pollfd *instead, int64_t deadline,
                       const sigset_t *mask)
{
    for (;;) {
        int ready = sync_all(fds, count);
        nfds_t total = substitute(fds, count, instead);
        int64_t left = deadline < 0 ? -1 : deadline - now();
        if (ready > 0 || (deadline >= 0 && left < 0))
            left = 0;
        struct timespec timeout = {.tv_sec = left / NANOSECONDS, .tv_nsec = left % NANOSECONDS};
        int result = real_ppoll(instead, total, left < 0 ? NULL : &timeout, mask);
        if (result < 0 && ready == 0)
            return -1;
        bool others = false;
        for (nfds_t i = 0; i < count; i++) {
            if (result < 0)
                instead[i].revents = 0;
            else if (local_of(fds[i].fd) == NULL)
                others |= instead[i].revents != 0;
            else if ((instead[i].revents & POLLIN) != 0)
                wake_drain(fds[i].fd);
        }
        if (ready > 0 || others || left == 0) {
            if (ready == 0)
                ready = sync_all(fds, count);
            return finish(fds, count, instead, ready);
        }
    }
}

static int any_poll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    if (count > SHRT_MAX || !any_netmap(fds, count))
        return real_ppoll(fds, count, timeout, mask);
    struct pollfd few[SMALL * (PER_DESCRIPTOR + 1)];
    struct pollfd *instead = few;
    if (count > SMALL) {
        instead = calloc(count * (PER_DESCRIPTOR + 1), sizeof(*instead));
        if (instead == NULL)
            return -1;
    }
    int64_t deadline = timeout == NULL ? -1 : now() + timeout->tv_sec * NANOSECONDS + timeout->tv_nsec;
    announce(fds, count, true);
    int result = poll_netmap(fds, count, instead, deadline, mask);
    int error = errno;
    announce(fds, count, false);
    if (instead != few)
        free(instead);
    errno = error;
    return result;
}

EXPORT int poll(struct pollfd *fds, nfds_t count, int milliseconds)
{
    struct timespec timeout = {.tv_sec = milliseconds / 1000,
                               .tv_nsec = (long)(milliseconds % 1000) * 1000000};
    return any_poll(fds, count, milliseconds < 0 ? NULL : &timeout, NULL);
}

EXPORT int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    return any_poll(fds, count, timeout, mask);
}

EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int milliseconds, size_t size);
EXPORT int __poll_chk(struct pollfd *fds, nfds_t count, int milliseconds, size_t size)
{
    if (size / sizeof(*fds) < count)
        abort();
    return poll(fds, count, milliseconds);
}

EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
                       size_t size);
EXPORT int __ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
                       size_t size)
{
    if (size / sizeof(*fds) < count)
        abort();
    return ppoll(fds, count, timeout, mask);
}
