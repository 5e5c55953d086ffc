/* SPDX-License-Identifier: Apache-2.0 */
#include "support/count.h"

#include <dirent.h>

#include "check.h"

size_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t n = 0;

	CHECK(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

size_t count_fds(void)
{
	return count_entries("/proc/self/fd");
}
