/* SPDX-License-Identifier: Apache-2.0 */
#include "mesh.h"

#include "cmd.h"
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* "HOST-rank3-gpu1.log" */
static void file_name(const char *dir, const char *host, uint32_t rank,
		      const struct place *place, char *path, size_t cap_bytes)
{
	char mem[PLACE_TEXT_MAX], *to = mem;

	place_format(place, mem);
	for (const char *from = mem; *from; from++)
		if (*from != ':')
			*to++ = *from;
	*to = '\0';
	snprintf(path, cap_bytes, "%s/%s-rank%u-%s.log", dir, host, rank, mem);
}

int mesh_logs_open(const char *dir, const char *host, uint32_t rank,
		   const struct place *places, uint32_t n,
		   struct mesh_logs *logs)
{
	char path[PATH_MAX];
	FILE *file;

	memset(logs, 0, sizeof(*logs));
	if (!dir)
		return 0;
	if (mkdir(dir, 0777) && errno != EEXIST) {
		complain("--log-dir %s: %s", dir, strerror(errno));
		return -1;
	}
	for (uint32_t i = 0; i < n; i++) {
		file_name(dir, host, rank, &places[i], path, sizeof(path));
		file = fopen(path, "we");
		if (!file) {
			complain("%s: %s", path, strerror(errno));
			mesh_logs_close(logs);
			return -1;
		}
		setvbuf(file, NULL, _IOLBF, 0);
		logs->files[i] = file;
		logs->n = i + 1;
	}
	return 0;
}

void mesh_logs_close(struct mesh_logs *logs)
{
	log_also(NULL);
	for (uint32_t i = 0; i < logs->n; i++)
		fclose(logs->files[i]);
	memset(logs, 0, sizeof(*logs));
}

void mesh_logs_turn(struct mesh_logs *logs, uint32_t place)
{
	log_also(place < logs->n ? logs->files[place] : NULL);
}

void mesh_logs_line(struct mesh_logs *logs, uint32_t place, const char *fmt,
		    ...)
{
	char text[512];
	va_list args;

	if (place >= logs->n)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_stamp(logs->files[place]);
	fprintf(logs->files[place], "%s\n", text);
}
