/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "base/cpus.h"
#include "check.h"

static char root[64];

/* A pretend /proc/self and /sys/fs/cgroup; the case's process leaves it to
 * tidy(), which exit() calls. */
static void tidy(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", root);
	if (system(command) != 0)
		fprintf(stderr, "left behind: %s\n", root);
}

static void make_root(void)
{
	snprintf(root, sizeof(root), "/tmp/cpus_test.XXXXXX");
	CHECK(mkdtemp(root));
	atexit(tidy);
}

static void put(const char *file, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", root, file);
	for (char *c = path + strlen(root) + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		CHECK(mkdir(path, 0755) == 0 || errno == EEXIST);
		*c = '/';
	}
	f = fopen(path, "w");
	CHECK(f);
	CHECK(fputs(text, f) >= 0);
	CHECK_EQ(fclose(f), 0);
}

static int quota(void)
{
	char proc[96], groups[96];

	snprintf(proc, sizeof(proc), "%s/proc", root);
	snprintf(groups, sizeof(groups), "%s/cg", root);
	return cpus_quota(proc, groups);
}

static void at_least_one(void)
{
	cpu_set_t set;
	int n = cpus_usable();

	CHECK(n >= 1);
	CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
	CHECK(n <= CPU_COUNT(&set));
}

static void affinity_cuts(void)
{
	cpu_set_t set;
	int cpu = 0;

	CHECK_EQ(sched_getaffinity(0, sizeof(set), &set), 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	CHECK_EQ(sched_setaffinity(0, sizeof(set), &set), 0);
	CHECK_EQ(cpus_usable(), 1);
}

static void version_2(void)
{
	make_root();
	CHECK_EQ(quota(), 0);
	put("proc/cgroup", "0::/a/b\n");
	CHECK_EQ(quota(), 0);
	put("cg/a/b/cpu.max", "max 100000\n");
	CHECK_EQ(quota(), 0);
	put("cg/a/b/cpu.max", "350000 100000\n");
	CHECK_EQ(quota(), 4);
	put("cg/a/b/cpu.max", "10000 100000\n");
	CHECK_EQ(quota(), 1);
}

static void a_parent_may_be_tighter(void)
{
	make_root();
	put("proc/cgroup", "0::/a/b\n");
	put("cg/a/b/cpu.max", "800000 100000\n");
	put("cg/a/cpu.max", "200000 100000\n");
	CHECK_EQ(quota(), 2);
	put("cg/cpu.max", "100000 100000\n");
	CHECK_EQ(quota(), 1);
}

/* In a container the path may be the host's, and only the root is there. */
static void root_of_a_container(void)
{
	make_root();
	put("proc/cgroup", "0::/not/mounted/here\n");
	put("cg/cpu.max", "600000 100000\n");
	CHECK_EQ(quota(), 6);
	put("proc/cgroup", "0::/\n");
	CHECK_EQ(quota(), 6);
}

static void version_1(void)
{
	make_root();
	put("proc/cgroup", "9:cpuset:/x\n4:cpu,cpuacct:/x\n1:name=systemd:/\n");
	put("cg/cpuset/x/cpu.cfs_quota_us", "100000\n");
	put("cg/cpuset/x/cpu.cfs_period_us", "100000\n");
	CHECK_EQ(quota(), 0);
	put("cg/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
	put("cg/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
	CHECK_EQ(quota(), 0);
	put("cg/cpu,cpuacct/x/cpu.cfs_quota_us", "250000\n");
	CHECK_EQ(quota(), 3);
}

static void nonsense_is_no_limit(void)
{
	make_root();
	put("proc/cgroup", "junk\n0::\n:::\n0::/a\n");
	put("cg/a/cpu.max", "");
	CHECK_EQ(quota(), 0);
	put("cg/a/cpu.max", "-5 0\n");
	CHECK_EQ(quota(), 0);
	put("cg/a/cpu.max", "9223372036854775807 1\n");
	CHECK_EQ(quota(), 0);
}

static const struct check_case cases[] = {
	{"at_least_one", at_least_one, 0},
	{"affinity_cuts", affinity_cuts, 0},
	{"version_2", version_2, 0},
	{"a_parent_may_be_tighter", a_parent_may_be_tighter, 0},
	{"root_of_a_container", root_of_a_container, 0},
	{"version_1", version_1, 0},
	{"nonsense_is_no_limit", nonsense_is_no_limit, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
