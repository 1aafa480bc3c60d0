/* TXSYNC, RXSYNC and what poll does of both: cursors checked as the kernel checks them, then moved. */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/time.h>

#include "port.h"

/* Whether `at` lies in [from, to], circularly. */
static bool within(const struct kring *kring, uint32_t from, uint32_t at, uint32_t to)
{
    return distance(kring, from, at) <= distance(kring, from, to);
}

/* The ring's cursors in one read each, since a program may change them at any time. */
static bool check_cursors(struct port *port, enum direction direction, uint32_t index, struct nm_ring *ring)
{
    struct kring *kring = &port->kring[direction][index];
    uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    uint32_t cur = __atomic_load_n(&ring->cur, __ATOMIC_ACQUIRE);
    uint32_t from = direction == TX ? kring->rhead : kring->hwcur;
    uint32_t to = direction == TX ? kring->rtail : kring->hwtail;
    const char *name = direction == TX ? "tx" : "rx";
    if (ring->tail != kring->rtail) {
        fault(port, "tail overwritten: %s ring %u, %u instead of %u", name, index, ring->tail, kring->rtail);
        ring->tail = kring->rtail;
    }
    if (head >= kring->slots || cur >= kring->slots || !within(kring, from, head, to) ||
        !within(kring, head, cur, to)) {
        fault(port, "bad cursors: %s ring %u of %u slots, head %u cur %u, allowed %u to %u", name, index,
              kring->slots, head, cur, from, to);
        return false;
    }
    kring->rhead = head;
    kring->rcur = cur;
    return true;
}

/* What the kernel does about a ring it can't trust: back to where it last was right. */
static void reset_ring(struct port *port, struct kring *kring, struct nm_ring *ring)
{
    ring->head = kring->rhead;
    ring->cur = kring->rcur;
    ring->tail = kring->rtail;
    for (uint32_t i = 0; i < kring->slots; i++) {
        struct nm_slot *slot = &ring->slot[i];
        if (slot->buf_idx != 0 && !valid_buffer(port->region, slot->buf_idx)) {
            fault(port, "bad buffer: index %u in slot %u", slot->buf_idx, i);
            slot->buf_idx = 0;
            slot->len = 0;
        }
    }
}

/* Whether the kernel would touch the buffer. */
bool slot_is_sound(const struct port *port, const struct nm_slot *slot)
{
    if (!valid_buffer(port->region, slot->buf_idx)) {
        fault(port, "bad buffer: index %u", slot->buf_idx);
        return false;
    }
    if (slot->len > world->region[port->region].buf_size) {
        fault(port, "bad length: %u in buffer %u", slot->len, slot->buf_idx);
        return false;
    }
    return true;
}

/* The program gave [from, to) to the kernel: a buffer that is not the slot's former one must be announced. */
void settle_buffers(struct port *port, struct kring *kring, uint32_t from, uint32_t to, const char *what)
{
    struct nm_ring *ring = ring_of(port, kring);
    uint32_t *shadow = shadow_of(port, kring);
    for (uint32_t i = from; i != to; i = next_slot(kring, i)) {
        struct nm_slot *slot = &ring->slot[i];
        if (slot->buf_idx != shadow[i] && (slot->flags & SLOT_BUF_CHANGED) == 0)
            fault(port, "missing BUF_CHANGED: slot %u of the %s ring", i, what);
        slot->flags &= (uint16_t)~SLOT_BUF_CHANGED;
        shadow[i] = slot->buf_idx;
    }
}

/* Ends the slot at the receive ring's tail, whose buffer the caller has filled. */
void put_slot(struct port *port, struct kring *kring, uint32_t length, uint16_t flags)
{
    struct nm_slot *slot = &ring_of(port, kring)->slot[kring->hwtail];
    slot->len = (uint16_t)length;
    slot->flags = flags;
    kring->hwtail = next_slot(kring, kring->hwtail);
}

