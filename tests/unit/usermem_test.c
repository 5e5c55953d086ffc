/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/usermem.h"
#include "check.h"

#define PAGES 40u

static char *map_pages(int prot)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *map = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(map != MAP_FAILED);
	for (size_t i = 0; i < PAGES * page; i++)
		map[i] = (char)(i * 7 + i / 4096);
	CHECK(!mprotect(map, PAGES * page, prot));
	return map;
}

static void copies(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = PAGES * page - 10;
	char *from = map_pages(PROT_READ | PROT_WRITE);
	char *to = calloc(1, PAGES * page);

	CHECK(usermem_copy(to, from + 3, len));
	CHECK_MEM(to, from + 3, len);
	CHECK(usermem_copy(to, from, 1));
	/* A hole at its end, and nothing at all. */
	CHECK(!munmap(from + (PAGES - 1) * page, page));
	CHECK(!usermem_copy(to, from, len));
	CHECK(usermem_copy(to, from, len - page));
	CHECK(!munmap(from, (PAGES - 1) * page));
	CHECK(!usermem_copy(to, from, page));
	free(to);
}

/* What one process may not read of another, but the CPU may of its own, as a
 * device's: the kernel's page of clocks is such. */
static void of_a_device(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long at = 0;
	char line[512], to[64];

	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps) && !strstr(line, "[vvar]"))
		line[0] = '\0';
	fclose(maps);
	if (sscanf(line, "%lx-", &at) != 1)
		SKIP("the kernel has no such page");
	CHECK(usermem_copy(to, (const void *)at, sizeof(to)));
	CHECK(usermem_check((const void *)at, sizeof(to), false) == NULL);
}

static void checked(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = PAGES * page;
	char *map = map_pages(PROT_READ | PROT_WRITE);
	char *text = map_pages(PROT_READ);

	if (madvise(map, 0, 23 /* MADV_POPULATE_WRITE */))
		SKIP("the kernel is older than 5.14");
	CHECK(usermem_check(map + 1, len - 1, true) == NULL);
	CHECK(usermem_check(text, len, false) == NULL);
	CHECK(usermem_check(text + 5, 1, true) != NULL);
	CHECK(!munmap(map, page));
	CHECK(usermem_check(map, len, false) != NULL);
	CHECK(usermem_check(map + page, len - page, true) == NULL);
	CHECK(!munmap(map + len - page, page));
	CHECK(usermem_check(map + page, len - page, false) != NULL);
}

/* Both ends may be there with a hole between them. */
static void can_be_read(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), len = PAGES * page;
	char *map = map_pages(PROT_READ);

	CHECK(usermem_can_read(map, len));
	CHECK(usermem_can_read_all(map, len));
	CHECK(!usermem_can_read_all(map, 0));
	CHECK(!usermem_can_read_all(map, (1 << 20) + 1));
	CHECK(!mprotect(map + 3 * page, page, PROT_NONE));
	CHECK(usermem_can_read(map, len));
	CHECK(!usermem_can_read_all(map, len));
	CHECK(usermem_can_read_all(map + 10, 3 * page - 10));
	CHECK(!usermem_can_read_all(map + 10, 3 * page - 9));
	CHECK(!munmap(map + len - page, page));
	CHECK(!usermem_can_read(map, len));
	CHECK(usermem_can_read(map, len - page));
	CHECK(!munmap(map, page));
	CHECK(!usermem_can_read(map, len - page));
}

static const struct check_case cases[] = {
	{"copies", copies, 0},
	{"of_a_device", of_a_device, 0},
	{"checked", checked, 0},
	{"can_be_read", can_be_read, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
