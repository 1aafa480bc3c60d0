/* Monitors: ports that receive a copy of what passes another port's rings, or, zero-copy, its used buffers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>

#include "port.h"

int monitor_get(const char *name, const struct nm_register *request, struct port **found)
{
    struct nm_register plain = *request;
    plain.flags &= ~(uint64_t)(REG_MON_RX | REG_MON_TX | REG_ZCOPY_MON);
    struct port *parent;
    int error = port_get(name, &plain, true, &parent);
    if (error != 0)
        return error;
    if (parent->users == 0) {
        uint32_t domain = parent->domain;
        lock_domain(domain);
        port_drop_unused(parent);
        unlock_domain(domain);
        return EINVAL;
    }
    /* Those that copy have memory of their own. */
    struct port *monitor = monitor_port(parent, (request->flags & REG_ZCOPY_MON) != 0);
    if (monitor == NULL)
        return ENOMEM;
    uint32_t most = parent->rings[TX] > parent->rings[RX] ? parent->rings[TX] : parent->rings[RX];
    monitor->domain = parent->domain;
    monitor->parent = port_index(parent);
    monitor->monitor_flags = request->flags;
    monitor->rings[RX] = most;
    monitor->rings[TX] = 1;
    monitor->slots[RX] =
        request->rx_slots != 0 && request->rx_slots <= RING_SLOTS_MAX ? request->rx_slots : parent->slots[RX];
    parent->monitors++;
    *found = monitor;
    return 0;
}

void monitor_leave(struct port *port)
{
    if (port->parent != NOTHING)
        world->port[port->parent].monitors--;
    else
        world->domain_used[port->domain] = false;
}

/* The parent was closed: its monitors stay, and fail. */
void orphan_monitors(struct port *parent)
{
    uint32_t index = port_index(parent);
    for (uint32_t i = 0; i < MAX_PORTS && parent->monitors > 0; i++) {
        struct port *monitor = &world->port[i];
        if (monitor->kind != PORT_MONITOR || monitor->parent != index)
            continue;
        uint32_t domain = new_domain();
        monitor->orphan = true;
        monitor->parent = NOTHING;
        parent->monitors--;
        wake_port(monitor);
        /* The parent's domain is about to be given to others. */
        if (domain != NOTHING)
            monitor->domain = domain;
    }
}

/* The ring of the monitor that shows the parent's ring. */
static struct kring *shown_in(struct port *monitor, const struct port *parent, enum direction direction,
                              uint32_t ring)
{
    uint32_t index = ring == parent->rings[direction] ? monitor->rings[RX] : ring;
    struct kring *kring = &monitor->kring[RX][index];
    return kring->users > 0 ? kring : NULL;
}

static bool zero_copy(const struct port *monitor, const struct port *parent)
{
    /* A pipe's slots pass to the peer, buffers and all. */
    return (monitor->monitor_flags & REG_ZCOPY_MON) != 0 && parent->kind != PORT_PIPE;
}

static void copy_slots(struct port *port, enum direction direction, uint32_t ring, uint32_t from, uint32_t to)
{
    const struct kring *kring = &port->kring[direction][ring];
    const struct nm_ring *slots = ring_of(port, kring);
    uint64_t wanted = direction == TX ? REG_MON_TX : REG_MON_RX;
    for (uint32_t m = 0; m < MAX_PORTS; m++) {
        struct port *monitor = &world->port[m];
        if (monitor->kind != PORT_MONITOR || monitor->parent != port_index(port) ||
            (monitor->monitor_flags & wanted) == 0 || zero_copy(monitor, port))
            continue;
        struct kring *copies = shown_in(monitor, port, direction, ring);
        if (copies == NULL)
            continue;
        for (uint32_t i = from; i != to; i = next_slot(kring, i)) {
            const struct nm_slot *slot = &slots->slot[i];
            const struct nm_slot *copy = &ring_of(monitor, copies)->slot[copies->hwtail];
            if (room(copies) == 0 || !valid_buffer(port->region, slot->buf_idx) ||
                !valid_buffer(monitor->region, copy->buf_idx)) {
                monitor->dropped++;
                continue;
            }
            uint32_t length = slot->len;
            if (length > world->region[monitor->region].buf_size)
                length = world->region[monitor->region].buf_size;
            memcpy(buffer_at(monitor->region, copy->buf_idx), buffer_at(port->region, slot->buf_idx), length);
            uint16_t flags = (uint16_t)(slot->flags & ~(SLOT_TXMON | SLOT_BUF_CHANGED));
            put_slot(monitor, copies, length, (uint16_t)(flags | (direction == TX ? SLOT_TXMON : 0)));
        }
        wake_port(monitor);
    }
}

void monitor_sent(struct port *port, uint32_t ring, uint32_t from, uint32_t to)
{
    if (port->monitors > 0 && from != to)
        copy_slots(port, TX, ring, from, to);
}

void monitor_received(struct port *port, uint32_t ring)
{
    struct kring *kring = &port->kring[RX][ring];
    if (port->monitors > 0 && kring->seen != kring->hwtail)
        copy_slots(port, RX, ring, kring->seen, kring->hwtail);
    kring->seen = kring->hwtail;
}

/* Zero-copy monitors get the buffers that the kernel sent or the program released, for free ones of theirs.
 */
void monitor_consumed(struct port *port, enum direction direction, uint32_t ring, uint32_t from, uint32_t to)
{
    if (port->monitors == 0 || from == to)
        return;
    struct kring *kring = &port->kring[direction][ring];
    struct nm_ring *slots = ring_of(port, kring);
    uint64_t wanted = direction == TX ? REG_MON_TX : REG_MON_RX;
    for (uint32_t m = 0; m < MAX_PORTS; m++) {
        struct port *monitor = &world->port[m];
        if (monitor->kind != PORT_MONITOR || monitor->parent != port_index(port) ||
            (monitor->monitor_flags & wanted) == 0 || !zero_copy(monitor, port))
            continue;
        struct kring *copies = shown_in(monitor, port, direction, ring);
        if (copies == NULL)
            continue;
        for (uint32_t i = from; i != to && room(copies) > 0; i = next_slot(kring, i)) {
            struct nm_slot *slot = &slots->slot[i];
            struct nm_slot *copy = &ring_of(monitor, copies)->slot[copies->hwtail];
            uint32_t buffer = slot->buf_idx;
            slot->buf_idx = copy->buf_idx;
            copy->buf_idx = buffer;
            shadow_of(port, kring)[i] = slot->buf_idx;
            shadow_of(monitor, copies)[copies->hwtail] = buffer;
            uint16_t flags = (uint16_t)(slot->flags & ~SLOT_TXMON);
            slot->flags |= SLOT_BUF_CHANGED;
            flags |= (uint16_t)(SLOT_BUF_CHANGED | (direction == TX ? SLOT_TXMON : 0));
            put_slot(monitor, copies, slot->len, flags);
        }
        wake_port(monitor);
        break; /* the buffers are gone: one such monitor per ring */
    }
}
