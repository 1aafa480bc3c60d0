/* This process's view of its netmap file descriptors. */
#ifndef EMULATION_INTERPOSE_H
#define EMULATION_INTERPOSE_H

#include "port.h"

/* The open netmap behind a file descriptor; NULL for all other file descriptors. */
struct local *local_of(int fd);

#endif
