/* NIC ports: a real interface behind netmap's rings, by packet sockets, BPF and a tap device. */
#ifndef EMULATION_NIC_H
#define EMULATION_NIC_H

#include <poll.h>

#include "world.h"

struct local;
struct nic;

/* Takes the interface for a descriptor that is about to be registered; an errno value. */
int nic_attach(struct local *local, struct port *port);
/* Gives it back: the sockets close, and with them what was attached to the interface goes. */
void nic_detach(struct local *local);
/* After a fork: the child's copies of the descriptors, without giving anything back. */
bool nic_too_large(const struct port *port, uint32_t buf_size);
/* Sends what is new on a tx ring (NIC or host); an errno value. */
int nic_transmit(struct local *local, struct port *port, uint32_t ring);
/* Takes back what the program released of an rx ring and fills in what has come; an errno value. */
int nic_receive(struct local *local, struct port *port, uint32_t ring);
/* What to poll besides the descriptor itself; at most two entries. */
nfds_t nic_poll_set(const struct local *local, const struct port *port, short events, struct pollfd *fds);

#endif
