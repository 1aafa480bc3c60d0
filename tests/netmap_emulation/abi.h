/* netmap's binary interface on x86-64 Linux, written down from its documented layout. */
#ifndef EMULATION_ABI_H
#define EMULATION_ABI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#define NIOCCTRL 0xc0586997u
#define NIOCTXSYNC 0x6994u
#define NIOCRXSYNC 0x6995u
#define NIOCGINFO 0xc03c6991u
#define NIOCREGIF 0xc03c6992u
#define NIOCCONFIG 0xc1106996u

#define API_MIN 14
#define API_MAX 15

enum request_type {
    REQ_REGISTER = 1,
    REQ_PORT_INFO_GET = 2,
    REQ_VALE_ATTACH = 3,
    REQ_VALE_DETACH = 4,
    REQ_VALE_LIST = 5,
    REQ_POOLS_INFO = 12,
};

enum register_mode {
    MODE_ALL_NIC = 1,
    MODE_SW = 2,
    MODE_NIC_SW = 3,
    MODE_ONE_NIC = 4,
    MODE_NULL = 7,
    MODE_ONE_SW = 8,
};

enum register_flag {
    REG_MON_TX = 0x100,
    REG_MON_RX = 0x200,
    REG_ZCOPY_MON = 0x400,
    REG_EXCL = 0x800,
    REG_RX_ONLY = 0x2000,
    REG_TX_ONLY = 0x4000,
    REG_NO_TX_POLL = 0x20000,
};

enum ring_flag { RING_TIMESTAMP = 2, RING_FORWARD = 4 };

enum slot_flag {
    SLOT_BUF_CHANGED = 1,
    SLOT_REPORT = 2,
    SLOT_FORWARD = 4,
    SLOT_NO_LEARN = 8,
    SLOT_INDIRECT = 0x10,
    SLOT_MOREFRAG = 0x20,
    SLOT_TXMON = 0x40,
};

#define NAME_SIZE 64
#define MAX_FRAGMENTS 64
#define FIRST_FREE_BUFFER 2u

struct nm_header {
    uint16_t version;
    uint16_t reqtype;
    uint32_t reserved;
    char name[NAME_SIZE];
    uint64_t options;
    uint64_t body;
};

struct nm_option {
    uint64_t next;
    uint32_t reqtype;
    uint32_t status;
    uint64_t size;
};

struct nm_register {
    uint64_t offset;
    uint64_t memsize;
    uint32_t tx_slots;
    uint32_t rx_slots;
    uint16_t tx_rings;
    uint16_t rx_rings;
    uint16_t host_tx;
    uint16_t host_rx;
    uint16_t mem_id;
    uint16_t ringid;
    uint32_t mode;
    uint32_t extra_bufs;
    uint32_t pad;
    uint64_t flags;
};

struct nm_port_info {
    uint64_t memsize;
    uint32_t tx_slots;
    uint32_t rx_slots;
    uint16_t tx_rings;
    uint16_t rx_rings;
    uint16_t host_tx;
    uint16_t host_rx;
    uint16_t mem_id;
    uint16_t pad[3];
};

struct nm_vale_list {
    uint16_t bridge;
    uint16_t pad;
    uint32_t port;
};

struct nm_pool {
    uint64_t offset;
    uint32_t objects;
    uint32_t object_size;
};

struct nm_pools_info {
    uint64_t memsize;
    uint16_t mem_id;
    uint16_t pad[3];
    struct nm_pool interfaces;
    struct nm_pool rings;
    struct nm_pool buffers;
};

struct nm_if {
    char name[16];
    uint32_t version;
    uint32_t flags;
    uint32_t tx_rings;
    uint32_t rx_rings;
    uint32_t bufs_head;
    uint32_t host_tx;
    uint32_t host_rx;
    uint32_t spare[3];
    int64_t ring_ofs[];
};

struct nm_slot {
    uint32_t buf_idx;
    uint16_t len;
    uint16_t flags;
    uint64_t ptr;
};

struct nm_ring {
    int64_t buf_ofs;
    uint32_t num_slots;
    uint32_t buf_size;
    uint16_t ringid;
    uint16_t dir; /* 1 for tx, 0 for rx */
    uint32_t head;
    uint32_t cur;
    uint32_t tail;
    uint32_t flags;
    uint32_t pad;
    struct timeval ts;
    uint64_t offset_mask;
    uint64_t buf_align;
    uint8_t reserved[184];
    struct nm_slot slot[];
};

_Static_assert(sizeof(struct nm_header) == 88, "header");
_Static_assert(sizeof(struct nm_option) == 24, "option");
_Static_assert(sizeof(struct nm_register) == 56, "register");
_Static_assert(offsetof(struct nm_register, mem_id) == 32, "mem_id");
_Static_assert(offsetof(struct nm_register, flags) == 48, "register flags");
_Static_assert(sizeof(struct nm_port_info) == 32, "port info");
_Static_assert(sizeof(struct nm_pools_info) == 64, "pools info");
_Static_assert(offsetof(struct nm_if, bufs_head) == 32, "bufs_head");
_Static_assert(offsetof(struct nm_if, ring_ofs) == 56, "ring_ofs");
_Static_assert(offsetof(struct nm_ring, ts) == 40, "ts");
_Static_assert(offsetof(struct nm_ring, offset_mask) == 56, "offset_mask");
_Static_assert(offsetof(struct nm_ring, slot) == 256, "slots");
_Static_assert(sizeof(struct nm_slot) == 16, "slot");

#endif
