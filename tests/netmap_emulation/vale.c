/* VALE: learning switches. Senders copy into the receivers' rings; what does not fit is dropped. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "port.h"

#define EVERYBODY UINT32_MAX
#define UNKNOWN_NUMBER 255

struct fragment {
    const uint8_t *data;
    uint32_t length;
};

int vale_join(struct port *port)
{
    size_t length = strcspn(port->name, ":");
    struct vswitch *chosen = NULL;
    struct vswitch *unused = NULL;
    for (size_t i = 0; i < MAX_SWITCHES; i++) {
        struct vswitch *candidate = &world->vswitch[i];
        if (!candidate->used)
            unused = unused == NULL ? candidate : unused;
        else if (candidate->netns == port->netns && strlen(candidate->name) == length &&
                 strncmp(candidate->name, port->name, length) == 0)
            chosen = candidate;
    }
    if (chosen == NULL) {
        uint32_t domain = new_domain();
        if (unused == NULL || domain == NOTHING)
            return ENOMEM;
        chosen = unused;
        memset(chosen, 0, sizeof(*chosen));
        chosen->used = true;
        chosen->netns = port->netns;
        chosen->domain = domain;
        snprintf(chosen->name, sizeof(chosen->name), "%.*s", (int)length, port->name);
    }
    chosen->ports++;
    port->vswitch = (uint32_t)(chosen - world->vswitch);
    port->domain = chosen->domain;
    port->number = chosen->next_number++;
    return 0;
}

void vale_leave(struct port *port)
{
    struct vswitch *left = &world->vswitch[port->vswitch];
    for (size_t i = 0; i < MAC_TABLE; i++) {
        if (left->table[i].used && left->table[i].port == port->number)
            left->table[i].used = false;
    }
    if (--left->ports == 0) {
        left->used = false;
        world->domain_used[left->domain] = false;
    }
}

static uint64_t mac_at(const uint8_t *bytes)
{
    uint64_t mac = 0;
    for (size_t i = 0; i < 6; i++)
        mac = mac << 8 | bytes[i];
    return mac;
}

static size_t mac_bucket(uint64_t mac)
{
    return (size_t)((mac * 0x9e3779b97f4a7c15u) >> 54) % MAC_TABLE;
}

/* Learns the source, also from slots with NO_LEARN, and looks the destination up: a port's number in the switch,
 * or everybody. A port that sends from the same address again is not learnt again. */
static uint32_t destination(struct vswitch *vswitch, struct port *from, const uint8_t *header)
{
    uint64_t source = mac_at(header + 6);
    if ((header[6] & 1) == 0 && from->last_source != source) {
        from->last_source = source;
        size_t bucket = mac_bucket(source);
        vswitch->table[bucket].mac = source;
        vswitch->table[bucket].port = from->number;
        vswitch->table[bucket].used = true;
    }
    uint64_t target = mac_at(header);
    size_t bucket = mac_bucket(target);
    if ((header[0] & 1) == 0 && vswitch->table[bucket].used && vswitch->table[bucket].mac == target)
        return vswitch->table[bucket].port;
    return EVERYBODY;
}

/* Slot by slot as it was sent, the total count repeated in each slot. */
static void deliver(struct port *to, uint32_t ring, const struct fragment *fragments, uint32_t count)
{
    struct kring *kring = &to->kring[RX][ring % to->rings[RX]];
    if (kring->users == 0)
        return;
    uint32_t every = world->settings.empty_every;
    bool empty_first = every > 0 && ++to->deliveries % every == 0;
    if (room(kring) < count + (empty_first ? 1 : 0)) {
        to->dropped++;
        return;
    }
    if (empty_first)
        put_slot(to, kring, 0, 1 << 8);
    for (uint32_t i = 0; i < count; i++) {
        const struct nm_slot *slot = &ring_of(to, kring)->slot[kring->hwtail];
        uint32_t length = fragments[i].length;
        if (length > world->region[to->region].buf_size)
            length = world->region[to->region].buf_size;
        if (valid_buffer(to->region, slot->buf_idx))
            memcpy(buffer_at(to->region, slot->buf_idx), fragments[i].data, length);
        put_slot(to, kring, length, (uint16_t)(count << 8 | (i + 1 < count ? SLOT_MOREFRAG : 0)));
    }
    monitor_received(to, ring % to->rings[RX]);
}

