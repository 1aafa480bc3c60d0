/* Ports: found by name, made on demand, their rings filled with buffers while somebody has them bound. */
#define _GNU_SOURCE
#include "port.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t bounded(uint32_t asked, uint32_t usual, uint32_t most)
{
    if (asked == 0)
        return usual;
    return asked > most ? most : asked;
}

static struct port *find_port(const char *name, uint64_t netns, bool monitors)
{
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        struct port *port = &world->port[i];
        if (port->kind != PORT_FREE && port->kind != PORT_NULL && (port->kind == PORT_MONITOR) == monitors &&
            port->netns == netns && strcmp(port->name, name) == 0)
            return port;
    }
    return NULL;
}

static struct port *new_port(enum port_kind kind, const char *name, uint32_t region)
{
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        struct port *port = &world->port[i];
        if (port->kind != PORT_FREE)
            continue;
        memset(port, 0, sizeof(*port));
        snprintf(port->name, sizeof(port->name), "%s", name);
        port->netns = current_netns();
        port->region = region;
        port->host_rings[RX] = port->host_rings[TX] = 1;
        port->rings[RX] = port->rings[TX] = 1;
        port->slots[RX] = port->slots[TX] = world->settings.slots;
        port->peer = port->parent = port->vswitch = NOTHING;
        for (size_t d = 0; d < 2; d++) {
            for (size_t r = 0; r <= MAX_RINGS; r++) {
                port->kring[d][r].object = NOTHING;
                port->kring[d][r].owner = NOTHING;
            }
        }
        world->region[region].ports++;
        /* Last: those who look for receivers do so without the world's lock. */
        __atomic_store_n(&port->kind, kind, __ATOMIC_RELEASE);
        return port;
    }
    return NULL;
}

static void free_port(struct port *port, bool with_domain)
{
    if (with_domain)
        world->domain_used[port->domain] = false;
    port->kind = PORT_FREE;
    region_put(port->region);
}

/* The region that a request names, or its own kind's. */
static int choose_region(uint16_t mem_id, bool global, uint32_t *region)
{
    if (mem_id == GLOBAL_MEMORY || (mem_id == 0 && global))
        *region = region_create(true);
    else if (mem_id == 0)
        *region = region_create(false);
    else if ((*region = region_by_id(mem_id)) == NOTHING)
        return EINVAL;
    return *region == NOTHING ? ENOMEM : 0;
}

static void take_sizes(struct port *port, const struct nm_register *request)
{
    port->rings[TX] = bounded(request->tx_rings, 1, MAX_RINGS);
    port->rings[RX] = bounded(request->rx_rings, 1, MAX_RINGS);
    port->slots[TX] = bounded(request->tx_slots, world->settings.slots, RING_SLOTS_MAX);
    port->slots[RX] = bounded(request->rx_slots, world->settings.slots, RING_SLOTS_MAX);
}

static int make_vale(const char *name, const struct nm_register *request, struct port **found)
{
    uint32_t region;
    int error = choose_region(request->mem_id, false, &region);
    if (error != 0)
        return error;
    struct port *port = new_port(PORT_VALE, name, region);
    if (port == NULL)
        return ENOMEM;
    take_sizes(port, request);
    error = vale_join(port);
    if (error != 0) {
        free_port(port, false);
        return error;
    }
    *found = port;
    return 0;
}

