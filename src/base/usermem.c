/* SPDX-License-Identifier: Apache-2.0 */
#include "base/usermem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux 5.14; older C libraries have no name for them. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
_Static_assert(MADV_POPULATE_READ == 22 && MADV_POPULATE_WRITE == 23,
	       "the kernel's numbers");

#define PART_BYTES 16384u /* less than any pipe holds */
#define PAGE_BYTES_LEAST 4096u
#define PAGES_MAX 256u

/* 0, or the error of touching the page that way. */
static int touch(uintptr_t at, size_t page_bytes, int how)
{
	void *page = (void *)(at & ~(uintptr_t)(page_bytes - 1));

	return madvise(page, page_bytes, how) ? errno : 0;
}

/* Of no bytes, advice that is known is always taken. */
static bool can_touch(void)
{
	return !madvise(NULL, 0, MADV_POPULATE_WRITE);
}

static const char *check_page(uintptr_t at, size_t page_bytes, bool write)
{
	int err = touch(at, page_bytes, MADV_POPULATE_READ);

	if (err == ENOMEM)
		return "there is no memory there";
	if (err == EFAULT)
		return "the memory there cannot be read";
	/* EINVAL: a device's, maybe, which the CPU may use all the same. */
	if (err || !write)
		return NULL;
	err = touch(at, page_bytes, MADV_POPULATE_WRITE);
	return err == EINVAL || err == EFAULT ?
		       "the memory there cannot be written" :
		       NULL;
}

const char *usermem_check(const void *base, size_t len_bytes, bool write)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = (uintptr_t)base;
	const char *why;

	if (!can_touch())
		return NULL;
	why = check_page(first, page_bytes, write);
	return why ? why : check_page(first + len_bytes - 1, page_bytes, write);
}

/* How many of these bytes, from the first on, the kernel reads; -1 where that
 * cannot be told. The bare system call: sanitizers look at what writev() is
 * given. */
static long count_readable(const struct iovec *bytes, size_t n)
{
	int ends[2];
	long taken;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -1;
	taken = syscall(SYS_writev, ends[1], bytes, n);
	close(ends[0]);
	close(ends[1]);
	return taken < 0 ? 0 : taken;
}

static struct iovec byte_at(uintptr_t at)
{
	return (struct iovec){(void *)at, 1};
}

bool usermem_can_read(const void *base, size_t len_bytes)
{
	uintptr_t first = (uintptr_t)base;
	struct iovec bytes[] = {byte_at(first), byte_at(first + len_bytes - 1)};
	long n = count_readable(bytes, 2);

	return n < 0 || n == 2;
}

bool usermem_can_read_all(const void *base, size_t len_bytes)
{
	struct iovec bytes[PAGES_MAX + 1];
	uintptr_t first = (uintptr_t)base;
	size_t n = 0;

	if (!len_bytes || len_bytes > PAGES_MAX * PAGE_BYTES_LEAST ||
	    first > UINTPTR_MAX - len_bytes)
		return false;
	for (size_t off = 0; off < len_bytes; off += PAGE_BYTES_LEAST)
		bytes[n++] = byte_at(first + off);
	bytes[n++] = byte_at(first + len_bytes - 1);
	return count_readable(bytes, n) == (long)n;
}

/* Through a pipe: the kernel reads as the program itself would, where mappings
 * of devices, as pinned memory of a GPU's driver is, count too. */
static bool copy_by_pipe(uint8_t *dst, const uint8_t *src, size_t len_bytes)
{
	ssize_t n = 0;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC))
		return false;
	while (len_bytes) {
		size_t part = len_bytes < PART_BYTES ? len_bytes : PART_BYTES;

		n = write(ends[1], src, part);
		if (n > 0)
			n = read(ends[0], dst, (size_t)n);
		if (n <= 0)
			break;
		dst += n;
		src += n;
		len_bytes -= (size_t)n;
	}
	close(ends[0]);
	close(ends[1]);
	return !len_bytes;
}

bool usermem_copy(void *dst, const void *src, size_t len_bytes)
{
	struct iovec to = {dst, len_bytes};
	struct iovec from = {(void *)(uintptr_t)src, len_bytes};

	/* Sooner, but not of such mappings, and some containers forbid it. */
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) ==
		       (ssize_t)len_bytes ||
	       copy_by_pipe(dst, src, len_bytes);
}
