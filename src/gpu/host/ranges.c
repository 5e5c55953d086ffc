/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/host/ranges.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tcpx/status.h>

#define FREED_MAX 256u
#define PAGE_BYTES 4096u
#define HANDLE_MAGIC 0x68475058u

struct handle {
	uint32_t magic, pid, fd, index;
	uint64_t dev, ino, len_bytes;
};
_Static_assert(sizeof(struct handle) <= GPU_IPC_BYTES, "it must fit");

/* Writers first: devices that are never idle must not keep a free waiting. */
static pthread_rwlock_t lock =
	PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
/* lock */
static struct range *ranges; /* by base, none overlaps another */
static uint32_t n_ranges, cap_ranges, n_freed;
static uint64_t n_frees;

void ranges_hold(void)
{
	pthread_rwlock_rdlock(&lock);
}

void ranges_release(void)
{
	pthread_rwlock_unlock(&lock);
}

/* ---- the table -------------------------------------------------------- */

/* How many ranges begin at or before addr. */
static uint32_t n_up_to(uint64_t addr)
{
	uint32_t low = 0, high = n_ranges;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (ranges[mid].base <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct range *ranges_find(uint64_t addr)
{
	uint32_t n = n_up_to(addr);

	return n ? &ranges[n - 1] : NULL;
}

static int insert(const struct range *range)
{
	uint32_t at = n_up_to(range->base);

	if (n_ranges == cap_ranges) {
		uint32_t cap = cap_ranges ? 2 * cap_ranges : 64;
		struct range *more = realloc(ranges, cap * sizeof(*more));

		if (!more)
			return TCPX_ENOMEM;
		ranges = more;
		cap_ranges = cap;
	}
	memmove(&ranges[at + 1], &ranges[at],
		(n_ranges - at) * sizeof(*ranges));
	ranges[at] = *range;
	n_ranges++;
	return TCPX_OK;
}

static void delete_at(uint32_t i)
{
	n_ranges--;
	memmove(&ranges[i], &ranges[i + 1], (n_ranges - i) * sizeof(*ranges));
}

static int insert_locked(const struct range *range)
{
	int rc;

	pthread_rwlock_wrlock(&lock);
	rc = insert(range);
	pthread_rwlock_unlock(&lock);
	return rc;
}

/* ---- mapping ---------------------------------------------------------- */

static uint64_t whole_pages(uint64_t len_bytes)
{
	uint64_t n = (len_bytes + PAGE_BYTES - 1) / PAGE_BYTES;

	return (n ? n : 1) * PAGE_BYTES;
}

static void *map(int prot, int flags, int fd, uint64_t map_bytes)
{
	void *mem = mmap(NULL, map_bytes, prot, flags, fd, 0);

	return mem == MAP_FAILED ? NULL : mem;
}

static void unmap(const struct range *range)
{
	munmap((void *)(uintptr_t)range->base, range->map_bytes);
	if (range->kind == RANGE_DEVICE)
		munmap(range->hidden, range->map_bytes);
	if (range->kind == RANGE_DEVICE && range->fd >= 0)
		close(range->fd);
}

/* Both mappings of fd, and into the table. */
static int add_device(int fd, uint32_t index, uint64_t len_bytes, bool borrowed,
		      void **mem)
{
	uint64_t map_bytes = whole_pages(len_bytes);
	void *base = map(PROT_NONE, MAP_SHARED, fd, map_bytes);
	void *hidden = map(PROT_READ | PROT_WRITE, MAP_SHARED, fd, map_bytes);
	struct range range = {
		.base = (uintptr_t)base,
		.len_bytes = len_bytes,
		.map_bytes = map_bytes,
		.hidden = hidden,
		.kind = RANGE_DEVICE,
		.index = index,
		.fd = borrowed ? -1 : fd,
	};

	if (base && hidden && insert_locked(&range) == 0) {
		*mem = base;
		return TCPX_OK;
	}
	if (base)
		munmap(base, map_bytes);
	if (hidden)
		munmap(hidden, map_bytes);
	return TCPX_ENOMEM;
}

int ranges_alloc_device(uint32_t index, uint64_t len_bytes, void **mem)
{
	int fd = memfd_create("tcpx-gpu", MFD_CLOEXEC), rc = TCPX_ENOMEM;

	if (fd < 0)
		return errno == EMFILE ? TCPX_ENFILE : TCPX_ENOMEM;
	if (ftruncate(fd, (off_t)whole_pages(len_bytes)) == 0)
		rc = add_device(fd, index, len_bytes, false, mem);
	if (rc)
		close(fd);
	return rc;
}

int ranges_alloc_pinned(uint64_t len_bytes, void **mem)
{
	uint64_t map_bytes = whole_pages(len_bytes);
	void *base = map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, map_bytes);
	struct range range = {
		.base = (uintptr_t)base,
		.len_bytes = len_bytes,
		.map_bytes = map_bytes,
		.hidden = base,
		.kind = RANGE_PINNED,
		.fd = -1,
	};

	if (!base)
		return TCPX_ENOMEM;
	if (insert_locked(&range) != 0) {
		munmap(base, map_bytes);
		return TCPX_ENOMEM;
	}
	*mem = base;
	return TCPX_OK;
}

/* ---- freeing ---------------------------------------------------------- */

static void forget_oldest(void)
{
	uint32_t oldest = n_ranges;

	for (uint32_t i = 0; i < n_ranges; i++) {
		if (ranges[i].kind == RANGE_FREED &&
		    (oldest == n_ranges ||
		     ranges[i].freed < ranges[oldest].freed))
			oldest = i;
	}
	munmap((void *)(uintptr_t)ranges[oldest].base,
	       ranges[oldest].map_bytes);
	delete_at(oldest);
	n_freed--;
}

/* Nothing is behind the addresses any more, but they stay taken. */
static void bury(struct range *range)
{
	mmap((void *)(uintptr_t)range->base, range->map_bytes, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	munmap(range->hidden, range->map_bytes);
	if (range->fd >= 0)
		close(range->fd);
	range->kind = RANGE_FREED;
	range->hidden = NULL;
	range->fd = -1;
	range->freed = n_frees++;
	n_freed++;
}

int ranges_free(void *mem)
{
	uint64_t base = (uintptr_t)mem;
	struct range *range;
	int rc = TCPX_EINVAL;
	uint32_t n;

	pthread_rwlock_wrlock(&lock);
	n = n_up_to(base);
	range = n ? &ranges[n - 1] : NULL;
	if (range && range->base == base && range->kind != RANGE_FREED &&
	    !range->adopted) {
		if (range->kind == RANGE_DEVICE) {
			bury(range);
		} else {
			unmap(range);
			delete_at(n - 1);
		}
		rc = TCPX_OK;
	}
	if (n_freed > FREED_MAX)
		forget_oldest();
	pthread_rwlock_unlock(&lock);
	return rc;
}

/* ---- memory of the program's own -------------------------------------- */

int ranges_adopt(uint32_t index, uint64_t base, uint64_t len_bytes, int fd)
{
	void *hidden = map(PROT_READ | PROT_WRITE, MAP_SHARED, fd, len_bytes);
	struct range range = {
		.base = base,
		.len_bytes = len_bytes,
		.map_bytes = len_bytes,
		.hidden = hidden,
		.kind = RANGE_DEVICE,
		.index = index,
		.fd = fcntl(fd, F_DUPFD_CLOEXEC, 0),
		.adopted = true,
	};
	const struct range *last;
	int rc = TCPX_EINVAL;

	if (!hidden || range.fd < 0) {
		rc = TCPX_ENOMEM;
		goto err_drop;
	}
	pthread_rwlock_wrlock(&lock);
	last = ranges_find(base + len_bytes - 1);
	if (!last || last->base + last->map_bytes <= base)
		rc = insert(&range);
	pthread_rwlock_unlock(&lock);
	if (!rc)
		return TCPX_OK;
err_drop:
	if (hidden)
		munmap(hidden, len_bytes);
	if (range.fd >= 0)
		close(range.fd);
	return rc;
}

void ranges_disown(uint64_t base)
{
	uint32_t n;

	pthread_rwlock_wrlock(&lock);
	n = n_up_to(base);
	if (n && ranges[n - 1].base == base && ranges[n - 1].adopted) {
		munmap(ranges[n - 1].hidden, ranges[n - 1].map_bytes);
		close(ranges[n - 1].fd);
		delete_at(n - 1);
	}
	pthread_rwlock_unlock(&lock);
}

/* ---- access ----------------------------------------------------------- */

static void *forbidden(const struct range *range, uint32_t index, uint64_t addr,
		       uint64_t len_bytes, char *why, size_t cap_bytes)
{
	unsigned long long a = addr, n = len_bytes;

	if (!range || addr >= range->base + range->map_bytes)
		snprintf(why, cap_bytes,
			 "%llu bytes at %#llx: neither device nor pinned", n,
			 a);
	else if (range->kind == RANGE_FREED)
		snprintf(why, cap_bytes, "%llu bytes at %#llx: freed memory", n,
			 a);
	else if (range->kind == RANGE_DEVICE && range->index != index)
		snprintf(why, cap_bytes,
			 "%llu bytes at %#llx: memory of device %u", n, a,
			 range->index);
	else
		snprintf(why, cap_bytes,
			 "%llu bytes at %#llx: past the end of %llu allocated "
			 "at %#llx",
			 n, a, (unsigned long long)range->len_bytes,
			 (unsigned long long)range->base);
	return NULL;
}

/* Nothing of [addr, addr + len) is in any range. */
static bool is_outside(const struct range *before, uint64_t addr,
		       uint64_t len_bytes)
{
	const struct range *last = ranges_find(addr + len_bytes - 1);

	return last == before &&
	       (!before || addr >= before->base + before->map_bytes);
}

void *ranges_at(uint32_t index, uint64_t addr, uint64_t len_bytes,
		bool any_host, char *why, size_t cap_bytes)
{
	const struct range *range = ranges_find(addr);

	if (any_host && is_outside(range, addr, len_bytes))
		return (void *)(uintptr_t)addr;
	if (!range || range->kind == RANGE_FREED ||
	    (range->kind == RANGE_DEVICE && range->index != index) ||
	    addr - range->base >= range->len_bytes ||
	    len_bytes > range->len_bytes - (addr - range->base))
		return forbidden(range, index, addr, len_bytes, why, cap_bytes);
	return range->hidden + (addr - range->base);
}

/* ---- other processes -------------------------------------------------- */

int ranges_export(void *mem, uint8_t out[GPU_IPC_BYTES])
{
	struct handle handle = {.magic = HANDLE_MAGIC};
	const struct range *range;
	struct stat st;
	int rc = TCPX_EINVAL;

	ranges_hold();
	range = ranges_find((uintptr_t)mem);
	if (range && range->kind == RANGE_DEVICE && range->fd >= 0 &&
	    range->base == (uintptr_t)mem && fstat(range->fd, &st) == 0) {
		handle.pid = (uint32_t)getpid();
		handle.fd = (uint32_t)range->fd;
		handle.index = range->index;
		handle.dev = st.st_dev;
		handle.ino = st.st_ino;
		handle.len_bytes = range->len_bytes;
		memset(out, 0, GPU_IPC_BYTES);
		memcpy(out, &handle, sizeof(handle));
		rc = TCPX_OK;
	}
	ranges_release();
	return rc;
}

/* The descriptor may be another file's by now: device and inode tell. */
static int open_other(const struct handle *handle)
{
	char path[64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/fd/%u", handle->pid, handle->fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && st.st_dev == handle->dev &&
	    st.st_ino == handle->ino &&
	    (uint64_t)st.st_size == whole_pages(handle->len_bytes))
		return fd;
	close(fd);
	return -1;
}

int ranges_import(uint32_t index, const uint8_t in[GPU_IPC_BYTES], void **mem)
{
	struct handle handle;
	int fd, rc;

	memcpy(&handle, in, sizeof(handle));
	if (handle.magic != HANDLE_MAGIC || handle.index != index ||
	    handle.pid == (uint32_t)getpid())
		return TCPX_EINVAL;
	fd = open_other(&handle);
	if (fd < 0)
		return TCPX_ENOENT;
	rc = add_device(fd, index, handle.len_bytes, true, mem);
	close(fd);
	return rc;
}

int ranges_share(uint32_t index, uint64_t addr, int *fd, uint64_t *base,
		 uint64_t *all_bytes)
{
	const struct range *range;
	int rc = TCPX_EUNSUPPORTED;

	ranges_hold();
	range = ranges_find(addr);
	if (range && range->kind == RANGE_DEVICE && range->index == index &&
	    addr - range->base < range->len_bytes) {
		*base = range->base;
		*all_bytes = range->len_bytes;
		rc = range->fd >= 0 ? TCPX_OK : TCPX_EUNSUPPORTED;
	}
	if (!rc) {
		*fd = fcntl(range->fd, F_DUPFD_CLOEXEC, 0);
		rc = *fd < 0 ? TCPX_ENFILE : TCPX_OK;
	}
	ranges_release();
	return rc;
}

int ranges_join(uint32_t index, int fd, uint64_t all_bytes, void **mem)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), rc = TCPX_EUNSUPPORTED;
	struct stat st;

	if (own < 0)
		return TCPX_ENFILE;
	if (fstat(own, &st) == 0 &&
	    (uint64_t)st.st_size == whole_pages(all_bytes))
		rc = add_device(own, index, all_bytes, false, mem);
	if (rc)
		close(own);
	return rc;
}
