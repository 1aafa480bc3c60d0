/* The state that all emulated processes share: what the kernel module would keep in its own memory.
 *
 * It lives in files of one directory. Everything in `struct world` is changed under the world's lock, except
 * what syncs change, which is changed under the lock of the port's domain (a pipe's two ends, a VALE switch,
 * a NIC; a monitor belongs to its parent's). Lock order: world, then domain. */
#ifndef EMULATION_WORLD_H
#define EMULATION_WORLD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi.h"

#define MAX_REGIONS 64
#define MAX_PORTS 128
#define MAX_DESCRIPTORS 256
#define MAX_SWITCHES 8
#define MAX_RINGS 16 /* per direction, without the host ring */
#define MAC_TABLE 1024
#define IF_OBJECT 1024u
#define RING_OBJECT 36864u /* the module's own default */
#define RING_SLOTS_MAX ((RING_OBJECT - 256) / sizeof(struct nm_slot))
#define NOTHING UINT32_MAX
#define GLOBAL_MEMORY 1

enum direction { RX = 0, TX = 1 };

enum port_kind { PORT_FREE, PORT_NIC, PORT_VALE, PORT_PIPE, PORT_MONITOR, PORT_NULL };

/* A memory allocator of the module: interfaces, rings and buffers, mapped by programs as one file. */
struct region {
    uint16_t mem_id;   /* 0: this entry is free */
    uint32_t instance; /* tells it from former ones of this entry */
    uint32_t ports;    /* how many refer to it */
    uint32_t interfaces;
    uint32_t rings;
    uint32_t buffers;
    uint32_t buf_size;
    uint32_t next_buffer; /* where to look for a free one */
    uint32_t free_buffers;
    bool killed; /* a process with rings here died, which no program is to blame for */
};

/* A ring as the kernel sees it. */
struct kring {
    uint32_t users;
    bool exclusive;
    uint32_t object; /* in the region, or NOTHING */
    uint32_t slots;
    uint32_t hwcur;
    uint32_t hwtail;
    uint32_t rhead;
    uint32_t rcur;
    uint32_t rtail;
    uint32_t seen;  /* up to here receive monitors have a copy */
    uint32_t owner; /* NIC receive rings: the descriptor that fills this ring */
};

struct port {
    enum port_kind kind;
    char name[NAME_SIZE];
    uint64_t netns;
    uint32_t region;
    uint32_t domain;
    uint32_t users;
    uint32_t rings[2];      /* without host rings, by direction */
    uint32_t host_rings[2]; /* as the mapped interface tells them */
    uint32_t slots[2];
    struct kring kring[2][MAX_RINGS + 1]; /* the host ring comes after the others */
    uint32_t peer;                        /* pipe */
    uint32_t vswitch;                     /* VALE */
    uint32_t number;                      /* VALE: of the port in its switch */
    uint64_t last_source;                 /* VALE: the address that the switch learnt from it last */
    uint32_t parent;                      /* monitor */
    uint64_t monitor_flags;               /* monitor */
    bool orphan;                          /* monitor: the parent was closed */
    uint32_t monitors;                    /* how many watch this port */
    int ifindex;                          /* NIC */
    bool gone;                            /* NIC: the interface was removed */
    uint32_t nic_users[2];                /* NIC: descriptors that bind NIC rings, by direction */
    atomic_uint epoch;                    /* NIC: counts changes of nic_users */
    uint64_t dropped;
    uint64_t deliveries;
};

enum descriptor_state { DESCRIPTOR_FREE, DESCRIPTOR_OPEN, DESCRIPTOR_REGISTERED };

struct descriptor {
    enum descriptor_state state;
    uint32_t generation;
    uint32_t port;
    uint32_t mode;
    uint64_t flags;
    uint32_t first[2]; /* the bound rings: [first, last) by direction */
    uint32_t last[2];
    uint32_t interface; /* its object in the region */
    uint32_t extra;     /* buffers granted */
    atomic_uint waiting;
};

struct vswitch {
    bool used;
    char name[NAME_SIZE];
    uint64_t netns;
    uint32_t domain;
    uint32_t ports;
    uint32_t next_number;
    struct {
        uint64_t mac;
        uint32_t port; /* its number in the switch */
        bool used;
    } table[MAC_TABLE];
};

struct settings {
    uint32_t slots;
    uint32_t rings;
    uint32_t buffers;
    uint32_t buf_size;
    uint32_t max_extra;
    uint32_t empty_every; /* VALE: an empty slot before every n-th delivery */
};

struct world {
    uint32_t ready;
    pthread_mutex_t lock;
    pthread_mutex_t domain_lock[MAX_PORTS];
    bool domain_used[MAX_PORTS];
    uint16_t next_mem_id;
    uint32_t last_instance;
    struct settings settings;
    struct region region[MAX_REGIONS];
    struct port port[MAX_PORTS];
    struct descriptor descriptor[MAX_DESCRIPTORS];
    uint32_t descriptor_top;
    struct vswitch vswitch[MAX_SWITCHES];
};

extern struct world *world;

/* Opens the directory; false with errno when it can't be used. */
bool world_open(const char *directory);
int world_file(const char *name, int flags);
bool world_fifo(const char *name);
void world_remove(const char *name);
void lock_world(void);
void mend_world(void); /* mend.c; with the lock */
void unlock_world(void);
void lock_domain(uint32_t domain);
void unlock_domain(uint32_t domain);
uint32_t new_domain(void);
uint64_t current_netns(void);

extern _Thread_local bool blameless; /* cleaning up after a dead process: no faults are noted */

/* Notes what the kernel would suffer from, or silently correct, for tests to assert on. */
void fault(const struct port *port, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Regions. All but region_base, shadow and buffer access need the world's lock. */
uint32_t region_by_id(uint16_t mem_id);
uint32_t region_create(bool global);
void region_put(uint32_t index);
uint8_t *region_base(uint32_t index);
int region_file(uint32_t index);
uint64_t region_size(const struct region *region);
uint64_t rings_offset(const struct region *region);
uint64_t buffers_offset(const struct region *region);
uint32_t take_interface(uint32_t region);
void put_interface(uint32_t region, uint32_t object);
uint32_t take_ring(uint32_t region);
void put_ring(uint32_t region, uint32_t object);
uint32_t take_buffer(uint32_t region);
bool put_buffer(uint32_t region, uint32_t buffer);
struct nm_if *interface_at(uint32_t region, uint32_t object);
struct nm_ring *ring_at(uint32_t region, uint32_t object);
/* The buffer index that each slot had when the kernel last saw it. */
uint32_t *shadow_at(uint32_t region, uint32_t object);
uint8_t *buffer_at(uint32_t region, uint32_t buffer);
bool valid_buffer(uint32_t region, uint32_t buffer);

#endif
