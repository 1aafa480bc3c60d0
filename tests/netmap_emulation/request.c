/* Control requests on a descriptor, and its life from open to the last close. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port.h"
#include "real.h"

static const uint64_t KNOWN_FLAGS = REG_MON_TX | REG_MON_RX | REG_ZCOPY_MON | REG_EXCL | REG_RX_ONLY |
                                    REG_TX_ONLY | REG_NO_TX_POLL | 0x1000 /* accept virtio-net headers */ |
                                    0x8000 /* direction of host rings */ | 0x10000 /* no host rings */;

static void release(uint32_t index);

int descriptor_open(struct local *local)
{
    lock_world();
    uint32_t index = 0;
    for (int attempt = 0; attempt < 2; attempt++) {
        for (index = 0; index < MAX_DESCRIPTORS; index++) {
            if (world->descriptor[index].state == DESCRIPTOR_FREE)
                break;
        }
        if (index < MAX_DESCRIPTORS)
            break;
        reap();
    }
    int fd = -1;
    int error = EMFILE;
    if (index < MAX_DESCRIPTORS) {
        struct descriptor *descriptor = &world->descriptor[index];
        uint32_t generation = descriptor->generation + 1;
        memset(descriptor, 0, sizeof(*descriptor));
        descriptor->generation = generation;
        descriptor->port = NOTHING;
        descriptor->interface = NOTHING;
        fd = wake_make(index);
        error = errno;
        /* The lock lasts as long as any duplicate of the descriptor, in any process: it tells who is alive.
         */
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
            error = errno;
            real_close(fd);
            fd = -1;
        }
        if (fd >= 0) {
            descriptor->state = DESCRIPTOR_OPEN;
            if (world->descriptor_top <= index)
                world->descriptor_top = index + 1;
            local->descriptor = index;
            local->generation = generation;
        }
    }
    unlock_world();
    if (fd < 0)
        errno = error;
    return fd;
}

/* Whether no process holds the descriptor any more. */
static bool abandoned(uint32_t index)
{
    int fd = wake_open(index);
    if (fd < 0)
        return true;
    bool unlocked = flock(fd, LOCK_EX | LOCK_NB) == 0;
    real_close(fd);
    return unlocked;
}

void reap(void)
{
    for (uint32_t i = 0; i < world->descriptor_top; i++) {
        const struct descriptor *descriptor = &world->descriptor[i];
        if (descriptor->state == DESCRIPTOR_FREE || !abandoned(i))
            continue;
        if (descriptor->state == DESCRIPTOR_REGISTERED)
            world->region[world->port[descriptor->port].region].killed = true;
        blameless = true;
        release(i);
        blameless = false;
    }
}

void release_descriptor(uint32_t index, uint32_t generation)
{
    lock_world();
    const struct descriptor *descriptor = &world->descriptor[index];
    if (descriptor->generation == generation && descriptor->state != DESCRIPTOR_FREE && abandoned(index))
        release(index);
    unlock_world();
}

/* The kernel walks the list of extra buffers as the program left it, by each buffer's first word. */
static void free_extra(const struct port *port, const struct descriptor *descriptor)
{
    uint32_t region = port->region;
    uint32_t freed = 0;
    uint32_t buffer = interface_at(region, descriptor->interface)->bufs_head;
    while (buffer != 0) {
        if (!valid_buffer(region, buffer)) {
            fault(port, "bad buffer: index %u in the list of extra buffers", buffer);
            return;
        }
        uint32_t next;
        memcpy(&next, buffer_at(region, buffer), sizeof(next));
        if (!put_buffer(region, buffer)) {
            fault(port, "double free: buffer %u in the list of extra buffers", buffer);
            return;
        }
        freed++;
        buffer = next;
    }
    if (freed != descriptor->extra)
        fault(port, "extra buffers: %u granted, %u in the list at close", descriptor->extra, freed);
}

static void grant_extra(const struct port *port, struct descriptor *descriptor, uint32_t asked)
{
    uint32_t region = port->region;
    if (asked > world->settings.max_extra)
        asked = world->settings.max_extra;
    uint32_t head = 0;
    while (descriptor->extra < asked) {
        uint32_t buffer = take_buffer(region);
        if (buffer == 0)
            break;
        memcpy(buffer_at(region, buffer), &head, sizeof(head));
        head = buffer;
        descriptor->extra++;
    }
    interface_at(region, descriptor->interface)->bufs_head = head;
}

static void unregister(struct descriptor *descriptor)
{
    struct port *port = &world->port[descriptor->port];
    uint32_t domain = port->domain;
    lock_domain(domain);
    if (descriptor->interface != NOTHING) {
        free_extra(port, descriptor);
        put_interface(port->region, descriptor->interface);
    }
    descriptor->state = DESCRIPTOR_OPEN;
    if (port->kind == PORT_NIC) {
        for (size_t d = 0; d < 2; d++)
            port->nic_users[d] -= binds_nic_rings(port, descriptor, d);
        atomic_fetch_add(&port->epoch, 1);
    }
    unbind_rings(port, descriptor);
    wake_port(port);
    if (port->kind == PORT_PIPE)
        wake_port(&world->port[port->peer]);
    port_drop_unused(port);
    descriptor->port = NOTHING;
    unlock_domain(domain);
}