/* The receiver sees the sender's very buffers: the slots are copied, not the packets. */
static void pipe_transmit(struct port *port, uint32_t index)
{
    struct kring *tx = &port->kring[TX][index];
    struct port *peer = &world->port[port->peer];
    struct kring *rx = &peer->kring[RX][index];
    if (tx->hwcur == tx->rhead)
        return;
    settle_buffers(port, tx, tx->hwcur, tx->rhead, "tx");
    const struct nm_ring *from = ring_of(port, tx);
    struct nm_ring *to = ring_of(peer, rx);
    for (; tx->hwcur != tx->rhead; tx->hwcur = next_slot(tx, tx->hwcur)) {
        (void)slot_is_sound(port, &from->slot[tx->hwcur]); /* the kernel passes it on unseen */
        to->slot[tx->hwcur] = from->slot[tx->hwcur];
        shadow_of(peer, rx)[tx->hwcur] = from->slot[tx->hwcur].buf_idx;
    }
    rx->hwtail = tx->hwcur;
    monitor_received(peer, index);
    wake_port(peer);
}

/* Released slots go back to the sender; a buffer swapped in comes along only if it was announced. */
static void pipe_receive(struct port *port, uint32_t index)
{
    struct kring *rx = &port->kring[RX][index];
    struct port *peer = &world->port[port->peer];
    struct kring *tx = &peer->kring[TX][index];
    if (rx->hwcur == rx->rhead)
        return;
    struct nm_ring *from = ring_of(port, rx);
    struct nm_ring *to = ring_of(peer, tx);
    for (; rx->hwcur != rx->rhead; rx->hwcur = next_slot(rx, rx->hwcur)) {
        struct nm_slot *slot = &from->slot[rx->hwcur];
        if ((slot->flags & SLOT_BUF_CHANGED) != 0) {
            to->slot[rx->hwcur] = *slot;
            shadow_of(peer, tx)[rx->hwcur] = slot->buf_idx;
            slot->flags &= (uint16_t)~SLOT_BUF_CHANGED;
        } else if (slot->buf_idx != shadow_of(port, rx)[rx->hwcur]) {
            fault(port, "missing BUF_CHANGED: slot %u of the rx ring", rx->hwcur);
        }
    }
    tx->hwtail = previous_slot(tx, rx->hwcur);
    wake_port(peer);
}

static int transmit(struct local *local, struct port *port, uint32_t index)
{
    struct kring *kring = &port->kring[TX][index];
    uint32_t from = kring->hwcur;
    switch (port->kind) {
    case PORT_NIC:
        monitor_sent(port, index, from, kring->rhead);
        return nic_transmit(local, port, index);
    case PORT_VALE:
        monitor_sent(port, index, from, kring->rhead);
        settle_buffers(port, kring, from, kring->rhead, "tx");
        vale_transmit(port, index);
        kring->hwcur = kring->rhead;
        kring->hwtail = previous_slot(kring, kring->hwcur);
        monitor_consumed(port, TX, index, from, kring->hwcur);
        return 0;
    case PORT_PIPE:
        monitor_sent(port, index, from, kring->rhead);
        pipe_transmit(port, index);
        return 0;
    default:
        return EIO; /* nothing can be sent through a monitor */
    }
}

static int receive(struct local *local, struct port *port, uint32_t index)
{
    struct kring *kring = &port->kring[RX][index];
    uint32_t from = kring->hwcur;
    int error = 0;
    switch (port->kind) {
    case PORT_NIC:
        error = nic_receive(local, port, index);
        break;
    case PORT_PIPE:
        pipe_receive(port, index);
        break;
    case PORT_MONITOR:
        if (port->orphan)
            return EIO;
        /* fall through */
    case PORT_VALE:
        settle_buffers(port, kring, from, kring->rhead, "rx");
        kring->hwcur = kring->rhead;
        monitor_consumed(port, RX, index, from, kring->hwcur);
        break;
    default:
        return EIO;
    }
    monitor_received(port, index);
    return error;
}

enum outcome { SYNCED, RESET, FAILED };