/* Both ends are made at once and go together; they share the parent's memory. */
static int make_pipe(const char *name, const char *mark, const struct nm_register *request,
                     struct port **found)
{
    char *end;
    unsigned long id = strtoul(mark + 1, &end, 10);
    if (mark == name || end == mark + 1 || *end != '\0' || id > 0xffff)
        return EINVAL;
    char parent[NAME_SIZE];
    snprintf(parent, sizeof(parent), "%.*s", (int)(mark - name), name);
    uint32_t region = NOTHING;
    uint64_t netns = current_netns();
    for (uint32_t i = 0; i < MAX_PORTS && region == NOTHING; i++) {
        const struct port *other = &world->port[i];
        size_t length = strlen(parent);
        if ((other->kind == PORT_PIPE || other->kind == PORT_VALE || other->kind == PORT_NIC) &&
            other->netns == netns && strncmp(other->name, parent, length) == 0 &&
            (other->name[length] == '\0' || other->name[length] == '{' || other->name[length] == '}'))
            region = other->region;
    }
    if (region == NOTHING) {
        int error = choose_region(request->mem_id, if_nametoindex(parent) != 0, &region);
        if (error != 0)
            return error;
    } else if (request->mem_id != 0 && request->mem_id != world->region[region].mem_id) {
        return EINVAL;
    }
    uint32_t domain = new_domain();
    if (domain == NOTHING)
        return ENOMEM;
    struct port *end_of[2] = {NULL, NULL};
    for (size_t i = 0; i < 2; i++) {
        char end_name[NAME_SIZE];
        snprintf(end_name, sizeof(end_name), "%s%c%s", parent, i == 0 ? *mark : *mark ^ '{' ^ '}', mark + 1);
        end_of[i] = new_port(PORT_PIPE, end_name, region);
        if (end_of[i] == NULL) {
            world->domain_used[domain] = false;
            if (i == 1)
                free_port(end_of[0], false);
            return ENOMEM;
        }
        end_of[i]->domain = domain;
    }
    take_sizes(end_of[0], request);
    for (size_t d = 0; d < 2; d++) {
        end_of[1]->rings[d] = end_of[0]->rings[!d];
        end_of[1]->slots[d] = end_of[0]->slots[!d];
        end_of[d]->peer = port_index(end_of[!d]);
    }
    *found = end_of[0];
    return 0;
}

static int make_nic(const char *name, const struct nm_register *request, struct port **found)
{
    unsigned ifindex = if_nametoindex(name);
    if (ifindex == 0)
        return ENXIO;
    uint32_t region;
    int error = choose_region(request->mem_id, true, &region);
    if (error != 0)
        return error;
    uint32_t domain = new_domain();
    struct port *port = domain == NOTHING ? NULL : new_port(PORT_NIC, name, region);
    if (port == NULL)
        return ENOMEM;
    port->domain = domain;
    port->ifindex = (int)ifindex;
    port->rings[TX] = port->rings[RX] = world->settings.rings;
    *found = port;
    return 0;
}

static int make_null(const char *name, const struct nm_register *request, struct port **found)
{
    uint32_t region;
    int error = request->mem_id == 0 ? EINVAL : choose_region(request->mem_id, true, &region);
    if (error != 0)
        return error;
    uint32_t domain = new_domain();
    struct port *port = domain == NOTHING ? NULL : new_port(PORT_NULL, name, region);
    if (port == NULL)
        return ENOMEM;
    port->domain = domain;
    port->rings[TX] = port->rings[RX] = 0;
    port->host_rings[TX] = port->host_rings[RX] = 0;
    *found = port;
    return 0;
}

int port_get(const char *name, const struct nm_register *request, bool create, struct port **found)
{
    if (request->mode == MODE_NULL)
        return create ? make_null(name, request, found) : EINVAL;
    if ((request->flags & (REG_MON_RX | REG_MON_TX)) != 0)
        return monitor_get(name, request, found);
    struct port *port = find_port(name, current_netns(), false);
    if (port != NULL && port->kind == PORT_NIC && if_nametoindex(name) != (unsigned)port->ifindex)
        return ENXIO; /* removed while open */
    if (port != NULL) {
        /* The region has been chosen, but another one that is asked for must exist. */
        if (request->mem_id != 0 && region_by_id(request->mem_id) == NOTHING)
            return EINVAL;
        *found = port;
        return 0;
    }
    if (!create)
        return ENXIO;
    const char *mark = strpbrk(name, "{}");
    if (mark != NULL)
        return make_pipe(name, mark, request, found);
    if (strncmp(name, "vale", 4) == 0 && strchr(name, ':') != NULL)
        return make_vale(name, request, found);
    return make_nic(name, request, found);
}

