/* BPF programs on the interface (tcx, Linux 6.6 or newer) and a tap device for the host's side.
 *
 * While NIC rings are bound, received packets reach the packet socket, which looks before tcx does, and are
 * then dropped; packets that the host sends go to the tap device, or are dropped without host rings. What the
 * packet socket sends bypasses the egress programs. Writing to the tap device hands a packet to the
 * interface's ingress, with a mark that both the packet socket and the dropping program know. Links, tap
 * device and sockets all end with the process: nothing is left to clean up, however it dies. */
#define _GNU_SOURCE
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "real.h"

/* Newer than the headers of some distributions. */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS 47
#define ATTACH_BEFORE (1u << 3)
#define VERDICT_NEXT (-1)
#define VERDICT_PASS 0
#define VERDICT_DROP 2
#define HELPER_REDIRECT 23
#define TAP_MTU 65521
#define NO_INTERFACE INT32_MAX

/* BPF_LINK_CREATE's part of union bpf_attr, as far as tcx needs it. */
struct link_attributes {
    uint32_t program;
    uint32_t ifindex;
    uint32_t type;
    uint32_t flags;
    uint32_t relative;
    uint32_t pad;
    uint64_t revision;
    uint64_t rest[2];
};

#define MARK_OFFSET ((int16_t)offsetof(struct __sk_buff, mark))
#define SET(to, value) {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (int32_t)(value)}
#define LOAD_MARK {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = 2, .src_reg = 1, .off = MARK_OFFSET}
#define STORE_MARK {.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 2, .off = MARK_OFFSET}
#define UNLESS_OWN(skip) {.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = 2, .off = (skip), .imm = OWN_MARK}
#define REDIRECT {.code = BPF_JMP | BPF_CALL, .imm = HELPER_REDIRECT}
#define EXIT {.code = BPF_JMP | BPF_EXIT}

static int attach(int ifindex, uint32_t type, uint32_t flags, const struct bpf_insn *program, size_t size)
{
    union bpf_attr load;
    memset(&load, 0, sizeof(load));
    load.prog_type = BPF_PROG_TYPE_SCHED_CLS;
    load.insns = (uintptr_t)program;
    load.insn_cnt = (uint32_t)(size / sizeof(*program));
    load.license = (uintptr_t)"";
    int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
    if (fd < 0)
        return -1;
    struct link_attributes attributes = {
        .program = (uint32_t)fd,
        .ifindex = (uint32_t)ifindex,
        .type = type,
        .flags = flags,
    };
    int link = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes));
    int error = errno;
    real_close(fd);
    errno = error;
    return link;
}

int link_ingress(int ifindex, bool drop)
{
    const struct bpf_insn program[] = {
        LOAD_MARK,
        UNLESS_OWN(4),
        SET(2, 0),
        STORE_MARK,
        SET(0, VERDICT_PASS),
        EXIT,
        SET(0, drop ? VERDICT_DROP : VERDICT_NEXT),
        EXIT,
    };
    return attach(ifindex, ATTACH_TCX_INGRESS, 0, program, sizeof(program));
}

static int link_redirect(int ifindex, uint32_t type, uint32_t attach_flags, int to, uint64_t redirect_flags)
{
    const struct bpf_insn program[] = {
        SET(2, OWN_MARK), STORE_MARK, SET(1, to), SET(2, redirect_flags), REDIRECT, EXIT,
    };
    return attach(ifindex, type, attach_flags, program, sizeof(program));
}

/* A redirection to nowhere: the packet is dropped, and unlike with a drop its sender does not hear of it. */
int link_egress_drop(int ifindex)
{
    return link_redirect(ifindex, ATTACH_TCX_EGRESS, 0, NO_INTERFACE, 0);
}

/* Before the programs of those descriptors that have no host rings. */
int link_egress_to(int ifindex, int tap_ifindex)
{
    return link_redirect(ifindex, ATTACH_TCX_EGRESS, ATTACH_BEFORE, tap_ifindex, 0);
}

/* The host's own chatter on the tap device is none of the interface's. */
static int link_tap_egress(int tap_ifindex)
{
    const struct bpf_insn program[] = {
        LOAD_MARK, UNLESS_OWN(2), SET(0, VERDICT_PASS), EXIT, SET(0, VERDICT_DROP), EXIT,
    };
    return attach(tap_ifindex, ATTACH_TCX_EGRESS, 0, program, sizeof(program));
}

static bool bring_up(struct tap *tap, struct ifreq *request)
{
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool done = control >= 0 && real_ioctl(control, SIOCGIFINDEX, request) == 0;
    tap->ifindex = request->ifr_ifindex;
    request->ifr_mtu = TAP_MTU;
    done = done && real_ioctl(control, SIOCSIFMTU, request) == 0;
    request->ifr_flags = IFF_UP | IFF_NOARP;
    if (done)
        tap->links[0] = link_tap_egress(tap->ifindex);
    done = done && tap->links[0] >= 0 && real_ioctl(control, SIOCSIFFLAGS, request) == 0;
    int error = errno;
    if (control >= 0)
        real_close(control);
    errno = error;
    return done;
}

int tap_open(struct tap *tap, int ifindex)
{
    *tap = (struct tap){.fd = -1, .links = {-1, -1}};
    tap->fd = real_open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
    if (tap->fd < 0)
        return errno;
    struct ifreq request;
    memset(&request, 0, sizeof(request));
    memcpy(request.ifr_name, "nmhost%d", sizeof("nmhost%d"));
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    bool done = real_ioctl(tap->fd, TUNSETIFF, &request) == 0 && bring_up(tap, &request);
    if (done)
        tap->links[1] = link_redirect(tap->ifindex, ATTACH_TCX_INGRESS, 0, ifindex, BPF_F_INGRESS);
    if (done && tap->links[1] >= 0)
        return 0;
    int error = errno;
    tap_close(tap);
    return error;
}

void tap_close(struct tap *tap)
{
    for (size_t i = 0; i < 2; i++) {
        if (tap->links[i] >= 0)
            real_close(tap->links[i]);
    }
    if (tap->fd >= 0)
        real_close(tap->fd);
    *tap = (struct tap){.fd = -1, .links = {-1, -1}};
}