/* With the domain's lock. */
static enum outcome sync_ring(struct local *local, struct port *port, enum direction direction,
                              uint32_t index, int *error)
{
    struct kring *kring = &port->kring[direction][index];
    struct nm_ring *ring = ring_of(port, kring);
    if (!check_cursors(port, direction, index, ring)) {
        reset_ring(port, kring, ring);
        return RESET;
    }
    int result = direction == TX ? transmit(local, port, index) : receive(local, port, index);
    kring->rtail = kring->hwtail;
    __atomic_store_n(&ring->tail, kring->hwtail, __ATOMIC_RELEASE);
    if (direction == RX)
        gettimeofday(&ring->ts, NULL); /* whether or not the ring asks for it */
    if (result != 0)
        *error = result;
    return result == 0 ? SYNCED : FAILED;
}

/* The port that a descriptor is registered on, with its domain locked; NULL when it is not registered. */
static struct port *enter(const struct local *local)
{
    const struct descriptor *descriptor = descriptor_of(local);
    if (descriptor->state != DESCRIPTOR_REGISTERED)
        return NULL;
    struct port *port = &world->port[descriptor->port];
    for (;;) {
        uint32_t domain = __atomic_load_n(&port->domain, __ATOMIC_ACQUIRE);
        lock_domain(domain);
        if (domain == port->domain)
            return port;
        unlock_domain(domain); /* a monitor whose parent was closed has a domain of its own by now */
    }
}

/* The ioctls: an errno value. That a ring was reset, or that a monitor has lost its parent, is no error to them. */
int sync_rings(struct local *local, enum direction direction)
{
    const struct descriptor *descriptor = descriptor_of(local);
    struct port *port = enter(local);
    if (port == NULL)
        return ENXIO;
    int error = 0;
    for (uint32_t i = descriptor->first[direction]; i < descriptor->last[direction]; i++)
        (void)sync_ring(local, port, direction, i, &error);
    bool reported = error == EIO && port->kind == PORT_NIC;
    unlock_domain(port->domain);
    return reported ? EIO : 0;
}

/* What poll reports for a descriptor that asks for `events`. */
short sync_for_poll(struct local *local, short events)
{
    const struct descriptor *descriptor = descriptor_of(local);
    struct port *port = enter(local);
    if (port == NULL)
        return POLLERR;
    short ready = 0;
    int error = 0;
    bool sends = (events & (POLLOUT | POLLWRNORM)) != 0;
    bool receives = (events & (POLLIN | POLLRDNORM)) != 0;
    if (port->kind == PORT_NIC && port->gone)
        ready |= POLLERR;
    for (uint32_t i = descriptor->first[TX]; i < descriptor->last[TX] && port->kind != PORT_MONITOR; i++) {
        const struct kring *kring = &port->kring[TX][i];
        const struct nm_ring *ring = ring_of(port, kring);
        bool pending =
            ring->head != kring->hwcur || distance(kring, kring->hwcur, kring->hwtail) != kring->slots - 1;
        if (!sends && ((descriptor->flags & REG_NO_TX_POLL) != 0 || !pending))
            continue;
        /* A full ring is looked at twice: what one sync sends, the next finds done. */
        for (int round = 0; round < 2; round++) {
            if (sync_ring(local, port, TX, i, &error) != SYNCED)
                ready |= POLLERR;
            if (ring->cur != ring->tail)
                break;
        }
        if (sends && ring->cur != ring->tail)
            ready |= events & (POLLOUT | POLLWRNORM);
    }
    for (uint32_t i = descriptor->first[RX]; i < descriptor->last[RX] && receives; i++) {
        const struct nm_ring *ring = ring_of(port, &port->kring[RX][i]);
        if (sync_ring(local, port, RX, i, &error) != SYNCED)
            ready |= POLLERR;
        if (ring->cur != ring->tail)
            ready |= events & (POLLIN | POLLRDNORM);
    }
    unlock_domain(port->domain);
    return ready;
}