static void release(uint32_t index)
{
    struct descriptor *descriptor = &world->descriptor[index];
    if (descriptor->state == DESCRIPTOR_REGISTERED)
        unregister(descriptor);
    descriptor->state = DESCRIPTOR_FREE;
    wake_remove(index);
}

/* Which rings of each direction the mode binds. */
static int choose_rings(const struct port *port, const struct nm_register *request,
                        struct descriptor *descriptor)
{
    for (size_t d = 0; d < 2; d++) {
        uint32_t rings = port->rings[d];
        uint32_t hosts = port->host_rings[d];
        uint32_t first;
        uint32_t last;
        switch (request->mode) {
        case MODE_ALL_NIC:
            first = 0;
            last = rings;
            break;
        case MODE_SW:
            first = rings;
            last = rings + hosts;
            break;
        case MODE_NIC_SW:
            first = 0;
            last = rings + hosts;
            break;
        case MODE_ONE_NIC:
            if (request->ringid >= port->rings[TX] && request->ringid >= port->rings[RX])
                return EINVAL;
            /* With fewer rings in this direction, its first one stands in. */
            first = request->ringid < rings ? request->ringid : 0;
            last = first + 1;
            break;
        case MODE_ONE_SW:
            if (request->ringid >= hosts)
                return EINVAL;
            first = rings + request->ringid;
            last = first + 1;
            break;
        case MODE_NULL:
            first = last = 0;
            break;
        default:
            return EINVAL;
        }
        bool wanted = (request->flags & (d == TX ? REG_RX_ONLY : REG_TX_ONLY)) == 0;
        bool has_host = port->kind == PORT_NIC || port->kind == PORT_MONITOR;
        if (wanted && !has_host && last > rings)
            return EINVAL;
        if (wanted && port->kind == PORT_MONITOR && d == TX && first < last) {
            first = 0;
            last = 1;
        }
        descriptor->first[d] = first;
        descriptor->last[d] = wanted ? last : first;
    }
    return 0;
}

static void fill_interface(const struct port *port, const struct descriptor *descriptor)
{
    struct nm_if *interface = interface_at(port->region, descriptor->interface);
    memcpy(interface->name, port->name, sizeof(interface->name) - 1);
    interface->version = API_MIN;
    interface->tx_rings = port->rings[TX];
    interface->rx_rings = port->rings[RX];
    interface->host_tx = port->host_rings[TX];
    interface->host_rx = port->host_rings[RX];
    int64_t base = (int64_t)descriptor->interface * (int64_t)IF_OBJECT;
    uint32_t at = 0;
    for (int d = TX; d >= RX; d--) {
        for (uint32_t i = 0; i < port->rings[d] + port->host_rings[d]; i++, at++) {
            bool bound = i >= descriptor->first[d] && i < descriptor->last[d];
            uint64_t offset =
                rings_offset(&world->region[port->region]) + (uint64_t)port->kring[d][i].object * RING_OBJECT;
            interface->ring_ofs[at] = bound ? (int64_t)offset - base : 0;
        }
    }
}

static void tell_port(const struct port *port, struct nm_port_info *info)
{
    bool told = port->kind == PORT_NIC; /* VALE and pipes keep quiet about the host rings they list */
    *info = (struct nm_port_info){
        .memsize = region_size(&world->region[port->region]),
        .tx_slots = port->slots[TX],
        .rx_slots = port->slots[RX],
        .tx_rings = (uint16_t)port->rings[TX],
        .rx_rings = (uint16_t)port->rings[RX],
        .host_tx = (uint16_t)(told ? port->host_rings[TX] : 0),
        .host_rx = (uint16_t)(told ? port->host_rings[RX] : 0),
        .mem_id = world->region[port->region].mem_id,
    };
}

static int bind_descriptor(struct local *local, struct port *port, const struct nm_register *request)
{
    struct descriptor *descriptor = descriptor_of(local);
    descriptor->mode = request->mode;
    descriptor->flags = request->flags;
    descriptor->extra = 0;
    int error = choose_rings(port, request, descriptor);
    if (error != 0)
        return error;
    bool receives = descriptor->first[RX] < descriptor->last[RX];
    if (port->kind == PORT_NIC && receives && nic_too_large(port, world->region[port->region].buf_size))
        return EINVAL;
    error = bind_rings(port, descriptor);
    if (error != 0)
        return error;
    descriptor->interface = take_interface(port->region);
    if (descriptor->interface == NOTHING)
        error = ENOMEM;
    if (error == 0 && port->kind == PORT_NIC) {
        for (size_t d = 0; d < 2; d++)
            port->nic_users[d] += binds_nic_rings(port, descriptor, d);
        error = nic_attach(local, port);
        for (size_t d = 0; d < 2 && error != 0; d++)
            port->nic_users[d] -= binds_nic_rings(port, descriptor, d);
    }
    if (error != 0) {
        if (descriptor->interface != NOTHING)
            put_interface(port->region, descriptor->interface);
        descriptor->interface = NOTHING;
        unbind_rings(port, descriptor);
        return error;
    }
    fill_interface(port, descriptor);
    grant_extra(port, descriptor, request->extra_bufs);
    descriptor->port = port_index(port);
    descriptor->state = DESCRIPTOR_REGISTERED;
    atomic_fetch_add(&port->epoch, 1);
    wake_port(port);
    return 0;
}