/* Sends all of [hwcur, rhead). */
void vale_transmit(struct port *port, uint32_t ring)
{
    struct vswitch *vswitch = &world->vswitch[port->vswitch];
    struct kring *kring = &port->kring[TX][ring];
    const struct nm_ring *slots = ring_of(port, kring);
    bool reached[MAX_PORTS] = {false};
    uint32_t at = kring->hwcur;
    while (at != kring->rhead) {
        struct fragment fragments[MAX_FRAGMENTS];
        uint32_t count = 0;
        bool sound = true;
        bool more = true;
        while (more && at != kring->rhead) {
            const struct nm_slot *slot = &slots->slot[at];
            if (count == MAX_FRAGMENTS) {
                fault(port, "too many fragments: slot %u of tx ring %u", at, ring);
                sound = false;
                count--;
            }
            sound = slot_is_sound(port, slot) && sound;
            bool elsewhere = (slot->flags & SLOT_INDIRECT) != 0;
            if (sound) {
                fragments[count].data = elsewhere ? (const uint8_t *)(uintptr_t)slot->ptr
                                                  : buffer_at(port->region, slot->buf_idx);
                fragments[count].length = slot->len;
            }
            count++;
            more = (slot->flags & SLOT_MOREFRAG) != 0;
            at = next_slot(kring, at);
        }
        if (more)
            fault(port, "cut chain: the last slot of tx ring %u before head has MOREFRAG", ring);
        if (!sound || fragments[0].length < 14)
            continue;
        uint32_t target = destination(vswitch, port, fragments[0].data);
        for (uint32_t i = 0; i < MAX_PORTS; i++) {
            struct port *to = &world->port[i];
            if (to->kind != PORT_VALE || to->vswitch != port->vswitch || to == port ||
                (target != EVERYBODY && to->number != target))
                continue;
            deliver(to, ring, fragments, count);
            reached[i] = true;
        }
    }
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        if (reached[i])
            wake_port(&world->port[i]);
    }
}

/* With a name: where that port is, or its switch. Without: the first port at or after the given switch and number.
 */
int vale_list(struct nm_header *header)
{
    struct nm_vale_list *list = (struct nm_vale_list *)(uintptr_t)header->body;
    const struct port *best = NULL;
    size_t switch_length = strcspn(header->name, ":");
    uint32_t number = UNKNOWN_NUMBER;
    for (uint32_t i = 0; i < MAX_PORTS; i++) {
        const struct port *port = &world->port[i];
        if (port->kind != PORT_VALE || port->netns != current_netns())
            continue;
        if (header->name[0] != '\0') {
            if (strncmp(header->name, port->name, switch_length + 1) == 0)
                best = port;
            if (strcmp(header->name, port->name) == 0)
                number = port->number;
        } else if (port->vswitch > list->bridge ||
                   (port->vswitch == list->bridge && port->number >= list->port)) {
            if (best == NULL || port->vswitch < best->vswitch ||
                (port->vswitch == best->vswitch && port->number < best->number))
                best = port;
        }
    }
    if (best == NULL)
        return ENOENT;
    list->bridge = (uint16_t)best->vswitch;
    list->port = header->name[0] == '\0' ? best->number : number;
    if (header->name[0] != '\0')
        return 0;
    memset(header->name, 0, NAME_SIZE);
    snprintf(header->name, NAME_SIZE, "%s", best->name);
    return 0;
}
