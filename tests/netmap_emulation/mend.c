/* After a process died in the middle of a request: what it left half done is counted anew and cleared away.
 */
#include <string.h>

#include "port.h"

static void count_users(void)
{
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        struct port *port = &world->port[i];
        port->users = port->monitors = 0;
        port->nic_users[RX] = port->nic_users[TX] = 0;
        for (size_t d = 0; d < 2; d++) {
            for (size_t r = 0; r <= MAX_RINGS; r++)
                port->kring[d][r].users = 0;
        }
    }
    for (uint32_t i = 0; i < world->descriptor_top; i++) {
        const struct descriptor *descriptor = &world->descriptor[i];
        if (descriptor->state != DESCRIPTOR_REGISTERED)
            continue;
        struct port *port = &world->port[descriptor->port];
        port->users++;
        for (size_t d = 0; d < 2; d++) {
            port->nic_users[d] += binds_nic_rings(port, descriptor, d);
            for (uint32_t r = descriptor->first[d]; r < descriptor->last[d]; r++)
                port->kring[d][r].users++;
        }
    }
}

static void count_references(void)
{
    memset(world->domain_used, 0, sizeof(world->domain_used));
    for (uint32_t i = 0; i < MAX_REGIONS; i++) {
        world->region[i].ports = 0;
        world->region[i].killed = true;
    }
    for (uint32_t i = 0; i < MAX_SWITCHES; i++)
        world->vswitch[i].ports = 0;
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        const struct port *port = &world->port[i];
        if (port->kind == PORT_FREE)
            continue;
        world->domain_used[port->domain] = true;
        world->region[port->region].ports++;
        if (port->kind == PORT_VALE)
            world->vswitch[port->vswitch].ports++;
        if (port->kind == PORT_MONITOR && port->parent != NOTHING)
            world->port[port->parent].monitors++;
    }
    for (uint32_t i = 0; i < MAX_SWITCHES; i++)
        world->vswitch[i].used = world->vswitch[i].ports > 0;
}

/* Whether a port has its peer, parent or switch: one that was being made, or unmade, has no users anyway. */
static bool is_whole(const struct port *port)
{
    switch (port->kind) {
    case PORT_PIPE:
        return port->peer != NOTHING && world->port[port->peer].kind == PORT_PIPE &&
               world->port[port->peer].peer == port_index(port);
    case PORT_VALE:
        return port->vswitch != NOTHING;
    case PORT_MONITOR:
        return port->parent != NOTHING || port->orphan;
    default:
        return true;
    }
}

static void forget_unfinished(void)
{
    bool whole[MAX_PORTS];
    for (uint32_t i = 0; i < MAX_PORTS; i++)
        whole[i] = is_whole(&world->port[i]);
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        if (!whole[i])
            world->port[i].kind = PORT_FREE;
    }
}

void mend_world(void)
{
    blameless = true;
    forget_unfinished();
    count_users();
    count_references();
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        if (world->port[i].kind != PORT_FREE)
            port_shed(&world->port[i]);
    }
    for (uint32_t i = 0; i < MAX_REGIONS; i++) {
        if (world->region[i].mem_id != 0 && world->region[i].ports == 0) {
            world->region[i].ports = 1;
            region_put(i);
        }
    }
    blameless = false;
}
