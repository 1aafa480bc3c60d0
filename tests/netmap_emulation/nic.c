/* NIC and host rings over a packet socket and a tap device; attach.c tells how the host is kept apart. */
#define _GNU_SOURCE
#include "nic.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attach.h"
#include "port.h"
#include "real.h"

#define BATCH 64
#define FRAME_MAX 65600 /* a GSO frame with its header */
#define HEADROOM 4      /* for a VLAN tag that the kernel took out */
#define SOCKET_BUFFER (32 << 20)
#define HEADER 14
#define SCRATCH ((size_t)(BATCH + 1) * FRAME_MAX)

/* A descriptor's hold on its interface. */
struct nic {
    int ifindex;
    int socket;
    int ingress;
    int egress;
    bool host; /* binds host rings */
    bool sends;
    bool receives;
    bool in_doubt; /* it was down when last used: it may be gone */
    uint32_t epoch;
    struct tap tap;
    uint8_t *scratch; /* BATCH frames of the wire, and one of the host's */
    uint32_t next;    /* received ones that did not fit into the ring: [next, count) */
    uint32_t count;
    struct mmsghdr messages[BATCH];
    struct iovec vectors[BATCH];
    _Alignas(struct cmsghdr) uint8_t controls[BATCH][CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

bool nic_too_large(const struct port *port, uint32_t buf_size)
{
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, port->name, IFNAMSIZ - 1);
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool known = control >= 0 && real_ioctl(control, SIOCGIFMTU, &request) == 0;
    if (control >= 0)
        real_close(control);
    return known && (uint32_t)request.ifr_mtu > buf_size;
}

static bool set_option(int socket, int level, int option, int value)
{
    return setsockopt(socket, level, option, &value, sizeof(value)) == 0;
}

/* Bound to all protocols even when it is only to send: so it hears of the interface's removal. */
static int open_socket(int ifindex, bool receives)
{
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_MARK)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_MARK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, receives ? UINT32_MAX : 0),
    };
    struct sock_fprog filter = {.len = sizeof(instructions) / sizeof(*instructions), .filter = instructions};
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = (uint16_t)(ETH_P_ALL << 8), /* in network order */
        .sll_ifindex = ifindex,
    };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) == 0 &&
        set_option(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) &&
        set_option(fd, SOL_PACKET, PACKET_AUXDATA, 1) && set_option(fd, SOL_PACKET, PACKET_QDISC_BYPASS, 1) &&
        set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER) &&
        set_option(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER) &&
        bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        real_close(fd);
    errno = error;
    return -1;
}

static void close_nic(struct nic *nic)
{
    /* Unlinked first: the host must not see what the socket still holds. */
    int fds[] = {nic->socket, nic->egress, nic->ingress};
    for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++) {
        if (fds[i] >= 0)
            real_close(fds[i]);
    }
    tap_close(&nic->tap);
    if (nic->scratch != NULL)
        munmap(nic->scratch, SCRATCH);
    free(nic);
}

/* The host's packets are netmap's as long as somebody has NIC tx rings bound, which may come and go. */
static int settle_egress(struct nic *nic, const struct port *port)
{
    uint32_t epoch = atomic_load(&port->epoch);
    bool wanted = nic->sends || (nic->host && port->nic_users[TX] > 0);
    if (wanted && nic->egress < 0) {
        nic->egress =
            nic->host ? link_egress_to(nic->ifindex, nic->tap.ifindex) : link_egress_drop(nic->ifindex);
        if (nic->egress < 0)
            return errno;
    } else if (!wanted && nic->egress >= 0) {
        real_close(nic->egress);
        nic->egress = -1;
    }
    nic->epoch = epoch;
    return 0;
}

