/* Memory that programs map: interfaces, rings and buffers of one allocator in one sparse file.
 *
 * Behind what programs may map, the file goes on with what only the kernel knows: which objects are taken,
 * and the buffer index that each slot last had. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "real.h"
#include "world.h"

#define PAGE 4096u

/* This process's view of each region. */
static struct {
    uint32_t instance;
    uint8_t *base;
    uint64_t length;
} mapped[MAX_REGIONS];
static pthread_mutex_t mapped_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t whole_pages(uint64_t length)
{
    return (length + PAGE - 1) / PAGE * PAGE;
}

uint64_t rings_offset(const struct region *region)
{
    return whole_pages((uint64_t)region->interfaces * IF_OBJECT);
}

uint64_t buffers_offset(const struct region *region)
{
    return rings_offset(region) + (uint64_t)region->rings * RING_OBJECT;
}

uint64_t region_size(const struct region *region)
{
    return whole_pages(buffers_offset(region) + (uint64_t)region->buffers * region->buf_size);
}

static uint64_t shadows_offset(const struct region *region)
{
    return whole_pages(region_size(region) + region->interfaces + region->rings + region->buffers);
}

static uint64_t file_size(const struct region *region)
{
    return shadows_offset(region) + (uint64_t)region->rings * RING_SLOTS_MAX * sizeof(uint32_t);
}

static void file_name(uint16_t mem_id, char name[32])
{
    snprintf(name, 32, "region.%u", mem_id);
}

int region_file(uint32_t index)
{
    char name[32];
    file_name(world->region[index].mem_id, name);
    return world_file(name, O_RDWR);
}

