/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CPUS_H
#define BASE_CPUS_H

/*
 * How many CPUs this process may really use: the affinity mask, cut by the
 * CPU quota of its control groups (version 2 or 1), which containers set and
 * which sysconf() does not know.
 */

/* At least 1. Reads files: for set-up, not for hot paths. */
int cpus_usable(void);
/* Those of the host that are online, whoever may use them. At least 1. */
int cpus_of_host(void);

/*
 * The quota alone, rounded up, of the process whose /proc directory is
 * proc_dir ("/proc/self"), with control groups mounted at cgroup_dir
 * ("/sys/fs/cgroup"). The tightest along the path to the root counts.
 * Returns 0 when there is none.
 */
int cpus_quota(const char *proc_dir, const char *cgroup_dir);

#endif
