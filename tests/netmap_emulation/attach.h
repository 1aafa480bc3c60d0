/* What takes an interface away from the host's stack, and gives packets back to it. */
#ifndef EMULATION_ATTACH_H
#define EMULATION_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

/* Marks packets that the emulation itself moves between the tap device and the interface. */
#define OWN_MARK 0x6e6d6170u

/* Each gives a link's file descriptor, or -1 with errno; the program is detached when the link is closed. */
int link_ingress(int ifindex, bool drop);
int link_egress_drop(int ifindex);
int link_egress_to(int ifindex, int tap_ifindex);

/* A tap device that stands between the host's stack and host rings. */
struct tap {
    int fd;
    int ifindex;
    int links[2];
};

/* Makes one beside the interface; an errno value. It goes when it is closed, or the process ends. */
int tap_open(struct tap *tap, int ifindex);
void tap_close(struct tap *tap);

#endif