/* A monitor has a port of its own, which nobody finds by name. */
struct port *monitor_port(const struct port *parent, bool shares)
{
    uint32_t region = shares ? parent->region : region_create(false);
    return region == NOTHING ? NULL : new_port(PORT_MONITOR, parent->name, region);
}

void port_drop_unused(struct port *port)
{
    if (port->users > 0)
        return;
    switch (port->kind) {
    case PORT_PIPE: {
        struct port *peer = &world->port[port->peer];
        if (peer->users == 0) {
            free_port(peer, true);
            free_port(port, false);
        }
        break;
    }
    case PORT_VALE:
        vale_leave(port);
        free_port(port, false);
        break;
    case PORT_MONITOR:
        monitor_leave(port);
        free_port(port, false);
        break;
    case PORT_NIC:
    case PORT_NULL:
        free_port(port, true);
        break;
    case PORT_FREE:
        break;
    }
}

/* Gives a ring its memory. A pipe's receive ring has no buffers of its own: it shows its peer's. */
static int fill_ring(struct port *port, enum direction direction, uint32_t index)
{
    struct kring *kring = &port->kring[direction][index];
    uint32_t object = take_ring(port->region);
    if (object == NOTHING)
        return ENOMEM;
    const struct region *region = &world->region[port->region];
    uint32_t slots = port->slots[direction];
    struct nm_ring *ring = ring_at(port->region, object);
    uint64_t at = rings_offset(region) + (uint64_t)object * RING_OBJECT;
    ring->buf_ofs = (int64_t)(buffers_offset(region) - at);
    ring->num_slots = slots;
    ring->buf_size = region->buf_size;
    ring->ringid = (uint16_t)index;
    ring->dir = (uint16_t)direction;
    ring->tail = direction == TX ? slots - 1 : 0;
    *kring = (struct kring){
        .object = object,
        .slots = slots,
        .hwtail = ring->tail,
        .rtail = ring->tail,
        .owner = NOTHING,
    };
    bool empty = port->kind == PORT_PIPE && direction == RX;
    for (uint32_t i = 0; i < slots && !empty; i++) {
        ring->slot[i].buf_idx = take_buffer(port->region);
        ring->slot[i].len = (uint16_t)region->buf_size;
        shadow_at(port->region, object)[i] = ring->slot[i].buf_idx;
        if (ring->slot[i].buf_idx == 0)
            return ENOMEM;
    }
    return 0;
}

static void empty_ring(struct port *port, struct kring *kring, bool shows_peer)
{
    if (kring->object == NOTHING)
        return;
    const struct nm_ring *ring = ring_of(port, kring);
    for (uint32_t i = 0; i < kring->slots && !shows_peer; i++) {
        uint32_t buffer = ring->slot[i].buf_idx;
        if (buffer == 0)
            continue; /* never filled, or taken away by the kernel */
        if (!valid_buffer(port->region, buffer))
            fault(port, "bad buffer: index %u in a ring at close", buffer);
        else if (!put_buffer(port->region, buffer))
            fault(port, "double free: buffer %u in a ring at close", buffer);
    }
    put_ring(port->region, kring->object);
    kring->object = NOTHING;
    kring->users = 0;
    kring->exclusive = false;
}