int nic_attach(struct local *local, struct port *port)
{
    const struct descriptor *descriptor = descriptor_of(local);
    struct nic *nic = calloc(1, sizeof(*nic));
    if (nic == NULL)
        return ENOMEM;
    *nic = (struct nic){.socket = -1, .ingress = -1, .egress = -1, .tap = {.fd = -1, .links = {-1, -1}}};
    nic->ifindex = port->ifindex;
    for (size_t d = 0; d < 2; d++) {
        bool binds = descriptor->first[d] < descriptor->last[d];
        bool *nic_rings = d == TX ? &nic->sends : &nic->receives;
        *nic_rings = binds_nic_rings(port, descriptor, d);
        nic->host = nic->host || (binds && descriptor->last[d] > port->rings[d]);
    }
    void *scratch = real_mmap(NULL, SCRATCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    nic->scratch = scratch == MAP_FAILED ? NULL : scratch;
    int error = nic->scratch == NULL ? ENOMEM : 0;
    if (error == 0 && nic->host)
        error = tap_open(&nic->tap, nic->ifindex);
    if (error == 0 && (nic->socket = open_socket(nic->ifindex, nic->receives)) < 0)
        error = errno;
    if (error == 0 && (nic->ingress = link_ingress(nic->ifindex, nic->receives)) < 0)
        error = errno;
    if (error == 0)
        error = settle_egress(nic, port);
    if (error != 0) {
        fault(port, "emulation: the interface can't be taken: %s (tcx needs Linux 6.6 and root)",
              strerror(error));
        close_nic(nic);
        return error;
    }
    local->nic = nic;
    return 0;
}

void nic_detach(struct local *local)
{
    if (local->nic != NULL)
        close_nic(local->nic);
    local->nic = NULL;
}

/* After an error: whether it is because the interface is no more. If not, it may be on its way: the socket tells that
 * the interface went down, but not that it is then removed. */
static bool check_gone(struct nic *nic, struct port *port)
{
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    request.ifr_ifindex = nic->ifindex;
    if (real_ioctl(nic->socket, SIOCGIFNAME, &request) != 0 && errno == ENODEV)
        port->gone = true;
    bool is_up = real_ioctl(nic->socket, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
    nic->in_doubt = !port->gone && !is_up;
    return port->gone;
}

static int enter_sync(struct nic *nic, struct port *port)
{
    if (nic->in_doubt)
        check_gone(nic, port);
    if (nic->epoch != atomic_load(&port->epoch)) {
        int error = settle_egress(nic, port);
        if (error != 0 && !check_gone(nic, port))
            fault(port, "emulation: the host's packets can't be taken: %s", strerror(error));
    }
    return port->gone ? EIO : 0;
}

/* Sends up to BATCH frames; how many are done with, sent or dropped. 0: try again later, or gone. */
static uint32_t send_frames(struct nic *nic, struct port *port, struct iovec *vectors, uint32_t count)
{
    struct mmsghdr messages[BATCH];
    memset(messages, 0, count * sizeof(*messages));
    for (uint32_t i = 0; i < count; i++) {
        messages[i].msg_hdr.msg_iov = &vectors[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    int sent = sendmmsg(nic->socket, messages, count, MSG_DONTWAIT);
    if (sent > 0)
        return (uint32_t)sent;
    if (errno == EAGAIN || errno == EINTR || check_gone(nic, port))
        return 0;
    port->dropped++; /* too long, or the interface is down, or its queue is full */
    return 1;
}

/* Gives a frame to the host's stack as if the interface had received it. */
static void send_to_host(struct nic *nic, struct port *port, const uint8_t *data, size_t length)
{
    if (nic->tap.fd < 0) {
        int error = tap_open(&nic->tap, nic->ifindex);
        if (error != 0)
            fault(port, "emulation: no way to the host: %s", strerror(error));
    }
    if (nic->tap.fd < 0 || write(nic->tap.fd, data, length) != (ssize_t)length)
        port->dropped++;
}

/* Each slot is a packet of its own: the generic adapter knows no chains. */
static void transmit_wire(struct nic *nic, struct port *port, struct kring *kring)
{
    const struct nm_ring *ring = ring_of(port, kring);
    while (kring->hwcur != kring->rhead) {
        struct iovec vectors[BATCH];
        uint32_t count = 0;
        for (uint32_t i = kring->hwcur; i != kring->rhead && count < BATCH; i = next_slot(kring, i)) {
            const struct nm_slot *slot = &ring->slot[i];
            if (slot->len < HEADER || !slot_is_sound(port, slot))
                break;
            vectors[count++] = (struct iovec){buffer_at(port->region, slot->buf_idx), slot->len};
        }
        uint32_t done = 1;
        if (count == 0)
            port->dropped++;
        else
            done = send_frames(nic, port, vectors, count);
        if (done == 0)
            break;
        for (uint32_t i = 0; i < done; i++)
            kring->hwcur = next_slot(kring, kring->hwcur);
    }
}

static void transmit_host(struct nic *nic, struct port *port, struct kring *kring)
{
    const struct nm_ring *ring = ring_of(port, kring);
    for (; kring->hwcur != kring->rhead; kring->hwcur = next_slot(kring, kring->hwcur)) {
        const struct nm_slot *slot = &ring->slot[kring->hwcur];
        if (slot->len >= HEADER && slot_is_sound(port, slot))
            send_to_host(nic, port, buffer_at(port->region, slot->buf_idx), slot->len);
        else
            port->dropped++;
    }
}

/* Slots come back one sync after they were sent, as from hardware that takes its time. */
int nic_transmit(struct local *local, struct port *port, uint32_t index)
{
    struct nic *nic = local->nic;
    struct kring *kring = &port->kring[TX][index];
    int error = enter_sync(nic, port);
    if (error != 0)
        return error;
    uint32_t from = kring->hwcur;
    settle_buffers(port, kring, from, kring->rhead, "tx");
    kring->hwtail = previous_slot(kring, from);
    if (index == port->rings[TX])
        transmit_host(nic, port, kring);
    else
        transmit_wire(nic, port, kring);
    monitor_consumed(port, TX, index, from, kring->hwcur);
    return port->gone ? EIO : 0;
}

/* Released slots marked for it go on to the other side, when the ring allows. */
static void forward_released(struct nic *nic, struct port *port, struct kring *kring, bool from_host)
{
    struct nm_ring *ring = ring_of(port, kring);
    if ((ring->flags & RING_FORWARD) == 0)
        return;
    for (uint32_t i = kring->hwcur; i != kring->rhead; i = next_slot(kring, i)) {
        struct nm_slot *slot = &ring->slot[i];
        if ((slot->flags & SLOT_FORWARD) == 0)
            continue;
        slot->flags &= (uint16_t)~SLOT_FORWARD;
        if (slot->len < HEADER || !slot_is_sound(port, slot))
            continue;
        struct iovec vector = {buffer_at(port->region, slot->buf_idx), slot->len};
        if (!from_host)
            send_to_host(nic, port, vector.iov_base, vector.iov_len);
        else if (send_frames(nic, port, &vector, 1) == 0)
            port->dropped++;
    }
}

/* The same ring for both directions of a conversation. */
static uint32_t ring_for(const struct port *port, const uint8_t *frame, uint32_t length)
{
    if (port->rings[RX] == 1)
        return 0;
    uint32_t at = HEADER;
    uint32_t type = length >= HEADER ? (uint32_t)frame[12] << 8 | frame[13] : 0;
    if (type == ETH_P_8021Q && length >= at + 4) {
        type = (uint32_t)frame[16] << 8 | frame[17];
        at += 4;
    }
    uint32_t sum = 0;
    uint32_t first = type == ETH_P_IP ? 12 : type == ETH_P_IPV6 ? 8 : 0;
    uint32_t last = type == ETH_P_IP ? 20 : type == ETH_P_IPV6 ? 40 : 0;
    for (uint32_t i = first; i < last && at + i < length; i++)
        sum += frame[at + i];
    uint32_t protocol = type == ETH_P_IP && length > at + 9     ? frame[at + 9]
                        : type == ETH_P_IPV6 && length > at + 6 ? frame[at + 6]
                                                                : 0;
    for (uint32_t i = last; i < last + 4 && (protocol == 6 || protocol == 17) && at + i < length; i++)
        sum += frame[at + i];
    return sum * 2654435761u % port->rings[RX];
}

/* A frame longer than a buffer becomes a chain. False when the ring has no room for all of it. */
static bool fill(struct port *port, struct kring *kring, const uint8_t *frame, uint32_t length)
{
    uint32_t size = world->region[port->region].buf_size;
    uint32_t needed = (length + size - 1) / size;
    if (room(kring) < needed)
        return false;
    for (uint32_t done = 0; done < length; done += size) {
        const struct nm_slot *slot = &ring_of(port, kring)->slot[kring->hwtail];
        uint32_t part = length - done < size ? length - done : size;
        if (valid_buffer(port->region, slot->buf_idx))
            memcpy(buffer_at(port->region, slot->buf_idx), frame + done, part);
        put_slot(port, kring, part, done + part < length ? SLOT_MOREFRAG : 0);
    }
    return true;
}

/* Makes the frame what it was on the wire: the kernel keeps the outermost VLAN tag apart. */
static void restore_tag(struct nic *nic, uint32_t number)
{
    struct msghdr *message = &nic->messages[number].msg_hdr;
    uint8_t *frame = nic->vectors[number].iov_base;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA)
            continue;
        struct tpacket_auxdata data;
        memcpy(&data, CMSG_DATA(part), sizeof(data));
        if ((data.tp_status & TP_STATUS_VLAN_VALID) == 0)
            continue;
        uint32_t tpid = (data.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? data.tp_vlan_tpid : ETH_P_8021Q;
        frame -= 4;
        memmove(frame, frame + 4, 12);
        frame[12] = (uint8_t)(tpid >> 8);
        frame[13] = (uint8_t)tpid;
        frame[14] = (uint8_t)(data.tp_vlan_tci >> 8);
        frame[15] = (uint8_t)data.tp_vlan_tci;
        nic->messages[number].msg_len += 4;
        nic->vectors[number].iov_base = frame;
    }
}

static void receive_batch(struct nic *nic, struct port *port, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        nic->vectors[i] =
            (struct iovec){nic->scratch + (size_t)i * FRAME_MAX + HEADROOM, FRAME_MAX - HEADROOM};
        nic->messages[i] = (struct mmsghdr){
            .msg_hdr = {.msg_iov = &nic->vectors[i],
                        .msg_iovlen = 1,
                        .msg_control = nic->controls[i],
                        .msg_controllen = sizeof(nic->controls[i])},
        };
    }
    int received = recvmmsg(nic->socket, nic->messages, count, MSG_DONTWAIT, NULL);
    if (received < 0 && errno != EAGAIN && errno != EINTR)
        check_gone(nic, port);
    nic->next = 0;
    nic->count = received > 0 ? (uint32_t)received : 0;
    for (uint32_t i = 0; i < nic->count; i++)
        restore_tag(nic, i);
}

/* Puts what has come into this descriptor's rings, until the one that is being synced is full. */
static void receive_wire(struct local *local, struct port *port, uint32_t index)
{
    struct nic *nic = local->nic;
    struct kring *wanted = &port->kring[RX][index];
    if (wanted->owner == NOTHING)
        wanted->owner = local->descriptor;
    if (wanted->owner != local->descriptor)
        return;
    if (room(wanted) == 0) {
        int error = 0;
        socklen_t size = sizeof(error);
        if (getsockopt(nic->socket, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0)
            check_gone(nic, port);
        return;
    }
    for (;;) {
        uint32_t asked = room(wanted) < BATCH ? room(wanted) : BATCH;
        if (nic->next == nic->count && asked > 0)
            receive_batch(nic, port, asked);
        bool all = nic->count < asked;
        if (nic->next == nic->count)
            return;
        for (; nic->next < nic->count; nic->next++) {
            const uint8_t *frame = nic->vectors[nic->next].iov_base;
            uint32_t length = nic->messages[nic->next].msg_len;
            if ((nic->messages[nic->next].msg_hdr.msg_flags & MSG_TRUNC) != 0)
                continue;
            struct kring *kring = &port->kring[RX][ring_for(port, frame, length)];
            if (kring->owner != local->descriptor)
                continue; /* another descriptor's, which has its own copy, or nobody's */
            if (fill(port, kring, frame, length))
                continue;
            if (kring == wanted && distance(kring, kring->hwcur, kring->hwtail) > 0)
                return;
            port->dropped++;
        }
        if (all)
            return;
    }
}

static void receive_host(struct nic *nic, struct port *port, struct kring *kring)
{
    uint8_t *frame = nic->scratch + (size_t)BATCH * FRAME_MAX;
    while (room(kring) > 0) {
        ssize_t length = read(nic->tap.fd, frame, FRAME_MAX);
        if (length <= 0)
            break;
        if ((size_t)length > world->region[port->region].buf_size)
            port->dropped++;
        else
            (void)fill(port, kring, frame, (uint32_t)length);
    }
}

int nic_receive(struct local *local, struct port *port, uint32_t index)
{
    struct nic *nic = local->nic;
    struct kring *kring = &port->kring[RX][index];
    bool host = index == port->rings[RX];
    int error = enter_sync(nic, port);
    if (error != 0)
        return error;
    uint32_t from = kring->hwcur;
    settle_buffers(port, kring, from, kring->rhead, "rx");
    forward_released(nic, port, kring, host);
    kring->hwcur = kring->rhead;
    monitor_consumed(port, RX, index, from, kring->hwcur);
    if (host)
        receive_host(nic, port, kring);
    else
        receive_wire(local, port, index);
    return port->gone ? EIO : 0;
}

nfds_t nic_poll_set(const struct local *local, const struct port *port, short events, struct pollfd *fds)
{
    const struct nic *nic = local->nic;
    if (nic == NULL)
        return 0;
    const struct descriptor *descriptor = descriptor_of(local);
    bool receives = (events & (POLLIN | POLLRDNORM)) != 0;
    bool sends = (events & (POLLOUT | POLLWRNORM)) != 0;
    fds[0] = (struct pollfd){.fd = nic->socket}; /* its error tells that the interface is gone */
    for (uint32_t i = descriptor->first[RX]; i < descriptor->last[RX] && i < port->rings[RX] && receives;
         i++) {
        const struct kring *kring = &port->kring[RX][i];
        if (kring->owner == local->descriptor && room(kring) > 0)
            fds[0].events |= POLLIN;
    }
    for (uint32_t i = descriptor->first[TX]; i < descriptor->last[TX] && i < port->rings[TX] && sends; i++) {
        if (port->kring[TX][i].hwcur != port->kring[TX][i].rhead)
            fds[0].events |= POLLOUT;
    }
    bool hosts = receives && descriptor->last[RX] > port->rings[RX] && nic->tap.fd >= 0;
    if (!hosts || room(&port->kring[RX][port->rings[RX]]) == 0)
        return 1;
    fds[1] = (struct pollfd){.fd = nic->tap.fd, .events = POLLIN};
    return 2;
}