static int do_register(struct local *local, const char *name, struct nm_register *request)
{
    if (descriptor_of(local)->state == DESCRIPTOR_REGISTERED)
        return EBUSY;
    if (request->mode == 0 || request->mode > MODE_ONE_SW || request->mode == 5 || request->mode == 6)
        return EINVAL;
    if ((request->flags & ~KNOWN_FLAGS) != 0) {
        fault(NULL, "unknown register flags: %#llx", (unsigned long long)(request->flags & ~KNOWN_FLAGS));
        return EINVAL;
    }
    struct port *port;
    int error = port_get(name, request, true, &port);
    if (error != 0)
        return error;
    uint32_t domain = port->domain;
    lock_domain(domain);
    error = bind_descriptor(local, port, request);
    if (error != 0)
        port_drop_unused(port);
    unlock_domain(domain);
    if (error != 0)
        return error;
    const struct descriptor *descriptor = descriptor_of(local);
    struct nm_port_info info;
    tell_port(port, &info);
    request->offset = (uint64_t)descriptor->interface * IF_OBJECT;
    request->memsize = info.memsize;
    request->tx_slots = info.tx_slots;
    request->rx_slots = info.rx_slots;
    request->tx_rings = info.tx_rings;
    request->rx_rings = info.rx_rings;
    request->host_tx = info.host_tx;
    request->host_rx = info.host_rx;
    request->mem_id = info.mem_id;
    request->extra_bufs = descriptor->extra;
    return 0;
}

/* A port that does not exist yet is made to be looked at, and goes again. */
static void look_away(struct port *port)
{
    uint32_t domain = port->domain;
    lock_domain(domain);
    port_drop_unused(port);
    unlock_domain(domain);
}

static int do_port_info(const char *name, struct nm_port_info *info)
{
    struct nm_register request = {
        .mode = MODE_ALL_NIC,
        .tx_slots = info->tx_slots,
        .rx_slots = info->rx_slots,
        .tx_rings = info->tx_rings,
        .rx_rings = info->rx_rings,
        .mem_id = info->mem_id,
    };
    struct port *port;
    int error = port_get(name, &request, true, &port);
    if (error != 0)
        return error;
    tell_port(port, info);
    look_away(port);
    return 0;
}

/* Of the memory that the named port has, or would have. */
static int do_pools_info(const char *name, struct nm_pools_info *info)
{
    struct nm_register request = {.mode = MODE_ALL_NIC, .mem_id = info->mem_id};
    struct port *port;
    int error = port_get(name, &request, true, &port);
    if (error != 0)
        return error;
    const struct region *region = &world->region[port->region];
    *info = (struct nm_pools_info){
        .memsize = region_size(region),
        .mem_id = region->mem_id,
        .interfaces = {.offset = 0, .objects = region->interfaces, .object_size = IF_OBJECT},
        .rings = {.offset = rings_offset(region), .objects = region->rings, .object_size = RING_OBJECT},
        .buffers = {.offset = buffers_offset(region),
                    .objects = region->buffers,
                    .object_size = region->buf_size},
    };
    look_away(port);
    return 0;
}

/* No option is supported: each says so in its status, and so does the request. */
static int refuse_options(uint64_t first)
{
    int error = 0;
    while (first != 0) {
        struct nm_option *option = (struct nm_option *)(uintptr_t)first;
        option->status = EOPNOTSUPP;
        error = EOPNOTSUPP;
        first = option->next;
    }
    return error;
}

int control(struct local *local, struct nm_header *header)
{
    if (header->version < API_MIN || header->version > API_MAX || header->reserved != 0)
        return EINVAL;
    if (header->body == 0)
        return EINVAL;
    header->name[NAME_SIZE - 1] = '\0';
    int error = refuse_options(header->options);
    if (error != 0)
        return error;
    void *body = (void *)(uintptr_t)header->body;
    lock_world();
    reap();
    switch (header->reqtype) {
    case REQ_REGISTER:
        error = do_register(local, header->name, body);
        break;
    case REQ_PORT_INFO_GET:
        error = do_port_info(header->name, body);
        break;
    case REQ_VALE_LIST:
        error = vale_list(header);
        break;
    case REQ_POOLS_INFO:
        error = do_pools_info(header->name, body);
        break;
    case REQ_VALE_ATTACH:
    case REQ_VALE_DETACH:
        error = EOPNOTSUPP; /* no kernel thread would move an attached interface's packets */
        break;
    default:
        error = EINVAL;
    }
    unlock_world();
    return error;
}