/* What a program swapped into a pipe's receive ring belongs to the sender's ring from then on. */
static void return_swapped(struct port *port, uint32_t index)
{
    struct kring *rx = &port->kring[RX][index];
    struct port *peer = &world->port[port->peer];
    struct kring *tx = &peer->kring[TX][index];
    if (rx->object == NOTHING || tx->object == NOTHING)
        return;
    for (uint32_t i = rx->hwcur; i != rx->hwtail; i = next_slot(rx, i)) {
        const struct nm_slot *slot = &ring_of(port, rx)->slot[i];
        if ((slot->flags & SLOT_BUF_CHANGED) != 0)
            ring_of(peer, tx)->slot[i].buf_idx = slot->buf_idx;
        else if (slot->buf_idx != shadow_of(port, rx)[i])
            fault(port, "missing BUF_CHANGED: slot %u of a pipe's rx ring at close", i);
    }
}

static void empty_pipe(struct port *port)
{
    struct port *ends[2] = {port, &world->port[port->peer]};
    for (size_t e = 0; e < 2; e++) {
        for (uint32_t i = 0; i < ends[e]->rings[RX]; i++)
            return_swapped(ends[e], i);
    }
    for (size_t e = 0; e < 2; e++) {
        for (uint32_t i = 0; i < ends[e]->rings[RX]; i++)
            empty_ring(ends[e], &ends[e]->kring[RX][i], true);
        for (uint32_t i = 0; i < ends[e]->rings[TX]; i++)
            empty_ring(ends[e], &ends[e]->kring[TX][i], false);
    }
}

static int fill_pipe(struct port *port)
{
    struct port *ends[2] = {port, &world->port[port->peer]};
    for (size_t e = 0; e < 2; e++) {
        for (size_t d = 0; d < 2; d++) {
            for (uint32_t i = 0; i < ends[e]->rings[d]; i++) {
                int error = ends[e]->kring[d][i].object != NOTHING ? 0 : fill_ring(ends[e], d, i);
                if (error != 0)
                    return error;
            }
        }
    }
    return 0;
}

static void empty_unused(struct port *port)
{
    for (size_t d = 0; d < 2; d++) {
        for (uint32_t i = 0; i < port->rings[d] + port->host_rings[d] && port->kind != PORT_PIPE; i++) {
            if (port->kring[d][i].users == 0)
                empty_ring(port, &port->kring[d][i], false);
        }
    }
    if (port->kind == PORT_PIPE && port->users == 0 && world->port[port->peer].users == 0)
        empty_pipe(port);
    if (port->users == 0)
        orphan_monitors(port);
}

void port_shed(struct port *port)
{
    empty_unused(port);
    port_drop_unused(port);
}

int bind_rings(struct port *port, struct descriptor *descriptor)
{
    bool exclusive = (descriptor->flags & REG_EXCL) != 0;
    for (size_t d = 0; d < 2; d++) {
        for (uint32_t i = descriptor->first[d]; i < descriptor->last[d]; i++) {
            const struct kring *kring = &port->kring[d][i];
            if (kring->exclusive || (exclusive && kring->users > 0))
                return EBUSY;
        }
    }
    int error = 0;
    port->users++;
    if (port->kind == PORT_PIPE)
        error = fill_pipe(port);
    for (size_t d = 0; d < 2; d++) {
        for (uint32_t i = descriptor->first[d]; i < descriptor->last[d]; i++) {
            struct kring *kring = &port->kring[d][i];
            if (error == 0 && kring->object == NOTHING)
                error = fill_ring(port, d, i);
            kring->users++;
            kring->exclusive = exclusive;
        }
    }
    if (error != 0)
        unbind_rings(port, descriptor);
    return error;
}

void unbind_rings(struct port *port, struct descriptor *descriptor)
{
    uint32_t index = (uint32_t)(descriptor - world->descriptor);
    for (size_t d = 0; d < 2; d++) {
        for (uint32_t i = descriptor->first[d]; i < descriptor->last[d]; i++) {
            struct kring *kring = &port->kring[d][i];
            kring->users--;
            kring->exclusive = false;
            if (kring->owner == index)
                kring->owner = NOTHING;
        }
    }
    port->users--;
    empty_unused(port);
}