uint8_t *region_base(uint32_t index)
{
    const struct region *region = &world->region[index];
    if (__atomic_load_n(&mapped[index].instance, __ATOMIC_ACQUIRE) == region->instance)
        return mapped[index].base;
    pthread_mutex_lock(&mapped_lock);
    if (mapped[index].instance != region->instance) {
        if (mapped[index].base != NULL)
            munmap(mapped[index].base, mapped[index].length);
        int fd = region_file(index);
        void *base = real_mmap(NULL, file_size(region), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd < 0 || base == MAP_FAILED) {
            fprintf(stderr, "netmap emulation: region %u can't be mapped: %s\n", region->mem_id,
                    strerror(errno));
            _exit(127);
        }
        real_close(fd);
        mapped[index].base = base;
        mapped[index].length = file_size(region);
        __atomic_store_n(&mapped[index].instance, region->instance, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&mapped_lock);
    return mapped[index].base;
}

uint32_t region_by_id(uint16_t mem_id)
{
    for (uint32_t i = 0; i < MAX_REGIONS; i++) {
        if (world->region[i].mem_id == mem_id)
            return i;
    }
    return NOTHING;
}

uint32_t region_create(bool global)
{
    uint32_t index = global ? region_by_id(GLOBAL_MEMORY) : NOTHING;
    if (index != NOTHING)
        return index;
    index = region_by_id(0);
    if (index == NOTHING)
        return NOTHING;
    const struct settings *settings = &world->settings;
    struct region *region = &world->region[index];
    *region = (struct region){
        .mem_id = global ? GLOBAL_MEMORY : world->next_mem_id,
        .instance = ++world->last_instance,
        .interfaces = global ? 128 : 64,
        .rings = global ? 256 : 128,
        .buffers =
            global ? settings->buffers : FIRST_FREE_BUFFER + 2 * (MAX_RINGS + 1) * settings->slots + 8192,
        .buf_size = settings->buf_size,
        .next_buffer = FIRST_FREE_BUFFER,
    };
    region->free_buffers = region->buffers - FIRST_FREE_BUFFER;
    char name[32];
    file_name(region->mem_id, name);
    int fd = world_file(name, O_RDWR | O_CREAT | O_TRUNC);
    if (fd < 0 || ftruncate(fd, (off_t)file_size(region)) != 0) {
        if (fd >= 0)
            real_close(fd);
        region->mem_id = 0;
        return NOTHING;
    }
    real_close(fd);
    if (!global)
        world->next_mem_id++;
    return index;
}

/* One port less refers to it. An idle region has all its buffers back, or a program lost some. */
void region_put(uint32_t index)
{
    struct region *region = &world->region[index];
    if (--region->ports > 0)
        return;
    uint32_t lost = region->buffers - FIRST_FREE_BUFFER - region->free_buffers;
    if (lost > 0 && !region->killed)
        fault(NULL, "lost buffers: %u of region %u did not come back", lost, region->mem_id);
    char name[32];
    file_name(region->mem_id, name);
    world_remove(name);
    region->mem_id = 0;
}

static uint8_t *taken_interfaces(uint32_t index)
{
    return region_base(index) + region_size(&world->region[index]);
}

static uint8_t *taken_rings(uint32_t index)
{
    return taken_interfaces(index) + world->region[index].interfaces;
}

static uint8_t *taken_buffers(uint32_t index)
{
    return taken_rings(index) + world->region[index].rings;
}

static uint32_t take(uint8_t *taken, uint32_t count)
{
    uint8_t *free_one = memchr(taken, 0, count);
    if (free_one == NULL)
        return NOTHING;
    *free_one = 1;
    return (uint32_t)(free_one - taken);
}

uint32_t take_interface(uint32_t region)
{
    uint32_t object = take(taken_interfaces(region), world->region[region].interfaces);
    if (object != NOTHING)
        memset(interface_at(region, object), 0, IF_OBJECT);
    return object;
}

void put_interface(uint32_t region, uint32_t object)
{
    taken_interfaces(region)[object] = 0;
}

uint32_t take_ring(uint32_t region)
{
    uint32_t object = take(taken_rings(region), world->region[region].rings);
    if (object != NOTHING)
        memset(ring_at(region, object), 0, RING_OBJECT);
    return object;
}

void put_ring(uint32_t region, uint32_t object)
{
    taken_rings(region)[object] = 0;
}

uint32_t take_buffer(uint32_t index)
{
    struct region *region = &world->region[index];
    uint8_t *taken = taken_buffers(index);
    for (uint32_t tried = FIRST_FREE_BUFFER; tried < region->buffers && region->free_buffers > 0; tried++) {
        uint32_t buffer = region->next_buffer;
        region->next_buffer = buffer + 1 < region->buffers ? buffer + 1 : FIRST_FREE_BUFFER;
        if (taken[buffer] == 0) {
            taken[buffer] = 1;
            region->free_buffers--;
            return buffer;
        }
    }
    return 0;
}

/* False when the buffer is free already, or is none. */
bool put_buffer(uint32_t index, uint32_t buffer)
{
    if (!valid_buffer(index, buffer) || taken_buffers(index)[buffer] == 0)
        return false;
    taken_buffers(index)[buffer] = 0;
    world->region[index].free_buffers++;
    return true;
}

struct nm_if *interface_at(uint32_t region, uint32_t object)
{
    return (struct nm_if *)(void *)(region_base(region) + (uint64_t)object * IF_OBJECT);
}

struct nm_ring *ring_at(uint32_t region, uint32_t object)
{
    uint64_t offset = rings_offset(&world->region[region]) + (uint64_t)object * RING_OBJECT;
    return (struct nm_ring *)(void *)(region_base(region) + offset);
}

uint32_t *shadow_at(uint32_t region, uint32_t object)
{
    uint64_t offset =
        shadows_offset(&world->region[region]) + (uint64_t)object * RING_SLOTS_MAX * sizeof(uint32_t);
    return (uint32_t *)(void *)(region_base(region) + offset);
}

bool valid_buffer(uint32_t region, uint32_t buffer)
{
    return buffer >= FIRST_FREE_BUFFER && buffer < world->region[region].buffers;
}

uint8_t *buffer_at(uint32_t index, uint32_t buffer)
{
    const struct region *region = &world->region[index];
    return region_base(index) + buffers_offset(region) + (uint64_t)buffer * region->buf_size;
}
