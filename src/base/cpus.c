/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/item.h"

#define CPUS_MAX 65536
#define PATH_BYTES 4200

static int affinity_count(void)
{
	/* The call fails while the set is smaller than the kernel's. */
	for (int n = 1024; n <= CPUS_MAX; n *= 2) {
		cpu_set_t *set = CPU_ALLOC((size_t)n);
		size_t len_bytes = CPU_ALLOC_SIZE((size_t)n);
		int count = 0;

		if (!set)
			return 1;
		if (sched_getaffinity(0, len_bytes, set) == 0)
			count = CPU_COUNT_S(len_bytes, set);
		CPU_FREE(set);
		if (count > 0)
			return count;
	}
	return 1;
}

static bool read_line(const char *dir, const char *file, char *line,
		      size_t cap_bytes)
{
	char path[PATH_BYTES + 64];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fgets(line, (int)cap_bytes, f);
	fclose(f);
	return ok;
}

/* CPUs that quota microseconds of every period are, rounded up; 0: no limit. */
static int quota_cpus(long long quota, long long period)
{
	long long cpus;

	if (quota <= 0 || period <= 0)
		return 0;
	cpus = quota / period + (quota % period != 0);
	return cpus > CPUS_MAX ? 0 : (int)cpus;
}

static int dir_quota(const char *dir)
{
	char line[64], period[64];

	if (read_line(dir, "cpu.max", line, sizeof(line))) {
		long long q, p;

		return sscanf(line, "%lld %lld", &q, &p) == 2 ?
			       quota_cpus(q, p) :
			       0;
	}
	if (read_line(dir, "cpu.cfs_quota_us", line, sizeof(line)) &&
	    read_line(dir, "cpu.cfs_period_us", period, sizeof(period)))
		return quota_cpus(atoll(line), atoll(period));
	return 0;
}

/* The tightest quota from root/path up to root itself. */
static int path_quota(const char *root, const char *path)
{
	char dir[PATH_BYTES];
	size_t root_len = strlen(root);
	int tightest = 0;

	if (snprintf(dir, sizeof(dir), "%s%s", root, path) >= (int)sizeof(dir))
		return 0;
	for (;;) {
		int cpus = dir_quota(dir);
		char *slash = strrchr(dir, '/');

		if (cpus > 0 && (tightest == 0 || cpus < tightest))
			tightest = cpus;
		if (!slash || strlen(dir) <= root_len)
			return tightest;
		*slash = '\0';
	}
}

/* Is "cpu" among the controllers "cpu,cpuacct"? */
static bool has_cpu(const char *controllers)
{
	return item_place(controllers, "cpu") >= 0;
}

/* A line of /proc/PID/cgroup: "0::/path" (version 2), "4:cpu,cpuacct:/path"
 * (version 1, which is mounted below the controllers' name). */
static int line_quota(char *line, const char *cgroup_dir)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;
	char root[PATH_BYTES];

	if (!path)
		return 0;
	*path++ = '\0';
	controllers++;
	path[strcspn(path, "\n")] = '\0';
	if (*controllers == '\0')
		return path_quota(cgroup_dir, path);
	if (!has_cpu(controllers))
		return 0;
	if (snprintf(root, sizeof(root), "%s/%s", cgroup_dir, controllers) >=
	    (int)sizeof(root))
		return 0;
	return path_quota(root, path);
}

int cpus_quota(const char *proc_dir, const char *cgroup_dir)
{
	char path[PATH_BYTES], line[PATH_BYTES];
	int tightest = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/cgroup", proc_dir);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		int cpus = line_quota(line, cgroup_dir);

		if (cpus > 0 && (tightest == 0 || cpus < tightest))
			tightest = cpus;
	}
	fclose(f);
	return tightest;
}

int cpus_usable(void)
{
	int n = affinity_count();
	int quota = cpus_quota("/proc/self", "/sys/fs/cgroup");

	return quota > 0 && quota < n ? quota : n;
}

int cpus_of_host(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > CPUS_MAX ? CPUS_MAX : (int)n;
}
