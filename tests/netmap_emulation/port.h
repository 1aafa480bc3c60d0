/* Ports: finding, making, binding and releasing them; moving packets through their rings. */
#ifndef EMULATION_PORT_H
#define EMULATION_PORT_H

#include "nic.h"
#include "world.h"

/* An open /dev/netmap in this process; duplicates of the file descriptor share it. */
struct local {
    uint32_t duplicates;
    uint32_t descriptor;
    uint32_t generation;
    struct nic *nic;
};

static inline struct descriptor *descriptor_of(const struct local *local)
{
    return &world->descriptor[local->descriptor];
}

static inline bool binds_nic_rings(const struct port *port, const struct descriptor *descriptor,
                                   size_t direction)
{
    return descriptor->first[direction] < descriptor->last[direction] &&
           descriptor->first[direction] < port->rings[direction];
}

static inline uint32_t next_slot(const struct kring *kring, uint32_t at)
{
    return at + 1 == kring->slots ? 0 : at + 1;
}

static inline uint32_t previous_slot(const struct kring *kring, uint32_t at)
{
    return at == 0 ? kring->slots - 1 : at - 1;
}

/* How many slots lie in [from, to). */
static inline uint32_t distance(const struct kring *kring, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + kring->slots - from;
}

static inline uint32_t room(const struct kring *kring)
{
    return kring->slots - 1 - distance(kring, kring->hwcur, kring->hwtail);
}

static inline struct nm_ring *ring_of(const struct port *port, const struct kring *kring)
{
    return ring_at(port->region, kring->object);
}

static inline uint32_t *shadow_of(const struct port *port, const struct kring *kring)
{
    return shadow_at(port->region, kring->object);
}

static inline uint32_t port_index(const struct port *port)
{
    return (uint32_t)(port - world->port);
}

/* port.c; with the world's lock. Results are errno values, 0 for success. */
int port_get(const char *name, const struct nm_register *request, bool create, struct port **found);
struct port *monitor_port(const struct port *parent, bool shares);
void port_drop_unused(struct port *port);
/* Empties rings that nobody has bound, and drops the port if nobody has it open. */
void port_shed(struct port *port);
int bind_rings(struct port *port, struct descriptor *descriptor);
void unbind_rings(struct port *port, struct descriptor *descriptor);

/* request.c */
int control(struct local *local, struct nm_header *header);
/* Lets go of what a descriptor holds, as the kernel does at the last close. Takes the world's lock. */
void release_descriptor(uint32_t index, uint32_t generation);
/* Releases those whose processes died. With the world's lock. */
void reap(void);
int descriptor_open(struct local *local);

/* sync.c */
int sync_rings(struct local *local, enum direction direction);
short sync_for_poll(struct local *local, short events);
bool slot_is_sound(const struct port *port, const struct nm_slot *slot);
void settle_buffers(struct port *port, struct kring *kring, uint32_t from, uint32_t to, const char *what);
void put_slot(struct port *port, struct kring *kring, uint32_t length, uint16_t flags);

/* wake.c */
void wake_port(const struct port *port);
int wake_make(uint32_t descriptor);
int wake_open(uint32_t descriptor);
void wake_remove(uint32_t descriptor);
void wake_drain(int fd);

/* vale.c */
int vale_join(struct port *port);
void vale_leave(struct port *port);
void vale_transmit(struct port *port, uint32_t ring);
int vale_list(struct nm_header *header);

/* monitor.c */
int monitor_get(const char *name, const struct nm_register *request, struct port **found);
void monitor_leave(struct port *port);
void orphan_monitors(struct port *parent);
void monitor_sent(struct port *port, uint32_t ring, uint32_t from, uint32_t to);
void monitor_received(struct port *port, uint32_t ring);
void monitor_consumed(struct port *port, enum direction direction, uint32_t ring, uint32_t from, uint32_t to);

#endif
