/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/host/foreign.h"

#include <dirent.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gpu/host/ranges.h"

#define ADOPTED_MAX 64u
#define NAME "/memfd:tcpx-gpu-"

struct mapping {
	uint64_t base, end, ino;
	uint32_t index;
	bool seen;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct mapping adopted[ADOPTED_MAX]; /* lock */
static uint32_t n_adopted; /* lock */

/* A line of /proc/self/maps: one of the kind, from the start of its file, and
 * nobody may touch it? */
static bool parse(const char *line, struct mapping *m)
{
	char rights[5];
	uint64_t off;

	*m = (struct mapping){.base = 0};
	return sscanf(line,
		      "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %*s %" SCNu64
		      " " NAME "%" SCNu32,
		      &m->base, &m->end, rights, &off, &m->ino,
		      &m->index) == 6 &&
	       strcmp(rights, "---s") == 0 && off == 0 &&
	       m->index < GPU_DEVICES_MAX;
}

/* A descriptor of the program's for it, or -1. Those of others are only read
 * of by their names here: other threads open and close them meanwhile. */
static int find_fd(const struct mapping *m)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	while (dir && found < 0 && (entry = readdir(dir))) {
		char name[sizeof(NAME)] = "";
		int fd = atoi(entry->d_name);
		struct stat st;

		if (readlinkat(dirfd(dir), entry->d_name, name,
			       sizeof(name) - 1) > 0 &&
		    strcmp(name, NAME) == 0 && fstat(fd, &st) == 0 &&
		    st.st_ino == m->ino &&
		    (uint64_t)st.st_size == m->end - m->base)
			found = fd;
	}
	if (dir)
		closedir(dir);
	return found;
}

static void adopt(const struct mapping *m)
{
	int fd = n_adopted < ADOPTED_MAX ? find_fd(m) : -1;

	if (fd >= 0 &&
	    ranges_adopt(m->index, m->base, m->end - m->base, fd) == 0)
		adopted[n_adopted++] = *m;
}

/* One that is adopted already: it is still there. */
static bool recognise(const struct mapping *m)
{
	for (uint32_t i = 0; i < n_adopted; i++) {
		if (adopted[i].base != m->base || adopted[i].end != m->end ||
		    adopted[i].ino != m->ino)
			continue;
		adopted[i].seen = true;
		return true;
	}
	return false;
}

static void forget_unseen(void)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < n_adopted; i++) {
		if (adopted[i].seen)
			adopted[n++] = adopted[i];
		else
			ranges_disown(adopted[i].base);
	}
	n_adopted = n;
	for (uint32_t i = 0; i < n; i++)
		adopted[i].seen = false;
}

void foreign_look(uint64_t addr)
{
	struct mapping m, fresh = {.end = 0};
	char line[512];
	FILE *maps;

	pthread_mutex_lock(&lock);
	maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof(line), maps)) {
		if (!parse(line, &m))
			continue;
		if (!recognise(&m) && addr >= m.base && addr < m.end)
			fresh = m;
	}
	if (maps) {
		fclose(maps);
		forget_unseen();
	}
	if (fresh.end)
		adopt(&fresh);
	pthread_mutex_unlock(&lock);
}
